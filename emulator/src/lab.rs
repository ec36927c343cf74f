//! A lab: a topology that is up.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use longhaul_topologies::Topology;
use longhaul_topologies::model::Channel;

use crate::engine::{ChannelCounters, EngineChoice, EngineError, EngineKind, Lateness};
use crate::namespace::Namespace;
use crate::plan::{ChannelId, LabPlan, NodeId};

/// What a lab is brought up with, beside its topology.
#[derive(Clone, Debug, Default)]
pub struct LabOptions {
    /// Which link engine.
    pub engine: EngineChoice,
    /// Seeds everything random in the links.
    pub seed: u64,
}

/// A topology that is up. Lives in the lab process of a [`sandbox`](crate::sandbox); dropping it takes it down.
pub struct Lab {
    /// What was built.
    plan: LabPlan,
    /// One per node, in the plan's order.
    namespaces: Vec<Namespace>,
    /// A private folder (tmpfs) for the lab's own files: hosts file, sockets, logs.
    folder: PathBuf,
}

/// Why a lab did not come up.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A step failed; the message says on which node or interface.
    #[error("cannot {step}: {source}")]
    Step {
        /// What was attempted, on what.
        step: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The link engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Lab {
    /// Builds namespaces, wiring, links. Must be called inside a sandbox's lab process, within a tokio runtime.
    ///
    /// # Errors
    /// If the kernel refuses a step; what was built until then is gone when this returns.
    pub async fn up(topology: Topology, options: &LabOptions) -> Result<Self, LabError> {
        let _ = (topology, options);
        unimplemented!()
    }

    /// What was built.
    pub fn plan(&self) -> &LabPlan {
        &self.plan
    }

    /// The engine that carries the lanes.
    pub fn engine_kind(&self) -> EngineKind {
        unimplemented!()
    }

    /// The namespaces of `node`.
    pub fn namespace(&self, node: NodeId) -> &Namespace {
        &self.namespaces[node.0]
    }

    /// A command that will run inside `node`: its namespaces, host name, /etc/hosts, in a process group of its
    /// own, killed with the lab.
    pub fn command(&self, node: NodeId, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.namespace(node).enter_on_exec(&mut command);
        command
    }

    /// A private folder for the lab's own files; gone with the lab.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// The counters of every channel. Blocking; not for async code.
    ///
    /// # Errors
    /// If the engine has died.
    pub fn counters(&self) -> Result<Vec<(ChannelId, ChannelCounters)>, EngineError> {
        unimplemented!()
    }

    /// Changes a live channel.
    ///
    /// # Errors
    /// If the engine cannot express it.
    pub fn set(&self, id: ChannelId, channel: &Channel) -> Result<(), EngineError> {
        let _ = (id, channel);
        unimplemented!()
    }

    /// The engine's own lateness so far.
    pub fn lateness(&self) -> Option<Lateness> {
        unimplemented!()
    }

    /// Takes the lab down: ends every process in its hosts, stops the engine, lets the namespaces go.
    pub async fn down(self) {
        unimplemented!()
    }
}
