//! What runs on a machine of a physical lab: `longhaul __host` answers what it is asked, and sends and receives probes meanwhile.
//!
//! It changes nothing of its machine. When its standard input ends, so does it: with the launcher's connection, or with whoever
//! started that.

mod departures;
mod interface;
mod nic_clock;
mod sounder;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use longhaul_topologies::inventory::Data;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use serde_json::Value;

use self::sounder::Sounder;
use super::protocol::{Interface, Reply, Request};
use super::{digest, now_ns, streams};
use crate::capability;
use crate::fidelity::CpuTime;
use crate::hardware::counters::{self, Count};
use crate::hardware::inventory::{Nic, carriers};
use crate::hardware::tree::Tree;

/// The longest that is slept without a look around.
const IDLE: Duration = Duration::from_secs(1);
/// The same while counters are read; arrivals are stamped by the kernel.
const BRIEF: Duration = Duration::from_millis(1);
/// A longer request is none of longhaul's.
const LONGEST_LINE: usize = 16 << 20;

/// The body of `longhaul __host`: serves whoever started it until its standard input ends. `machine` says what kind of machine it
/// is. Returns the exit code.
pub fn main(machine: Value) -> i32 {
    match serve(machine) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            2
        }
    }
}

/// The process and what it holds.
struct Host {
    input: File,
    output: File,
    /// What was read and is no whole line yet.
    unread: Vec<u8>,
    sounder: Option<Sounder>,
    /// Those that carry its data, and count.
    nics: Vec<Nic>,
}

fn serve(machine: Value) -> io::Result<()> {
    let (input, output) = streams::take()?;
    let mut host = Host {
        input,
        output,
        unread: Vec::new(),
        sounder: None,
        nics: Vec::new(),
    };
    host.say(&Reply::Here {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        digest: digest(Path::new("/proc/self/exe"))?,
        machine,
    })?;
    while host.turn()? {}
    Ok(())
}

impl Host {
    /// Waits for something to do, and does it; `false` once the input has ended.
    fn turn(&mut self) -> io::Result<bool> {
        if self.wait()? {
            let Some(lines) = self.read()? else {
                return Ok(false);
            };
            for line in lines {
                let asked = serde_json::from_slice(&line)?;
                let reply = self.answer(asked);
                self.say(&reply)?;
            }
        }
        if let Some(sounder) = &mut self.sounder {
            sounder.turn()?;
        }
        Ok(true)
    }

    /// Until there is input, an arrival, or a probe to send; whether there is input.
    fn wait(&self) -> io::Result<bool> {
        let mut waits = vec![PollFd::new(self.input.as_fd(), PollFlags::POLLIN)];
        let mut patience = IDLE;
        if let Some(sounder) = &self.sounder {
            waits.push(PollFd::new(sounder.as_fd(), PollFlags::POLLIN));
            patience = patience.min(sounder.until_due());
        }
        match ppoll(&mut waits, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) => Ok(waits[0].any().unwrap_or(true)),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The lines that are there; `None` at the end.
    fn read(&mut self) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut buffer = [0; 64 << 10];
        let length = self.input.read(&mut buffer)?;
        if length == 0 {
            return Ok(None);
        }
        self.unread.extend_from_slice(&buffer[..length]);
        if self.unread.len() > LONGEST_LINE {
            return Err(io::Error::other("what it is asked has no end"));
        }
        let mut lines: Vec<Vec<u8>> = self
            .unread
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        self.unread = lines.pop().unwrap_or_default();
        Ok(Some(lines))
    }

    fn say(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        self.output.write_all(&line)
    }

    fn answer(&mut self, request: Request) -> Reply {
        let failed = |step: &str, error: &io::Error| Reply::Failed {
            step: step.to_owned(),
            message: error.to_string(),
        };
        match (request, &mut self.sounder) {
            (Request::Clock, _) => Reply::Clock { now_ns: now_ns() },
            (Request::Open { data }, _) => match self.open(&data) {
                Ok(reply) => reply,
                Err(error) => failed(&format!("be probed by its {}", named(&data)), &error),
            },
            (Request::Probe(order), Some(sounder)) => match sounder.probe(order) {
                Ok(()) => Reply::Done,
                Err(error) => failed("set the ECN field of its probes", &error),
            },
            (Request::Blast(blast), Some(sounder)) => match sounder.blast(&blast) {
                Ok(at_ns) => Reply::Sent { at_ns },
                Err(error) => failed("send a packet train", &error),
            },
            (Request::Collect, Some(sounder)) => match sounder.collect() {
                Ok(mut seen) => {
                    seen.cpu = CpuTime::now();
                    seen.now_ns = now_ns();
                    Reply::Seen(seen)
                }
                Err(error) => failed("read its counters", &error),
            },
            (Request::Count, Some(sounder)) => match count(&self.nics, sounder) {
                Ok(counts) => Reply::Counted { counts },
                Err(error) => failed("probe while its counters are read", &error),
            },
            (Request::Probe(_) | Request::Blast(_) | Request::Collect | Request::Count, None) => {
                failed("probe", &io::Error::other("it has no address yet"))
            }
        }
    }

    fn open(&mut self, data: &Data) -> io::Result<Reply> {
        let (name, address) = match data {
            Data::Address(address) => (interface::of(*address)?, *address),
            Data::Interface(name) => (name.clone(), interface::address(name)?),
        };
        let sounder = Sounder::open(address, &name)?;
        let reply = Reply::Ready {
            address: sounder.address(),
            interface: Interface {
                clock: sounder.clock(),
                ..interface::facts(&name)
            },
            congestion_controls: capability::congestion_controls(),
        };
        self.sounder = Some(sounder);
        self.nics = carriers(&this_machine(), &name);
        Ok(reply)
    }
}

/// What `nics` count. A NIC with many counters, or whose firmware is asked, takes milliseconds: probes go on meanwhile.
fn count(nics: &[Nic], sounder: &mut Sounder) -> io::Result<Vec<Count>> {
    let waiting = thread::current();
    thread::scope(|scope| {
        let counting = scope.spawn(move || {
            let counts = counters::counts(&this_machine(), nics);
            waiting.unpark();
            counts
        });
        while !counting.is_finished() {
            sounder.turn()?;
            thread::park_timeout(BRIEF.min(sounder.until_due()));
        }
        let counted = counting.join();
        Ok(counted.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn this_machine() -> Tree {
    Tree::at(Path::new("/"))
}

fn named(data: &Data) -> String {
    match data {
        Data::Address(address) => format!("address {address}"),
        Data::Interface(name) => format!("interface {name}"),
    }
}
