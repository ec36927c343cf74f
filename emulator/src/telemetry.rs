//! Periodic readings of links, queues and hosts, on a thread of their own.
//!
//! Readings come by an absolute schedule, and each carries the instant it was taken at, so a late one shifts neither
//! those after it nor its own place on the time axis.
//!
//! Links can be read every millisecond: the relay answers from its own memory, netem's kernel with a dump per namespace. Hosts
//! need a file of each to be formatted and parsed, so they have a slower beat of their own.

mod interface;

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::engine::{ChannelCounters, EngineError};
use crate::hardware::counters::Counter;
use crate::lab::Lab;
use crate::plan::{ChannelId, NodeId};

pub use interface::InterfaceCounters;
use interface::InterfaceFile;
pub(crate) use interface::{columns, counters};

/// The state of a lab at one instant.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When it was taken.
    pub at: Instant,
    /// How much later than the schedule.
    pub late: Duration,
    /// Every channel's counters, since the lab came up.
    pub channels: Vec<(ChannelId, ChannelCounters)>,
    /// The channels whose lane is down.
    pub down: Vec<ChannelId>,
    /// Every host's counters, since the lab came up; empty where it is not their beat.
    pub hosts: Vec<(NodeId, InterfaceCounters)>,
    /// What hosts' NICs have counted since the first such reading, those counters that have moved: of machines that are there.
    pub nics: Vec<(NodeId, Vec<Counter>)>,
}

impl Reading {
    /// One without anything in it.
    pub(crate) fn now() -> Self {
        Self {
            at: Instant::now(),
            late: Duration::ZERO,
            channels: Vec::new(),
            down: Vec::new(),
            hosts: Vec::new(),
            nics: Vec::new(),
        }
    }
}

/// Why there are no (more) readings.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A host's counters could not be opened or read.
    #[error("cannot read the interface counters of {host}: {source}")]
    Host {
        /// The host's name.
        host: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The link engine does not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The sampler's thread could not be started.
    #[error("cannot start the sampler: {0}")]
    Thread(io::Error),
}

/// Hosts are read no more often than this: what they send is on the links a moment later, and finer there.
const HOSTS_PERIOD: Duration = Duration::from_millis(10);

/// Reads a lab's counters on a fixed period until it is stopped or dropped.
#[derive(Debug)]
pub struct Sampler {
    readings: mpsc::Receiver<Reading>,
    /// Dropped to stop the thread.
    running: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<Result<(), TelemetryError>>>,
}

impl Sampler {
    /// Starts reading `lab` every `period`, its hosts every ten milliseconds at most. The first reading is taken before this returns, so that what happens next is
    /// counted from it. Blocking, as [`Lab::counters`].
    ///
    /// # Errors
    /// If a host's counters cannot be opened or read, or the engine does not answer.
    pub fn start(lab: Arc<Lab>, period: Duration) -> Result<Self, TelemetryError> {
        let hosts = open_hosts(&lab)?;
        let (sender, readings) = mpsc::channel();
        let began = Instant::now();
        let first = read(&lab, &hosts, began)?;
        let beat = Beat::new(began, HOSTS_PERIOD.max(period));
        sender.send(first).expect("we hold the other end");
        let (running, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sampler".into())
            .spawn(move || sample(&lab, &hosts, beat, period, &sender, &stopped))
            .map_err(TelemetryError::Thread)?;
        Ok(Self {
            readings,
            running: Some(running),
            thread: Some(thread),
        })
    }

    /// The readings since the last call, in time order.
    pub fn drain(&mut self) -> Vec<Reading> {
        self.readings.try_iter().collect()
    }

    /// Whether it still reads. Blocks for no time.
    ///
    /// # Errors
    /// If the engine or a host has stopped answering; told once.
    pub fn check(&mut self) -> Result<(), TelemetryError> {
        match &self.thread {
            Some(thread) if thread.is_finished() => self.finish(),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes a last reading and gives all that [`drain`](Self::drain) had not yet given.
    ///
    /// # Errors
    /// If the engine or a host had stopped answering.
    pub fn stop(mut self) -> Result<Vec<Reading>, TelemetryError> {
        self.finish()?;
        Ok(self.drain())
    }

    fn finish(&mut self) -> Result<(), TelemetryError> {
        self.running = None;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "the sampler had failed");
        }
    }
}

/// Every host's counters now, for who asks once in a while.
pub(crate) fn hosts(lab: &Lab) -> Result<Vec<(NodeId, InterfaceCounters)>, TelemetryError> {
    read_hosts(lab, &open_hosts(lab)?)
}

fn open_hosts(lab: &Lab) -> Result<Vec<(NodeId, InterfaceFile)>, TelemetryError> {
    let open = |host| {
        let file = lab
            .namespace(host)
            .run(InterfaceFile::open)
            .and_then(|file| file);
        file.map(|file| (host, file))
            .map_err(|source| host_error(lab, host, source))
    };
    lab.plan().hosts().map(open).collect()
}

fn host_error(lab: &Lab, host: NodeId, source: io::Error) -> TelemetryError {
    TelemetryError::Host {
        host: lab.plan().node(host).name.clone(),
        source,
    }
}

/// Which readings are those of hosts, too.
#[derive(Clone, Copy, Debug)]
struct Beat {
    next: Instant,
    period: Duration,
}

impl Beat {
    /// The first was at `began`.
    fn new(began: Instant, period: Duration) -> Self {
        Beat {
            next: began + period,
            period,
        }
    }

    /// Whether the reading that was due at `due` is one; asked in the order of time.
    fn is_at(&mut self, due: Instant) -> bool {
        let is_at = due >= self.next;
        if is_at {
            self.next = next(self.next, self.period, due);
        }
        is_at
    }
}

/// The sampler's thread: readings of the schedule that began a period of `beat` before its next.
fn sample(
    lab: &Lab,
    hosts: &[(NodeId, InterfaceFile)],
    mut beat: Beat,
    period: Duration,
    readings: &mpsc::Sender<Reading>,
    stopped: &mpsc::Receiver<()>,
) -> Result<(), TelemetryError> {
    let mut due = beat.next - beat.period;
    loop {
        due = next(due, period, Instant::now());
        let wait = stopped.recv_timeout(due.saturating_duration_since(Instant::now()));
        let is_last = wait != Err(mpsc::RecvTimeoutError::Timeout);
        let all = if is_last || beat.is_at(due) {
            hosts
        } else {
            &[]
        };
        let wanted = readings.send(read(lab, all, due)?);
        if is_last || wanted.is_err() {
            return Ok(());
        }
    }
}

/// A reading that was due then.
fn read(
    lab: &Lab,
    hosts: &[(NodeId, InterfaceFile)],
    due: Instant,
) -> Result<Reading, TelemetryError> {
    let at = Instant::now();
    let (channels, down) = lab.observe()?;
    let hosts = read_hosts(lab, hosts)?;
    Ok(Reading {
        at,
        late: at.saturating_duration_since(due),
        channels,
        down,
        hosts,
        nics: Vec::new(),
    })
}

fn read_hosts(
    lab: &Lab,
    hosts: &[(NodeId, InterfaceFile)],
) -> Result<Vec<(NodeId, InterfaceCounters)>, TelemetryError> {
    let read = |(host, file): &(NodeId, InterfaceFile)| match file.read() {
        Ok(counters) => Ok((*host, counters)),
        Err(source) => Err(host_error(lab, *host, source)),
    };
    hosts.iter().map(read).collect()
}

/// The first instant of the schedule that is not past: after a stall, missed readings are left out.
fn next(due: Instant, period: Duration, now: Instant) -> Instant {
    let missed = now.saturating_duration_since(due).as_nanos() / period.as_nanos().max(1);
    due + period * u32::try_from(missed + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_keep_to_the_schedule_after_a_stall() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(next(start, ms(100), start + ms(3)), start + ms(100));
        assert_eq!(next(start, ms(100), start + ms(250)), start + ms(300));
    }

    #[test]
    fn hosts_are_read_on_their_own_beat() {
        let start = Instant::now();
        let beats = |period: u64, dues: &[u64]| -> Vec<u64> {
            let ms = Duration::from_millis;
            let mut beat = Beat::new(start, ms(period));
            let at = |due: &u64| beat.is_at(start + ms(*due));
            dues.iter().copied().filter(at).collect()
        };
        let every: Vec<u64> = (1..=30).collect();
        assert_eq!(beats(10, &every), [10, 20, 30]);
        assert_eq!(beats(10, &[4, 8, 12, 16, 20, 24]), [12, 20]);
        assert_eq!(beats(10, &[1, 47, 48, 50]), [47, 50], "after a stall");
        assert_eq!(beats(100, &[100, 200]), [100, 200]);
    }
}
