//! What the points of a topology run on, brought up or reached, and its links measured.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use longhaul_emulator::capability;
use longhaul_emulator::fidelity::{self, FidelityCheck, Measured};
use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_emulator::physical::PhysicalLab;
use longhaul_emulator::plan::Families;
use longhaul_topologies::model::{Direction, LaneState, LinkId};
use longhaul_topologies::{Inventory, Topology};

use super::super::bound::channel_name;
use super::super::environment::LabFacts;
use super::super::error::RunError;
use super::super::fidelity::row;
use super::super::ground::Ground;
use super::super::observer::Event;
use super::super::points::derived_seed;
use super::{NO_IPV6, Run};

/// A lab that is up and was measured.
pub(super) struct Up {
    pub(super) ground: Ground,
    pub(super) topology: usize,
    pub(super) checks: Vec<FidelityCheck>,
    /// What is worth knowing of it.
    pub(super) notes: Vec<String>,
}

impl Run<'_> {
    pub(super) async fn bring_up(&mut self, topology: usize) -> Result<Up, RunError> {
        if let LabFacts::Physical {
            inventory, folder, ..
        } = &self.options.lab
        {
            return self.reach(topology, inventory, folder).await;
        }
        let description = &self.experiment.topologies[topology];
        self.observer.event(Event::LabComesUp {
            topology: description,
        });
        let started = Instant::now();
        let options = LabOptions {
            engine: self.options.links,
            seed: derived_seed(self.experiment.seed, topology),
            congestion_control: None,
        };
        let lab = Arc::new(Lab::up(description.clone(), &options).await?);
        let engine = lab.engine_kind();
        self.observer.event(Event::LabIsUp {
            engine,
            took: started.elapsed(),
        });
        self.recorder.result.environment.links = engine.to_string();
        let Measured {
            checks, skipped, ..
        } = measure(Arc::clone(&lab)).await?;
        for check in &checks {
            self.observer.event(Event::LinkChecked(&row(check)));
        }
        let mut notes = Vec::new();
        if capability::families() == Families::Ipv4 {
            // It was told at the run's start, for all labs.
            notes.push(NO_IPV6.to_owned());
        }
        for handicap in lab.handicaps() {
            self.note(&mut notes, handicap);
        }
        for lane in lanes_down(&lab.plan().topology) {
            self.note(&mut notes, format!("{lane} is down, as described"));
        }
        for skipped in skipped {
            self.note(&mut notes, format!("not measured: {skipped}"));
        }
        Ok(Up {
            ground: Ground::Built(lab),
            topology,
            checks,
            notes,
        })
    }

    /// Machines in place of a lab that comes up.
    async fn reach(
        &mut self,
        topology: usize,
        inventory: &Inventory,
        folder: &Path,
    ) -> Result<Up, RunError> {
        let started = Instant::now();
        self.observer.event(Event::MachinesAreReached {
            hosts: inventory.hosts.len(),
        });
        let described = inventory.is_described();
        let (inventory, folder) = (inventory.clone(), folder.to_owned());
        let executable = self.options.executable.clone();
        let reach = move || PhysicalLab::reach(inventory, &executable, &folder);
        let reached = tokio::task::spawn_blocking(reach).await?;
        let mut lab = reached.map_err(RunError::Unreached)?;
        for point in &self.experiment.points {
            if let Some(name) = point.stack.kernel_congestion_control() {
                let checked = lab.check_congestion_control(name);
                checked.map_err(RunError::Unreached)?;
            }
        }
        self.observer.event(Event::MachinesAnswer {
            hosts: lab.machines().count(),
            took: started.elapsed(),
        });
        let measure = move || lab.measure().map(|measured| (lab, measured));
        let (lab, measured) = tokio::task::spawn_blocking(measure).await??;
        for check in &measured.checks {
            self.observer.event(Event::LinkChecked(&row(check)));
        }
        let ground = Ground::There(Arc::new(lab));
        let environment = &mut self.recorder.result.environment;
        environment.links = "as they are".to_owned();
        environment.hosts = ground.machines();
        let mut notes = Vec::new();
        if !described {
            let note = "the inventory describes no links: the delays that were measured stand in for a description";
            self.note(&mut notes, note.to_owned());
        }
        for told in measured.told {
            self.note(&mut notes, format!("measured: {told}"));
        }
        for skipped in measured.skipped {
            self.note(&mut notes, format!("not measured: {skipped}"));
        }
        Ok(Up {
            ground,
            topology,
            checks: measured.checks,
            notes,
        })
    }
}

/// Measures the links on a thread, which ends early if this is dropped.
async fn measure(lab: Arc<Lab>) -> Result<Measured, RunError> {
    struct Stopping(Arc<AtomicBool>);
    impl Drop for Stopping {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let _stopping = Stopping(Arc::clone(&stop));
    Ok(tokio::task::spawn_blocking(move || fidelity::measure(&lab, &stop)).await??)
}

/// The channels that are described as down, by name.
fn lanes_down(topology: &Topology) -> Vec<String> {
    let mut names = Vec::new();
    for (id, link) in topology.links.iter().enumerate() {
        for (number, lane) in link.lanes.iter().enumerate() {
            for direction in Direction::BOTH {
                if lane.channel(direction).state == LaneState::Down {
                    let way = channel_name(topology, LinkId(id), direction);
                    names.push(format!("{way} lane {number}"));
                }
            }
        }
    }
    names
}
