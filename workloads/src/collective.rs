//! What a collective is: kinds, data types, operators. Schedules and checked data are in the modules below.

use serde::{Deserialize, Serialize};

/// The collectives, by nccl-tests' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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
}

/// How a collective's transfers are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// Straight from source to destination (all_to_all, send_recv).
    Direct,
}

/// Element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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
