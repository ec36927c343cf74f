//! The control socket of a run: its labs come and go, and while a workload runs on one, its links can be shown and set.
//!
//! In a lab kernel nobody comes to it, and what it would say is posted for those outside (see super::lookout).

use std::fmt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use longhaul_topologies::adjust::{Adjustment, Named};

use super::kept::{self, Kept};
use super::links::{self, AdjustedChannel, LinkStatus, Refusal};
use super::reading::{self, Course, LabReading, RunStatus};
use super::server::Served;
use super::wire::LabDetail;
use crate::guest::Notice;
use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::plan::LabPlan;
use crate::telemetry::Reading;

/// Answers `status`, `link show`, `link set` and `top` for a run, on a thread of its own, until dropped.
pub struct Desk {
    counter: Arc<Counter>,
    /// In a lab kernel alone.
    notice: Option<Notice>,
    _served: Served,
}

struct Counter {
    /// Why there is no lab to be talked about, where there is none.
    absent: &'static str,
    /// The lab that is talked about; its lock is held for as long as somebody does.
    lab: RwLock<Option<Arc<Lab>>>,
    /// Machines that are there, in its place.
    there: Mutex<Option<There>>,
    course: Course,
}

/// Machines that are there.
struct There {
    plan: LabPlan,
    /// What was last sampled of them.
    last: Option<LabReading>,
}

/// While it lives, a desk talks about a lab.
pub struct Attended {
    desk: Arc<Desk>,
}

impl Desk {
    /// Starts to answer at `listener`. Inside the sandbox: this starts a thread.
    pub(super) fn open(listener: UnixListener) -> std::io::Result<Self> {
        Self::start(
            listener,
            "no workload runs at the moment: the run is building, measuring or summing up; try again shortly",
        )
    }

    /// The same for a run on machines that are there: it tells how far that is.
    pub(super) fn open_there(listener: UnixListener) -> std::io::Result<Self> {
        Self::start(
            listener,
            "a physical lab: its links cannot be changed, and between workloads nothing is sampled of them",
        )
    }

    fn start(listener: UnixListener, absent: &'static str) -> std::io::Result<Self> {
        let counter = Arc::new(Counter {
            absent,
            lab: RwLock::default(),
            there: Mutex::default(),
            course: Course::default(),
        });
        Ok(Desk {
            _served: Served::start(Arc::clone(&counter), listener)?,
            notice: Notice::inside(),
            counter,
        })
    }

    /// Has `tell` say how far the run is.
    pub fn tell(&self, tell: impl FnOnce(&mut RunStatus)) {
        self.counter.course.tell(tell);
        self.post_course();
    }

    /// Talks about `lab` for as long as the answer lives. Dropping that waits for whoever is talking.
    pub fn attend(self: &Arc<Self>, lab: Arc<Lab>) -> Attended {
        self.counter.put(Some(lab));
        Attended {
            desk: Arc::clone(self),
        }
    }

    /// Talks about the machines of `plan`, by what is sampled of them, for as long as the answer lives.
    pub fn attend_there(self: &Arc<Self>, plan: LabPlan) -> Attended {
        *self.counter.there() = Some(There { plan, last: None });
        Attended {
            desk: Arc::clone(self),
        }
    }

    /// Tells what was sampled of machines that are there; posts what was of a lab, in a lab kernel.
    pub fn sampled(&self, sample: &Reading) {
        if let Some(There { plan, last }) = &mut *self.counter.there() {
            *last = Some(reading::there(plan, sample));
        }
        self.post(|counter| {
            let reading = counter.ask(|lab| Ok(reading::sampled(lab, sample)));
            reading.ok().map(|reading| counter.of_run(reading))
        });
    }

    /// Posts how far the run is, in a lab kernel, while there is no lab to be sampled.
    fn post_course(&self) {
        self.post(|counter| match counter.ask(|_| Ok(())) {
            Err(Refusal::NotNow(why)) => Some(reading::idle(counter.course.now(), why)),
            _ => None,
        });
    }

    fn post(&self, read: impl FnOnce(&Counter) -> Option<LabReading>) {
        if let Some(notice) = &self.notice
            && let Some(reading) = read(&self.counter)
        {
            let text = serde_json::to_vec(&reading).expect("readings are plain");
            // Those outside who do not hear of it have the result in the end.
            let _ = notice.put(&text);
        }
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.desk.counter.put(None);
        *self.desk.counter.there() = None;
        self.desk.post_course();
    }
}

impl Counter {
    fn put(&self, lab: Option<Arc<Lab>>) {
        *self.lab.write().unwrap_or_else(PoisonError::into_inner) = lab;
    }

    fn there(&self) -> MutexGuard<'_, Option<There>> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `reading`, with how far the run is.
    fn of_run(&self, reading: LabReading) -> LabReading {
        LabReading {
            run: Some(self.course.now()),
            ..reading
        }
    }

    fn ask<T>(&self, ask: impl FnOnce(&Lab) -> Result<T, Refusal>) -> Result<T, Refusal> {
        match &*self.lab.read().unwrap_or_else(PoisonError::into_inner) {
            Some(lab) => ask(lab),
            None => Err(Refusal::NotNow(self.absent.to_owned())),
        }
    }
}

impl Kept for Counter {
    fn detail(&self) -> Result<LabDetail, Refusal> {
        self.ask(kept::detail)
    }

    /// Between workloads, too: then there is its course alone.
    fn reading(&self) -> Result<LabReading, Refusal> {
        let there = self.there().as_ref().and_then(|there| there.last.clone());
        if let Some(reading) = there {
            return Ok(self.of_run(reading));
        }
        match self.ask(reading::read) {
            Ok(reading) => Ok(self.of_run(reading)),
            Err(Refusal::NotNow(why)) => Ok(reading::idle(self.course.now(), why)),
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
