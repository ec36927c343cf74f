//! Worlds of real processes on loopback. The test executable is its own rank program: `__rank` as its argument makes it one.

mod collectives;
mod failures;
mod replay;
mod samples;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// The functions named, as tests of their names.
macro_rules! trials {
    ($($module:ident: $($test:ident),+;)+) => {
        vec![$($(Trial::test(stringify!($test), $module::$test)),+),+]
    };
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("__rank") {
        return ExitCode::from(longhaul_workloads::rank::main() as u8);
    }
    let trials = trials![
        collectives:
            every_collective_and_algorithm_is_right,
            every_type_and_operator_is_right,
            several_connections_carry_one_message,
            ipv6_works_alike,
            queue_pairs_do_every_collective;
        replay:
            a_trace_is_played_with_its_groups_and_transfers,
            computing_hides_communication_that_does_not_wait_for_it;
        samples:
            samples_follow_the_bytes,
            queue_pairs_tell_of_themselves,
            ranks_by_other_clocks_start_together_and_stamp_alike;
        failures:
            a_killed_rank_is_named,
            a_killed_rank_is_named_over_queue_pairs,
            a_stopped_rank_is_named,
            a_stopped_leaf_that_nobody_waits_for_is_named,
            a_rank_that_does_not_start_is_named_with_its_last_words,
            an_address_that_is_not_the_hosts_is_told,
            an_unknown_congestion_control_is_told,
            what_cannot_be_done_is_refused_and_the_world_goes_on,
            no_process_outlives_its_world;
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
