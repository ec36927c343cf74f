//! longhaul's own YAML of a trace. Docs: `docs/replay.md`.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_topologies::document::DocumentPath;
use longhaul_topologies::units::{ByteSize, TimeSpan};
use longhaul_topologies::{Document, InputError, did_you_mean};
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
    pairs: Option<ByteSize>,
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
                let message =
                    format!("{MOST_SHARES} shares of ranks in nodes are replayed at most");
                return Err(self.error(index, "", message));
            }
            let follows = spec.after.is_none();
            let before = |&rank: &usize| last[rank].filter(|_| follows);
            let after = ranks.iter().map(|rank| before(rank).into_iter().collect());
            let after = after.collect();
            for &rank in &ranks {
                last[rank] = Some(index);
            }
            let name = spec
                .name
                .clone()
                .unwrap_or_else(|| format!("nodes.{index}"));
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
            let question = did_you_mean(name, names.keys());
            let otherwise = || "give the node that comes first a `name`".to_owned();
            return Err(error.with_help(question.unwrap_or_else(otherwise)));
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
            (Collective::Pairs, spec.pairs),
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
                Ok((
                    Activity::Compute { lasts, stream },
                    self.members(index, spec)?,
                ))
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
                self.check_size(
                    index,
                    "send",
                    Collective::Broadcast,
                    data_type,
                    size_bytes,
                    2,
                )?;
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
                    self.error(
                        index,
                        "root",
                        format!("the root is one of the ranks {ranks:?}"),
                    )
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
name: two-stages
groups: {first: [0, 1], second: [2, 3]}
nodes:
  - {name: f0, compute: 5ms, group: first}
  - {name: a0, send: 1KiB, from: 0, to: 2}
  - {name: f1, compute: 7ms, group: second, after: [a0]}
  - {all_reduce: 64KiB, group: second}
  - {all_gather: 4KiB, data_type: bf16, after: []}
  - {broadcast: 1KiB, ranks: [3, 1], root: 1}
";

    fn trace(text: &str, hosts: usize) -> Result<Trace, InputError> {
        read(&Document::from_text("t.yaml", text).unwrap(), hosts)
    }

    fn refusal(text: &str) -> String {
        let error = trace(text, 4).unwrap_err();
        match &error.help {
            Some(help) => format!("{error} [{help}]"),
            None => error.to_string(),
        }
    }

    #[test]
    fn nodes_follow_what_their_ranks_did_before_unless_they_say_otherwise() {
        let trace = trace(TEXT, 4).unwrap();
        assert_eq!(trace.ranks, 4);
        let nodes = trace.nodes();
        let find = |name: &str| nodes.iter().position(|node| node.name == name).unwrap();
        let after = |node: usize, rank: usize| -> Vec<&str> {
            let after = nodes[node].after_on(rank).iter();
            after.map(|&earlier| nodes[earlier].name.as_str()).collect()
        };
        assert_eq!(after(find("a0"), 0), ["f0"]);
        assert!(
            after(find("a0"), 2).is_empty(),
            "the receiver waits for nothing"
        );
        assert_eq!(after(find("f1"), 2), ["a0"]);
        assert!(after(find("f1"), 3).is_empty(), "rank 3 is not sent to");
        assert_eq!(after(find("nodes.3"), 3), ["f1"]);
        assert!(after(find("nodes.4"), 0).is_empty());
        let last = &nodes[find("nodes.5")];
        assert_eq!(last.ranks, [3, 1]);
        assert!(matches!(
            last.activity,
            Activity::Collective {
                root: 1,
                data_type: DataType::F32,
                ..
            }
        ));
    }

    #[test]
    fn a_trace_has_as_many_ranks_as_there_are_unless_it_says_how_many() {
        let text = "name: x\nnodes: [{all_reduce: 1KiB}]\n";
        assert_eq!(trace(text, 6).unwrap().nodes()[0].ranks, [0, 1, 2, 3, 4, 5]);
        let text = format!("ranks: 2\n{text}");
        assert_eq!(trace(&text, 6).unwrap().ranks, 2);
    }

    #[test]
    fn what_is_wrong_is_told_at_its_line() {
        let with = |from: &str, to: &str| {
            assert!(TEXT.contains(from), "{from}");
            refusal(&TEXT.replace(from, to))
        };
        let errors = [
            with("compute: 5ms", "compute: 5"),
            with("compute: 5ms", "compute: 2000min"),
            with("compute: 5ms", "compute: 5ms, all_reduce: 1KiB"),
            with("compute: 5ms, ", ""),
            with("compute: 5ms", "compute: 5ms, root: 1"),
            with("group: first}", "group: frist}"),
            with("group: first}", "group: first, ranks: [0]}"),
            with("second: [2, 3]", "second: [2, 4]"),
            with("second: [2, 3]", "second: [2, 2]"),
            with("second: [2, 3]", "all: [2, 3]"),
            with("from: 0, to: 2", "from: 0"),
            with("from: 0, to: 2", "from: 0, to: 0"),
            with("from: 0, to: 2", "from: 0, to: 9"),
            with("after: [a0]", "after: [a00]"),
            with("after: [a0]", "after: [f0]"),
            with("name: f1", "name: f0"),
            with(
                "{name: f0, compute: 5ms, group: first}",
                "{name: f0, compute: 5ms, after: [f1]}",
            ),
            with("64KiB", "1b"),
            with("root: 1", "root: 2"),
            with("all_gather", "allgather"),
            refusal("name: x\nnodes: []\n"),
            refusal("name: x\nranks: 1\nnodes: [{compute: 1ms}]\n"),
            refusal("name: x\nranks: 5000\nnodes: [{compute: 1ms}]\n"),
        ];
        insta::assert_snapshot!(errors.join("\n"), @r"
        t.yaml:5:25: `5` does not say its unit: write `5ms` or `5s`
        t.yaml:5:25: computing takes an hour at most
        t.yaml:5:5: a node does one thing [give it one of `compute`, `send`, `all_reduce`, `all_gather`, `reduce_scatter`, `broadcast`, `all_to_all`, `send_recv`, `pairs`]
        t.yaml:5:5: a node does one thing [give it one of `compute`, `send`, `all_reduce`, `all_gather`, `reduce_scatter`, `broadcast`, `all_to_all`, `send_recv`, `pairs`]
        t.yaml:5:36: `root` means nothing to what this node does
        t.yaml:5:37: there is no group `frist` [there are: first, second, all]
        t.yaml:5:51: a node has a `group` or `ranks`, not both
        t.yaml:3:33: there is no rank 4: they are 0 to 3
        t.yaml:3:33: rank 2 is named twice
        t.yaml:3:30: `all` is all ranks, always: name it otherwise
        t.yaml:6:22: a send says `to` which rank
        t.yaml:6:41: rank 0 is named twice
        t.yaml:6:41: there is no rank 9: they are 0 to 3
        t.yaml:7:53: there is no node named `a00` [did you mean `a0`?]
        t.yaml:7:53: no rank takes part in both this and `f0` [ranks learn of each other by messages alone: send one, or leave this out]
        t.yaml:7:12: there are two nodes named `f0`
        t.yaml:5:37: this node waits for itself, by way of what it comes after [nodes come after others that can end without them]
        t.yaml:8:18: 1 B is too small for all_reduce of f32 over 2 ranks: it takes at least 4 B
        t.yaml:10:44: the root is one of the ranks [3, 1]
        t.yaml:9:6: unknown field `allgather` [did you mean `all_gather`? There are: `name`, `compute`, `all_reduce`, `all_gather`, `reduce_scatter`, `broadcast`, `all_to_all`, `send_recv`, `pairs`, `send`, `group`, `ranks`, `from`, `to`, `root`, `data_type`, `op`, `stream`, `after`]
        t.yaml:2:8: a trace has 1 to 100000 nodes
        t.yaml:2:8: a trace has 2 to 4096 ranks
        t.yaml:2:8: a trace has 2 to 4096 ranks
        ");
    }

    #[test]
    fn a_trace_beyond_the_limits_is_refused() {
        let nodes = "  - {all_reduce: 32KiB}\n".repeat(MOST_SHARES / MOST_RANKS + 1);
        let text = format!("name: x\nranks: {MOST_RANKS}\nnodes:\n{nodes}");
        let error = trace(&text, 4).unwrap_err();
        assert!(error.message.contains("are replayed at most"), "{error}");
    }
}
