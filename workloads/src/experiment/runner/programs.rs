//! Somebody else's programs on a lab that is up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use longhaul_emulator::lab::Lab;

use super::super::error::{RunError, Stop};
use super::super::ground::Ground;
use super::super::observer::Event;
use super::super::points::PointPlan;
use super::Run;
use super::sampling::Sampling;
use crate::program::agent::Agent;
use crate::program::processes::Programs;
use crate::program::{HostPlace, Place, Program, ProgramSpec};

impl Run<'_> {
    /// Runs the programs of `spec` and takes what they found.
    pub(super) async fn programs(
        &mut self,
        index: usize,
        point: &PointPlan,
        spec: &ProgramSpec,
        lab: &Arc<Lab>,
        sampling: &mut Sampling,
    ) -> Result<(), Stop> {
        let folder = self.recorder.writer().path().to_owned();
        let place = place(lab, point, self.folder("logs", index));
        let program = spec.program();
        let processes = program.processes(&place)?;
        self.begin(&Ground::Built(Arc::clone(lab)), sampling)
            .await?;
        let started = Instant::now();
        let limits = (program.kind(), program.timeout());
        let starting = Programs::start(lab, &processes, limits, &place.folder);
        let mut programs = self.while_sampling(sampling, starting).await??;
        let finished = self.while_sampling(sampling, programs.finish()).await?;
        programs.stop().await;
        if program.scatters() {
            let lab = Arc::clone(lab);
            let ended = tokio::task::spawn_blocking(move || lab.end_programs()).await;
            ended
                .map_err(RunError::Thread)?
                .map_err(RunError::Programs)?;
        }
        if let Some(point) = self.recorder.point() {
            point.commands = programs.outcomes(&folder);
        }
        let found = self.read(index, program, &programs, &place, started);
        // A program that failed explains why its output is not whole.
        finished?;
        found
    }

    /// Takes what the programs wrote as figures.
    fn read(
        &mut self,
        index: usize,
        program: &dyn Program,
        programs: &Programs,
        place: &Place,
        started: Instant,
    ) -> Result<(), Stop> {
        let found = program.read(&programs.outputs()?, place)?;
        for one in &found.iterations {
            let sample = self.recorder.iteration(one)?;
            self.observer.event(Event::IterationDone {
                point: index,
                sample: &sample,
            });
        }
        self.recorder.measures(found.measures, started);
        let environment = &mut self.recorder.result.environment;
        environment.programs.extend(found.versions);
        if let Some([name, argument]) = program.version_command()
            && !environment.programs.contains_key(name)
            && let Some(version) = version(name, argument)
        {
            environment.programs.insert(name.to_owned(), version);
        }
        Ok(())
    }
}

/// Where programs run.
fn place(lab: &Lab, point: &PointPlan, folder: PathBuf) -> Place {
    let plan = lab.plan();
    let host = |id| {
        let node = plan.node(id);
        HostPlace {
            name: node.name.clone(),
            site: plan.topology.site(node.site).name.clone(),
            address: node.ipv4,
        }
    };
    Place {
        hosts: plan.hosts().map(host).collect(),
        folder,
        scratch: lab.folder().to_owned(),
        agent: Agent::of(lab),
        congestion_control: point.stack.kernel_congestion_control().map(str::to_owned),
    }
}

/// The first line of what a program says of its version.
fn version(program: &str, argument: &str) -> Option<String> {
    let output = std::process::Command::new(program)
        .arg(argument)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}
