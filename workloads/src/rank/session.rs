//! One rank's part in its world, from request to reply.

use std::time::Duration;

use crate::collective::Unsupported;
use crate::collective::data::Dataset;
use crate::collective::schedule::{Program, Shape};
use crate::transport::exchange::Exchange;
use crate::transport::memory::Memory;
use crate::transport::mesh::Mesh;
use crate::transport::{Attendant, TransportError};
use crate::world::clock::{now_ns, sleep_until};
use crate::world::protocol::{Failure, Reply, Request};
use crate::world::{ConnectionSample, Operation, TransportOptions};

/// A rank that knows who it is.
pub(super) struct Session {
    rank: usize,
    sites: Vec<usize>,
    transport: TransportOptions,
    mesh: Mesh,
    memory: Memory,
    sampler: Sampler,
    /// How many exchanges there have been.
    exchanges: u32,
    prepared: Option<Prepared>,
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
        let mesh = Mesh::listen(rank, address, nonce, transport.clone())?;
        let reply = Reply::Listening {
            address: mesh.address(),
        };
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
                mesh,
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
            Request::Join { .. } => Err(SessionError::OutOfTurn("it has joined already")),
            Request::Peers { addresses } => {
                self.mesh.set_peers(addresses);
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
        self.mesh.connect(
            &program.destinations(),
            &program.sources(),
            patience,
            &mut self.sampler,
        )?;
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
        let exchange = Exchange::new(&self.mesh, program, data_type, op, self.exchanges)?;
        self.exchanges = self.exchanges.wrapping_add(1);
        sleep_until(at_ns);
        let started_ns = now_ns();
        exchange.run(&mut self.memory, *patience, &mut self.sampler)?;
        let ended_ns = now_ns();
        self.sampler.attend(&self.mesh);
        Ok(Reply::Finished {
            started_ns,
            ended_ns,
            samples: std::mem::take(&mut self.sampler.samples),
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

const NOTHING_PREPARED: SessionError = SessionError::OutOfTurn("nothing has been prepared");

impl Attendant for Sampler {
    fn attend(&mut self, mesh: &Mesh) {
        let now = now_ns();
        if now >= self.next_ns && self.period_ns > 0 {
            self.samples.extend(mesh.sample(now));
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
