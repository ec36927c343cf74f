//! The ranks of a collective as processes, and the control connection to them.
//!
//! Each rank is a process of its own (`longhaul __rank`), started by the caller's command inside its host, with its standard
//! input and output as its only tie to the lab process: rendezvous, the common start of each iteration, results and
//! TCP_INFO samples go over it, so nothing of the control crosses the emulated network. A command such as ssh carries them to
//! another machine.

pub(crate) mod clock;
pub(crate) mod protocol;

mod diagnosis;
mod process;
mod roll_call;
mod timekeeping;

use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use longhaul_reports::result::Placement;
use longhaul_topologies::units::Rate;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use clock::ClockAnchor;
use process::RankHandle;
use protocol::{Reply, Request, Task};
use roll_call::RollCall;
use timekeeping::Timekeeping;

use crate::collective::schedule::Shape;
use crate::collective::{Algorithm, Collective, DataType, ReduceOp, Unsupported};
use crate::congestion::Law;
use crate::message::{Erasure, Paths, Recovery};
use crate::replay::part::Part;
use crate::replay::score::Span;

/// How long a rank may take to start and listen.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// One rank to start.
#[derive(Debug)]
pub struct RankSpec {
    /// The host's name, for messages.
    pub host: String,
    /// The site, as an index; ranks of one site are near each other (hierarchical algorithms group by it).
    pub site: usize,
    /// The address it listens on and its peers connect to.
    pub address: IpAddr,
    /// The command that starts a longhaul rank there: program and `__rank` set, namespaces entered by its pre-exec.
    pub command: Command,
    /// By which clock it goes.
    pub clock: RankClock,
    /// The rate of its host's interface; not known if absent.
    pub line_rate: Option<Rate>,
}

/// By which clock a rank goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankClock {
    /// By that of this machine.
    Ours,
    /// By that of another, which is compared with this one's over the control connection.
    Theirs,
}

/// How ranks talk to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransportOptions {
    /// Kernel congestion control (`cubic`); the namespace's default if absent.
    pub congestion_control: Option<String>,
    /// TCP connections per pair of ranks that talk; a message is split equally over them, as NCCL does.
    pub connections: usize,
    /// Explicit SO_SNDBUF and SO_RCVBUF; the kernel's autotuning if absent.
    pub socket_buffer: Option<u64>,
    /// Bytes of a pipelined chunk.
    pub chunk_bytes: u64,
    /// The message transport over UDP in place of kernel TCP; what is above but the chunk is TCP's.
    pub message: Option<MessageOptions>,
}

/// How the message transport carries what ranks send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageOptions {
    /// The congestion control.
    pub law: Law,
    /// The rate of the own host's interface, which laws of hardware start at; not known if absent. [`World`] has it of each rank.
    pub line_rate: Option<Rate>,
    /// How what is lost is sent again.
    pub recovery: Recovery,
    /// The erasure code, if there is one.
    pub erasure: Option<Erasure>,
    /// The paths, and how packets choose among them.
    pub paths: Paths,
    /// Bytes of an IP packet at most; what the way to each peer has, up to jumbo frames, if absent.
    pub mtu: Option<u64>,
    /// Hops that in-band telemetry is asked of; 0 asks for none.
    pub hops: u8,
    /// Bytes that all senders to one rank together may have in flight; no limit if absent.
    pub credits: Option<u64>,
    /// Messages are handed over so long after they were sent; as soon as they are whole if absent.
    pub playout: Option<Duration>,
    /// Ranks' ports are drawn from this, as lanes are chosen by them: worlds with the same go over the same lanes. The kernel's choice if
    /// absent.
    pub ports: Option<u64>,
}

/// One collective operation on a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What.
    pub collective: Collective,
    /// How.
    pub algorithm: Algorithm,
    /// On what.
    pub data_type: DataType,
    /// With what operator; ignored where nothing is reduced.
    pub op: ReduceOp,
    /// Root rank of a broadcast.
    pub root: usize,
    /// Bytes of the whole array (nccl-tests' `size`), rounded down to whole elements per rank by [`Operation::count`].
    pub size_bytes: u64,
    /// In place or not.
    pub placement: Placement,
    /// Seeds the data.
    pub seed: u64,
}

impl Operation {
    /// Whole elements of the array over so many ranks; see [`Collective::count`].
    ///
    /// # Errors
    /// If there is not one element (per rank).
    pub fn count(&self, ranks: usize) -> Result<u64, Unsupported> {
        self.collective
            .count(self.data_type, self.size_bytes, ranks)
    }

    /// The schedule's shape over ranks in these sites, with chunks of at most `chunk_bytes` (and at least one element).
    ///
    /// # Errors
    /// If there is no such algorithm or root, or not one element (per rank).
    pub fn shape(&self, sites: Vec<usize>, chunk_bytes: u64) -> Result<Shape, Unsupported> {
        let shape = Shape {
            collective: self.collective,
            algorithm: self.algorithm,
            count: self.count(sites.len())? as usize,
            chunk: (chunk_bytes as usize / self.data_type.bytes()).max(1),
            root: self.root,
            placement: self.placement,
            sites,
        };
        shape.check()?;
        Ok(shape)
    }
}

/// What one iteration gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Iteration {
    /// The common start of all ranks.
    pub start: Instant,
    /// From the common start to the last rank's end.
    pub time: Duration,
    /// The same per rank.
    pub rank_times: Vec<Duration>,
    /// How late the last rank started: the skew of the common start.
    pub latest_start: Duration,
    /// Wrong elements, all ranks together.
    pub wrong: u64,
}

/// What one step of a replayed trace gave.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayedStep {
    /// As of a collective.
    pub iteration: Iteration,
    /// When each rank did its share of each node.
    pub spans: Vec<Vec<Span>>,
}

/// One connection's TCP_INFO at one moment, at its sending end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionSample {
    /// When (CLOCK_MONOTONIC).
    pub at_ns: u64,
    /// Sending rank.
    pub from: usize,
    /// Receiving rank.
    pub to: usize,
    /// Which of the pair's connections.
    pub connection: usize,
    /// Smoothed RTT, microseconds.
    pub rtt_us: u32,
    /// Congestion window, bytes.
    pub cwnd_bytes: u64,
    /// Retransmitted segments so far.
    pub retransmits: u64,
    /// Pacing rate, bits per second; `None` if unlimited.
    pub pacing_rate_bps: Option<u64>,
    /// Delivery rate, bits per second.
    pub delivery_rate_bps: u64,
    /// Bytes acknowledged so far: TCP's without headers; of the message transport each message once, with the transport's own headers and
    /// without parity.
    pub bytes_acked: u64,
    /// Bytes beyond those that have arrived as well (RFC 2018): how many segments did, times the maximum segment size. Always 0 where
    /// [`Self::bytes_acked`] counts whatever arrives.
    pub bytes_sacked: u64,
    /// Of those acknowledged, with "congestion experienced"; `None` where that is not told (TCP).
    pub marked_bytes: Option<u64>,
}

/// Messages of one queue pair that have come whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Sending rank.
    pub from: usize,
    /// Receiving rank.
    pub to: usize,
    /// Nanoseconds from hand-over to delivery, each with the number of messages.
    pub latencies: Vec<(u64, u64)>,
    /// How many of them were late for their playout; `None` where there is none.
    pub late: Option<u64>,
}

/// Why a collective could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A rank's process ended.
    #[error("rank {rank} on {host} {how}")]
    RankDied {
        /// Which.
        rank: usize,
        /// Where.
        host: String,
        /// `was killed by signal 9`, `exited with code 1: …last words`.
        how: String,
    },
    /// A rank did not answer in time.
    #[error("rank {rank} on {host} stopped answering: {waiting}")]
    Silent {
        /// Which.
        rank: usize,
        /// Where.
        host: String,
        /// `nothing from rank 3 on dublin-1 for 10 s`.
        waiting: String,
    },
    /// Something of the system failed.
    #[error("cannot {step}: {source}")]
    System {
        /// What was attempted.
        step: String,
        /// What the system answered.
        source: io::Error,
    },
    /// This collective has no such algorithm, or the size is too small for it.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// Ranks that are up. They are ended when it is dropped.
#[derive(Debug)]
pub struct World {
    ranks: Vec<RankHandle>,
    sites: Vec<usize>,
    transport: TransportOptions,
    roll: RollCall,
    samples: Vec<ConnectionSample>,
    arrivals: Vec<Arrivals>,
    clock: ClockAnchor,
    timekeeping: Timekeeping,
    /// It cannot go on: an operation failed, or was dropped midway.
    broken: bool,
}

impl World {
    /// Starts the ranks and tells each where the others listen. They connect when an operation first needs it, before
    /// its common start.
    ///
    /// # Errors
    /// If a rank does not start, or ends, or does not answer.
    pub async fn start(
        ranks: Vec<RankSpec>,
        transport: TransportOptions,
        sampling: Duration,
    ) -> Result<Self, WorldError> {
        if transport.connections == 0 {
            return Err(Unsupported("ranks need at least one connection per pair".into()).into());
        }
        let clock = ClockAnchor::now();
        let sites: Vec<usize> = ranks.iter().map(|spec| spec.site).collect();
        let (events, receiver) = mpsc::unbounded_channel();
        let mut roll = RollCall::new(
            ranks.iter().map(|spec| spec.host.clone()).collect(),
            receiver,
        );
        let nonce = nonce();
        let mut timekeeping = Timekeeping::new(ranks.iter().map(|spec| spec.clock));
        let places: Vec<_> = ranks
            .iter()
            .map(|spec| (spec.address, spec.line_rate))
            .collect();
        let mut handles = Vec::new();
        for (rank, spec) in ranks.into_iter().enumerate() {
            handles.push(RankHandle::spawn(rank, spec, events.clone())?);
        }
        timekeeping.set_clocks(&mut handles, &mut roll).await?;
        for (rank, (handle, (address, line_rate))) in handles.iter_mut().zip(places).enumerate() {
            let mut transport = transport.clone();
            if let Some(message) = &mut transport.message {
                message.line_rate = line_rate;
            }
            handle
                .send(&Request::Join {
                    rank,
                    sites: sites.clone(),
                    address,
                    nonce,
                    transport: Box::new(transport),
                    sampling,
                })
                .await;
        }
        let addresses = roll
            .gather(START_PATIENCE, |reply| match reply {
                Reply::Listening { address } => Some(address),
                _ => None,
            })
            .await?;
        let mut world = Self {
            ranks: handles,
            sites,
            transport,
            roll,
            samples: Vec::new(),
            arrivals: Vec::new(),
            clock,
            timekeeping,
            broken: false,
        };
        world.tell_all(&Request::Peers { addresses }).await;
        Ok(world)
    }

    /// Runs one iteration of `operation` on all ranks from a common start and checks its result.
    ///
    /// Before the start, buffers are filled and connections opened; after the last rank's end, outputs are checked. The
    /// start lies a little in the future, so that a rank begins late only if its process is not scheduled:
    /// [`Iteration::latest_start`] is by how much, and it is part of the time.
    ///
    /// # Errors
    /// If a rank dies or goes silent: nothing arrived on its connections for `patience` while it waited. The world cannot
    /// be used after that.
    pub async fn iterate(
        &mut self,
        operation: &Operation,
        iteration: u64,
        patience: Duration,
    ) -> Result<Iteration, WorldError> {
        operation.shape(self.sites.clone(), self.transport.chunk_bytes)?;
        let task = Task::Operation(*operation);
        let done = self.whole(task, iteration, patience).await?;
        Ok(done.iteration)
    }

    /// Tells each rank its part of a trace, for [`Self::replay`].
    ///
    /// # Panics
    /// If there are not as many parts as ranks.
    pub async fn learn(&mut self, parts: Vec<Part>) {
        assert_eq!(parts.len(), self.ranks.len(), "a part for every rank");
        for (rank, part) in self.ranks.iter_mut().zip(parts) {
            let part = Box::new(part);
            rank.send(&Request::Learn { part }).await;
        }
    }

    /// Plays what was learnt last, once, on all ranks from a common start, and checks every array.
    ///
    /// # Errors
    /// As [`Self::iterate`]; `patience` counts on the ranks on which nothing is computed just then.
    pub async fn replay(
        &mut self,
        iteration: u64,
        patience: Duration,
    ) -> Result<ReplayedStep, WorldError> {
        self.whole(Task::Replay, iteration, patience).await
    }

    /// The TCP_INFO samples that have come in since the last call. Ranks hand them in at the end of each iteration.
    pub fn connection_samples(&mut self) -> Vec<ConnectionSample> {
        std::mem::take(&mut self.samples)
    }

    /// Messages that have come whole since the last call.
    pub fn arrivals(&mut self) -> Vec<Arrivals> {
        std::mem::take(&mut self.arrivals)
    }

    /// How far ranks' clocks may be apart from this machine's; nothing where all go by that.
    pub fn clock_uncertainty(&self) -> Duration {
        self.timekeeping.uncertainty()
    }

    /// Ends the ranks and waits for them.
    pub async fn stop(self) {
        self.ranks
            .into_iter()
            .map(RankHandle::stop)
            .collect::<JoinSet<()>>()
            .join_all()
            .await;
    }

    /// [`Self::run`], unless that has failed before.
    async fn whole(
        &mut self,
        task: Task,
        iteration: u64,
        patience: Duration,
    ) -> Result<ReplayedStep, WorldError> {
        if self.broken {
            let source = io::Error::other("an earlier operation failed; start a new world");
            return Err(WorldError::System {
                step: format!("run iteration {iteration}"),
                source,
            });
        }
        self.broken = true;
        let result = self.run(task, iteration, patience).await;
        self.broken = result.is_err();
        result
    }

    async fn run(
        &mut self,
        task: Task,
        iteration: u64,
        patience: Duration,
    ) -> Result<ReplayedStep, WorldError> {
        self.tell_all(&Request::Prepare {
            task,
            iteration,
            patience,
        })
        .await;
        self.roll
            .gather(patience, |reply| {
                matches!(reply, Reply::Ready).then_some(())
            })
            .await?;

        self.timekeeping
            .compare(&mut self.ranks, &mut self.roll)
            .await?;
        let lead = start_lead(self.ranks.len()) + self.timekeeping.slowest();
        let start_ns = clock::now_ns() + lead.as_nanos() as u64;
        let distances = self.timekeeping.distances();
        for (rank, distance) in self.ranks.iter_mut().zip(&distances) {
            let at_ns = distance.theirs(start_ns);
            rank.send(&Request::Start { at_ns }).await;
        }
        let mut times = self
            .roll
            .gather(patience, |reply| match reply {
                Reply::Finished {
                    started_ns,
                    ended_ns,
                    arrivals,
                    spans,
                } => Some((started_ns, ended_ns, arrivals, spans)),
                _ => None,
            })
            .await?;

        for ((started_ns, ended_ns, _, spans), distance) in times.iter_mut().zip(&distances) {
            let spans = spans
                .iter_mut()
                .flat_map(|span| [&mut span.began_ns, &mut span.ended_ns]);
            for moment in [started_ns, ended_ns].into_iter().chain(spans) {
                *moment = distance.ours(*moment);
            }
        }

        self.tell_all(&Request::Check).await;
        let mut checked = self
            .roll
            .gather(patience, |reply| match reply {
                Reply::Checked { wrong, samples } => Some((wrong, samples)),
                _ => None,
            })
            .await?;
        for ((_, samples), distance) in checked.iter_mut().zip(&distances) {
            for sample in samples {
                sample.at_ns = distance.ours(sample.at_ns);
            }
        }

        let since_start = |ns: u64| Duration::from_nanos(ns.saturating_sub(start_ns));
        let rank_times: Vec<Duration> = times
            .iter()
            .map(|(_, ended_ns, ..)| since_start(*ended_ns))
            .collect();
        let latest_start = times
            .iter()
            .map(|(started_ns, ..)| since_start(*started_ns))
            .max()
            .unwrap_or_default();
        let wrong = checked.iter().map(|(wrong, _)| wrong).sum();
        self.samples
            .extend(checked.into_iter().flat_map(|(_, samples)| samples));
        let mut all_spans = Vec::new();
        for (_, _, arrivals, spans) in times {
            self.arrivals.extend(arrivals);
            all_spans.push(spans);
        }
        let iteration = Iteration {
            start: self.clock.instant(start_ns),
            time: rank_times.iter().copied().max().unwrap_or_default(),
            rank_times,
            latest_start,
            wrong,
        };
        Ok(ReplayedStep {
            iteration,
            spans: all_spans,
        })
    }

    async fn tell_all(&mut self, request: &Request) {
        for rank in &mut self.ranks {
            rank.send(request).await;
        }
    }
}

/// How far ahead the common start lies: the time to tell every rank, with room for a busy machine.
fn start_lead(ranks: usize) -> Duration {
    Duration::from_millis(2) + Duration::from_micros(100) * ranks as u32
}

/// A number that strangers do not know: the standard library keys its hashes from the system's randomness.
pub fn nonce() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
