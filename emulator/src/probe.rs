//! UDP probes that measure one-way delay between two network namespaces. All sockets live in one process, so sender and
//! receiver read one clock.
//!
//! That clock is CLOCK_REALTIME, because the kernel stamps arrivals (SO_TIMESTAMPNS) with it. What NTP does to it
//! while a probe is under way goes into the delay: slewing at most 500 ppm of it (`adjtimex(2)`), 40 µs for 80 ms;
//! a step in full, in either direction. The send time is read right before the system call, so a sender that is
//! pre-empted between the two makes that one delay longer: medians do not see it, maxima can.

pub(crate) mod ledger;
pub(crate) mod payload;
mod socket;

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use longhaul_topologies::Topology;
use longhaul_topologies::model::SiteId;
use longhaul_topologies::route::Routes;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};

use crate::guest;
use crate::lab::Lab;
use crate::plan::NodeId;

use ledger::Ledger;
pub(crate) use socket::{Packet, ProbeSocket, clock};

/// The most probes a prober sends in a second, all paths together. At about 10 µs each they take 2 % of one core.
const MOST_PER_SECOND: u32 = 2000;

/// The same in a guest, where computing takes no time.
const MOST_IN_A_GUEST: u32 = 20_000;

/// When a probe that has not arrived counts as lost, at the earliest: several times the longest path on Earth (the
/// antipodes over a geostationary satellite: 0.3 s) with a full queue on it.
const GIVE_UP: Duration = Duration::from_secs(2);

/// The same in path delays, for topologies that reach further than the Earth does.
const GIVE_UP_DELAYS: u32 = 3;

/// What probes say in their ECN field (RFC 3168 section 5). A queue that marks instead of dropping does so only to what says that it
/// understands marks: probes that are to fare as data does must say what data says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EcnField {
    /// Not ECN-capable.
    #[default]
    NotEct,
    /// ECN-capable.
    Ect0,
}

/// Where a stream of probes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePath {
    /// The node that sends.
    pub from: NodeId,
    /// The node that receives.
    pub to: NodeId,
}

/// One probe, sent and (unless lost) received.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeSample {
    /// Index into the list of paths.
    pub path: usize,
    /// When it was sent, since the prober started.
    pub sent: Duration,
    /// One-way delay; `None` if it had not arrived when the prober stopped or was given up: two seconds after it was
    /// sent, or three times the longest delay of the topology.
    pub delay: Option<Duration>,
    /// By how many of the same path it was overtaken: the reordering extent of RFC 4737 section 4.2.1, 0 if it is in order.
    pub extent: u32,
    /// How often it arrived.
    pub copies: u32,
    /// A copy arrived with a flipped bit.
    pub corrupted: bool,
}

/// One end of a path: an address in a network namespace.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// What it is called in messages.
    pub name: &'a str,
    /// The network namespace.
    pub net: BorrowedFd<'a>,
    /// One of its addresses.
    pub address: IpAddr,
}

impl End<'_> {
    fn is(&self, other: &End<'_>) -> bool {
        self.net.as_raw_fd() == other.net.as_raw_fd() && self.address == other.address
    }
}

/// A path between two addresses, which may be those of a single lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeRoute<'a> {
    pub(crate) from: End<'a>,
    pub(crate) to: End<'a>,
}

/// How probes are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cadence {
    /// Between two of a path, at least.
    pub(crate) interval: Duration,
    /// Bytes of their payload, at least [`payload::SHORTEST`].
    pub(crate) payload: usize,
    pub(crate) ecn: EcnField,
    /// When one that has not arrived counts as lost.
    pub(crate) give_up: Duration,
}

/// Why probing did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A probe socket could not be made in a node or namespace.
    #[error("cannot open a probe socket in {node}: {source}")]
    Open {
        /// Its name.
        node: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The prober's thread could not be started or failed.
    #[error("cannot {step}: {source}")]
    Thread {
        /// What was attempted.
        step: &'static str,
        /// What the system answered.
        source: io::Error,
    },
}

/// Sends probes over a list of paths, one after another at even distances, until it is stopped or dropped.
#[derive(Debug)]
pub struct Prober {
    interval: Duration,
    give_up: Duration,
    started: Instant,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    ledger: Mutex<Ledger>,
}

impl Prober {
    /// Starts probing every path once per `interval`, or less often if that were more than 2000 probes a second in all (20,000 in a guest).
    ///
    /// # Errors
    /// If a node has no room for a socket.
    pub fn start(
        lab: &Lab,
        paths: &[ProbePath],
        interval: Duration,
        ecn: EcnField,
    ) -> Result<Self, ProbeError> {
        let end = |node| End {
            name: &lab.plan().node(node).name,
            net: lab.namespace(node).net.as_fd(),
            address: lab.plan().node(node).ipv4.into(),
        };
        let routes: Vec<ProbeRoute<'_>> = paths
            .iter()
            .map(|path| ProbeRoute {
                from: end(path.from),
                to: end(path.to),
            })
            .collect();
        let cadence = Cadence {
            interval,
            payload: payload::SHORTEST,
            ecn,
            give_up: give_up(&lab.plan().topology),
        };
        Self::start_routes(&routes, cadence)
    }

    /// The same between given ends.
    pub(crate) fn start_routes(
        routes: &[ProbeRoute<'_>],
        cadence: Cadence,
    ) -> Result<Self, ProbeError> {
        let sockets = Sockets::open(routes, cadence.ecn)?;
        let Cadence {
            interval, give_up, ..
        } = cadence;
        let most = match guest::init::is_guest() {
            true => MOST_IN_A_GUEST,
            false => MOST_PER_SECOND,
        };
        let interval = stretched(interval, routes.len(), most);
        let cadence = Cadence {
            interval,
            ..cadence
        };
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            ledger: Mutex::default(),
        });
        let started = Instant::now();
        let thread = thread::Builder::new()
            .name("prober".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || probe(&sockets, &shared, started, cadence)
            })
            .map_err(|source| ProbeError::Thread {
                step: "start the prober",
                source,
            })?;
        Ok(Self {
            interval,
            give_up,
            started,
            shared,
            thread: Some(thread),
        })
    }

    /// Time between two probes of one path; longer than asked for if there are many paths.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The zero of [`ProbeSample::sent`].
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The probes whose fate was settled since the last call, in the order they were sent.
    pub fn drain(&mut self) -> Vec<ProbeSample> {
        self.shared
            .ledger()
            .drain(self.started.elapsed(), self.give_up)
    }

    /// Sends no more, waits for what is under way (no longer than twice the greatest delay seen), and gives what
    /// [`drain`](Self::drain) had not yet given.
    ///
    /// # Errors
    /// If the prober's thread failed.
    pub fn stop(mut self) -> Result<Vec<ProbeSample>, ProbeError> {
        self.finish().map_err(|source| ProbeError::Thread {
            step: "probe",
            source,
        })?;
        Ok(self
            .shared
            .ledger()
            .drain(self.started.elapsed(), Duration::ZERO))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.shared.ledger().abandon();
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "the prober had failed");
        }
    }
}

impl Shared {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One socket per end, and the pair of each path.
struct Sockets {
    sockets: Vec<ProbeSocket>,
    routes: Vec<(usize, usize)>,
}

impl Sockets {
    fn open(routes: &[ProbeRoute<'_>], ecn: EcnField) -> Result<Self, ProbeError> {
        let mut ends: Vec<End<'_>> = Vec::new();
        for end in routes.iter().flat_map(|route| [route.from, route.to]) {
            if !ends.iter().any(|known| known.is(&end)) {
                ends.push(end);
            }
        }
        let index = |end: &End<'_>| {
            let known = ends.iter().position(|known| known.is(end));
            known.expect("every end is among them")
        };
        let routes = routes
            .iter()
            .map(|route| (index(&route.from), index(&route.to)))
            .collect();
        let sockets = ends
            .iter()
            .map(|&end| {
                let socket = ProbeSocket::open(end);
                let ready = socket.and_then(|socket| socket.mark_as(ecn).map(|()| socket));
                ready.map_err(|source| open_error(end, source))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { sockets, routes })
    }
}

/// Names the namespace in which a socket could not be made.
pub(crate) fn open_error(end: End<'_>, source: io::Error) -> ProbeError {
    ProbeError::Open {
        node: end.name.to_owned(),
        source,
    }
}

/// The interval that keeps all paths together within `most` probes a second.
fn stretched(interval: Duration, paths: usize, most: u32) -> Duration {
    let paths = u32::try_from(paths).unwrap_or(u32::MAX);
    interval.max(Duration::from_secs(1) * paths / most)
}

/// When a probe that takes up to `longest` counts as lost.
pub(crate) fn patience(longest: Duration) -> Duration {
    GIVE_UP.max(GIVE_UP_DELAYS * longest)
}

/// When a probe of a lab of `topology` counts as lost.
fn give_up(topology: &Topology) -> Duration {
    let routes = Routes::new(topology);
    let sites = || (0..topology.sites.len()).map(SiteId);
    let paths = sites().flat_map(|from| sites().map(move |to| (from, to)));
    let lanes = topology
        .links
        .iter()
        .flat_map(|link| &link.lanes)
        .flat_map(|lane| [lane.forward.delay, lane.reverse.delay]);
    let longest = paths.map(|(from, to)| routes.delay(from, to)).chain(lanes);
    patience(longest.max().unwrap_or_default())
}

/// The prober's thread: sends by an absolute schedule, so that a late probe does not shift those after it.
fn probe(sockets: &Sockets, shared: &Shared, started: Instant, cadence: Cadence) -> io::Result<()> {
    let Cadence {
        interval,
        payload,
        give_up,
        ..
    } = cadence;
    let Ok(paths) = u32::try_from(sockets.routes.len()) else {
        return Ok(());
    };
    if paths == 0 {
        return Ok(());
    }
    let step = interval / paths;
    let mut due = Duration::ZERO;
    let mut turn = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let now = started.elapsed();
        if now >= due {
            sockets.send(turn, payload, shared, now)?;
            turn = (turn + 1) % sockets.routes.len();
            // After a stall the probes that were missed are left out: a burst of them would be load, not a measurement.
            due = if now > due + interval {
                now + step
            } else {
                due + step
            };
        }
        sockets.receive(shared, due.saturating_sub(started.elapsed()))?;
    }
    let deadline = started.elapsed() + shared.ledger().grace(give_up);
    while shared.ledger().is_waiting() && started.elapsed() < deadline {
        sockets.receive(shared, Duration::from_millis(5))?;
    }
    Ok(())
}

impl Sockets {
    fn send(&self, turn: usize, payload: usize, shared: &Shared, now: Duration) -> io::Result<()> {
        let (from, to) = self.routes[turn];
        let to = self.sockets[to].address();
        let id = shared.ledger().sent(turn, now, clock());
        let delivered = self.sockets[from].send(to, &payload::write(id, payload))?;
        if !delivered {
            shared.ledger().unsent(id);
        }
        Ok(())
    }

    /// Waits for arrivals no longer than `patience`, and takes all there are.
    fn receive(&self, shared: &Shared, patience: Duration) -> io::Result<()> {
        let mut waits: Vec<PollFd> = self
            .sockets
            .iter()
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        // Looks at the stop flag at least this often.
        let patience = patience.min(Duration::from_millis(50));
        match ppoll(&mut waits, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        for (socket, wait) in self.sockets.iter().zip(&waits) {
            if !wait.any().unwrap_or(false) {
                continue;
            }
            // Longer probes than any that are sent.
            let mut buffer = [0; 2048];
            while let Some(arrival) = socket.receive(&mut buffer)? {
                if let Some((id, state)) = payload::read(&buffer[..arrival.length]) {
                    shared.ledger().arrived(id, arrival.at, state);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::{Document, validate};

    use super::*;

    #[test]
    fn a_probe_on_a_path_longer_than_any_on_earth_is_not_given_up_on_its_way() {
        let given_up = |delay: &str| {
            let text = format!(
                "name: line\nsites: [{{name: a}}, {{name: b}}, {{name: c}}]\ndefaults: {{delay: {delay}}}\n\
                 links: [{{between: [a, b]}}, {{between: [b, c]}}]\n"
            );
            let document = Document::from_text("line.yaml", &text).unwrap();
            give_up(&validate::topology(&document).unwrap())
        };
        assert_eq!(given_up("300ms"), GIVE_UP);
        assert_eq!(given_up("4s"), Duration::from_secs(24));
    }

    #[test]
    fn many_paths_stretch_the_interval_to_the_allowed_total() {
        let ten = Duration::from_millis(10);
        assert_eq!(stretched(ten, 6, 2000), ten);
        assert_eq!(stretched(ten, 20, 2000), ten);
        assert_eq!(stretched(ten, 90, 2000), Duration::from_millis(45));
    }
}
