//! Whether an experiment can be run at all, told before anything is built.

use std::path::Path;
use std::time::Duration;

use longhaul_emulator::capability::{tools as tools_here, total_memory};
use longhaul_emulator::guest::GuestMemory;
use longhaul_emulator::kernel_law::KernelLaw;
use longhaul_reports::folder::ResultWriter;
use longhaul_reports::result::Bound;
use longhaul_topologies::units::ByteSize;

use super::bound::bound;
use super::congestion;
use super::error::RunError;
use super::points::{Experiment, PointPlan, WorkloadPlan};
use super::source::host_names;
use crate::program;

/// Longer than this is a slip in a unit, not an intention.
const LONGEST: Duration = Duration::from_secs(48 * 3600);

/// Checks what can be told without a sandbox: that the workload can be done on these links in a time that anyone waits for,
/// in this machine's memory and with its programs, and that the folder for the results is free. Makes nothing.
///
/// # Errors
/// What [`run`](super::run) would answer.
pub fn check(experiment: &Experiment, out: &Path) -> Result<(), RunError> {
    bounds(experiment)?;
    fits(experiment, total_memory())?;
    programs(experiment)?;
    Ok(ResultWriter::check(out)?)
}

/// Checks that the programs it runs are here.
fn programs(experiment: &Experiment) -> Result<(), RunError> {
    let mut tools = None;
    for spec in experiment.programs() {
        let tools = tools.get_or_insert_with(tools_here);
        program::available(spec.program(), tools)?;
    }
    for point in &experiment.points {
        if let WorkloadPlan::Program(spec) = &point.workload {
            let topology = &experiment.topologies[point.topology];
            let hosts: Vec<String> = host_names(topology).collect();
            program::startable(spec.program(), &hosts)?;
        }
    }
    Ok(())
}

/// What a rank takes beside its arrays.
const RANK: u64 = 32 << 20;
/// Arrays of a rank: what it sends, what it receives, and what a step of a schedule needs between.
const ARRAYS: u64 = 3;
/// For the programs of a host, of which nothing is known.
const PROGRAMS: u64 = 512 << 20;

/// What a virtual lab of `experiment` needs.
pub fn guest_memory(experiment: &Experiment) -> GuestMemory {
    let of_point = |point: &PointPlan| {
        let topology = &experiment.topologies[point.topology];
        let workload = match &point.workload {
            WorkloadPlan::Collective(plan) => {
                let size = plan.sizes.iter().copied().max().unwrap_or_default();
                let rank = size.saturating_mul(ARRAYS).saturating_add(RANK);
                rank.saturating_mul(plan.ranks.len() as u64)
            }
            WorkloadPlan::Replay(plan) => {
                let ranks = 0..plan.ranks.len();
                let of_rank = |rank| plan.trace.memory(rank).saturating_add(RANK);
                ranks.map(of_rank).fold(0, u64::saturating_add)
            }
            WorkloadPlan::Program(_) => {
                let hosts: usize = topology.sites.iter().map(|site| site.hosts).sum();
                PROGRAMS * hosts as u64
            }
        };
        GuestMemory::of_links(topology).and(ByteSize::from_bytes(workload))
    };
    let needs = experiment.points.iter().map(of_point);
    needs
        .reduce(GuestMemory::or)
        .unwrap_or(GuestMemory::NOTHING)
}

/// Checks that `memory` holds every rank's array once: what any placement and schedule takes at least.
fn fits(experiment: &Experiment, memory: Option<ByteSize>) -> Result<(), RunError> {
    let Some(memory) = memory else { return Ok(()) };
    for point in &experiment.points {
        let ranks = point.workload.ranks().len();
        let size = match &point.workload {
            WorkloadPlan::Collective(plan) => plan.sizes.iter().copied().max(),
            WorkloadPlan::Replay(plan) => (0..ranks).map(|rank| plan.trace.memory(rank)).max(),
            WorkloadPlan::Program(_) => continue,
        };
        let size = size.unwrap_or_default();
        if size.saturating_mul(ranks as u64) > memory.bytes() {
            let size = ByteSize::from_bytes(size);
            return Err(RunError::TooLarge {
                ranks,
                size,
                memory,
            });
        }
    }
    Ok(())
}

/// The bound of every point.
pub(super) fn bounds(experiment: &Experiment) -> Result<Vec<Option<Bound>>, RunError> {
    let mut bounds: Vec<Option<Bound>> = Vec::new();
    for (index, point) in experiment.points.iter().enumerate() {
        let topology = &experiment.topologies[point.topology];
        let alike = |earlier: &PointPlan| {
            earlier.topology == point.topology
                && earlier.workload == point.workload
                && earlier.stack.lanes() == point.stack.lanes()
                && earlier.stack.packets(topology.mtu) == point.stack.packets(topology.mtu)
        };
        let known = experiment.points[..index].iter().rposition(alike);
        bounds.push(match (known, &point.workload) {
            // With many ranks a bound takes a while.
            (Some(known), _) => bounds[known].clone(),
            (None, WorkloadPlan::Collective(plan)) => bound(topology, plan, &point.stack)?,
            (None, WorkloadPlan::Replay(_) | WorkloadPlan::Program(_)) => None,
        });
    }
    match least_duration(experiment, &bounds) {
        Some(least) if least > LONGEST => Err(RunError::TooLong(least)),
        _ => Ok(bounds),
    }
}

/// Checks that the kernel has them, before a lab comes up. Inside the sandbox, where a user may use more than outside.
/// The kernel has `distance` for as long as the answer is held.
pub(super) fn congestion_controls(experiment: &Experiment) -> Result<Option<KernelLaw>, RunError> {
    let mut law = None;
    for point in &experiment.points {
        let Some(name) = point.stack.kernel_congestion_control() else {
            continue;
        };
        let refused = |source| RunError::CongestionControl {
            stack: point.stack.name.clone(),
            source,
        };
        if law.is_none() {
            law = KernelLaw::for_name(Some(name)).map_err(|error| refused(error.into()))?;
        }
        congestion::check(name).map_err(refused)?;
    }
    Ok(law)
}

/// The least time that all iterations take together, as far as links bound them.
pub(super) fn least_duration(
    experiment: &Experiment,
    bounds: &[Option<Bound>],
) -> Option<Duration> {
    let of_point = |(point, bound): (&PointPlan, &Option<Bound>)| {
        let (plan, bound) = match (&point.workload, bound) {
            (WorkloadPlan::Collective(plan), Some(bound)) => (plan, bound),
            (WorkloadPlan::Replay(plan), _) => {
                let computing = plan.trace.compute_time(&plan.terms).as_secs_f64();
                return Some(computing * (plan.iterations + plan.warmup) as f64);
            }
            _ => return None,
        };
        let once: f64 = bound.times.iter().map(|time| time.time_us / 1e6).sum();
        Some(once * plan.placements.len() as f64 * (plan.iterations + plan.warmup) as f64)
    };
    let seconds: f64 = experiment
        .points
        .iter()
        .zip(bounds)
        .filter_map(of_point)
        .sum();
    (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::Document;

    use super::super::source::ExperimentSource;
    use super::*;

    fn experiment(text: &str) -> Experiment {
        let document = Document::from_text("experiment.yaml", text).unwrap();
        let source = ExperimentSource::new(document, Path::new("."));
        source.load().unwrap()
    }

    #[test]
    fn each_stack_has_the_bound_of_its_own_packets() {
        let experiment = experiment(
            "
name: stacks
topology:
  name: two
  sites: [{name: a, hosts: 1}, {name: b, hosts: 1}]
  links: [{between: [a, b], rate: 1Gbit, rtt: 20ms}]
workload: {collective: all_reduce, sizes: [64MiB]}
stacks:
  - {name: message, transport: message, congestion_control: distance}
  - cubic
  - {name: reno, congestion_control: reno}
",
        );
        let bounds = bounds(&experiment).unwrap();
        let [message, cubic, reno] = [0, 1, 2].map(|index| bounds[index].as_ref().unwrap());
        assert_eq!(cubic, reno);
        assert!(message.busbw_bps < cubic.busbw_bps, "{bounds:?}");
    }

    #[test]
    fn arrays_that_memory_cannot_hold_are_refused_before_anything_is_built() {
        let experiment = experiment(
            "
name: large
topology:
  name: two
  sites: [{name: a, hosts: 1}, {name: b, hosts: 1}]
  links: [{between: [a, b], rtt: 20ms}]
workload: {collective: all_reduce, sizes: [1GiB, 3GiB]}
",
        );
        let gib = |number: u64| Some(ByteSize::from_bytes(number << 30));
        assert!(fits(&experiment, gib(6)).is_ok() && fits(&experiment, None).is_ok());
        assert_eq!(
            fits(&experiment, gib(5)).unwrap_err().to_string(),
            "every one of 2 ranks holds 3GiB at least, more than this machine's 5GiB of memory together; use smaller sizes"
        );
    }
}
