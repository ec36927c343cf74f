//! What an experiment runs, point by point, in the order it is run. Pure.
//!
//! The topology's settings vary slowest, so that a lab stays up as long as it can; the stacks fastest, so that what is
//! compared runs close in time; repeats lie between, so that a drift of the machine shows in every stack alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longhaul_reports::result::{Part, Placement};
use longhaul_topologies::Topology;
use longhaul_topologies::model::SiteId;

use super::spec::{RankOrder, StackSpec};
use crate::collective::data::{GAMMA, mix};
use crate::collective::{Algorithm, Collective, DataType, ReduceOp};
use crate::program::ProgramSpec;
use crate::replay::terms::Terms;
use crate::replay::trace::Trace;

/// An experiment that has been checked: everything in it holds.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// One line of what it shows.
    pub description: String,
    /// Seeds everything random.
    pub seed: u64,
    /// Time between two readings of counters.
    pub telemetry_period: Duration,
    /// The topologies, each in the order it is first needed.
    pub topologies: Vec<Topology>,
    /// What to run, in order.
    pub points: Vec<PointPlan>,
    /// Which of the experiment's points those are; all if absent.
    pub part: Option<Part>,
    /// The file with every default and override written out.
    pub resolved: serde_json::Value,
}

impl Experiment {
    /// Keeps the points from number `first` to number `last`, as they are: with the seeds that they have in the whole experiment.
    /// `None`, and nothing changes, if there are no such points.
    pub fn keep(&mut self, first: usize, last: usize) -> Option<()> {
        let of = self.points.len();
        if first > last || last >= of {
            return None;
        }
        self.points.truncate(last + 1);
        self.points.drain(..first);
        self.part = Some(Part { first, last, of });
        Some(())
    }

    /// Whether it runs programs of the machine's.
    pub fn runs_programs(&self) -> bool {
        self.points
            .iter()
            .any(|point| matches!(point.workload, WorkloadPlan::Program(_)))
    }

    /// The programs that it runs.
    pub fn programs(&self) -> impl Iterator<Item = &ProgramSpec> {
        self.points
            .iter()
            .filter_map(|point| match &point.workload {
                WorkloadPlan::Collective(_) | WorkloadPlan::Replay(_) => None,
                WorkloadPlan::Program(spec) => Some(spec),
            })
    }

    /// The files and folders that its programs name, as they name them.
    pub fn program_files(&self) -> Vec<PathBuf> {
        let named = self.programs().flat_map(|spec| spec.program().files());
        let there: BTreeSet<PathBuf> = named.filter(|path| path.exists()).collect();
        there.into_iter().collect()
    }
}

/// One combination of stack, sweep and repeat.
#[derive(Clone, Debug)]
pub struct PointPlan {
    /// From 0, in the order in which the whole experiment is run.
    pub number: usize,
    /// Index into [`Experiment::topologies`].
    pub topology: usize,
    /// The transport.
    pub stack: StackSpec,
    /// What runs.
    pub workload: WorkloadPlan,
    /// Time between two probes of a pair of sites.
    pub probe_interval: Duration,
    /// Swept settings and their values here.
    pub settings: BTreeMap<String, String>,
    /// From 0.
    pub repeat: usize,
    /// Seeds this point's data.
    pub seed: u64,
}

/// What a point runs.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkloadPlan {
    /// A collective of longhaul's own.
    Collective(CollectivePlan),
    /// A trace of them.
    Replay(ReplayPlan),
    /// Somebody else's program.
    Program(ProgramSpec),
}

/// A collective with its sizes and ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectivePlan {
    /// What.
    pub collective: Collective,
    /// How.
    pub algorithm: Algorithm,
    /// On what.
    pub data_type: DataType,
    /// With what operator.
    pub op: ReduceOp,
    /// Root rank of a broadcast.
    pub root: usize,
    /// Sizes of the whole array, bytes.
    pub sizes: Vec<u64>,
    /// Where outputs go.
    pub placements: Vec<Placement>,
    /// Site and host of every rank.
    pub ranks: Vec<RankPlace>,
    /// Measured iterations of every size and placement.
    pub iterations: u64,
    /// Iterations before them.
    pub warmup: u64,
    /// How long a rank waits for a silent peer.
    pub patience: Duration,
}

/// A trace with its ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayPlan {
    /// What.
    pub trace: Arc<Trace>,
    /// How.
    pub terms: Terms,
    /// Site and host of every rank of the trace.
    pub ranks: Vec<RankPlace>,
    /// Measured steps.
    pub iterations: u64,
    /// Steps before them.
    pub warmup: u64,
    /// How long a rank waits for a silent peer, beside the time that computing takes.
    pub patience: Duration,
}

impl WorkloadPlan {
    /// Site and host of every rank; none of programs, which have their own.
    pub fn ranks(&self) -> &[RankPlace] {
        match self {
            Self::Collective(plan) => &plan.ranks,
            Self::Replay(plan) => &plan.ranks,
            Self::Program(_) => &[],
        }
    }

    /// Iterations to come, warm-up included; 0 of programs, which tell when they have ended.
    pub fn iterations(&self) -> u64 {
        match self {
            Self::Collective(plan) => {
                (plan.sizes.len() * plan.placements.len()) as u64 * (plan.iterations + plan.warmup)
            }
            Self::Replay(plan) => plan.iterations + plan.warmup,
            Self::Program(_) => 0,
        }
    }
}

/// Where a rank runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RankPlace {
    /// Its site.
    pub site: SiteId,
    /// The number of its host in that site.
    pub host: usize,
}

impl RankPlace {
    /// The host's name.
    pub fn host_name(self, topology: &Topology) -> String {
        format!("{}-{}", topology.site(self.site).name, self.host)
    }
}

/// One rank on every host of `topology`.
pub fn places(topology: &Topology, order: RankOrder) -> Vec<RankPlace> {
    let mut places: Vec<RankPlace> = topology
        .sites
        .iter()
        .enumerate()
        .flat_map(|(site, description)| {
            (0..description.hosts).map(move |host| RankPlace {
                site: SiteId(site),
                host,
            })
        })
        .collect();
    match order {
        RankOrder::SiteContiguous => {}
        RankOrder::Interleaved => places.sort_by_key(|place| (place.host, place.site)),
    }
    places
}

/// Every choice of one index per dimension of the given lengths, the last dimension varying fastest.
pub(super) fn combinations(lengths: &[usize]) -> Vec<Vec<usize>> {
    lengths.iter().fold(vec![Vec::new()], |found, &length| {
        let extend =
            |head: Vec<usize>| (0..length).map(move |index| [head.as_slice(), &[index]].concat());
        found.into_iter().flat_map(extend).collect()
    })
}

/// The `index`th seed that `seed` gives: SplitMix64 (Steele, Lea, Flood 2014), whose outputs never repeat within a
/// seed.
pub(super) fn derived_seed(seed: u64, index: usize) -> u64 {
    mix(seed.wrapping_add(GAMMA.wrapping_mul(index as u64)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_dimension_varies_fastest() {
        let expected = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]];
        assert_eq!(combinations(&[2, 3]), expected);
        assert_eq!(combinations(&[]), [[0_usize; 0]]);
        assert!(combinations(&[2, 0]).is_empty());
    }

    #[test]
    fn seeds_are_those_of_splitmix64() {
        // The first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) for seed 1234567.
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(
            [0, 1, 2].map(|index| derived_seed(1_234_567, index)),
            expected
        );
    }

    proptest! {
        #[test]
        fn combinations_are_all_there_once_and_in_order(lengths in prop::collection::vec(1_usize..5, 0..5)) {
            let found = combinations(&lengths);
            prop_assert_eq!(found.len(), lengths.iter().product::<usize>());
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(found.iter().all(|indices| indices.iter().zip(&lengths).all(|(index, length)| index < length)));
        }
    }
}
