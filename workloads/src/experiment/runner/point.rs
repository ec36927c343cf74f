//! One point: its lab is set up for it, its workload runs, and what was seen says how far it can be trusted.

use longhaul_emulator::fidelity::Fidelity;
use longhaul_emulator::plan::LabPlan;
use longhaul_reports::result::Point;
use longhaul_topologies::model::SiteId;

use super::super::error::{RunError, Stop};
use super::super::fidelity;
use super::super::flows::Flows;
use super::super::ground::{Ground, Witness};
use super::super::observer::Event;
use super::super::points::{PointPlan, WorkloadPlan};
use super::super::recorder::micros;
use super::lab::Up;
use super::sampling::Sampling;
use super::{Run, collective, replay};

impl Run<'_> {
    pub(super) async fn point(
        &mut self,
        index: usize,
        plan: &PointPlan,
        up: &Up,
    ) -> Result<(), Stop> {
        let ground = &up.ground;
        let iterations = plan.workload.iterations();
        self.observer.event(Event::PointStarts {
            index,
            of: self.experiment.points.len(),
            plan,
            iterations,
        });
        let topology = &ground.plan().topology;
        let ranks = plan.workload.ranks();
        let hosts = ranks.iter().map(|rank| rank.host_name(topology));
        self.course
            .point_begins(index, plan, iterations, hosts.collect());
        let paths = site_pairs(ground.plan());
        // What the point before has changed.
        ground.reset().await?;
        let (point, changes) = (self.empty_point(index, plan, up), ground.follow());
        let flows = match &plan.workload {
            WorkloadPlan::Collective(_) | WorkloadPlan::Replay(_) => Flows::new(topology, ranks),
            WorkloadPlan::Program(_) => Flows::default(),
        };
        self.recorder
            .begin(point, ground.plan(), &paths, flows, changes)?;
        self.start_capture(index, up).await?;

        let meters = ground.meters(self.experiment, plan, &paths).await?;
        let mut notes = up.notes.clone();
        if meters.interval() > plan.probe_interval {
            let (pairs, interval) = (paths.len(), meters.interval());
            let note = format!("{pairs} pairs of sites are probed every {interval:?} each");
            self.note(&mut notes, note);
        }
        if let (WorkloadPlan::Program(_), Ground::Built(lab)) = (&plan.workload, ground) {
            // Programs do not know of stacks: they have the stack's unless they ask for another.
            lab.set_congestion_control(plan.stack.kernel_congestion_control())?;
        }
        let mut sampling = Sampling::new(meters);
        let ended = self.workload(index, plan, ground, &mut sampling).await;
        if !sampling.clocks.is_zero() {
            let clocks = micros(sampling.clocks);
            let note = format!(
                "ranks go by their machines' clocks: their starts, and what one machine tells of another, are known within ±{clocks:.1} µs"
            );
            self.note(&mut notes, note);
        }
        // However the workload ended: what was sampled is kept, and what broke the lab explains what broke the workload.
        let witness = self.last_samples(sampling).await?;
        self.end_capture(ground, &mut notes).await?;
        self.judge(index, up, witness, notes).await?;
        ended?;
        self.recorder.end()?;
        if let Some(point) = self.recorder.result.points.last() {
            self.observer.event(Event::PointDone(point));
        }
        Ok(())
    }

    async fn workload(
        &mut self,
        index: usize,
        plan: &PointPlan,
        ground: &Ground,
        sampling: &mut Sampling,
    ) -> Result<(), Stop> {
        match (&plan.workload, ground) {
            (WorkloadPlan::Collective(collective), _) => {
                self.collective(index, plan, collective, ground, sampling)
                    .await
            }
            (WorkloadPlan::Replay(replay), _) => {
                self.replay(index, plan, replay, ground, sampling).await
            }
            (WorkloadPlan::Program(spec), Ground::Built(lab)) => {
                self.programs(index, plan, spec, lab, sampling).await
            }
            (WorkloadPlan::Program(_), Ground::There(_)) => Err(RunError::ProgramsThere.into()),
        }
    }

    /// Tells how faithful the lab was while the workload ran.
    async fn judge(
        &mut self,
        index: usize,
        up: &Up,
        witness: Witness,
        mut notes: Vec<String>,
    ) -> Result<(), RunError> {
        let checks = up.checks.clone();
        let fidelity = up.ground.judge(witness, checks).await?;
        for finding in &fidelity.findings {
            self.observer.event(Event::Finding {
                point: index,
                text: finding,
            });
        }
        let late = self.recorder.reading_lateness();
        let period = self.experiment.telemetry_period;
        if late.is_noteworthy(period) {
            let note = format!(
                "counters were read up to {:.1?} late, at a period of {period:?}: the telemetry has {} gaps in {} readings",
                late.most, late.gaps, late.readings
            );
            self.note(&mut notes, note);
        }
        if let Some(point) = self.recorder.point() {
            point.fidelity = fidelity::section(&fidelity, notes);
        }
        Ok(())
    }

    /// The point as it stands before its workload: a run that is cut short keeps its links' checks.
    fn empty_point(&self, index: usize, plan: &PointPlan, up: &Up) -> Point {
        let topology = &self.experiment.topologies[plan.topology];
        let workload = match &plan.workload {
            WorkloadPlan::Collective(collective) => collective::describe(collective, topology),
            WorkloadPlan::Replay(plan) => replay::describe(plan, topology),
            WorkloadPlan::Program(spec) => {
                let plan = up.ground.plan();
                let hosts = plan.hosts().map(|host| plan.node(host).name.clone());
                spec.program().workload(&hosts.collect::<Vec<_>>())
            }
        };
        Point {
            index: plan.number,
            stack: plan.stack.name.clone(),
            settings: plan.settings.clone(),
            repeat: plan.repeat,
            began_s: 0.0,
            ended_s: 0.0,
            schedule_began_s: None,
            fidelity: fidelity::section(
                &Fidelity::new(up.checks.clone(), None, 0, 0.0),
                up.notes.clone(),
            ),
            workload,
            bound: self.bounds[index].clone(),
            samples: Vec::new(),
            summaries: Vec::new(),
            delays: Vec::new(),
            channels: Vec::new(),
            timeline: Vec::new(),
            flows: Vec::new(),
            shares: Vec::new(),
            nics: Vec::new(),
            captures: Vec::new(),
            commands: Vec::new(),
            measures: Vec::new(),
        }
    }
}

/// Every ordered pair of sites.
fn site_pairs(plan: &LabPlan) -> Vec<(SiteId, SiteId)> {
    let sites = || (0..plan.topology.sites.len()).map(SiteId);
    sites()
        .flat_map(|from| {
            sites()
                .filter(move |&to| to != from)
                .map(move |to| (from, to))
        })
        .collect()
}
