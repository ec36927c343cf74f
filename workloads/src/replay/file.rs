//! longhaul's own YAML of a trace. Docs: `docs/replay.md`.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_topologies::document::DocumentPath;
use longhaul_topologies::units::{ByteSize, TimeSpan};
use longhaul_topologies::{Document, InputError, closest};
use serde::Deserialize;

use super::trace::{Activity, Node, Trace};
use crate::collective::{Collective, DataType, ReduceOp};

/// The group of all ranks.
const ALL: &str = "all";

/// More ranks than any machine emulates.
pub(super) const MOST_RANKS: usize = 4096;

/// More nodes than this are a slip in what wrote the file.
pub(super) const MOST_NODES: usize = 100_000;

/// The same, of nodes times the ranks that take part in them.
pub(super) const MOST_SHARES: usize = 2_000_000;

/// Computing for longer is a slip in a unit.
pub(super) const LONGEST_COMPUTE: std::time::Duration = std::time::Duration::from_secs(3600);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceSpec {
    name: String,
    #[serde(default)]
    description: String,
    /// As many as there are hosts if absent.
    ranks: Option<usize>,
    #[serde(default)]
    groups: BTreeMap<String, Vec<usize>>,
    #[serde(default = "f32")]
    data_type: DataType,
    #[serde(default = "sum")]
    op: ReduceOp,
    nodes: Vec<NodeSpec>,
}

/// Just one of the fields from `compute` to `send` is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeSpec {
    name: Option<String>,
    compute: Option<TimeSpan>,
    all_reduce: Option<ByteSize>,
    all_gather: Option<ByteSize>,
    reduce_scatter: Option<ByteSize>,
    broadcast: Option<ByteSize>,
    all_to_all: Option<ByteSize>,
    send_recv: Option<ByteSize>,
    send: Option<ByteSize>,
    /// Who takes part; the group of all if both are absent.
    group: Option<String>,
    ranks: Option<Vec<usize>>,
    /// Of a send.
    from: Option<usize>,
    to: Option<usize>,
    /// Of a broadcast; the first of its ranks if absent.
    root: Option<usize>,
    data_type: Option<DataType>,
    op: Option<ReduceOp>,
    /// Of computing.
    stream: Option<u32>,
    /// On each rank, the last node before this one that the rank takes part in, if absent.
    after: Option<Vec<String>>,
}

fn f32() -> DataType {
    DataType::F32
}

fn sum() -> ReduceOp {
    ReduceOp::Sum
}

/// Reads a trace that `hosts` ranks are there for.
///
/// # Errors
/// The first thing that is wrong, at its line.
pub(super) fn read(document: &Document, hosts: usize) -> Result<Trace, InputError> {
    let spec: TraceSpec = document.parse()?;
    let reader = Reader {
        document,
        ranks: spec.ranks.unwrap_or(hosts),
        spec: &spec,
    };
    reader.check_groups()?;
    let nodes = reader.nodes()?;
    let keys: Vec<usize> = (0..nodes.len()).collect();
    let named = (spec.name.clone(), spec.description.clone());
    Trace::new(named, reader.ranks, nodes, &keys).map_err(|cycle| {
        let message = "this node waits for itself, by way of what it comes after";
        let error = reader.error(cycle.node, "after", message);
        error.with_help("nodes come after others that can end without them")
    })
}

struct Reader<'a> {
    document: &'a Document,
    spec: &'a TraceSpec,
    ranks: usize,
}

impl Reader<'_> {
    /// An error about a field of a node; about the node if the field is not there.
    fn error(&self, node: usize, field: &str, message: impl Into<String>) -> InputError {
        let at = DocumentPath::root().key("nodes").index(node);
        let inside = at.clone().key(field);
        let there = self.document.at(&inside).is_some();
        self.document
            .error(if there { &inside } else { &at }, message)
    }

    fn check_groups(&self) -> Result<(), InputError> {
        let root = DocumentPath::root;
        if !(2..=MOST_RANKS).contains(&self.ranks) {
            let message = format!("a trace has 2 to {MOST_RANKS} ranks");
            return Err(self.document.error(&root().key("ranks"), message));
        }
        if self.spec.nodes.is_empty() || self.spec.nodes.len() > MOST_NODES {
            let message = format!("a trace has 1 to {MOST_NODES} nodes");
            return Err(self.document.error(&root().key("nodes"), message));
        }
        for (name, ranks) in &self.spec.groups {
            let at = root().key("groups").key(name);
            let refuse = |message: String| Err(self.document.error(&at, message));
            if name == ALL {
                return refuse(format!("`{ALL}` is all ranks, always: name it otherwise"));
            }
            if let Err(message) = self.check_ranks(ranks) {
                return refuse(message);
            }
        }
        Ok(())
    }

    fn check_ranks(&self, ranks: &[usize]) -> Result<(), String> {
        if ranks.is_empty() {
            return Err("at least one rank is needed".to_owned());
        }
        let mut seen = BTreeSet::new();
        for &rank in ranks {
            if rank >= self.ranks {
                return Err(format!(
                    "there is no rank {rank}: they are 0 to {}",
                    self.ranks - 1
                ));
            }
            if !seen.insert(rank) {
                return Err(format!("rank {rank} is named twice"));
            }
        }
        Ok(())
    }

    fn nodes(&self) -> Result<Vec<Node>, InputError> {
        let names = self.names()?;
        let mut nodes: Vec<Node> = Vec::new();
        let mut shares = 0;
        // By rank, the last node so far.
        let mut last: Vec<Option<usize>> = vec![None; self.ranks];
        for (index, spec) in self.spec.nodes.iter().enumerate() {
            let (activity, ranks) = self.activity(index, spec)?;
            shares += ranks.len();
            if shares > MOST_SHARES {
                let message = format!("{MOST_SHARES} shares of ranks in nodes are replayed at most");
                return Err(self.error(index, "", message));
            }
            let follows = spec.after.is_none();
            let before = |&rank: &usize| last[rank].filter(|_| follows);
            let after = ranks.iter().map(|rank| before(rank).into_iter().collect());
            let after = after.collect();
            for &rank in &ranks {
                last[rank] = Some(index);
            }
            let name = spec.name.clone().unwrap_or_else(|| format!("nodes.{index}"));
            nodes.push(Node {
                name,
                activity,
                ranks,
                after,
            });
        }
        for (index, spec) in self.spec.nodes.iter().enumerate() {
            for (place, name) in spec.after.iter().flatten().enumerate() {
                let earlier = self.after(index, place, name, &names, &nodes)?;
                let others = nodes[earlier].ranks.clone();
                let node = &mut nodes[index];
                for (rank, after) in node.ranks.iter().zip(&mut node.after) {
                    after.extend(others.contains(rank).then_some(earlier));
                }
            }
        }
        Ok(nodes)
    }

    /// Nodes by name.
    fn names(&self) -> Result<BTreeMap<&str, usize>, InputError> {
        let mut names = BTreeMap::new();
        for (index, spec) in self.spec.nodes.iter().enumerate() {
            if let Some(name) = &spec.name
                && names.insert(name.as_str(), index).is_some()
            {
                let message = format!("there are two nodes named `{name}`");
                return Err(self.error(index, "name", message));
            }
        }
        Ok(names)
    }

    /// The node that `name` stands for, which node `index` comes after.
    fn after(
        &self,
        index: usize,
        place: usize,
        name: &str,
        names: &BTreeMap<&str, usize>,
        nodes: &[Node],
    ) -> Result<usize, InputError> {
        let at = DocumentPath::root().key("nodes").index(index);
        let at = at.key("after").index(place);
        let Some(&earlier) = names.get(name) else {
            let error = self
                .document
                .error(&at, format!("there is no node named `{name}`"));
            return Err(match closest(name, names.keys()) {
                Some(name) => error.with_help(format!("did you mean `{name}`?")),
                None => error.with_help("give the node that comes first a `name`"),
            });
        };
        let shared = |rank: &usize| nodes[earlier].ranks.contains(rank);
        if !nodes[index].ranks.iter().any(shared) {
            let message = format!("no rank takes part in both this and `{name}`");
            let error = self.document.error(&at, message);
            return Err(error.with_help(
                "ranks learn of each other by messages alone: send one, or leave this out",
            ));
        }
        Ok(earlier)
    }

    /// What a node does, and who.
    fn activity(
        &self,
        index: usize,
        spec: &NodeSpec,
    ) -> Result<(Activity, Vec<usize>), InputError> {
        let collectives = [
            (Collective::AllReduce, spec.all_reduce),
            (Collective::AllGather, spec.all_gather),
            (Collective::ReduceScatter, spec.reduce_scatter),
            (Collective::Broadcast, spec.broadcast),
            (Collective::AllToAll, spec.all_to_all),
            (Collective::SendRecv, spec.send_recv),
        ];
        let collectives = collectives.into_iter();
        let collectives: Vec<(Collective, u64)> = collectives
            .filter_map(|(collective, size)| Some((collective, size?.bytes())))
            .collect();
        let data_type = spec.data_type.unwrap_or(self.spec.data_type);
        match (spec.compute, spec.send, &collectives[..]) {
            (Some(lasts), None, []) => {
                self.unused(index, spec, &["from", "to", "root", "data_type", "op"])?;
                let lasts = lasts.duration();
                if lasts > LONGEST_COMPUTE {
                    return Err(self.error(index, "compute", "computing takes an hour at most"));
                }
                let stream = spec.stream.unwrap_or(0);
                Ok((Activity::Compute { lasts, stream }, self.members(index, spec)?))
            }
            (None, Some(size), []) => {
                self.unused(index, spec, &["root", "op", "stream", "group", "ranks"])?;
                let size_bytes = size.bytes();
                let ranks = [("from", spec.from), ("to", spec.to)].map(|(field, rank)| {
                    rank.ok_or_else(|| {
                        self.error(index, "send", format!("a send says `{field}` which rank"))
                    })
                });
                let [from, to] = ranks;
                let ranks = vec![from?, to?];
                self.check_ranks(&ranks)
                    .map_err(|message| self.error(index, "to", message))?;
                self.check_size(index, "send", Collective::Broadcast, data_type, size_bytes, 2)?;
                let activity = Activity::Transfer {
                    data_type,
                    size_bytes,
                };
                Ok((activity, ranks))
            }
            (None, None, &[(collective, size_bytes)]) => {
                self.unused(index, spec, &["from", "to", "stream"])?;
                let ranks = self.members(index, spec)?;
                let field = collective.name();
                self.check_size(index, field, collective, data_type, size_bytes, ranks.len())?;
                if !collective.has_root() {
                    self.unused(index, spec, &["root"])?;
                }
                let root = spec.root.unwrap_or(ranks[0]);
                let root = ranks.iter().position(|&rank| rank == root);
                let root = root.ok_or_else(|| {
                    self.error(index, "root", format!("the root is one of the ranks {ranks:?}"))
                })?;
                let activity = Activity::Collective {
                    collective,
                    data_type,
                    op: spec.op.unwrap_or(self.spec.op),
                    root,
                    size_bytes,
                };
                Ok((activity, ranks))
            }
            _ => {
                let error = self.error(index, "", "a node does one thing");
                Err(error.with_help(format!(
                    "give it one of `compute`, `send`, {}",
                    Collective::ALL.map(|one| format!("`{one}`")).join(", ")
                )))
            }
        }
    }

    /// Refuses fields that mean nothing here.
    fn unused(&self, index: usize, spec: &NodeSpec, fields: &[&str]) -> Result<(), InputError> {
        let given = |field: &str| match field {
            "from" => spec.from.is_some(),
            "to" => spec.to.is_some(),
            "root" => spec.root.is_some(),
            "data_type" => spec.data_type.is_some(),
            "op" => spec.op.is_some(),
            "stream" => spec.stream.is_some(),
            "group" => spec.group.is_some(),
            _ => spec.ranks.is_some(),
        };
        match fields.iter().find(|field| given(field)) {
            None => Ok(()),
            Some(field) => {
                let message = format!("`{field}` means nothing to what this node does");
                Err(self.error(index, field, message))
            }
        }
    }

    fn members(&self, index: usize, spec: &NodeSpec) -> Result<Vec<usize>, InputError> {
        match (&spec.group, &spec.ranks) {
            (Some(_), Some(_)) => {
                let message = "a node has a `group` or `ranks`, not both";
                Err(self.error(index, "ranks", message))
            }
            (None, Some(ranks)) => match self.check_ranks(ranks) {
                Ok(()) => Ok(ranks.clone()),
                Err(message) => Err(self.error(index, "ranks", message)),
            },
            (None, None) => Ok((0..self.ranks).collect()),
            (Some(name), None) if name == ALL => Ok((0..self.ranks).collect()),
            (Some(name), None) => self.spec.groups.get(name).cloned().ok_or_else(|| {
                let names = self.spec.groups.keys().map(String::as_str);
                let names: Vec<&str> = names.chain([ALL]).collect();
                let error = self.error(index, "group", format!("there is no group `{name}`"));
                error.with_help(format!("there are: {}", names.join(", ")))
            }),
        }
    }

    fn check_size(
        &self,
        index: usize,
        field: &str,
        collective: Collective,
        data_type: DataType,
        size_bytes: u64,
        ranks: usize,
    ) -> Result<(), InputError> {
        let count = collective.count(data_type, size_bytes, ranks);
        count
            .map(drop)
            .map_err(|error| self.error(index, field, error.to_string()))
    }
}

