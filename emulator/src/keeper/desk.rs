//! The control socket of a run: its labs come and go, and while a workload runs on one, its links can be shown and set.

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use longhaul_topologies::adjust::{Adjustment, Named};
use nix::sys::eventfd::EventFd;

use super::kept::{self, Kept};
use super::links::{self, AdjustedChannel, LinkStatus, Refusal};
use super::reading::{self, Course, LabReading, RunStatus};
use super::server;
use super::wire::LabDetail;
use crate::lab::Lab;
use crate::namespace::Namespace;

/// Answers `status`, `link show`, `link set` and `top` for a run, on a thread of its own, until dropped.
pub struct Desk {
    counter: Arc<Counter>,
    end: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counter {
    /// The lab that is talked about; its lock is held for as long as somebody does.
    lab: RwLock<Option<Arc<Lab>>>,
    course: Course,
}

/// While it lives, a desk talks about a lab.
pub struct Attended {
    desk: Arc<Desk>,
}

impl Desk {
    /// Starts to answer at `listener`. Inside the sandbox: this starts a thread.
    pub(super) fn open(listener: UnixListener) -> std::io::Result<Self> {
        let counter = Arc::<Counter>::default();
        let end = Arc::new(EventFd::new()?);
        let thread = {
            let (counter, end) = (Arc::clone(&counter), Arc::clone(&end));
            let serve = move || {
                if let Err(error) = server::serve(&*counter, &listener, &[end.as_fd()]) {
                    tracing::warn!(%error, "the run takes no commands any more");
                }
            };
            std::thread::Builder::new()
                .name("desk".into())
                .spawn(serve)?
        };
        Ok(Desk {
            counter,
            end,
            thread: Some(thread),
        })
    }

    /// Has `tell` say how far the run is.
    pub fn tell(&self, tell: impl FnOnce(&mut RunStatus)) {
        self.counter.course.tell(tell);
    }

    /// Talks about `lab` for as long as the answer lives. Dropping that waits for whoever is talking.
    pub fn attend(self: &Arc<Self>, lab: Arc<Lab>) -> Attended {
        self.counter.put(Some(lab));
        Attended {
            desk: Arc::clone(self),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // An eventfd takes 2^64 − 2 of them.
        let _ = self.end.write(1);
        if let Some(thread) = self.thread.take() {
            // If it has panicked, it has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.desk.counter.put(None);
    }
}

impl Counter {
    fn put(&self, lab: Option<Arc<Lab>>) {
        *self.lab.write().unwrap_or_else(PoisonError::into_inner) = lab;
    }

    fn ask<T>(&self, ask: impl FnOnce(&Lab) -> Result<T, Refusal>) -> Result<T, Refusal> {
        match &*self.lab.read().unwrap_or_else(PoisonError::into_inner) {
            Some(lab) => ask(lab),
            None => Err(Refusal::NotNow(
                "no workload runs at the moment: the run is building, measuring or summing up; try again shortly".to_owned(),
            )),
        }
    }
}

impl Kept for Counter {
    fn detail(&self) -> Result<LabDetail, Refusal> {
        self.ask(kept::detail)
    }

    /// Between workloads, too: then there is its course alone.
    fn reading(&self) -> Result<LabReading, Refusal> {
        let run = self.course.now();
        match self.ask(reading::read) {
            Ok(reading) => Ok(LabReading {
                run: Some(run),
                ..reading
            }),
            Err(Refusal::NotNow(why)) => Ok(reading::idle(run, why)),
            Err(refusal) => Err(refusal),
        }
    }

    /// A run's own programs are measured: there is no way in for others (the client does not ask).
    fn namespace(&self, _: &str) -> Option<&Namespace> {
        None
    }

    fn links(&self, link: Option<&Named>) -> Result<Vec<LinkStatus>, Refusal> {
        self.ask(|lab| links::show(lab, link))
    }

    fn adjust(&self, adjustment: &Adjustment) -> Result<Vec<AdjustedChannel>, Refusal> {
        self.ask(|lab| links::adjust(lab, adjustment))
    }

    fn down(self) {}
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
