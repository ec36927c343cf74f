//! The nodes of all ranks as one trace.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_topologies::InputError;

use super::json::{Kind, RankNode};
use crate::collective::{Collective, DataType, ReduceOp};
use crate::replay::file::MOST_SHARES;
use crate::replay::trace::{Activity, Node, Trace, order};

/// Traces say how many bytes, not of what; sizes are rounded up to whole elements of each rank.
const DATA_TYPE: DataType = DataType::F32;

/// The processor beside the accelerator computes in a stream of its own.
const ACCELERATOR: u32 = 0;
const HOST: u32 = 1;

/// What ranks do together, by which they find each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Meeting {
    /// The n-th collective of a process group.
    Group(String, usize),
    /// The n-th transfer from one rank to another with a tag.
    Way(usize, usize, u64, usize),
}

/// Who has come to a meeting: by rank, its node.
type Attendance = BTreeMap<usize, usize>;

struct Merging<'a> {
    documents: &'a [&'a str],
    ranks: &'a [Vec<RankNode>],
    /// Members of each process group that is named.
    groups: BTreeMap<&'a str, Vec<usize>>,
    nodes: Vec<Node>,
    /// Their ranks, all together.
    shares: usize,
    /// Of each node, where in a rank's order it stands, and on which rank first.
    keys: Vec<(usize, usize)>,
    /// The node and the attendance of each meeting.
    meetings: BTreeMap<Meeting, (usize, Attendance)>,
}

/// Makes a trace of what each rank does, whose files are called `documents`.
///
/// # Errors
/// If ranks do not do the same together, or wait for each other.
pub(super) fn merge(
    name: &str,
    documents: &[&str],
    ranks: &[Vec<RankNode>],
) -> Result<Trace, InputError> {
    let mut merging = Merging {
        documents,
        ranks,
        groups: groups(ranks),
        nodes: Vec::new(),
        shares: 0,
        keys: Vec::new(),
        meetings: BTreeMap::new(),
    };
    for rank in 0..ranks.len() {
        merging.add(rank)?;
    }
    merging.check_attendance()?;
    let description = format!("a Chakra execution trace of {} ranks", ranks.len());
    let names: Vec<String> = merging.nodes.iter().map(|node| node.name.clone()).collect();
    let named = (name.to_owned(), description);
    Trace::new(named, ranks.len(), merging.nodes, &merging.keys).map_err(|cycle| {
        let message = format!("ranks wait for each other at `{}`", names[cycle.node]);
        InputError::new(documents[0], message)
            .with_help("collectives of one process group have the same order on all of its ranks")
    })
}

/// The ranks that name each process group; that without a name is of all.
fn groups(ranks: &[Vec<RankNode>]) -> BTreeMap<&str, Vec<usize>> {
    let mut members: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (rank, nodes) in ranks.iter().enumerate() {
        for node in nodes {
            if let Kind::Collective { group, .. } = &node.kind {
                members.entry(group).or_default().insert(rank);
            }
        }
    }
    members.insert("", (0..ranks.len()).collect());
    let members = members.into_iter();
    members
        .map(|(name, ranks)| (name, ranks.into_iter().collect()))
        .collect()
}

impl Merging<'_> {
    fn error(&self, rank: usize, node: usize, message: &str) -> InputError {
        let RankNode { id, name, .. } = &self.ranks[rank][node];
        let message = format!("node {id} (`{name}`) {message}");
        InputError::new(self.documents[rank], message)
    }

    /// Adds what `rank` does, in the order of its file as far as dependencies allow.
    fn add(&mut self, rank: usize) -> Result<(), InputError> {
        let all = self.ranks;
        let mine = &all[rank];
        let keys: Vec<usize> = (0..mine.len()).collect();
        let order = order(mine.len(), |node| mine[node].after.iter().copied(), &keys);
        let order = order.map_err(|cycle| {
            self.error(
                rank,
                cycle.node,
                "waits for itself, by way of its dependencies",
            )
        })?;
        // For each of the rank's nodes, the trace's nodes that have to end before those after it begin.
        let mut ends: Vec<Vec<usize>> = vec![Vec::new(); mine.len()];
        // Of each group or way, how many there were, and the last.
        let mut last: BTreeMap<Meeting, (usize, usize)> = BTreeMap::new();
        for (place, &index) in order.iter().enumerate() {
            let mut after: BTreeSet<usize> = BTreeSet::new();
            for &earlier in &mine[index].after {
                after.extend(&ends[earlier]);
            }
            let node = match &mine[index].kind {
                Kind::Metadata => {
                    ends[index] = after.into_iter().collect();
                    continue;
                }
                Kind::Compute { lasts, is_host } => {
                    let stream = if *is_host { HOST } else { ACCELERATOR };
                    let activity = Activity::Compute {
                        lasts: *lasts,
                        stream,
                    };
                    self.push((rank, index), place, activity, vec![rank])?
                }
                kind => {
                    let (first, activity, ranks) = self.communication((rank, index), kind)?;
                    let (count, before) = last.get(&first).copied().unzip();
                    after.extend(before);
                    let number = count.unwrap_or(0);
                    let meeting = match first.clone() {
                        Meeting::Group(name, _) => Meeting::Group(name, number),
                        Meeting::Way(from, to, tag, _) => Meeting::Way(from, to, tag, number),
                    };
                    let node = self.meet(meeting, (rank, index), place, activity, ranks)?;
                    last.insert(first, (number + 1, node));
                    node
                }
            };
            let waits = &mut self.nodes[node];
            let mine = waits.ranks.iter().position(|&one| one == rank);
            if let Some(mine) = mine {
                waits.after[mine] = after.into_iter().collect();
            }
            ends[index] = vec![node];
        }
        Ok(())
    }

    /// What a node is to all that take part: where they first meet, what is done, who.
    fn communication(
        &self,
        (rank, node): (usize, usize),
        kind: &Kind,
    ) -> Result<(Meeting, Activity, Vec<usize>), InputError> {
        let transfer = |from: usize, to: usize, tag: u64, size: u64| {
            let other = if from == rank { to } else { from };
            if other >= self.ranks.len() || other == rank {
                let message = format!(
                    "is with rank {other}, and this is rank {rank} of {}",
                    self.ranks.len()
                );
                return Err(self.error(rank, node, &message));
            }
            let activity = Activity::Transfer {
                data_type: DATA_TYPE,
                size_bytes: whole(size, 1),
            };
            Ok((Meeting::Way(from, to, tag, 0), activity, vec![from, to]))
        };
        match kind {
            Kind::Send { to, tag, size } => transfer(rank, *to, *tag, *size),
            Kind::Receive { from, tag, size } => transfer(*from, rank, *tag, *size),
            Kind::Collective {
                collective,
                size,
                group,
            } => {
                let ranks = self.groups[group.as_str()].clone();
                let parts = ranks.len() as u64;
                let size_bytes = match collective {
                    // Chakra counts what a rank puts in, nccl-tests the whole.
                    Collective::AllGather => whole(*size, 1).saturating_mul(parts),
                    Collective::ReduceScatter | Collective::AllToAll => whole(*size, parts),
                    _ => whole(*size, 1),
                };
                let activity = Activity::Collective {
                    collective: *collective,
                    data_type: DATA_TYPE,
                    op: ReduceOp::Sum,
                    root: 0,
                    size_bytes,
                };
                Ok((Meeting::Group(group.clone(), 0), activity, ranks))
            }
            Kind::Metadata | Kind::Compute { .. } => unreachable!("they meet nobody"),
        }
    }

    /// The node of `meeting`, to which `rank` comes with its node `index`.
    fn meet(
        &mut self,
        meeting: Meeting,
        (rank, index): (usize, usize),
        place: usize,
        activity: Activity,
        ranks: Vec<usize>,
    ) -> Result<usize, InputError> {
        let Some((node, present)) = self.meetings.get_mut(&meeting) else {
            let node = self.push((rank, index), place, activity, ranks)?;
            self.meetings
                .insert(meeting, (node, Attendance::from([(rank, index)])));
            return Ok(node);
        };
        let node = *node;
        let first = present.first_key_value().map(|(&rank, &node)| (rank, node));
        present.insert(rank, index);
        self.keys[node] = self.keys[node].min((place, rank));
        if self.nodes[node].activity != activity {
            let (other, its) = first.unwrap_or((rank, index));
            let is = describe(&activity);
            let should = describe(&self.nodes[node].activity);
            let message = format!(
                "is {is}, and what meets it on rank {other}, node {}, is {should}",
                self.ranks[other][its].id
            );
            return Err(self.error(rank, index, &message));
        }
        Ok(node)
    }

    fn push(
        &mut self,
        (rank, index): (usize, usize),
        place: usize,
        activity: Activity,
        ranks: Vec<usize>,
    ) -> Result<usize, InputError> {
        self.shares += ranks.len();
        if self.shares > MOST_SHARES {
            let message = format!(
                "is one too many: {MOST_SHARES} shares of ranks in nodes are replayed at most"
            );
            return Err(self.error(rank, index, &message));
        }
        let RankNode { id, name, .. } = &self.ranks[rank][index];
        self.nodes.push(Node {
            name: format!("{name} (node {id} of rank {rank})"),
            activity,
            after: vec![Vec::new(); ranks.len()],
            ranks,
        });
        self.keys.push((place, rank));
        Ok(self.nodes.len() - 1)
    }

    /// Refuses meetings that not all have come to.
    fn check_attendance(&self) -> Result<(), InputError> {
        for (node, present) in self.meetings.values() {
            let expected = &self.nodes[*node].ranks;
            let missing = expected.iter().find(|rank| !present.contains_key(rank));
            if let (Some(missing), Some((&rank, &index))) = (missing, present.first_key_value()) {
                let message = format!("is not met by any node of rank {missing}");
                return Err(self.error(rank, index, &message));
            }
        }
        Ok(())
    }
}

/// `size`, or as much more as whole elements of each of `parts` take.
fn whole(size: u64, parts: u64) -> u64 {
    let least = DATA_TYPE.bytes() as u64 * parts;
    size.max(1).checked_next_multiple_of(least).unwrap_or(size)
}

fn describe(activity: &Activity) -> String {
    let kind = activity.kind().unwrap_or("compute");
    format!("{kind} of {} B", activity.size_bytes())
}
