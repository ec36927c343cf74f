//! The library, driven as NCCL drives it, between two processes in two hosts of a lab, 20 ms apart. Where no lab can be made, the
//! same on loopback. The test executable is both processes' program: `__send` and `__receive` as its argument make it one.

mod support;

use std::ffi::{CStr, c_char, c_int};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use longhaul_emulator::sandbox;
use nccl_net_longhaul::abi::v12;
use support::nccl::{Nccl, Opaque, Refused, Table, table};
use support::place::{Pair, Place, tell, then, told, wait_for_the_other};

/// 32 is what NCCL starts at once.
const FLIGHT: usize = 32;
/// `ncclRemoteError` and `ncclInvalidUsage`.
const REMOTE: Refused = Refused(6);
const INVALID_USAGE: Refused = Refused(5);
/// Around what the plugin cuts messages at, and what NCCL sends.
const SIZES: [usize; 14] = [
    0,
    1,
    0,
    4096,
    128 << 10,
    (257 << 10) - 1,
    257 << 10,
    (257 << 10) + 1,
    512 << 10,
    514 << 10,
    1 << 20,
    0,
    64 << 20,
    7,
];
/// What any socket's buffers hold.
const FEW: usize = 8;
const SMALL: usize = 8 << 10;
const TCP: (&str, &str) = ("LONGHAUL_NCCL_TRANSPORT", "tcp");
const MESSAGE: (&str, &str) = ("LONGHAUL_NCCL_TRANSPORT", "message");
const SHORT_PATIENCE: (&str, &str) = ("LONGHAUL_NCCL_PATIENCE", "4s");

/// A trial's body.
type Test = fn(&Place);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("__send") => return send(&arguments[2]),
        Some("__receive") => return receive(&arguments[2]),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    // There is one lab at a time, and its links are shared.
    arguments.test_threads = Some(1);
    let sandboxed = if arguments.list {
        Ok(())
    } else {
        sandbox::enter().map(drop)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = match (&sandboxed, arguments.list) {
        (Ok(()), false) => runtime.block_on(Place::lab("rate: 500Mbit, rtt: 20ms")),
        (Err(error), _) => {
            println!("no lab, so on loopback: {error}");
            Place::Loopback
        }
        (Ok(()), true) => Place::Loopback,
    };
    let place: &'static Mutex<Place> = Box::leak(Box::new(Mutex::new(place)));
    let trials: [(&str, Test); 12] = [
        ("every_version_has_a_table", every_version_has_a_table),
        ("messages_of_all_sizes_arrive", messages_of_all_sizes_arrive),
        (
            "messages_of_all_sizes_arrive_by_tcp",
            messages_of_all_sizes_arrive_by_tcp,
        ),
        ("older_tables_do_the_same", older_tables_do_the_same),
        (
            "thirty_two_messages_are_under_way_at_once",
            thirty_two_messages_are_under_way_at_once,
        ),
        (
            "what_was_sent_arrives_though_the_sender_closes",
            what_was_sent_arrives_though_the_sender_closes,
        ),
        ("a_receiver_may_close_first", a_receiver_may_close_first),
        (
            "a_receiver_that_dies_is_an_error",
            a_receiver_that_dies_is_an_error,
        ),
        (
            "a_sender_that_dies_is_an_error",
            a_sender_that_dies_is_an_error,
        ),
        (
            "a_message_longer_than_asked_for_is_an_error",
            a_message_longer_than_asked_for_is_an_error,
        ),
        ("ends_that_differ_meet_by_tcp", ends_that_differ_meet_by_tcp),
        ("what_cannot_be_is_said", what_cannot_be_is_said),
    ];
    let trial = |(name, test): (&str, Test)| {
        Trial::test(name, move || {
            test(
                &place
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
            );
            Ok(())
        })
    };
    let code = libtest_mimic::run(&arguments, trials.into_iter().map(trial).collect()).exit_code();
    if let Ok(place) = place.lock()
        && let Place::Lab(_) = *place
    {
        println!("in a lab");
    }
    code
}

/// Runs the program in both processes, which must end well.
fn run(place: &Place, program: &str, sender: &[(&str, &str)], receiver: &[(&str, &str)]) -> String {
    well(place.start(program, sender, receiver))
}

/// Both processes must end well; answers what they said.
fn well(pair: Pair) -> String {
    let (sender, receiver) = pair.ended();
    let said = format!("sender:\n{}receiver:\n{}", sender.said, receiver.said);
    assert!(sender.success && receiver.success, "{said}");
    said
}

fn every_version_has_a_table(_: &Place) {
    for version in 6..=12 {
        // The name comes first in each of them.
        let name: &*const c_char = table(version);
        // SAFETY: it is a constant string of the library.
        let name = unsafe { CStr::from_ptr(*name) };
        assert_eq!(name, c"longhaul", "version {version}");
    }
}

fn messages_of_all_sizes_arrive(place: &Place) {
    let said = run(place, "sizes", &[], &[]);
    assert!(said.contains("messages by distance over"), "{said}");
    assert!(!said.contains("[WARN]"), "{said}");
}

fn messages_of_all_sizes_arrive_by_tcp(place: &Place) {
    let said = run(place, "sizes", &[TCP], &[TCP]);
    assert!(said.contains("tcp over"), "{said}");
    assert!(!said.contains("[WARN]"), "{said}");
}

fn older_tables_do_the_same(place: &Place) {
    run(place, "sizes-v6", &[], &[]);
    run(place, "sizes-v9", &[TCP], &[TCP]);
}

fn thirty_two_messages_are_under_way_at_once(place: &Place) {
    run(place, "flight", &[], &[]);
    run(place, "flight", &[TCP], &[TCP]);
}

fn what_was_sent_arrives_though_the_sender_closes(place: &Place) {
    for transport in [MESSAGE, TCP] {
        let mut pair = place.start("sender-closes", &[transport], &[transport]);
        then(&mut pair.sender, &mut pair.receiver);
        well(pair);
    }
}

fn a_receiver_may_close_first(place: &Place) {
    for transport in [MESSAGE, TCP] {
        let mut pair = place.start("receiver-closes", &[transport], &[transport]);
        then(&mut pair.receiver, &mut pair.sender);
        well(pair);
    }
}

fn a_receiver_that_dies_is_an_error(place: &Place) {
    for transport in [MESSAGE, TCP] {
        let environment = [transport, SHORT_PATIENCE];
        let pair = place.start("receiver-dies", &environment, &environment);
        let (sender, receiver) = pair.ended();
        assert!(!receiver.success && sender.success, "{}", sender.said);
        assert!(sender.said.contains("the peer"), "{}", sender.said);
    }
}

fn a_sender_that_dies_is_an_error(place: &Place) {
    for transport in [MESSAGE, TCP] {
        let environment = [transport, SHORT_PATIENCE];
        let pair = place.start("sender-dies", &environment, &environment);
        let (sender, receiver) = pair.ended();
        assert!(!sender.success && receiver.success, "{}", receiver.said);
        assert!(receiver.said.contains("the peer"), "{}", receiver.said);
    }
}

fn a_message_longer_than_asked_for_is_an_error(place: &Place) {
    let said = run(place, "too-long", &[], &[]);
    assert!(said.contains("more than the 10 B"), "{said}");
    run(place, "too-long", &[TCP], &[TCP]);
}

fn ends_that_differ_meet_by_tcp(place: &Place) {
    run(place, "sizes", &[MESSAGE], &[TCP]);
    run(place, "sizes", &[TCP], &[MESSAGE]);
}

fn what_cannot_be_is_said(place: &Place) {
    let law = ("LONGHAUL_NCCL_CONGESTION_CONTROL", "vegas");
    let said = run(place, "refused", &[law], &[law]);
    assert!(
        said.contains("LONGHAUL_NCCL_CONGESTION_CONTROL=vegas"),
        "{said}"
    );
    let interface = ("NCCL_SOCKET_IFNAME", "wlan");
    let said = run(place, "refused", &[interface], &[interface]);
    assert!(said.contains("NCCL_SOCKET_IFNAME"), "{said}");
}

/// The message with that number.
fn message(number: usize, size: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..4096)
        .map(|at| (at * 31 + number * 7 + at / 251) as u8)
        .collect();
    let mut bytes = vec![0; size];
    for (index, part) in bytes.chunks_mut(block.len()).enumerate() {
        part.copy_from_slice(&block[..part.len()]);
        part[0] = index as u8;
    }
    bytes
}

/// The sender's process.
fn send(program: &str) -> ExitCode {
    if program == "refused" {
        assert_eq!(
            Nccl::new(Table::of(12)).err().map(|Refused(code)| code > 0),
            Some(true)
        );
        return ExitCode::SUCCESS;
    }
    let (nccl, comm) = sender(program);
    match program {
        "flight" => {
            let messages: Vec<_> = (0..FLIGHT)
                .map(|number| message(number, 64 << 10))
                .collect();
            // All are taken at once, without a wait.
            let begun = messages
                .iter()
                .map(|message| nccl.try_send(comm, message).unwrap());
            let begun: Vec<Opaque> = begun.collect();
            assert!(begun.iter().all(|request| !request.is_null()));
            for request in begun {
                assert_eq!(nccl.finish(request), Ok(64 << 10));
            }
        }
        "receiver-dies" => assert_eq!(until_refused(&nccl, comm), REMOTE),
        "sender-dies" => {
            let message = message(0, 100_000);
            nccl.finish(nccl.send(comm, &message)).unwrap();
            std::process::abort();
        }
        "receiver-closes" => {
            one_way(&nccl, comm);
            wait_for_the_other();
            assert_eq!(until_refused(&nccl, comm), REMOTE);
        }
        "sender-closes" => {
            for number in 0..FEW {
                let message = message(number, SMALL);
                nccl.finish(nccl.send(comm, &message)).unwrap();
            }
        }
        "too-long" => {
            let message = message(0, 11);
            nccl.finish(nccl.send(comm, &message)).unwrap();
            until_refused(&nccl, comm);
        }
        _ => one_way(&nccl, comm),
    }
    nccl.close_send(comm);
    ExitCode::SUCCESS
}

fn sender(program: &str) -> (Nccl, Opaque) {
    let nccl = nccl(program);
    let comm = nccl.connect(told()).unwrap();
    (nccl, comm)
}

fn nccl(program: &str) -> Nccl {
    let version = program
        .rsplit_once("-v")
        .and_then(|(_, version)| version.parse().ok());
    let nccl = Nccl::new(Table::of(version.unwrap_or(12))).unwrap();
    assert_eq!(nccl.devices(), 1);
    nccl
}

/// Sends all sizes, one after the other.
fn one_way(nccl: &Nccl, comm: Opaque) {
    for (number, size) in SIZES.into_iter().enumerate() {
        let message = message(number, size);
        assert_eq!(nccl.finish(nccl.send(comm, &message)), Ok(size));
    }
}

/// Sends on and on until that is refused.
fn until_refused(nccl: &Nccl, comm: Opaque) -> Refused {
    let message = message(0, 1 << 20);
    let start = Instant::now();
    loop {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "no error in {:?}",
            start.elapsed()
        );
        let request = match nccl.try_send(comm, &message) {
            Ok(request) if request.is_null() => continue,
            Ok(request) => request,
            Err(refused) => return refused,
        };
        if let Err(refused) = nccl.finish(request) {
            return refused;
        }
    }
}

/// The receiver's process.
fn receive(program: &str) -> ExitCode {
    if program == "refused" {
        let law = std::env::var_os("LONGHAUL_NCCL_CONGESTION_CONTROL");
        let expected = if law.is_some() {
            INVALID_USAGE
        } else {
            Refused(2)
        };
        assert_eq!(Nccl::new(Table::of(12)).err(), Some(expected));
        return ExitCode::SUCCESS;
    }
    let nccl = nccl(program);
    if program == "sizes" {
        told_of_itself(&nccl.properties());
    }
    let (handle, listener) = nccl.listen();
    tell(&handle);
    let comm = nccl.accept(listener).unwrap();
    nccl.close_listener(listener);
    match program {
        "flight" => {
            let mut messages = vec![vec![0; 64 << 10]; FLIGHT];
            let begun = messages
                .iter_mut()
                .map(|into| nccl.try_receive(comm, into).unwrap());
            let begun: Vec<Opaque> = begun.collect();
            assert!(begun.iter().all(|request| !request.is_null()));
            for request in begun {
                assert_eq!(nccl.finish(request), Ok(64 << 10));
            }
            for (number, got) in messages.iter().enumerate() {
                assert!(
                    *got == message(number, 64 << 10),
                    "message {number} differs"
                );
            }
        }
        "receiver-dies" => {
            let mut into = vec![0; 1 << 20];
            nccl.finish(nccl.receive(comm, &mut into)).unwrap();
            std::process::abort();
        }
        "sender-dies" => {
            let mut into = vec![0; 100_000];
            let mut refused = Ok(0);
            let start = Instant::now();
            while refused.is_ok() && start.elapsed() < Duration::from_secs(30) {
                refused = match nccl.try_receive(comm, &mut into) {
                    Ok(request) => nccl.finish(request),
                    Err(refused) => Err(refused),
                };
            }
            assert_eq!(refused, Err(REMOTE));
        }
        "too-long" => {
            let mut into = [0; 10];
            let refused = nccl.finish(nccl.receive(comm, &mut into));
            assert_eq!(refused, Err(INVALID_USAGE));
        }
        "sender-closes" => {
            wait_for_the_other();
            for number in 0..FEW {
                let mut into = vec![0; SMALL];
                assert_eq!(nccl.finish(nccl.receive(comm, &mut into)), Ok(SMALL));
                assert!(into == message(number, SMALL), "message {number} differs");
            }
            // The end is an error only for who wants more.
            let refused = nccl.finish(nccl.receive(comm, &mut [0; 1]));
            assert_eq!(refused, Err(REMOTE));
        }
        _ => all_sizes(&nccl, comm),
    }
    nccl.close_receive(comm);
    ExitCode::SUCCESS
}

/// Receives all sizes with room to spare.
fn all_sizes(nccl: &Nccl, comm: Opaque) {
    for (number, size) in SIZES.into_iter().enumerate() {
        let mut into = vec![0xa5; size + 3];
        assert_eq!(nccl.finish(nccl.receive(comm, &mut into)), Ok(size));
        assert!(
            into[..size] == message(number, size),
            "message {number} differs"
        );
        assert_eq!(into[size..], [0xa5; 3], "behind message {number}");
    }
}

fn told_of_itself(properties: &v12::Properties) {
    // SAFETY: NCCL is given a string that stays.
    let name = unsafe { CStr::from_ptr(properties.name) };
    assert!(name == c"lo" || name == c"eth0", "{name:?}");
    assert_eq!(properties.ptr_support, 1);
    assert!(properties.speed > 0);
    assert_eq!(properties.max_recvs, 1 as c_int);
    assert_eq!(
        (properties.v_props.ndevs, properties.v_props.devs[0]),
        (1, 0)
    );
}
