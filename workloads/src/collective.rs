//! What a collective is: kinds, data types, operators, counts. Pure: no clock, no socket.
//!
//! - [`schedule`]: each rank's program: what it sends, receives, reduces and copies, and what must come first.
//! - [`progress`]: which operations of a program may run, as others finish.
//! - [`pauses`]: when the pauses of a replayed trace begin and end.
//! - [`traffic`]: what a schedule asks of the network: bytes per pair, the longest chain of messages.
//! - [`data`]: inputs that every operator reduces exactly in every type, and the check of outputs.
//! - [`reduce`]: the element-wise kernels.

pub mod data;
pub mod pauses;
pub mod progress;
pub mod reduce;
pub mod schedule;
pub mod traffic;

use std::fmt;

use longhaul_reports::stats;
use serde::{Deserialize, Serialize};

/// The collectives, by nccl-tests' names where it has them.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Collective {
    /// Every rank ends with the reduction of all inputs.
    AllReduce,
    /// Every rank ends with all inputs.
    AllGather,
    /// Every rank ends with its part of the reduction.
    ReduceScatter,
    /// Every rank ends with the root's input.
    Broadcast,
    /// Every rank ends with its part of every input.
    AllToAll,
    /// Every rank sends to the next and receives from the one before.
    SendRecv,
    /// The first half of the ranks each send to one of the second, and nothing comes back (IMB's Uniband, OSU's
    /// `osu_mbw_mr`): rank `i` of `n` to `i + ⌈n/2⌉`. With an odd number the middle one does nothing.
    Pairs,
}

/// How a collective's transfers are arranged.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Around a ring in rank order.
    Ring,
    /// Recursive halving, then doubling (Rabenseifner); any number of ranks.
    HalvingDoubling,
    /// Up and down a binomial tree, in pipelined chunks.
    Tree,
    /// Reduce-scatter inside each site, all-reduce across sites, all-gather inside; chunks pipelined.
    Hierarchical,
    /// Straight from source to destination (all_to_all, send_recv, pairs).
    Direct,
}

/// Element types.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
    /// Brain float.
    Bf16,
    /// Wrapping 32-bit integer.
    I32,
    /// Wrapping 64-bit integer.
    I64,
}

/// Reduction operators.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ReduceOp {
    /// Addition.
    Sum,
    /// Multiplication.
    Prod,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

/// The algorithm, or the size, does not fit the collective. The message says what does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub String);

impl Collective {
    /// Every collective, in the order listings use.
    pub const ALL: [Collective; 7] = [
        Collective::AllReduce,
        Collective::AllGather,
        Collective::ReduceScatter,
        Collective::Broadcast,
        Collective::AllToAll,
        Collective::SendRecv,
        Collective::Pairs,
    ];

    /// The name, as experiment files have it.
    pub fn name(self) -> &'static str {
        match self {
            Collective::AllReduce => "all_reduce",
            Collective::AllGather => "all_gather",
            Collective::ReduceScatter => "reduce_scatter",
            Collective::Broadcast => "broadcast",
            Collective::AllToAll => "all_to_all",
            Collective::SendRecv => "send_recv",
            Collective::Pairs => "pairs",
        }
    }

    /// Whether elements are combined by a [`ReduceOp`].
    pub fn reduces(self) -> bool {
        matches!(self, Collective::AllReduce | Collective::ReduceScatter)
    }

    /// Whether one rank is the root.
    pub fn has_root(self) -> bool {
        self == Collective::Broadcast
    }

    /// Bus bandwidth ÷ algorithm bandwidth with `ranks` ranks (nccl-tests' PERFORMANCE.md).
    pub fn bus_factor(self, ranks: usize) -> f64 {
        stats::bus_factor(self.name(), ranks).expect("every collective has a bus bandwidth")
    }

    /// The algorithms it has, the default first.
    pub fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Collective::AllReduce => &[
                Algorithm::Ring,
                Algorithm::HalvingDoubling,
                Algorithm::Tree,
                Algorithm::Hierarchical,
            ],
            Collective::AllGather | Collective::ReduceScatter => &[Algorithm::Ring],
            Collective::Broadcast => &[Algorithm::Ring, Algorithm::Tree],
            Collective::AllToAll | Collective::SendRecv | Collective::Pairs => &[Algorithm::Direct],
        }
    }

    /// Whom a rank of [`Collective::Pairs`] receives from, if it does.
    pub fn source_in_pairs(ranks: usize, rank: usize) -> Option<usize> {
        rank.checked_sub(ranks.div_ceil(2))
    }

    /// Whether the array is made of one part per rank, so that its count is a multiple of the ranks.
    fn is_partitioned(self) -> bool {
        matches!(
            self,
            Collective::AllGather | Collective::ReduceScatter | Collective::AllToAll
        )
    }

    /// Whole elements in an array of `size_bytes`: for all_gather, reduce_scatter and all_to_all an equal, whole number
    /// per rank, the rest of the bytes left out; for the others as many as fit.
    ///
    /// # Errors
    /// If there is not one element (per rank).
    pub fn count(
        self,
        data_type: DataType,
        size_bytes: u64,
        ranks: usize,
    ) -> Result<u64, Unsupported> {
        let elements = size_bytes / data_type.bytes() as u64;
        let parts = if self.is_partitioned() {
            ranks as u64
        } else {
            1
        };
        let count = elements / parts * parts;
        if count == 0 {
            return Err(Unsupported(format!(
                "{size_bytes} B is too small for {self} of {data_type} over {ranks} ranks: it takes at least {} B",
                parts * data_type.bytes() as u64
            )));
        }
        Ok(count)
    }
}

impl Algorithm {
    /// What is used where the experiment does not say.
    pub fn default_for(collective: Collective) -> Self {
        collective.algorithms()[0]
    }

    /// The name, as experiment files have it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Ring => "ring",
            Algorithm::HalvingDoubling => "halving_doubling",
            Algorithm::Tree => "tree",
            Algorithm::Hierarchical => "hierarchical",
            Algorithm::Direct => "direct",
        }
    }
}

/// Whether `collective` can be done by `algorithm`.
///
/// # Errors
/// If not; the message lists the algorithms there are.
pub fn supports(collective: Collective, algorithm: Algorithm) -> Result<(), Unsupported> {
    if collective.algorithms().contains(&algorithm) {
        return Ok(());
    }
    let there: Vec<&str> = collective
        .algorithms()
        .iter()
        .map(|known| known.name())
        .collect();
    Err(Unsupported(format!(
        "{collective} has no algorithm {algorithm}; it has {}",
        there.join(", ")
    )))
}

impl DataType {
    /// Every type, in the order listings use.
    pub const ALL: [DataType; 5] = [
        DataType::F32,
        DataType::F64,
        DataType::Bf16,
        DataType::I32,
        DataType::I64,
    ];

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            DataType::Bf16 => 2,
            DataType::F32 | DataType::I32 => 4,
            DataType::F64 | DataType::I64 => 8,
        }
    }

    /// The name, as experiment files have it.
    pub fn name(self) -> &'static str {
        match self {
            DataType::F32 => "f32",
            DataType::F64 => "f64",
            DataType::Bf16 => "bf16",
            DataType::I32 => "i32",
            DataType::I64 => "i64",
        }
    }
}

impl ReduceOp {
    /// Every operator, in the order listings use.
    pub const ALL: [ReduceOp; 4] = [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Min, ReduceOp::Max];

    /// The name, as nccl-tests and experiment files have it.
    pub fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "sum",
            ReduceOp::Prod => "prod",
            ReduceOp::Min => "min",
            ReduceOp::Max => "max",
        }
    }
}

/// [`fmt::Display`] by the type's `name`.
macro_rules! display_name {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    )*};
}

display_name!(Collective, Algorithm, DataType, ReduceOp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_file_format() {
        for collective in Collective::ALL {
            assert_eq!(serde_json::to_value(collective).unwrap(), collective.name());
            for &algorithm in collective.algorithms() {
                assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.name());
            }
        }
        for data_type in DataType::ALL {
            assert_eq!(serde_json::to_value(data_type).unwrap(), data_type.name());
        }
        for op in ReduceOp::ALL {
            assert_eq!(serde_json::to_value(op).unwrap(), op.name());
        }
    }

    #[test]
    fn counts_are_whole_per_rank_where_the_array_has_a_part_per_rank() {
        assert_eq!(Collective::AllReduce.count(DataType::F32, 1027, 6), Ok(256));
        assert_eq!(Collective::AllGather.count(DataType::F32, 1027, 6), Ok(252));
        assert_eq!(Collective::AllToAll.count(DataType::Bf16, 12, 6), Ok(6));
    }

    #[test]
    fn a_size_below_one_element_per_rank_is_refused_with_the_least_that_fits() {
        let refusal = Collective::ReduceScatter
            .count(DataType::F64, 47, 6)
            .unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "47 B is too small for reduce_scatter of f64 over 6 ranks: it takes at least 48 B"
        );
        assert!(Collective::AllReduce.count(DataType::F32, 3, 2).is_err());
    }

    #[test]
    fn an_unknown_algorithm_is_refused_with_those_there_are() {
        assert_eq!(
            supports(Collective::Broadcast, Algorithm::Direct)
                .unwrap_err()
                .to_string(),
            "broadcast has no algorithm direct; it has ring, tree"
        );
        for collective in Collective::ALL {
            assert!(supports(collective, Algorithm::default_for(collective)).is_ok());
        }
    }

    #[test]
    fn bus_factors_are_those_of_nccl_tests() {
        assert_eq!(Collective::AllReduce.bus_factor(4), 1.5);
        assert_eq!(Collective::AllGather.bus_factor(4), 0.75);
        assert_eq!(Collective::Broadcast.bus_factor(4), 1.0);
        for collective in Collective::ALL {
            assert!(collective.bus_factor(2) > 0.0);
        }
    }
}
