//! For tests and benchmarks that need a sandbox: a runner, and topologies.
//!
//! A sandbox can only be entered by a process with a single thread, which the standard test runner's is not; so these
//! have a `main` of their own that calls [`run`].

#![allow(dead_code, unused_macros, reason = "every test uses its part")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use longhaul_emulator::sandbox;
use longhaul_topologies::model::{Channel, Fabric, Link, Site, SiteId, Topology};

/// Enters a sandbox and runs `tests` in it, one after the other: they share its network namespace. Where no sandbox can
/// be had, says so and passes.
pub fn run(tests: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if !arguments.list
        && let Err(error) = sandbox::enter()
    {
        println!("skipped: {error}");
        return ExitCode::SUCCESS;
    }
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// The async functions named, as tests of those names.
macro_rules! tests {
    ($($test:ident),* $(,)?) => { vec![$(support::test(stringify!($test), $test)),*] };
}

/// A test that runs `body` on a runtime of its own; a panic in it is the failure.
pub fn test<F: Future<Output = ()> + 'static>(name: &str, body: fn() -> F) -> Trial {
    Trial::test(name, move || {
        tokio::runtime::Runtime::new()?.block_on(body());
        Ok(())
    })
}

/// Repeats `measure` until what it finds is right. Other work on the machine spoils it now and then; what is wrong stays so, and
/// is told once a minute has passed.
pub fn eventually(mut measure: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(found) = measure() {
        assert!(Instant::now() < deadline, "{found}");
    }
}

/// Sites `s0`, `s1`… with that many hosts each, joined by `(a, b, lanes)`: links without rate, jitter or loss.
pub fn topology(hosts: &[usize], links: &[(usize, usize, usize)], delay: Duration) -> Topology {
    let site = |(id, &hosts): (usize, &usize)| Site {
        name: format!("s{id}"),
        place: None,
        coordinates: None,
        hosts,
        fabric: Fabric::default(),
    };
    let link = |&(a, b, lanes): &(usize, usize, usize)| {
        Link::alike(SiteId(a), SiteId(b), lanes, &channel(delay))
    };
    Topology {
        name: "test".into(),
        description: String::new(),
        sites: hosts.iter().enumerate().map(site).collect(),
        links: links.iter().map(link).collect(),
        mtu: 1500,
    }
}

/// `sites` sites of `hosts` hosts each, every two joined by a link of one lane.
pub fn full_mesh(sites: usize, hosts: usize, delay: Duration) -> Topology {
    let links: Vec<_> = (0..sites)
        .flat_map(|a| (a + 1..sites).map(move |b| (a, b, 1)))
        .collect();
    topology(&vec![hosts; sites], &links, delay)
}

fn channel(delay: Duration) -> Channel {
    Channel::of_delay(delay)
}
