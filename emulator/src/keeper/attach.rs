//! A lab that is up, measured from another process: its description and its gateways' networks.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use longhaul_topologies::{Topology, validate};
use nix::sched::{CloneFlags, setns};

use super::KeeperError;
use super::client::Connection;
use super::name::LabName;
use super::registry::Registry;
use crate::engine::EngineKind;
use crate::fidelity::Subject;
use crate::plan::{LabPlan, NodeKind};

/// What of a lab another process may use.
#[derive(Debug)]
pub struct Attached {
    engine: EngineKind,
    plan: LabPlan,
    /// The gateways' network namespaces, by name.
    networks: BTreeMap<String, OwnedFd>,
}

/// Gets hold of the lab's gateways. For a rootless lab this process moves into the lab's user namespace for good: only from there
/// may it enter the others.
///
/// Must be called while the process has a single thread.
///
/// # Errors
/// If there is no such lab, or it does not tell.
pub fn attach(lab: &LabName) -> Result<Attached, KeeperError> {
    let mut keeper = Connection::open(&Registry::open()?, lab)?;
    let engine = keeper.detail()?.engine;
    let spec = keeper.topology()?;
    // What is written out in full is validated to the same topology again.
    let topology = validate::written_out("the lab's topology", spec).map_err(|error| {
        KeeperError::lab("understand", lab, io::Error::other(error.to_string()))
    })?;
    let plan = LabPlan::new(topology);
    let mut networks = BTreeMap::new();
    let mut user = None;
    for node in plan
        .nodes
        .iter()
        .filter(|node| node.kind == NodeKind::Gateway)
    {
        let namespaces = keeper.namespaces(&node.name)?;
        networks.insert(node.name.clone(), namespaces.network);
        user = namespaces.user;
    }
    if let Some(user) = user {
        setns(user, CloneFlags::CLONE_NEWUSER)
            .map_err(|errno| KeeperError::lab("enter the user namespace of", lab, errno.into()))?;
    }
    Ok(Attached {
        engine,
        plan,
        networks,
    })
}

impl Attached {
    /// Its topology.
    pub fn topology(&self) -> &Topology {
        &self.plan.topology
    }

    /// The engine that carries its lanes.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Its channels.
    pub fn subjects(&self) -> Vec<Subject<'_>> {
        Subject::of_plan(&self.plan, self.engine, |node| -> BorrowedFd<'_> {
            self.networks[&self.plan.node(node).name].as_fd()
        })
    }
}
