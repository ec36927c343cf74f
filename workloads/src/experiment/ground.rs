//! What points run on: a lab that was built here, or machines that are there; and what is sampled of either meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use longhaul_emulator::engine::EngineError;
use longhaul_emulator::fidelity::{Fidelity, FidelityCheck, Watch};
use longhaul_emulator::lab::Lab;
use longhaul_emulator::links::LinkChange;
use longhaul_emulator::physical::probing::Probing;
use longhaul_emulator::physical::{Interface, PhysicalLab};
use longhaul_emulator::plan::{LabPlan, NodeKind};
use longhaul_emulator::probe::{ProbePath, ProbeSample, Prober};
use longhaul_emulator::telemetry::{Reading, Sampler};
use longhaul_reports::result::{HostMachine, Machine, NetworkInterface};
use longhaul_topologies::model::SiteId;

use super::error::RunError;
use super::points::{Experiment, PointPlan, RankPlace};
use super::runner::RunOptions;
use crate::world::{RankClock, RankSpec};

/// What points run on.
#[derive(Clone)]
pub(super) enum Ground {
    /// A lab of namespaces and links.
    Built(Arc<Lab>),
    /// Machines, which stay as they are.
    There(Arc<PhysicalLab>),
}

/// What samples it while a workload runs.
pub(super) enum Meters {
    Built {
        prober: Prober,
        sampler: Sampler,
        watch: Watch,
    },
    There(Probing),
}

/// What a run is judged by beside its checks.
pub(super) enum Witness {
    /// Of the engine and this machine's CPU.
    Built(Watch),
    /// How busy the busiest machine was, 0–1.
    There(f64),
}

impl Ground {
    pub(super) fn plan(&self) -> &LabPlan {
        match self {
            Self::Built(lab) => lab.plan(),
            Self::There(lab) => lab.plan(),
        }
    }

    /// Takes back what a point has changed.
    pub(super) async fn reset(&self) -> Result<(), RunError> {
        match self {
            Self::Built(lab) => on_a_thread(lab, Lab::reset).await,
            Self::There(_) => Ok(()),
        }
    }

    /// Tells of every change of a link from now on.
    pub(super) fn follow(&self) -> mpsc::Receiver<LinkChange> {
        match self {
            Self::Built(lab) => lab.follow(),
            // Nobody ever tells.
            Self::There(_) => mpsc::channel().1,
        }
    }

    /// A rank in its place, to be started.
    pub(super) fn rank(&self, place: RankPlace, options: &RunOptions) -> RankSpec {
        let topology = &self.plan().topology;
        let host = place.host_name(topology);
        let line_rate = topology.site(place.site).fabric.rate;
        let (address, command, clock) = match self {
            Self::Built(lab) => {
                let node = lab.plan().node_named(&host);
                let node = node.expect("every host of the topology is in its plan");
                let mut command = lab.command(node, &options.executable);
                command.arg("__rank");
                let address = lab.plan().node(node).ipv4.into();
                (address, command, RankClock::Ours)
            }
            Self::There(lab) => {
                let command = lab.rank_command(&host);
                let clock = match lab.is_this_machine(&host) {
                    true => RankClock::Ours,
                    false => RankClock::Theirs,
                };
                (lab.address(&host), command, clock)
            }
        };
        RankSpec {
            host,
            site: place.site.0,
            address,
            command,
            clock,
            line_rate,
        }
    }

    /// Begins to sample it; `paths` are probed as `point` says, by packets that say of ECN what its data says.
    pub(super) async fn meters(
        &self,
        experiment: &Experiment,
        point: &PointPlan,
        paths: &[(SiteId, SiteId)],
    ) -> Result<Meters, RunError> {
        let (interval, ecn) = (point.probe_interval, point.stack.ecn_field());
        match self {
            Self::Built(lab) => {
                let watch = on_a_thread(lab, Watch::start).await?;
                let prober = Prober::start(lab, &probe_paths(lab.plan(), paths), interval, ecn)?;
                let (sampled, period) = (Arc::clone(lab), experiment.telemetry_period);
                let sampler =
                    tokio::task::spawn_blocking(move || Sampler::start(sampled, period)).await??;
                Ok(Meters::Built {
                    prober,
                    sampler,
                    watch,
                })
            }
            Self::There(lab) => {
                let (lab, paths) = (Arc::clone(lab), paths.to_owned());
                let start = move || Probing::start(lab, &paths, interval, ecn);
                Ok(Meters::There(tokio::task::spawn_blocking(start).await??))
            }
        }
    }

    /// Judges a run by the `checks` made before it and what was seen meanwhile.
    pub(super) async fn judge(
        &self,
        witness: Witness,
        checks: Vec<FidelityCheck>,
    ) -> Result<Fidelity, RunError> {
        match (self, witness) {
            (Self::Built(lab), Witness::Built(watch)) => {
                on_a_thread(lab, move |lab| watch.finish(lab, checks)).await
            }
            (_, Witness::There(cpu_use)) => Ok(Fidelity::of_machines(checks, cpu_use)),
            (Self::There(_), Witness::Built(_)) => unreachable!("each has a witness of its own"),
        }
    }

    /// The machines, where there are several.
    pub(super) fn machines(&self) -> BTreeMap<String, HostMachine> {
        let Self::There(lab) = self else {
            return BTreeMap::new();
        };
        let machine = |(name, facts, interface): (&str, &serde_json::Value, &Interface)| {
            // Of a longhaul of this version, so it is one.
            let machine: Machine = serde_json::from_value(facts.clone()).unwrap_or_default();
            let interface = NetworkInterface {
                name: interface.name.clone(),
                driver: interface.driver.clone(),
                speed_mbits: interface.speed_mbits,
                mtu: interface.mtu,
                clock: interface.clock.clone(),
            };
            (name.to_owned(), HostMachine { machine, interface })
        };
        lab.machines().map(machine).collect()
    }

    /// Takes it down; nobody else holds it.
    pub(super) async fn down(self) {
        match self {
            Self::Built(lab) => {
                if let Some(lab) = Arc::into_inner(lab) {
                    lab.down().await;
                }
            }
            Self::There(lab) => {
                // Blocks for as long as launchers take to end.
                let _ = tokio::task::spawn_blocking(move || drop(lab)).await;
            }
        }
    }
}

impl Meters {
    /// Between two probes of a path.
    pub(super) fn interval(&self) -> Duration {
        match self {
            Self::Built { prober, .. } => prober.interval(),
            Self::There(probing) => probing.interval(),
        }
    }

    /// The zero of the probes' `sent`.
    pub(super) fn started(&self) -> Instant {
        match self {
            Self::Built { prober, .. } => prober.started(),
            Self::There(probing) => probing.started(),
        }
    }

    /// What was sampled since the last call.
    pub(super) fn drain(&mut self) -> (Vec<ProbeSample>, Vec<Reading>) {
        match self {
            Self::Built {
                prober, sampler, ..
            } => (prober.drain(), sampler.drain()),
            Self::There(probing) => (probing.drain_probes(), probing.drain_readings()),
        }
    }

    /// Whether it still samples.
    pub(super) fn check(&mut self) -> Result<(), RunError> {
        match self {
            Self::Built { sampler, .. } => Ok(sampler.check()?),
            Self::There(probing) => Ok(probing.check()?),
        }
    }

    /// Waits for the last probes, and takes a last reading; what [`drain`](Self::drain) had not yet given. Blocks.
    pub(super) fn stop(self) -> Result<(Vec<ProbeSample>, Vec<Reading>, Witness), RunError> {
        match self {
            Self::Built {
                prober,
                sampler,
                watch,
            } => Ok((prober.stop()?, sampler.stop()?, Witness::Built(watch))),
            Self::There(mut probing) => {
                probing.finish()?;
                let cpu_use = probing.cpu_use();
                let (probes, readings) = (probing.drain_probes(), probing.drain_readings());
                Ok((probes, readings, Witness::There(cpu_use)))
            }
        }
    }
}

/// Asks the lab's engine, which blocks.
pub(super) async fn on_a_thread<T: Send + 'static>(
    lab: &Arc<Lab>,
    ask: impl FnOnce(&Lab) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, RunError> {
    let lab = Arc::clone(lab);
    Ok(tokio::task::spawn_blocking(move || ask(&lab)).await??)
}

/// Between the first hosts of the sites: through the same queues as the workload.
fn probe_paths(plan: &LabPlan, pairs: &[(SiteId, SiteId)]) -> Vec<ProbePath> {
    let first = |site: SiteId| {
        plan.hosts()
            .find(|&id| plan.node(id).site == site && plan.node(id).kind == NodeKind::Host(0))
            .expect("every site has a host")
    };
    pairs
        .iter()
        .map(|&(from, to)| ProbePath {
            from: first(from),
            to: first(to),
        })
        .collect()
}
