//! What the relay costs and how late it is, next to the same veth path without it:
//! `cargo bench -p longhaul-emulator --bench relay -- [--quick] [SUBJECT...]`.
//!
//! Subjects: `flows`, `loss`, `packets`, `lateness`, `lanes`; all of them unless some are named. What is compared is
//! measured by turns in one run, and the medians of the rounds are printed: ratios say more than absolute figures, and what
//! else the machine did meanwhile is printed beside them.

#[path = "../../tests/support/pair.rs"]
mod pair;

mod flows;
mod lanes;
mod lateness;
mod loss;
mod machine;
mod packets;
mod table;

use std::io;
use std::time::Duration;

use pair::{enter_namespace, ip};
use table::Table;

/// How thorough a run is.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    /// How long each measurement lasts once the flow has found its speed.
    measure: Duration,
    /// How long a flow over a rate gets to find it.
    ramp: Duration,
}

/// A whole cycle of BBR, which drains the path every ten seconds (draft-ietf-ccwg-bbr, `BBRProbeRTTInterval` of version 1),
/// and the ten seconds that the requirement gives a flow to find its rate.
const FULL: Effort = Effort {
    rounds: 3,
    measure: Duration::from_secs(10),
    ramp: Duration::from_secs(10),
};
const QUICK: Effort = Effort {
    rounds: 1,
    measure: Duration::from_secs(3),
    ramp: Duration::from_secs(4),
};

type Subject = fn(Effort, &mut Table) -> io::Result<()>;

const SUBJECTS: [(&str, Subject); 5] = [
    ("flows", flows::run),
    ("loss", loss::run),
    ("packets", packets::run),
    ("lateness", lateness::run),
    ("lanes", lanes::run),
];

/// Other emulators' published figures, to know where one stands. None was measured in this run.
const ELSEWHERE: &str = "\
elsewhere: Rattan, built from source on a machine of two cores, AF_PACKET, 40 ms each way without a rate: 0.42 Gbit/s with one
  cubic flow, 0.65 with four bbr flows; an idle ping takes 80.45/80.54/80.74 ms (min/avg/max). As published: 0.81 Gbit/s with
  AF_PACKET, 1.95 with AF_XDP; Mahimahi about 0.7.";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let effort = if arguments.iter().any(|argument| argument == "--quick") {
        QUICK
    } else {
        FULL
    };
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = !SUBJECTS.iter().any(|(name, _)| named(name));
    if let Err(error) = enter_namespace().and_then(|()| ip("link set lo up")) {
        println!("skipped: cannot make network namespaces with ip(8) here: {error}");
        return Ok(());
    }
    println!("{}", machine::describe());
    let mut table = Table::default();
    for (name, subject) in SUBJECTS {
        if all || named(name) {
            let before = machine::Load::now();
            subject(effort, &mut table)?;
            table.section(name, before.since());
        }
    }
    print!("{table}");
    println!("{ELSEWHERE}");
    Ok(())
}
