//! The netem engine, judged by programs that are not ours, inside a User-mode-Linux guest: few machines have netem, and
//! fewer let a test be root.
//!
//! Outside, this program boots a guest with itself in it; inside, it runs the tests.

mod captured;
mod channel;
mod compared;
mod disciplines;
mod lanes;
mod pair;
#[path = "../support/pcap.rs"]
mod pcap;
#[path = "../support/pings.rs"]
mod pings;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/uml.rs"]
mod uml;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};

/// How often a test judged by the wall clock is tried: a guest has one CPU, and the machine may have others to serve.
const TRIES: u32 = 3;

/// The async functions named, as tests of their names.
macro_rules! tests {
    ($($module:ident: $($test:ident),+;)+) => {
        vec![$($(with_tries(stringify!($test), $module::$test)),+),+]
    };
}

/// A test that holds if one of its tries does.
fn with_tries<F: Future<Output = ()> + 'static>(name: &str, body: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let run = || -> Result<(), Failed> {
            tokio::runtime::Runtime::new()?.block_on(body());
            Ok(())
        };
        for _ in 1..TRIES {
            // A panic has printed what was wrong.
            if let Ok(result) = std::panic::catch_unwind(run) {
                return result;
            }
        }
        run()
    })
}

fn main() -> ExitCode {
    uml::init_if_guest();
    if uml::name().is_some() || std::env::args().any(|argument| argument == "--list") {
        return inside_the_guest();
    }
    for program in ["ping", "iperf3", "tc"] {
        if !installed(program) {
            println!("skipped: no {program} (apt install iputils-ping iperf3 iproute2)");
            return ExitCode::SUCCESS;
        }
    }
    if let Err(reason) = uml::kernel() {
        println!("skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let itself = std::env::current_exe().expect("a path to this program");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let guest = uml::Guest {
        name: "netem",
        memory: "512M",
        modules: &[],
        timeout: Duration::from_secs(600),
    };
    match guest.boot(&itself, &arguments) {
        Ok(output) => {
            print!("{}", output.stdout);
            eprint!("{}", output.stderr);
            ExitCode::from(u8::try_from(output.code).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .any(|file| file.is_file())
}

fn inside_the_guest() -> ExitCode {
    support::run(tests![
        channel:
            the_kernel_reads_back_what_was_asked,
            a_round_trip_takes_both_delays,
            tcp_fills_the_rate_and_no_more,
            independent_loss_is_as_asked,
            gilbert_elliott_losses_come_in_bursts,
            jitter_keeps_order_unless_told_otherwise,
            duplicates_arrive_twice,
            a_queue_of_packets_holds_wire_packets,
            a_live_channel_changes,
            four_state_losses_are_as_the_chain_says;
        lanes:
            a_lane_that_is_down_loses_what_comes_not_what_is_under_way,
            flows_leave_a_lane_that_is_down_and_come_back,
            a_symmetric_hash_keeps_both_directions_together;
        disciplines:
            the_kernel_reads_back_every_discipline,
            a_step_marks_from_its_threshold_on_and_drops_nothing,
            super_packets_are_marked_packet_by_packet,
            every_discipline_marks_or_drops_under_overload;
        captured:
            a_capture_holds_what_arrives_when_it_arrives,
            super_packets_are_captured_as_wire_packets;
        compared:
            netem_and_the_relay_agree;
        channel:
            one_lab_after_another_leaves_nothing;
    ])
}
