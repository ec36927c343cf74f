//! One rank's part in its world, from request to reply.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::collective::Unsupported;
use crate::collective::data::Dataset;
use crate::collective::schedule::{Program, Shape, destinations, sources};
use crate::replay::part::Part;
use crate::replay::score::Score;
use crate::transport::datagram::endpoint::Endpoint;
use crate::transport::memory::Memory;
use crate::transport::mesh::Mesh;
use crate::transport::work::{Arithmetic, Work};
use crate::transport::{Attendant, Connections, TransportError, system};
use crate::transport::{datagram, exchange};
use crate::world::clock::{now_ns, sleep_until};
use crate::world::protocol::{Failure, Reply, Request, Task};
use crate::world::{ConnectionSample, Operation, TransportOptions};

/// A rank that knows who it is.
pub(super) struct Session {
    rank: usize,
    sites: Vec<usize>,
    transport: TransportOptions,
    carrier: Carrier,
    memory: Memory,
    sampler: Sampler,
    /// How many exchanges there have been.
    exchanges: u32,
    /// The last one's result has not been asked for.
    unchecked: bool,
    /// What a replay plays.
    part: Option<Part>,
    prepared: Option<Prepared>,
}

/// What moves its bytes.
enum Carrier {
    Tcp(Box<Mesh>),
    Message(Box<Endpoint>),
}

/// What the next start runs.
struct Prepared {
    what: What,
    patience: Duration,
}

/// Kept, as the next iteration does mostly the same.
enum What {
    Operation {
        /// What the program was made from.
        shape: Shape,
        program: Program,
        dataset: Dataset,
    },
    Replay {
        score: Score,
        iteration: u64,
    },
}

impl What {
    fn work(&self) -> Work<'_> {
        match self {
            Self::Operation {
                program, dataset, ..
            } => Work {
                operations: &program.operations,
                arithmetic: Arithmetic::Same(dataset.data_type, dataset.op),
            },
            Self::Replay { score, .. } => Work {
                operations: score.operations(),
                arithmetic: Arithmetic::Each(score.arithmetic()),
            },
        }
    }
}

/// Why a request was not fulfilled.
pub(super) enum SessionError {
    Transport(TransportError),
    Unsupported(Unsupported),
    /// The request does not fit the rank's state.
    OutOfTurn(&'static str),
}

/// Reads TCP_INFO on a fixed period.
struct Sampler {
    period_ns: u64,
    next_ns: u64,
    samples: Vec<ConnectionSample>,
}

impl Session {
    /// Begins with the first request.
    pub(super) fn join(request: Request) -> Result<(Self, Reply), SessionError> {
        let Request::Join {
            rank,
            sites,
            address,
            nonce,
            transport,
            sampling,
        } = request
        else {
            return Err(SessionError::OutOfTurn("it has not been told its rank"));
        };
        let transport = *transport;
        let (carrier, address) = match &transport.message {
            None => {
                let mesh = Mesh::listen(rank, address, nonce, transport.clone())?;
                let address = mesh.address();
                (Carrier::Tcp(Box::new(mesh)), address)
            }
            Some(options) => {
                let longest = transport.chunk_bytes.max(LONGEST_ELEMENT) as usize;
                datagram::clock::exact_timers();
                let endpoint = Endpoint::open(rank, address, nonce, options.clone(), longest)?;
                let address = endpoint.address();
                (Carrier::Message(Box::new(endpoint)), address)
            }
        };
        let reply = Reply::Listening { address };
        let sampler = Sampler {
            period_ns: sampling.as_nanos() as u64,
            next_ns: now_ns(),
            samples: Vec::new(),
        };
        let memory = Memory::default();
        Ok((
            Self {
                rank,
                sites,
                transport,
                carrier,
                memory,
                sampler,
                exchanges: 0,
                unchecked: false,
                part: None,
                prepared: None,
            },
            reply,
        ))
    }

    /// Does what is asked. Some requests have no answer.
    pub(super) fn answer(&mut self, request: Request) -> Result<Option<Reply>, SessionError> {
        match request {
            Request::Join { .. } | Request::Clock | Request::SetClock { .. } => {
                Err(SessionError::OutOfTurn("it has joined already"))
            }
            Request::Peers { addresses } => {
                match &mut self.carrier {
                    Carrier::Tcp(mesh) => mesh.set_peers(addresses),
                    Carrier::Message(endpoint) => endpoint.set_peers(addresses),
                }
                Ok(None)
            }
            Request::Learn { part } => {
                (self.part, self.prepared) = (Some(*part), None);
                Ok(None)
            }
            Request::Prepare {
                task,
                iteration,
                patience,
            } => {
                let what = match task {
                    Task::Operation(operation) => self.fill(&operation, iteration)?,
                    Task::Replay => self.fill_replay(iteration)?,
                };
                self.connect(what, patience).map(|()| Some(Reply::Ready))
            }
            Request::Start { at_ns } => self.run(at_ns).map(Some),
            Request::Check => self.check().map(Some),
        }
    }

    /// Keeps its connections alive, and goes on looking at them, until `request` can be read: what has arrived is acknowledged, what is
    /// lost sent again. The kernel does that for TCP.
    pub(super) fn serve(&mut self, request: BorrowedFd<'_>) -> Result<(), SessionError> {
        match &mut self.carrier {
            Carrier::Message(endpoint) => serve_messages(endpoint, &mut self.sampler, request),
            // What it wrote last may take a while to arrive.
            Carrier::Tcp(mesh) if self.unchecked => {
                while !self.sampler.await_readable(request)? {
                    self.sampler.attend(now_ns(), mesh.as_ref());
                }
                Ok(())
            }
            Carrier::Tcp(_) => Ok(()),
        }
    }

    /// Takes leave of the other ranks.
    pub(super) fn leave(self) {
        if let Carrier::Message(mut endpoint) = self.carrier {
            endpoint.close();
        }
    }

    /// Fills memory for a collective.
    fn fill(&mut self, operation: &Operation, iteration: u64) -> Result<What, SessionError> {
        let shape = operation.shape(self.sites.clone(), self.transport.chunk_bytes)?;
        let program = match self.prepared.take().map(|previous| previous.what) {
            Some(What::Operation {
                shape: previous,
                program,
                ..
            }) if previous == shape => program,
            _ => shape.program(self.rank)?,
        };
        let Operation {
            data_type,
            op,
            seed,
            ..
        } = *operation;
        let dataset = Dataset {
            data_type,
            op,
            seed,
            iteration,
        };
        self.memory.resize(program.layout.len() * data_type.bytes());
        dataset.fill(&shape, &program.layout, self.rank, self.memory.bytes_mut());
        Ok(What::Operation {
            shape,
            program,
            dataset,
        })
    }

    /// Fills memory for the trace's part that was learnt.
    fn fill_replay(&mut self, iteration: u64) -> Result<What, SessionError> {
        let score = match self.prepared.take().map(|previous| previous.what) {
            Some(What::Replay { score, .. }) => score,
            _ => {
                let part = self.part.as_ref().ok_or(NOTHING_LEARNT)?;
                Score::new(part, self.rank, &self.sites, self.transport.chunk_bytes)?
            }
        };
        self.memory.resize(score.bytes());
        score.fill(iteration, self.memory.bytes_mut());
        Ok(What::Replay { score, iteration })
    }

    /// Opens the connections of `what`, which the next start runs.
    fn connect(&mut self, what: What, patience: Duration) -> Result<(), SessionError> {
        let operations = what.work().operations;
        let (destinations, sources) = (destinations(operations), sources(operations));
        let sampler = &mut self.sampler;
        match &mut self.carrier {
            Carrier::Tcp(mesh) => mesh.connect(&destinations, &sources, patience, sampler)?,
            Carrier::Message(endpoint) => {
                endpoint.connect(&destinations, &sources, patience, sampler)?;
            }
        }
        self.prepared = Some(Prepared { what, patience });
        Ok(())
    }

    fn run(&mut self, at_ns: u64) -> Result<Reply, SessionError> {
        let Prepared { what, patience } = self.prepared.as_ref().ok_or(NOTHING_PREPARED)?;
        let work = what.work();
        let number = self.exchanges;
        self.exchanges = number.wrapping_add(1);
        self.unchecked = true;
        let (memory, sampler) = (&mut self.memory, &mut self.sampler);
        let started_ns;
        let ended_ns;
        let pauses;
        let mut arrivals = Vec::new();
        match &mut self.carrier {
            Carrier::Tcp(mesh) => {
                let exchange = exchange::Exchange::new(mesh, work, number)?;
                sleep_until(at_ns);
                started_ns = now_ns();
                pauses = exchange.run(memory, *patience, sampler)?;
                ended_ns = now_ns();
            }
            Carrier::Message(endpoint) => {
                let exchange = datagram::exchange::Exchange::new(endpoint, work);
                sleep_until(at_ns);
                started_ns = now_ns();
                pauses = exchange.run(memory, *patience, sampler)?;
                ended_ns = now_ns();
                arrivals = endpoint.arrivals();
            }
        }
        Ok(Reply::Finished {
            started_ns,
            ended_ns,
            arrivals,
            spans: match what {
                What::Operation { .. } => Vec::new(),
                What::Replay { score, .. } => score.spans(&pauses),
            },
        })
    }

    /// All ranks have ended: what a sender was last told of what arrived is part of the samples.
    fn check(&mut self) -> Result<Reply, SessionError> {
        let Prepared { what, .. } = self.prepared.as_ref().ok_or(NOTHING_PREPARED)?;
        let memory = self.memory.bytes();
        let wrong = match what {
            What::Operation {
                shape,
                program,
                dataset,
            } => dataset.count_wrong(shape, &program.layout, self.rank, memory),
            What::Replay { score, iteration } => score.count_wrong(*iteration, memory),
        };
        let connections: &dyn Connections = match &self.carrier {
            Carrier::Tcp(mesh) => mesh.as_ref(),
            Carrier::Message(endpoint) => endpoint.as_ref(),
        };
        let samples = self.sampler.finish(connections);
        self.unchecked = false;
        Ok(Reply::Checked { wrong, samples })
    }
}

/// Bytes of an element at most: a chunk has at least one.
const LONGEST_ELEMENT: u64 = 8;

const NOTHING_LEARNT: SessionError = SessionError::OutOfTurn("no trace has been learnt");
const NOTHING_PREPARED: SessionError = SessionError::OutOfTurn("nothing has been prepared");

fn serve_messages(
    endpoint: &mut Endpoint,
    sampler: &mut Sampler,
    request: BorrowedFd<'_>,
) -> Result<(), SessionError> {
    let mut drained = endpoint.is_drained();
    loop {
        endpoint.turn()?;
        let was_drained = std::mem::replace(&mut drained, endpoint.is_drained());
        if drained && !was_drained {
            // When the last arrived, which no later reading would tell.
            sampler.take(endpoint);
        } else {
            sampler.attend(now_ns(), endpoint);
        }
        if endpoint.wait(Some(request))? {
            return Ok(());
        }
    }
}

impl Sampler {
    /// Sleeps until `request` can be read, which it tells, or the next sample is due.
    fn await_readable(&self, request: BorrowedFd<'_>) -> Result<bool, SessionError> {
        let due = self.next(now_ns()).map(TimeSpec::from);
        let mut polled = [PollFd::new(request, PollFlags::POLLIN)];
        match ppoll(&mut polled, due, None) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(system("wait for a request".into())(errno.into()).into()),
        }
    }

    /// Adds one of now.
    fn take(&mut self, connections: &dyn Connections) {
        if self.period_ns > 0 {
            self.samples.extend(connections.sample(now_ns()));
        }
    }

    /// The samples so far, and one of now.
    fn finish(&mut self, connections: &dyn Connections) -> Vec<ConnectionSample> {
        self.take(connections);
        std::mem::take(&mut self.samples)
    }
}

impl Attendant for Sampler {
    fn attend(&mut self, now: u64, connections: &dyn Connections) {
        if now >= self.next_ns && self.period_ns > 0 {
            self.samples.extend(connections.sample(now));
            self.next_ns = now + self.period_ns - (now - self.next_ns) % self.period_ns;
        }
    }

    fn next(&self, now: u64) -> Option<Duration> {
        (self.period_ns > 0).then(|| Duration::from_nanos(self.next_ns.saturating_sub(now)))
    }
}

impl From<TransportError> for SessionError {
    fn from(error: TransportError) -> Self {
        SessionError::Transport(error)
    }
}

impl From<Unsupported> for SessionError {
    fn from(error: Unsupported) -> Self {
        SessionError::Unsupported(error)
    }
}

impl From<SessionError> for Reply {
    fn from(error: SessionError) -> Self {
        let system = |step: &str, message: String| Failure::System {
            step: step.into(),
            errno: None,
            message,
        };
        Reply::Failed(match error {
            SessionError::Transport(error) => Failure::from(&error),
            SessionError::Unsupported(error) => system("make a schedule", error.to_string()),
            SessionError::OutOfTurn(reason) => system("do what it is asked", reason.into()),
        })
    }
}
