//! longhaul's user-space data plane: one thread that carries frames between the two keeper interfaces of every lane.
//!
//! ```text
//!  ring ─ frame ─ offer ┐                                    ┌ poll ─ egress ─ sendmmsg
//!  (driver, port)       └ model: queue → line → propagation ┘
//! ```
//! The logic is sans-IO:
//! - `model`: a channel; `line` is its transmitter, `propagation` the way behind it, `loss` and `jitter` the
//!   impairments, `random` their streams.
//! - `queue`: the bottleneck queue and its disciplines. `lanes`: which lane a packet takes; `carriers`: all of a lab's.
//! - `segment`: super-packets and how to cut them; `vnet` and `checksum` are what that needs. `traffic`: what a packet's
//!   headers say of it, `stamp` what the relay writes into those that ask for it.
//! - `schedule`: which channel is due next; `time`: instants.
//!
//! Around it: `driver` is the thread, `port` the interfaces with their receive `rings` (each a `ring`), `links` what happens to them,
//! `egress` the way out, `wiretap` what a capture sees, `listener` the same for what another engine carries, `frame` the packets in memory, `alarm` the timer, `tuning` what keeps
//! the thread on time, `punctuality` how well that went, `memory` what a lab may need.

mod alarm;
mod carriers;
mod checksum;
mod delivered;
mod driver;
mod egress;
mod frame;
mod jitter;
mod lanes;
mod line;
mod links;
pub(crate) mod listener;
mod loss;
mod memory;
mod model;
mod output;
mod port;
mod propagation;
mod punctuality;
mod queue;
mod random;
mod ring;
mod rings;
mod schedule;
mod segment;
mod stamp;
mod traffic;
mod tuning;
mod vnet;
mod wiretap;

use std::any::Any;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use longhaul_topologies::Topology;
use longhaul_topologies::model::Channel;
use longhaul_topologies::units::ByteSize;
use nix::sys::eventfd::{EfdFlags, EventFd};

use self::driver::{Command, Driver, DriverError};
pub(crate) use self::line::Line;
pub use self::memory::{MemoryNeed, memory};
pub(crate) use self::memory::{bytes_held, scheduled};
pub use self::tuning::{Grant, Tuning};
use crate::capability::available_memory;
use crate::capture::Tap;
use crate::engine::{ChannelCounters, EngineError, EngineKind, Lateness, LinkEngine};
use crate::guest;
use crate::namespace::Namespace;
use crate::plan::{ChannelId, LabPlan};

/// How long the relay's thread may take to answer. It answers between two batches; only a machine that does not
/// schedule it at all makes it miss this.
const ANSWER: Duration = Duration::from_secs(10);

/// The relay at work on all lanes of a lab. Dropping it stops its thread and closes its sockets.
#[derive(Debug)]
pub struct Relay {
    channels: HashSet<ChannelId>,
    tuning: Tuning,
    /// What it may need, as this machine was found to have it.
    granted: ByteSize,
    /// Absent once the thread is gone.
    thread: Option<Thread>,
    /// Its last words, once it is.
    last_words: String,
}

#[derive(Debug)]
struct Thread {
    commands: Sender<Command>,
    wake: Arc<EventFd>,
    handle: JoinHandle<Result<(), DriverError>>,
}

impl Relay {
    /// Opens the keeper interfaces of every lane of `plan` in the current network namespace and starts to carry frames.
    /// `seed` decides which packets are lost, delayed, doubled and corrupted.
    ///
    /// # Errors
    /// If the links may hold more than this machine's memory (see [`memory`]), an interface does not exist, the sockets or their memory are refused, or no thread can be started.
    pub fn attach(plan: &LabPlan, seed: u64) -> Result<Self, EngineError> {
        let need = memory(plan);
        if let Some(available) = available_memory() {
            need.check(plan, available)?;
        }
        let (commands, inbox) = mpsc::channel();
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|error| kernel("create an eventfd", error.into()))?;
        let wake = Arc::new(wake);
        let (report, started) = mpsc::sync_channel(1);
        let handle = {
            let (plan, wake) = (plan.clone(), Arc::clone(&wake));
            let work = move || {
                // The driver shares packets by `Rc`, so it is made on the thread it stays on.
                let driver = match Driver::open(&plan, seed, inbox, wake) {
                    Ok(driver) => driver,
                    Err(DriverError { step, source }) => {
                        // The other side waits for this, or is gone and does not care.
                        let _ = report.send(Err(EngineError::Kernel { step, source }));
                        return Ok(());
                    }
                };
                let (tuning, _idle_hold) = tuning::apply();
                let _ = report.send(Ok(tuning));
                driver.run()
            };
            std::thread::Builder::new()
                .name("relay".to_owned())
                .spawn(work)
                .map_err(|error| kernel("start the relay's thread", error))?
        };
        let thread = Thread {
            commands,
            wake,
            handle,
        };
        match started.recv() {
            Ok(Ok(tuning)) => Ok(Relay {
                channels: channels(plan),
                tuning,
                granted: need.total(),
                thread: Some(thread),
                last_words: String::new(),
            }),
            Ok(Err(error)) => {
                // It is about to return; its answer was the error.
                let _ = thread.handle.join();
                Err(error)
            }
            Err(_) => Err(stopped(thread.last_words())),
        }
    }

    /// What the relay's thread asked of the kernel to be on time, and what it got.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Has the thread answer a command.
    fn ask<T>(&mut self, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T, EngineError> {
        let Some(thread) = &self.thread else {
            return Err(stopped(self.last_words.clone()));
        };
        let (answer, answered) = mpsc::sync_channel(1);
        if thread.commands.send(command(answer)).is_ok() {
            thread
                .wake
                .write(1)
                .map_err(|error| kernel("wake the relay's thread", error.into()))?;
            match answered.recv_timeout(ANSWER) {
                Ok(answer) => return Ok(answer),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(stopped(format!(
                        "its thread has not answered for {} s",
                        ANSWER.as_secs()
                    )));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {}
            }
        }
        if let Some(thread) = self.thread.take() {
            self.last_words = thread.last_words();
        }
        Err(stopped(self.last_words.clone()))
    }
}

impl LinkEngine for Relay {
    fn kind(&self) -> EngineKind {
        EngineKind::Relay
    }

    fn counters(&mut self) -> Result<Vec<(ChannelId, ChannelCounters)>, EngineError> {
        self.ask(Command::Counters)
    }

    fn set_all(&mut self, changes: &[(ChannelId, Channel)]) -> Result<(), EngineError> {
        if let Some((id, _)) = changes.iter().find(|(id, _)| !self.channels.contains(id)) {
            let what = format!("a change of {id:?}, which this lab does not have");
            return Err(EngineError::Inexpressible {
                engine: EngineKind::Relay,
                what,
            });
        }
        self.ask(|answer| Command::Set(changes.to_vec(), answer))
    }

    fn make_room(&mut self, wanted: &Topology) -> Result<(), EngineError> {
        let plan = LabPlan::new(wanted.clone());
        let need = memory(&plan);
        if let Some(available) = available_memory() {
            need.check_more_than(self.granted, &plan, available)?;
        }
        self.granted = self.granted.max(need.total());
        Ok(())
    }

    fn begin(&mut self) -> Result<(), EngineError> {
        self.ask(Command::Begin)
    }

    fn capture(&mut self, _: &[Namespace], taps: Vec<Tap>) -> Result<(), EngineError> {
        self.ask(|answer| Command::Capture(taps, answer))
    }

    fn handicaps(&self) -> Vec<String> {
        // In a virtual lab no time passes until the thread runs, whatever it was denied.
        if guest::init::is_guest() {
            Vec::new()
        } else {
            self.tuning.denied()
        }
    }

    fn lateness(&mut self) -> Option<Lateness> {
        self.ask(Command::Lateness).ok()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Nobody is left to tell how it ended.
            let _ = thread.last_words();
        }
    }
}

impl Thread {
    /// Ends the thread, if it has not ended by itself, and answers why it did.
    fn last_words(self) -> String {
        drop(self.commands);
        // The counter of an eventfd takes 2^64 − 2 wake-ups before it refuses one.
        let _ = self.wake.write(1);
        match self.handle.join() {
            Ok(Ok(())) => "it was told to".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("its thread panicked: {}", message(panic.as_ref())),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

fn channels(plan: &LabPlan) -> HashSet<ChannelId> {
    let of = |lane: &crate::plan::Lane| {
        longhaul_topologies::model::Direction::BOTH.map(|direction| ChannelId {
            link: lane.link,
            lane: lane.lane,
            direction,
        })
    };
    plan.lanes.iter().flat_map(of).collect()
}

fn kernel(step: &str, source: io::Error) -> EngineError {
    EngineError::Kernel {
        step: step.to_owned(),
        source,
    }
}

fn stopped(reason: String) -> EngineError {
    EngineError::Stopped {
        engine: EngineKind::Relay,
        reason,
    }
}
