//! A physical lab: machines that answer, and the ways between them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use longhaul_topologies::inventory::{Inventory, Launch};
use longhaul_topologies::model::SiteId;
use serde_json::Value;

use super::clock::Distance;
use super::connection::{Connection, Ours};
use super::error::PhysicalError;
use super::launch::Launcher;
use super::protocol::{Interface, Reply, Request};
use super::{digest, now_ns, paths};
use crate::fidelity::Measured;
use crate::plan::{LabPlan, NodeId};

/// Exchanges by which clocks are compared before anything is measured.
const CLOCK_ROUNDS: usize = 8;

/// What Slurm sets in a job (sbatch(1), salloc(1)), so that srun makes steps of it.
const IN_A_JOB: &str = "SLURM_JOB_ID";

/// Machines that are ready. They are let go when it is dropped; nothing was changed on them but the user's cache.
#[derive(Debug)]
pub struct PhysicalLab {
    inventory: Inventory,
    /// Names its hosts and channels as every lab does. Its addresses are those of a lab that would be built: nobody has them.
    plan: LabPlan,
    hosts: Vec<Reached>,
    /// Tells datagrams from strangers', and from those of other orders.
    nonce: AtomicU16,
}

/// A machine of it.
#[derive(Debug)]
struct Reached {
    name: String,
    site: SiteId,
    launcher: Launcher,
    is_this_machine: bool,
    /// Where it is probed.
    probed: SocketAddr,
    interface: Interface,
    congestion_controls: Vec<String>,
    machine: Value,
    connection: Mutex<Connection>,
}

impl PhysicalLab {
    /// Reaches every machine of `inventory`, puts `executable` (this longhaul) there if need be, and compares the clocks. Keeps what
    /// launchers need in `folder`, which is private and there. Blocks for some seconds.
    ///
    /// # Errors
    /// If one is not reached, or cannot be used.
    pub fn reach(
        inventory: Inventory,
        executable: &Path,
        folder: &Path,
    ) -> Result<Self, PhysicalError> {
        let digest = digest(executable).map_err(|source| PhysicalError::System {
            step: format!("read {}", executable.display()),
            source,
        })?;
        let executable = real(executable);
        let ours = Ours {
            executable: &executable,
            digest: &digest,
        };
        let reach = |host| reach(host, &ours, folder);
        let hosts = thread::scope(|scope| {
            let reach = &reach;
            let started: Vec<_> = inventory
                .hosts
                .iter()
                .map(|host| scope.spawn(move || reach(host)))
                .collect();
            let reached = started.into_iter().map(|one| {
                one.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            // All are waited for, so that none is left half-reached.
            reached.collect::<Vec<_>>()
        });
        let hosts: Vec<Reached> = hosts.into_iter().collect::<Result<_, _>>()?;
        one_family(&hosts)?;
        let lab = Self {
            plan: LabPlan::new(inventory.topology.clone()),
            inventory,
            hosts,
            nonce: AtomicU16::new(nonce()),
        };
        for _ in 0..CLOCK_ROUNDS {
            lab.compare_clocks()?;
        }
        Ok(lab)
    }

    /// What there is, in the words of every lab: sites, hosts, links.
    pub fn plan(&self) -> &LabPlan {
        &self.plan
    }

    /// What it was made from.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Measures the ways between sites that have a link, and holds them against what the inventory says of it. Blocks for some
    /// seconds.
    ///
    /// Where the inventory says nothing, what was measured is told, and stands in for a description from then on.
    ///
    /// # Errors
    /// If a machine stops answering.
    pub fn measure(&mut self) -> Result<Measured, PhysicalError> {
        let found = paths::measure(self)?;
        for (id, delay) in found.delays {
            let link = &mut self.inventory.topology.links[id.link.0];
            for lane in &mut link.lanes {
                lane.channel_mut(id.direction).delay = delay;
            }
        }
        self.plan = LabPlan::new(self.inventory.topology.clone());
        Ok(found.measured)
    }

    /// The command that starts a rank on the host `name`, with its standard input and output as the only tie to it.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn rank_command(&self, name: &str) -> Command {
        self.host(name).launcher.further("__rank")
    }

    /// The address that the data of host `name` go by.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn address(&self, name: &str) -> std::net::IpAddr {
        self.host(name).probed.ip()
    }

    /// Whether the host `name` is this machine, and so has its clock.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn is_this_machine(&self, name: &str) -> bool {
        self.host(name).is_this_machine
    }

    /// Every host, what kind of machine it says it is, and the interface of its data.
    pub fn machines(&self) -> impl Iterator<Item = (&str, &Value, &Interface)> {
        self.hosts
            .iter()
            .map(|host| (host.name.as_str(), &host.machine, &host.interface))
    }

    /// Checks that every host's kernel has `name`.
    ///
    /// # Errors
    /// Which has not. One that the kernel would load when asked counts as missing: only root's asking does.
    pub fn check_congestion_control(&self, name: &str) -> Result<(), PhysicalError> {
        let lacks = |host: &&Reached| !host.congestion_controls.iter().any(|known| known == name);
        match self.hosts.iter().find(lacks) {
            None => Ok(()),
            Some(host) => Err(PhysicalError::CongestionControl {
                host: host.name.clone(),
                name: name.to_owned(),
            }),
        }
    }

    /// How far off from each other the clocks of two hosts may be as they are told.
    pub(super) fn clocks_apart(&self, one: usize, other: usize) -> Duration {
        let distances = self.distances();
        distances[one].uncertainty + distances[other].uncertainty
    }

    fn host(&self, name: &str) -> &Reached {
        let host = self.hosts.iter().find(|host| host.name == name);
        host.unwrap_or_else(|| panic!("no host {name}"))
    }

    /// The hosts by number, in the plan's order.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        let node = |host: &Reached| {
            let node = self.plan.node_named(&host.name);
            node.expect("every host of the inventory is in its plan")
        };
        self.hosts.iter().map(node).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.hosts.len()
    }

    /// The number of a site's first host: what speaks for the site.
    pub(super) fn first_of(&self, site: SiteId) -> usize {
        let first = self.hosts.iter().position(|host| host.site == site);
        first.expect("every site has a host")
    }

    pub(super) fn probed(&self, host: usize) -> SocketAddr {
        self.hosts[host].probed
    }

    /// A number for the datagrams of an order, which none before had; not 0, which stands for no order.
    pub(super) fn nonce(&self) -> u16 {
        loop {
            match self.nonce.fetch_add(1, Ordering::Relaxed) {
                0 => {}
                nonce => return nonce,
            }
        }
    }

    /// How far each host's clock is from this machine's.
    pub(super) fn distances(&self) -> Vec<Distance> {
        let now = now_ns();
        let distance = |host: &Reached| match host.is_this_machine {
            true => Distance::default(),
            false => connection(host).clock.distance(now).unwrap_or_default(),
        };
        self.hosts.iter().map(distance).collect()
    }

    /// Asks every host at once.
    pub(super) fn ask_all(
        &self,
        step: &str,
        request: impl Fn(usize) -> Request,
    ) -> Result<Vec<Reply>, PhysicalError> {
        let mut connections: Vec<_> = self.hosts.iter().map(connection).collect();
        for (number, connection) in connections.iter_mut().enumerate() {
            connection.send(&request(number), step)?;
        }
        connections
            .iter_mut()
            .map(|connection| connection.answer(step, Duration::ZERO))
            .collect()
    }

    /// Asks one host, which may take `extra` for it.
    pub(super) fn ask(
        &self,
        host: usize,
        step: &str,
        request: &Request,
        extra: Duration,
    ) -> Result<Reply, PhysicalError> {
        connection(&self.hosts[host]).ask(request, step, extra)
    }

    /// The error for an answer of `host` that does not belong to its question.
    pub(super) fn foreign(&self, host: usize, reply: &Reply) -> PhysicalError {
        connection(&self.hosts[host]).foreign(&format!("{reply:?}"))
    }

    pub(super) fn compare_clocks(&self) -> Result<(), PhysicalError> {
        thread::scope(|scope| {
            let others = self.hosts.iter().filter(|host| !host.is_this_machine);
            let asked: Vec<_> = others
                .map(|host| scope.spawn(|| connection(host).compare_clocks()))
                .collect();
            asked.into_iter().try_for_each(|one| {
                one.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }
}

fn connection(host: &Reached) -> MutexGuard<'_, Connection> {
    host.connection
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

fn reach(
    host: &longhaul_topologies::inventory::Host,
    ours: &Ours<'_>,
    folder: &Path,
) -> Result<Reached, PhysicalError> {
    if let Launch::Srun(srun) = &host.launch
        && srun.job.is_none()
        && std::env::var_os(IN_A_JOB).is_none()
    {
        let host = host.name.clone();
        return Err(PhysicalError::NoJob { host });
    }
    let launcher = Launcher::new(host, ours.digest, ours.executable, folder);
    let (mut connection, machine) = Connection::open(&host.name, &launcher, ours)?;
    let open = Request::Open {
        data: host.data.clone(),
    };
    match connection.ask(&open, "make ready to be probed", Duration::ZERO)? {
        Reply::Ready {
            address,
            interface,
            congestion_controls,
        } => Ok(Reached {
            name: host.name.clone(),
            site: host.site,
            launcher,
            is_this_machine: host.launch == Launch::Local,
            probed: address,
            interface,
            congestion_controls,
            machine,
            connection: Mutex::new(connection),
        }),
        other => Err(connection.foreign(&format!("{other:?}"))),
    }
}

/// All addresses have to be of one family.
fn one_family(hosts: &[Reached]) -> Result<(), PhysicalError> {
    let families: BTreeSet<bool> = hosts.iter().map(|host| host.probed.is_ipv4()).collect();
    let of = |ipv4: bool| hosts.iter().find(|host| host.probed.is_ipv4() == ipv4);
    match (families.len(), of(true), of(false)) {
        (2, Some(first), Some(second)) => Err(PhysicalError::Families {
            first: first.name.clone(),
            first_address: first.probed.ip(),
            second: second.name.clone(),
            second_address: second.probed.ip(),
        }),
        _ => Ok(()),
    }
}

/// Where a file really is: others that are started do not have this process's view of /proc/self.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A number that strangers on the network do not know.
fn nonce() -> u16 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u16
}
