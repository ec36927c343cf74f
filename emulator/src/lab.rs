//! A lab: a topology that is up.

mod congestion;
mod mounts;
mod processes;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use longhaul_topologies::Topology;
use longhaul_topologies::adjust::Adjustment;
use longhaul_topologies::model::Channel;
use longhaul_topologies::units::TimeSpan;

use self::mounts::{LabFolder, Overlay};
use crate::capability;
use crate::capture::Tap;
use crate::engine::{ChannelCounters, EngineChoice, EngineError, EngineKind, Lateness, LinkEngine};
use crate::kernel_law::{KernelLaw, KernelLawError};
use crate::links::{AdjustError, LinkChange, Links, Origin};
use crate::namespace::{Namespace, NamespaceFolder};
use crate::netem::{self, Netem};
use crate::plan::{ChannelId, Families, LabPlan, NodeId};
use crate::relay::Relay;
use crate::sandbox;
use crate::schedule::Player;
use crate::wiring::{Wiring, WiringError};

/// What a lab is brought up with, beside its topology.
#[derive(Clone, Debug, Default)]
pub struct LabOptions {
    /// Which link engine.
    pub engine: EngineChoice,
    /// Seeds everything random in the links.
    pub seed: u64,
    /// What kernel TCP uses in the hosts unless a program asks for another; the machine's default if absent.
    pub congestion_control: Option<String>,
}

/// A topology that is up. Lives in the lab process of a [`sandbox`]; dropping it takes it down.
///
/// A process may bring up one lab after another, but only one at a time: they share `/etc/hosts` and the keeper's
/// network namespace.
pub struct Lab {
    // In the order in which it is taken down, after the processes.
    /// What carries the lanes, and what it was told.
    links: Mutex<Links>,
    /// What lies outside the nodes' namespaces. Held to be dropped.
    _wiring: Wiring,
    /// One per node, in the plan's order.
    namespaces: Vec<Namespace>,
    /// `/etc/hosts` and its like. Held to be dropped.
    _overlays: Vec<Overlay>,
    /// The namespaces' names. Held to be dropped.
    _names: NamespaceFolder,
    /// The lab's own files.
    folder: LabFolder,
    /// What was built.
    plan: LabPlan,
    /// The kernel's `distance`, if it is asked for. Held to be dropped.
    _law: Option<KernelLaw>,
}

/// The counters of every channel, and the channels that are down.
pub(crate) type Observed = (Vec<(ChannelId, ChannelCounters)>, Vec<ChannelId>);

/// Why a lab did not come up.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The sandbox has no /proc of its own, and no namespace is found in another's.
    #[error("no lab can come up here: {}", sandbox::MASKED_PROC)]
    MaskedProc,
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
    /// The kernel does not have the law.
    #[error(transparent)]
    KernelLaw(#[from] KernelLawError),
    /// A congestion control cannot be what a host uses by default.
    #[error("cannot make `{name}` the congestion control of {host}: {source}")]
    CongestionControl {
        /// Which.
        name: String,
        /// Of which host.
        host: String,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl LabError {
    /// The way out, if there is one.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::KernelLaw(error) => Some(error.help()),
            Self::CongestionControl { name, source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some(format!(
                    "{}load it as root with `modprobe tcp_{name}`, or name one that the kernel has",
                    capability::in_doubt(name)
                )),
                _ => None,
            },
            Self::MaskedProc => Some(sandbox::MASKED_PROC_HELP.to_owned()),
            Self::Step { .. } | Self::Engine(_) => None,
        }
    }
}

impl Lab {
    /// Builds namespaces, wiring, links. Must be called inside a sandbox's lab process, within a tokio runtime; keeps its
    /// thread busy for some tenths of a second.
    ///
    /// # Errors
    /// If the kernel refuses a step; what was built until then is gone when this returns.
    ///
    /// # Panics
    /// Outside a sandbox: the lab's mounts would be everybody's.
    pub async fn up(topology: Topology, options: &LabOptions) -> Result<Self, LabError> {
        let sandbox = sandbox::current().expect("a lab comes up inside a sandbox");
        if !sandbox::has_own_proc() {
            return Err(LabError::MaskedProc);
        }
        let plan = LabPlan::new(topology);
        let plan = match capability::families() {
            Families::Both => plan,
            Families::Ipv4 => plan.without_ipv6(),
        };
        // Before anything is built: a schedule that the engine cannot carry out is told now, not when its time has come.
        let kind = choose_engine(&plan, options.engine)?;
        let law = KernelLaw::for_name(options.congestion_control.as_deref())?;
        let folder = LabFolder::create(&sandbox.folder).map_err(step("create the lab's folder"))?;
        let names = NamespaceFolder::mount(folder.path().join("netns"))
            .map_err(step("mount the folder of namespace names"))?;
        let namespaces = create_namespaces(&plan, &names)?;
        let overlays = lay_overlays(&plan, &folder, &names)?;
        let wiring = Wiring::build(&plan, &namespaces).await?;
        let engine: Box<dyn LinkEngine> = match kind {
            EngineKind::Netem => Box::new(Netem::attach(&plan, &namespaces, options.seed).await?),
            EngineKind::Relay => Box::new(Relay::attach(&plan, options.seed)?),
        };
        let lab = Self {
            links: Mutex::new(Links::new(engine, plan.topology.clone())),
            _wiring: wiring,
            namespaces,
            _overlays: overlays,
            _names: names,
            folder,
            plan,
            _law: law,
        };
        if let Some(name) = &options.congestion_control {
            lab.set_congestion_control(Some(name))?;
        }
        Ok(lab)
    }

    /// What was built.
    pub fn plan(&self) -> &LabPlan {
        &self.plan
    }

    /// The engine that carries the lanes.
    pub fn engine_kind(&self) -> EngineKind {
        self.links().engine().kind()
    }

    /// The namespaces of `node`.
    pub fn namespace(&self, node: NodeId) -> &Namespace {
        &self.namespaces[node.0]
    }

    /// Makes `name` what kernel TCP uses in the hosts unless a program asks for another; the machine's default without one.
    ///
    /// # Errors
    /// If the kernel does not have it.
    pub fn set_congestion_control(&self, name: Option<&str>) -> Result<(), LabError> {
        // The keeper's own namespace came up with the machine's.
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                congestion::of_machine().map_err(step("read the machine's congestion control"))?
            }
        };
        for host in self.plan.hosts() {
            congestion::set(self.namespace(host), &name).map_err(|source| {
                LabError::CongestionControl {
                    name: name.clone(),
                    host: self.plan.node(host).name.clone(),
                    source,
                }
            })?;
        }
        Ok(())
    }

    /// A command that will run inside `node`: its namespaces, host name, /etc/hosts, in a process group of its
    /// own, killed with the lab.
    pub fn command(&self, node: NodeId, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.namespace(node).enter_on_exec(&mut command);
        command
    }

    /// Ends every program in the lab's hosts, also those that left the process group they were started in. Blocking.
    ///
    /// # Errors
    /// If /proc cannot be read, or a process does not go.
    pub fn end_programs(&self) -> io::Result<()> {
        processes::end_all_in(&self.namespaces)
    }

    /// A private folder for the lab's own files; gone with the lab.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The counters of every channel. Blocking; not for async code.
    ///
    /// # Errors
    /// If the engine has died.
    pub fn counters(&self) -> Result<Vec<(ChannelId, ChannelCounters)>, EngineError> {
        self.links().engine().counters()
    }

    /// The same, and which channels carry nothing as their lane is down.
    pub(crate) fn observe(&self) -> Result<Observed, EngineError> {
        let mut links = self.links();
        let counters = links.engine().counters()?;
        Ok((counters, links.down()))
    }

    /// The topology with its channels as they are now; [`LabPlan::topology`] is what the lab came up as.
    pub fn topology_now(&self) -> Topology {
        self.links().now().clone()
    }

    /// Changes a live channel.
    ///
    /// # Errors
    /// If the engine cannot express it.
    pub fn set(&self, id: ChannelId, channel: &Channel) -> Result<(), EngineError> {
        let wanted = [(id, channel.clone())];
        self.links().set(&wanted, Origin::Manual, None).map(drop)
    }

    /// The same for the schedule, which had it at `due`.
    pub(crate) fn set_scheduled(
        &self,
        changes: &[(ChannelId, Channel)],
        due: Instant,
    ) -> Result<(), EngineError> {
        self.links()
            .set(changes, Origin::Scheduled, Some(due))
            .map(drop)
    }

    /// Lays settings over a live link, all of them or none; what changed. Blocking, as all that asks the engine.
    ///
    /// # Errors
    /// If a name or setting is wrong, or the engine cannot express what came of it; then nothing has changed.
    pub fn adjust(&self, adjustment: &Adjustment) -> Result<Vec<LinkChange>, AdjustError> {
        self.links().adjust(adjustment)
    }

    /// Makes every channel again what the lab came up with: takes back what schedules and hands have changed.
    ///
    /// # Errors
    /// If the engine has died.
    pub fn reset(&self) -> Result<(), EngineError> {
        self.links().reset(&self.plan.topology)
    }

    /// Tells of every change of a link from now on. There is one follower: whoever followed before is told no more.
    pub fn follow(&self) -> mpsc::Receiver<LinkChange> {
        self.links().follow()
    }

    /// A workload begins: traces of rates, delays and losses start again.
    ///
    /// # Errors
    /// If the engine has died.
    pub fn begin(&self) -> Result<(), EngineError> {
        self.links().engine().begin()
    }

    /// Shows the packets of channels to `taps` from now on, and to no others; the taps that it had before are dropped when this returns.
    /// Blocking.
    ///
    /// # Errors
    /// If the engine has died, or the kernel refuses it the packets.
    pub fn capture(&self, taps: Vec<Tap>) -> Result<(), EngineError> {
        self.links().engine().capture(&self.namespaces, taps)
    }

    /// What this machine denied the engine of what keeps it punctual, and what follows; in words.
    pub fn handicaps(&self) -> Vec<String> {
        self.links().engine().handicaps()
    }

    /// The engine's own lateness since this was last asked.
    pub fn lateness(&self) -> Option<Lateness> {
        self.links().engine().lateness()
    }

    /// Takes the lab down: ends every process in its hosts, stops the engine, lets the namespaces go.
    pub async fn down(self) {
        // Blocks for as long as killed processes take to end.
        if let Err(panic) = tokio::task::spawn_blocking(|| drop(self)).await {
            std::panic::resume_unwind(panic.into_panic());
        }
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        // An engine that panicked says so in its next answer; the lock adds nothing to that.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = processes::end_all_in(&self.namespaces) {
            tracing::warn!(%error, "a program in the lab outlives it until its sandbox ends");
        }
    }
}

impl From<WiringError> for LabError {
    fn from(WiringError { step, source }: WiringError) -> Self {
        Self::Step { step, source }
    }
}

/// One namespace per node, in the plan's order.
fn create_namespaces(plan: &LabPlan, names: &NamespaceFolder) -> Result<Vec<Namespace>, LabError> {
    let create = |name: &String| {
        Namespace::create(names, name).map_err(step(format!("create the namespaces of {name}")))
    };
    plan.nodes.iter().map(|node| create(&node.name)).collect()
}

/// The lab's own /etc/hosts, no DNS, and its namespaces for `ip netns`.
fn lay_overlays(
    plan: &LabPlan,
    folder: &LabFolder,
    names: &NamespaceFolder,
) -> Result<Vec<Overlay>, LabError> {
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, plan.hosts_file()).map_err(step("write the hosts file"))?;
    let resolver = folder.path().join("resolv.conf");
    // No server is within reach of a host; one that is asked in vain costs ten seconds.
    fs::write(&resolver, "").map_err(step("write resolv.conf"))?;
    let mut overlays = Vec::new();
    for (source, target, loss) in [
        (
            &*hosts,
            "/etc/hosts",
            "programs in the lab cannot look up its names",
        ),
        (
            &*resolver,
            "/etc/resolv.conf",
            "programs in the lab may wait for a name server",
        ),
        (
            names.path(),
            "/run/netns",
            "`ip netns` does not show the lab's namespaces",
        ),
    ] {
        match Overlay::lay(source, target)
            .map_err(step(format!("lay the lab's own over {target}")))?
        {
            Some(overlay) => overlays.push(overlay),
            None => tracing::info!("{target} does not exist on this machine: {loss}"),
        }
    }
    Ok(overlays)
}

/// The engine that is asked for; for `auto`, netem unless something speaks against it.
fn choose_engine(plan: &LabPlan, choice: EngineChoice) -> Result<EngineKind, EngineError> {
    match choice {
        EngineChoice::Netem => {
            netem::available().map_err(|missing| EngineError::Missing {
                remedy: capability::module_remedy(missing.module, missing.option),
                reason: missing.reason,
            })?;
            netem_expresses(plan, netem::expressible).map_err(|what| {
                EngineError::Inexpressible {
                    engine: EngineKind::Netem,
                    what,
                }
            })?;
            Ok(EngineKind::Netem)
        }
        EngineChoice::Relay => Ok(EngineKind::Relay),
        EngineChoice::Auto => {
            let can = netem::available()
                .map_err(|missing| missing.reason)
                .and_then(|()| netem_expresses(plan, netem::expressible));
            Ok(match can {
                Ok(()) => EngineKind::Netem,
                Err(reason) => {
                    tracing::info!("the relay carries the links: {reason}");
                    EngineKind::Relay
                }
            })
        }
    }
}

/// Whether `expressible` holds for every channel of `plan`, and for all that its schedules make of them; if not, of which, and why.
fn netem_expresses(
    plan: &LabPlan,
    expressible: impl Fn(&Channel) -> Result<(), String>,
) -> Result<(), String> {
    netem::spreads(&plan.topology)?;
    for lane in &plan.lanes {
        for channel in [&lane.forward, &lane.reverse] {
            expressible(channel)?;
        }
    }
    let mut player = Player::new(&plan.topology);
    while let Some(due) = player.due(std::time::Duration::MAX) {
        expressible(due.channel).map_err(|reason| {
            let (name, at) = (plan.channel_name(due.id), TimeSpan::from(due.at));
            format!("what is scheduled for {name} at {at}: {reason}")
        })?;
    }
    Ok(())
}

fn step(step: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
    move |source| LabError::Step {
        step: step.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::{Document, validate};

    use super::*;

    #[test]
    fn a_schedule_that_netem_cannot_carry_out_is_named() {
        let text = "
name: lab
sites: [{name: a}, {name: b}]
links:
  - between: [a, b]
    rtt: 20ms
    schedule: [{at: 1s, delay: 20ms}, {at: 2s, direction: reverse, reordering: {chance: 1%}}]
";
        let topology = validate::topology(&Document::from_text("lab.yaml", text).unwrap()).unwrap();
        let plan = LabPlan::new(topology);
        let no_reordering = |channel: &Channel| match channel.reordering {
            Some(_) => Err("reordering".to_owned()),
            None => Ok(()),
        };
        assert_eq!(
            netem_expresses(&plan, no_reordering),
            Err("what is scheduled for b>a lane 0 at 2s: reordering".to_owned())
        );
        assert_eq!(netem_expresses(&plan, |_| Ok(())), Ok(()));
    }
}
