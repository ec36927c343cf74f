//! Labs and runs to look at, and programs to look with.

use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::host::{Host, Running, lines, wait_until};

/// A host whose loopback works: in a network namespace of its own it is down at first.
pub fn with_loopback() -> Option<Host> {
    let host = Host::new()?;
    if !geteuid().is_root() {
        return Some(host);
    }
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: zeroes are a valid ifreq, and so are a short name and flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is a valid ifreq with a terminated name, which is all SIOCSIFFLAGS reads.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    nix::errno::Errno::result(set).unwrap();
    Some(host)
}

/// Two sites with a link, as a lab that is up.
pub fn up(host: &Host) {
    let topology = "name: two
sites:
  - {name: a, hosts: 1, latitude: 39, longitude: -77}
  - {name: b, hosts: 1, latitude: 53, longitude: -6}
links: [{between: [a, b], rate: 50Mbit, delay: 10ms}]
";
    std::fs::write(host.path("two.yaml"), topology).unwrap();
    host.succeed(&["up", "two.yaml", "--links", "relay"]);
}

/// Starts a run whose workload goes on for longer than any test, and waits until it is under way.
pub fn endless(host: &Host, more: &[&str]) -> Running {
    let experiment =
        host.experiment("workload: {collective: all_reduce, sizes: [64KiB], iterations: 100000}");
    let run = host.start(&[&["run", &experiment, "--out", "out", "--no-charts"], more].concat());
    let samples = host.path("out/samples.csv");
    wait_until("three iterations are done", || lines(&samples) > 3);
    run
}

pub fn interrupt(run: Running) {
    kill(Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
    assert_eq!(run.end().code, 130);
}

/// The first of `programs` that starts; says that the test is skipped if none does.
pub fn there(programs: &[&'static str]) -> Option<&'static str> {
    let starts = |program: &&&str| {
        let version = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    };
    let found = programs.iter().find(starts).copied();
    if found.is_none() {
        println!("skipped: none of {} is here", programs.join(", "));
    }
    found
}

/// A program that a test started, which does not outlive it.
pub struct Started(pub Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
