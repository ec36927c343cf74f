//! What one communicator carries between two hosts of a lab, by the message transport under two laws and by TCP, over ways of several
//! lengths.
//!
//! `cargo bench -p longhaul-nccl-net`, as root or where users may make namespaces. Messages and how many are under way are as
//! NCCL has them. The figure is the receiver's, from the first message to the last; sending and receiving share this machine.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Instant;

use longhaul_emulator::sandbox;
use support::nccl::{Nccl, Table};
use support::place::{Place, tell, told};

/// NCCL_BUFFSIZE of 4 MiB over NCCL_STEPS of 8.
const MESSAGE: usize = 512 << 10;
const STEPS: usize = 8;
const MESSAGES: usize = 512;

/// The ways: what is written of the link.
const LINKS: [&str; 5] = [
    "rate: 1Gbit, rtt: 5ms",
    "rate: 1Gbit, rtt: 20ms",
    "rate: 1Gbit, rtt: 80ms",
    "rate: 1Gbit, rtt: 20ms, loss: 0.01%",
    "rate: 1Gbit, rtt: 80ms, loss: 0.01%",
];

/// By what, and the variables for that.
const CARRIERS: [(&str, &[(&str, &str)]); 3] = [
    ("distance", &[]),
    ("cubic", &[("LONGHAUL_NCCL_CONGESTION_CONTROL", "cubic")]),
    ("tcp", &[("LONGHAUL_NCCL_TRANSPORT", "tcp")]),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("__send") => return send(),
        Some("__receive") => return receive(),
        _ => {}
    }
    if let Err(error) = sandbox::enter() {
        println!("skipped: {error}");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let head = CARRIERS.map(|(name, _)| format!("{name:>10}")).join(" ");
    println!("{:38} {head}   Gbit/s", "link");
    for link in LINKS {
        let place = runtime.block_on(Place::lab(link));
        let carried = CARRIERS.map(|(_, environment)| {
            let (sender, receiver) = place.start("all", environment, environment).ended();
            assert!(
                sender.success && receiver.success,
                "{}{}",
                sender.said,
                receiver.said
            );
            format!("{:>10}", receiver.output.trim())
        });
        println!("{link:38} {}", carried.join(" "));
    }
    ExitCode::SUCCESS
}

fn send() -> ExitCode {
    let nccl = Nccl::new(Table::of(12)).expect("the plugin starts");
    let comm = nccl.connect(told()).expect("the receiver is there");
    let message = vec![1; MESSAGE];
    let mut begun = VecDeque::new();
    for _ in 0..MESSAGES {
        if begun.len() == STEPS
            && let Some(oldest) = begun.pop_front()
        {
            nccl.finish(oldest).expect("it is sent");
        }
        begun.push_back(nccl.send(comm, &message));
    }
    for request in begun {
        nccl.finish(request).expect("it is sent");
    }
    nccl.close_send(comm);
    ExitCode::SUCCESS
}

fn receive() -> ExitCode {
    let nccl = Nccl::new(Table::of(12)).expect("the plugin starts");
    let (handle, listener) = nccl.listen();
    tell(&handle);
    let comm = nccl.accept(listener).expect("the sender comes");
    let mut buffers = vec![vec![0; MESSAGE]; STEPS];
    let mut begun: VecDeque<_> = (0..STEPS)
        .map(|step| nccl.receive(comm, &mut buffers[step]))
        .collect();
    let mut start = None;
    for number in STEPS..MESSAGES + STEPS {
        let oldest = begun.pop_front().expect("as many as there are steps");
        nccl.finish(oldest).expect("it comes");
        start.get_or_insert_with(Instant::now);
        if number < MESSAGES {
            begun.push_back(nccl.receive(comm, &mut buffers[number % STEPS]));
        }
    }
    let bits = ((MESSAGES - 1) * MESSAGE * 8) as f64;
    let time = start.expect("there is a first").elapsed();
    println!("{:.3}", bits / time.as_nanos() as f64);
    nccl.close_receive(comm);
    nccl.close_listener(listener);
    ExitCode::SUCCESS
}
