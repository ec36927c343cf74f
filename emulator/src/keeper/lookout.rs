//! The control socket of a run in a lab kernel. It answers from what the run posted last: nobody inside is asked, and so who
//! watches changes nothing of what comes out.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use longhaul_topologies::adjust::{Adjustment, Named};

use super::kept::Kept;
use super::links::{AdjustedChannel, LinkStatus, Refusal};
use super::reading::LabReading;
use super::server::Served;
use super::wire::LabDetail;
use crate::guest::Notice;
use crate::namespace::Namespace;

/// Answers `top` for a run in a lab kernel, on a thread of its own, until dropped.
#[derive(Debug)]
pub struct Lookout {
    _served: Served,
}

impl Lookout {
    /// Answers at `listener` for the guest whose shared folder is or will be `guest`. Starts a thread.
    pub(super) fn open(listener: UnixListener, guest: &Path) -> std::io::Result<Self> {
        let posted = Arc::new(Posted(Notice::of(guest)));
        Ok(Lookout {
            _served: Served::start(posted, listener)?,
        })
    }
}

/// What a run has posted.
struct Posted(Notice);

impl Kept for Posted {
    fn detail(&self) -> Result<LabDetail, Refusal> {
        Err(watched_only())
    }

    fn reading(&self) -> Result<LabReading, Refusal> {
        let engine = |error: &dyn std::error::Error| {
            Refusal::Engine(format!("what the lab told last cannot be read: {error}"))
        };
        match self.0.get().map_err(|error| engine(&error))? {
            Some(text) => serde_json::from_slice(&text).map_err(|error| engine(&error)),
            None => Err(Refusal::NotNow(
                "nothing was told yet: the lab kernel boots, or does something else than a run; try again shortly".to_owned(),
            )),
        }
    }

    fn namespace(&self, _: &str) -> Option<&Namespace> {
        None
    }

    fn links(&self, _: Option<&Named>) -> Result<Vec<LinkStatus>, Refusal> {
        Err(watched_only())
    }

    fn adjust(&self, _: &Adjustment) -> Result<Vec<AdjustedChannel>, Refusal> {
        Err(watched_only())
    }

    fn down(self) {}
}

/// Whatever would have to be asked inside.
fn watched_only() -> Refusal {
    Refusal::NotNow(
        "a run in a virtual lab can be watched with `longhaul top` and not be asked or changed, as its result follows from its \
         files alone: give its links a `schedule:`, or bring the topology up with `longhaul up --lab virtual`"
            .to_owned(),
    )
}
