//! What a trace is: collectives, transfers and computing, who takes part, what waits for what. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use super::terms::Terms;
use crate::collective::{Collective, DataType, ReduceOp};

/// What a training step does, on all ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its name.
    pub name: String,
    /// One line of where it comes from.
    pub description: String,
    /// How many ranks there are.
    pub ranks: usize,
    /// Each after all that it waits for; messages between two ranks keep this order.
    nodes: Vec<Node>,
}

/// A part of the step that one or several ranks do together.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What its file calls it.
    pub name: String,
    /// What is done.
    pub activity: Activity,
    /// Who does it, each once; of a transfer the sender, then the receiver.
    pub ranks: Vec<usize>,
    /// For each of `ranks`, the nodes that it waits for there.
    pub after: Vec<Vec<usize>>,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activity {
    /// Each rank computes, by itself.
    Compute {
        /// For so long.
        lasts: Duration,
        /// In which of the rank's streams.
        stream: u32,
    },
    /// All ranks together.
    Collective {
        /// What.
        collective: Collective,
        /// On what.
        data_type: DataType,
        /// With what operator.
        op: ReduceOp,
        /// Root of a broadcast, as an index into [`Node::ranks`].
        root: usize,
        /// Bytes of the whole array (nccl-tests' `size`).
        size_bytes: u64,
    },
    /// From the first rank to the second.
    Transfer {
        /// On what.
        data_type: DataType,
        /// Bytes.
        size_bytes: u64,
    },
}

/// Nodes that wait for each other: nobody could begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// One of them, as an index into the nodes given.
    pub node: usize,
}

/// What a step carries of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// How many collectives or transfers.
    pub count: u64,
    /// Bytes of their arrays.
    pub bytes: u64,
}

/// What runs one after another on a rank.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    Compute(u32),
    /// A communicator: the ranks of a group, whatever their order.
    Group(BTreeSet<usize>),
    Way(usize, usize),
}

impl Activity {
    /// The name of what is communicated: `all_reduce`, `send`; `None` of computing.
    pub fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Compute { .. } => None,
            Self::Collective { collective, .. } => Some(collective.name()),
            Self::Transfer { .. } => Some("send"),
        }
    }

    /// Bytes of the array.
    pub fn size_bytes(&self) -> u64 {
        match *self {
            Self::Compute { .. } => 0,
            Self::Collective { size_bytes, .. } | Self::Transfer { size_bytes, .. } => size_bytes,
        }
    }
}

impl Node {
    fn stream(&self) -> Stream {
        match self.activity {
            Activity::Compute { stream, .. } => Stream::Compute(stream),
            Activity::Collective { .. } => Stream::Group(self.ranks.iter().copied().collect()),
            Activity::Transfer { .. } => Stream::Way(self.ranks[0], self.ranks[1]),
        }
    }

    /// The nodes that it waits for on `rank`; none if it does not take part.
    pub fn after_on(&self, rank: usize) -> &[usize] {
        let place = self.ranks.iter().position(|&one| one == rank);
        place.map_or(&[], |place| &self.after[place])
    }
}

impl Trace {
    /// A trace of `nodes` in any order; of those that may come next, the one with the least `keys` does. Every node
    /// waits for the one before it in its streams.
    ///
    /// # Errors
    /// If nodes wait for each other.
    pub fn new<K: Ord + Copy>(
        (name, description): (String, String),
        ranks: usize,
        nodes: Vec<Node>,
        keys: &[K],
    ) -> Result<Self, Cycle> {
        let after = |node: usize| nodes[node].after.iter().flatten().copied();
        let order = order(nodes.len(), after, keys)?;
        let mut place = vec![0; nodes.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new;
        }
        let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
        let sorted = order.iter().filter_map(|&old| nodes[old].take());
        let mut sorted: Vec<Node> = sorted.collect();
        let mut streams: BTreeMap<Stream, usize> = BTreeMap::new();
        let mut last: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (index, node) in sorted.iter_mut().enumerate() {
            let next = streams.len();
            let stream = *streams.entry(node.stream()).or_insert(next);
            for (&rank, waits) in node.ranks.iter().zip(&mut node.after) {
                waits.iter_mut().for_each(|old| *old = place[*old]);
                waits.extend(last.insert((rank, stream), index));
                waits.sort_unstable();
                waits.dedup();
            }
        }
        Ok(Self {
            name,
            description,
            ranks,
            nodes: sorted,
        })
    }

    /// Its nodes, each after all that it waits for.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What a step carries, by [kind](Activity::kind).
    pub fn carried(&self) -> BTreeMap<&'static str, Carried> {
        let mut carried: BTreeMap<&'static str, Carried> = BTreeMap::new();
        for activity in self.nodes.iter().map(|node| node.activity) {
            if let Some(kind) = activity.kind() {
                let of_kind = carried.entry(kind).or_default();
                of_kind.count += 1;
                of_kind.bytes = of_kind.bytes.saturating_add(activity.size_bytes());
            }
        }
        carried
    }

    /// Bytes that `rank` keeps for a step: every array has its own place until all are checked.
    pub fn memory(&self, rank: usize) -> u64 {
        let of_node = |node: &Node| match node.activity {
            // Partial sums of others' parts take as much again.
            Activity::Collective {
                collective: Collective::ReduceScatter,
                size_bytes,
                ..
            } => size_bytes.saturating_mul(2),
            activity => activity.size_bytes(),
        };
        let mine = self.nodes.iter().filter(|node| node.ranks.contains(&rank));
        mine.map(of_node).fold(0, u64::saturating_add)
    }

    /// How long a step takes if communication takes no time at all.
    pub fn compute_time(&self, terms: &Terms) -> Duration {
        let mut ended = vec![BTreeMap::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            let begins: Vec<Duration> = node
                .ranks
                .iter()
                .zip(&node.after)
                .map(|(rank, after)| {
                    let before = after.iter().filter_map(|&node| ended[node].get(rank));
                    before.max().copied().unwrap_or_default()
                })
                .collect();
            let all = begins.iter().copied().max().unwrap_or_default();
            let end = |(place, began): (usize, Duration)| match node.activity {
                Activity::Compute { lasts, .. } => began + terms.compute.scaled(lasts),
                Activity::Transfer { .. } => began.max(begins[0]),
                Activity::Collective {
                    collective: Collective::Broadcast,
                    root,
                    ..
                } => began.max(begins[root]),
                Activity::Collective {
                    collective: Collective::SendRecv,
                    ..
                } => began.max(begins[(place + begins.len() - 1) % begins.len()]),
                Activity::Collective {
                    collective: Collective::Pairs,
                    ..
                } => match Collective::source_in_pairs(begins.len(), place) {
                    Some(source) => began.max(begins[source]),
                    None => began,
                },
                Activity::Collective { .. } => all,
            };
            let ends = begins.iter().copied().enumerate().map(end);
            ended[index] = node.ranks.iter().copied().zip(ends).collect();
        }
        let all = ended.iter().flat_map(BTreeMap::values);
        all.max().copied().unwrap_or_default()
    }
}

/// `0..count` such that each comes after all that it waits for, and of those that may come next the one with the least key.
///
/// # Errors
/// If some wait for each other.
pub(super) fn order<K: Ord + Copy, W: Iterator<Item = usize>>(
    count: usize,
    after: impl Fn(usize) -> W,
    keys: &[K],
) -> Result<Vec<usize>, Cycle> {
    let mut waiting = vec![0; count];
    let mut dependents = vec![Vec::new(); count];
    for (node, waiting) in waiting.iter_mut().enumerate() {
        for earlier in after(node) {
            *waiting += 1;
            dependents[earlier].push(node);
        }
    }
    let first = (0..count).filter(|&node| waiting[node] == 0);
    let mut ready: BinaryHeap<Reverse<(K, usize)>> =
        first.map(|node| Reverse((keys[node], node))).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse((_, node))) = ready.pop() {
        order.push(node);
        for &dependent in &dependents[node] {
            waiting[dependent] -= 1;
            if waiting[dependent] == 0 {
                ready.push(Reverse((keys[dependent], dependent)));
            }
        }
    }
    if order.len() == count {
        return Ok(order);
    }
    Err(Cycle {
        node: in_cycle(&waiting, after),
    })
}

/// A node that waits for itself by way of others: going back from one that never got its turn, the first seen twice.
fn in_cycle<W: Iterator<Item = usize>>(waiting: &[usize], after: impl Fn(usize) -> W) -> usize {
    let stuck = |node: &usize| waiting[*node] > 0;
    let mut at = (0..waiting.len()).find(stuck).unwrap_or_default();
    let mut seen = BTreeSet::new();
    while seen.insert(at) {
        at = after(at).find(stuck).unwrap_or(at);
    }
    at
}
