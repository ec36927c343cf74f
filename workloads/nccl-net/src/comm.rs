//! A communicator: messages to one peer or from one peer, moved by a thread of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::carrier::{Advance, Carrier, Sleep, Transfer, Wake};
use crate::error::{Error, Outcome, system};
use crate::log;
use crate::request::{Memory, REQUESTS, Request};

/// What NCCL holds. It is closed when it is dropped; only [`Comm::close`] waits for that.
#[derive(Debug)]
pub(crate) struct Comm {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The two ends are meeting.
    Opening,
    Open,
    Failed(Outcome),
    /// Whoever connected is no peer.
    Dismissed,
}

/// What NCCL's threads and the communicator's share.
#[derive(Debug)]
struct Shared {
    /// For the log.
    name: String,
    queue: Mutex<Queue>,
    wake: Wake,
    requests: [Request; REQUESTS],
}

#[derive(Debug)]
struct Queue {
    stage: Stage,
    closing: bool,
    work: VecDeque<Work>,
}

/// A request's number and its message.
#[derive(Debug)]
struct Work {
    request: usize,
    transfer: Transfer,
}

impl Comm {
    /// One that `meet` makes, in its own thread; there, it may block. After closing, what is under way has until `patience` has
    /// passed in which none of it arrived.
    pub(crate) fn open(
        name: String,
        patience: Duration,
        meet: impl FnOnce(&Wake) -> Result<Box<dyn Carrier>, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            name,
            queue: Mutex::new(Queue {
                stage: Stage::Opening,
                closing: false,
                work: VecDeque::new(),
            }),
            wake: Wake::new()?,
            requests: std::array::from_fn(|_| Request::default()),
        });
        let theirs = Arc::clone(&shared);
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| {
                let mut carrier = meet(&theirs.wake)?;
                theirs.queue().stage = Stage::Open;
                drive(&theirs, &mut *carrier, patience)
            }));
            if let Err(error) = ended.unwrap_or(Err(Error::Panic)) {
                theirs.fail(&error);
            }
        };
        let thread = thread::Builder::new()
            .name("longhaul-nccl".to_owned())
            .spawn(run)
            .map_err(system("start a thread"))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// How far it is.
    pub(crate) fn stage(&self) -> Stage {
        self.shared.queue().stage
    }

    /// Begins to move a message; `None` if too much is under way.
    pub(crate) fn begin(&self, memory: Memory) -> Result<Option<&Request>, Error> {
        let mut queue = self.shared.queue();
        if let Stage::Failed(outcome) = queue.stage {
            return Err(Error::Told(outcome));
        }
        let mut requests = self.shared.requests.iter().enumerate();
        let Some((number, request)) = requests.find(|(_, request)| request.take()) else {
            return Ok(None);
        };
        queue.work.push_back(Work {
            request: number,
            transfer: Transfer { memory, done: 0 },
        });
        drop(queue);
        self.shared.wake.up();
        Ok(Some(request))
    }

    /// Gives up what is not moved, lets what was sent arrive, and ends it. Its requests are no more.
    pub(crate) fn close(mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            // It catches its panics.
            let _ = thread.join();
        }
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// NCCL has done with it.
    fn end(&self) {
        self.queue().closing = true;
        self.wake.up();
    }

    fn fail(&self, error: &Error) {
        let mut queue = self.queue();
        let was_idle =
            queue.stage == Stage::Open && !self.requests.iter().any(Request::is_under_way);
        queue.stage = match error {
            Error::Stranger { .. } => Stage::Dismissed,
            error => Stage::Failed(error.outcome()),
        };
        queue.work.clear();
        let closing = queue.closing;
        drop(queue);
        for request in &self.requests {
            request.fail(error.outcome());
        }
        let text = format!("{}: {error}", self.name);
        match error {
            // One end is always the first.
            Error::PeerClosed if closing || was_idle => log::info(&text),
            Error::Stranger { .. } => log::info(&text),
            _ => log::warn(&text),
        }
    }
}

/// Moves messages until the end.
fn drive(shared: &Shared, carrier: &mut dyn Carrier, patience: Duration) -> Result<(), Error> {
    let mut current = None;
    let mut linger: Option<(u64, Instant)> = None;
    loop {
        carrier.turn()?;
        let moved = serve(shared, carrier, &mut current)?;
        if shared.queue().closing {
            let is_given_up = current.is_some() || !shared.queue().work.is_empty();
            let Some(arrived) = carrier.lingering().filter(|_| !is_given_up) else {
                return Ok(());
            };
            let (before, since) = *linger.get_or_insert((arrived, Instant::now()));
            if arrived != before {
                linger = None;
            } else if since.elapsed() > patience {
                return Err(Error::Undelivered(since.elapsed()));
            }
        }
        let sleep = if moved { Sleep::None } else { Sleep::Long };
        carrier.wait(&shared.wake, sleep)?;
    }
}

/// Moves what can be moved; tells whether anything was.
fn serve(
    shared: &Shared,
    carrier: &mut dyn Carrier,
    current: &mut Option<Work>,
) -> Result<bool, Error> {
    let mut moved = false;
    loop {
        if current.is_none() {
            *current = shared.queue().work.pop_front();
        }
        let Some(work) = current else {
            return Ok(moved);
        };
        match carrier.advance(&mut work.transfer)? {
            Advance::Blocked => return Ok(moved),
            Advance::Moved => {}
            Advance::Complete => {
                shared.requests[work.request].finish(work.transfer.done);
                *current = None;
            }
        }
        moved = true;
    }
}
