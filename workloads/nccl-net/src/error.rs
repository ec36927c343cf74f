//! What can go wrong, and which of NCCL's results that is.

use std::ffi::c_int;
use std::io;
use std::time::Duration;

use longhaul_workloads::QueuePairError;

use crate::settings::SettingError;

/// NCCL's `ncclResult_t`, as far as a plugin answers with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Outcome {
    Success = 0,
    SystemError = 2,
    InternalError = 3,
    InvalidArgument = 4,
    InvalidUsage = 5,
    RemoteError = 6,
}

impl From<Outcome> for c_int {
    fn from(outcome: Outcome) -> Self {
        outcome as Self
    }
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(
        "no interface is up with an address that NCCL_SOCKET_IFNAME and NCCL_SOCKET_FAMILY let pass: there are {0}"
    )]
    NoInterface(String),
    #[error("cannot {step}: {source}")]
    System { step: String, source: io::Error },
    #[error("{0}: NCCL's versions of this plugin may differ between the hosts")]
    Argument(&'static str),
    #[error("the plugin was not initialised, or failed to be")]
    NotInitialised,
    #[error("{0} got {1} B, more than the {2} B it was asked for")]
    TooLong(&'static str, usize, usize),
    #[error(
        "the peer at {peer} does not greet as this plugin does: see that both hosts have the same version of it"
    )]
    Stranger { peer: String },
    #[error("the peer has closed its end, or its process has ended")]
    PeerClosed,
    #[error("lost the peer: {0}")]
    PeerLost(io::Error),
    #[error("what was sent last did not arrive within {:.1} s of closing", .0.as_secs_f64())]
    Undelivered(Duration),
    #[error(transparent)]
    QueuePair(#[from] QueuePairError),
    /// Told already; NCCL asks again and gets the same answer.
    #[error("failed before")]
    Told(Outcome),
    #[error("a panic, which is a bug of the plugin")]
    Panic,
}

impl Error {
    /// What NCCL is told.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Setting(_) | Self::NotInitialised | Self::TooLong(..) => Outcome::InvalidUsage,
            Self::NoInterface(_) | Self::System { .. } => Outcome::SystemError,
            Self::Argument(_) => Outcome::InvalidArgument,
            Self::Stranger { .. } | Self::PeerClosed | Self::PeerLost(_) | Self::Undelivered(_) => {
                Outcome::RemoteError
            }
            Self::QueuePair(QueuePairError::System { .. }) => Outcome::SystemError,
            Self::QueuePair(_) => Outcome::RemoteError,
            Self::Told(outcome) => *outcome,
            Self::Panic => Outcome::InternalError,
        }
    }
}

/// The system refused `step`.
pub(crate) fn system(step: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System {
        step: step.into(),
        source,
    }
}
