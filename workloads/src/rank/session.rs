//! One rank's part in its world, from request to reply.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::collective::Unsupported;
use crate::collective::data::Dataset;
use crate::collective::schedule::{Program, Shape};
use crate::transport::datagram::endpoint::Endpoint;
use crate::transport::memory::Memory;
use crate::transport::mesh::Mesh;
use crate::transport::{Attendant, Connections, TransportError};
use crate::transport::{datagram, exchange};
use crate::world::clock::{now_ns, sleep_until};
use crate::world::protocol::{Failure, Reply, Request};
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
    prepared: Option<Prepared>,
}

/// What moves its bytes.
enum Carrier {
    Tcp(Box<Mesh>),
    Message(Box<Endpoint>),
}

/// What the next start runs.
struct Prepared {
    /// What the program was made from; the next iteration of the same reuses it.
    shape: Shape,
    program: Program,
    dataset: Dataset,
    patience: Duration,
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
            Request::Prepare {
                operation,
                iteration,
                patience,
            } => self
                .prepare(&operation, iteration, patience)
                .map(|()| Some(Reply::Ready)),
            Request::Start { at_ns } => self.run(at_ns).map(Some),
            Request::Check => self.check().map(Some),
        }
    }

    /// Keeps its connections alive until `request` can be read: what has arrived is acknowledged, what is lost sent again. The
    /// kernel does that for TCP.
    pub(super) fn serve(&mut self, request: BorrowedFd<'_>) -> Result<(), SessionError> {
        if let Carrier::Message(endpoint) = &mut self.carrier {
            loop {
                endpoint.turn()?;
                if endpoint.wait(Some(request))? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes leave of the other ranks.
    pub(super) fn leave(self) {
        if let Carrier::Message(mut endpoint) = self.carrier {
            endpoint.close();
        }
    }

    fn prepare(
        &mut self,
        operation: &Operation,
        iteration: u64,
        patience: Duration,
    ) -> Result<(), SessionError> {
        let shape = operation.shape(self.sites.clone(), self.transport.chunk_bytes)?;
        let program = match self.prepared.take() {
            Some(previous) if previous.shape == shape => previous.program,
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
        let (destinations, sources) = (program.destinations(), program.sources());
        let sampler = &mut self.sampler;
        match &mut self.carrier {
            Carrier::Tcp(mesh) => mesh.connect(&destinations, &sources, patience, sampler)?,
            Carrier::Message(endpoint) => {
                endpoint.connect(&destinations, &sources, patience, sampler)?;
            }
        }
        self.prepared = Some(Prepared {
            shape,
            program,
            dataset,
            patience,
        });
        Ok(())
    }

    fn run(&mut self, at_ns: u64) -> Result<Reply, SessionError> {
        let Prepared {
            program,
            dataset,
            patience,
            ..
        } = self.prepared.as_ref().ok_or(NOTHING_PREPARED)?;
        let Dataset { data_type, op, .. } = *dataset;
        let number = self.exchanges;
        self.exchanges = number.wrapping_add(1);
        let (memory, sampler) = (&mut self.memory, &mut self.sampler);
        let started_ns;
        let ended_ns;
        let mut arrivals = Vec::new();
        match &mut self.carrier {
            Carrier::Tcp(mesh) => {
                let exchange = exchange::Exchange::new(mesh, program, data_type, op, number)?;
                sleep_until(at_ns);
                started_ns = now_ns();
                exchange.run(memory, *patience, sampler)?;
                ended_ns = now_ns();
                sampler.attend(now_ns(), mesh.as_ref());
            }
            Carrier::Message(endpoint) => {
                let exchange = datagram::exchange::Exchange::new(endpoint, program, data_type, op);
                sleep_until(at_ns);
                started_ns = now_ns();
                exchange.run(memory, *patience, sampler)?;
                ended_ns = now_ns();
                sampler.attend(now_ns(), endpoint.as_ref());
                arrivals = endpoint.arrivals();
            }
        }
        Ok(Reply::Finished {
            started_ns,
            ended_ns,
            samples: std::mem::take(&mut self.sampler.samples),
            arrivals,
        })
    }

    fn check(&self) -> Result<Reply, SessionError> {
        let Prepared {
            shape,
            program,
            dataset,
            ..
        } = self.prepared.as_ref().ok_or(NOTHING_PREPARED)?;
        let wrong = dataset.count_wrong(shape, &program.layout, self.rank, self.memory.bytes());
        Ok(Reply::Checked { wrong })
    }
}

/// Bytes of an element at most: a chunk has at least one.
const LONGEST_ELEMENT: u64 = 8;

const NOTHING_PREPARED: SessionError = SessionError::OutOfTurn("nothing has been prepared");

impl Attendant for Sampler {
    fn attend(&mut self, now: u64, connections: &dyn Connections) {
        if now >= self.next_ns && self.period_ns > 0 {
            self.samples.extend(connections.sample(now));
            self.next_ns = now + self.period_ns - (now - self.next_ns) % self.period_ns;
        }
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
