//! `experiments traces|trace`.

use std::collections::BTreeSet;
use std::path::Path;

use longhaul_topologies::units::{ByteSize, TimeSpan};
use longhaul_workloads::replay::catalogue;
use longhaul_workloads::replay::source::TraceSource;
use longhaul_workloads::replay::terms::Terms;
use longhaul_workloads::replay::trace::{Activity, Node, Trace};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::{Output, count};

/// More nodes than this are not read; JSON has all.
const MOST_NODES: usize = 200;

/// The traces that come with longhaul.
pub fn list(ranks: usize, output: Output) -> Result<Exit, Failure> {
    let traces = catalogue::entries().iter();
    let traces: Vec<Trace> = traces
        .map(|entry| open(entry.name, ranks))
        .collect::<Result<_, _>>()?;
    let row = |trace: &Trace| json!({ "name": trace.name, "nodes": trace.nodes().len(), "description": trace.description });
    let rows: Vec<Value> = traces.iter().map(row).collect();
    output.either(&rows, || {
        let mut table = Listing::new(&["trace", "nodes", "what it is"]);
        for trace in &traces {
            table.row([
                trace.name.clone(),
                trace.nodes().len().to_string(),
                trace.description.clone(),
            ]);
        }
        table.render(1..2, output.width())
    });
    Ok(Exit::Fine)
}

/// What is in a trace, for so many ranks where it leaves that open.
pub fn show(name: &str, ranks: usize, output: Output) -> Result<Exit, Failure> {
    let trace = open(name, ranks)?;
    output.either(&summary(&trace), || text(&trace, output.width()));
    Ok(Exit::Fine)
}

fn open(name: &str, ranks: usize) -> Result<Trace, Failure> {
    Ok(TraceSource::open(name, Path::new(""))?.trace(ranks)?)
}

fn memory(trace: &Trace) -> u64 {
    let ranks = (0..trace.ranks).map(|rank| trace.memory(rank));
    ranks.max().unwrap_or_default()
}

/// The names of all that a node waits for on any of its ranks.
fn after<'a>(trace: &'a Trace, node: &Node) -> Vec<&'a str> {
    let after: BTreeSet<usize> = node.after.iter().flatten().copied().collect();
    let after = after.into_iter();
    after
        .map(|node| trace.nodes()[node].name.as_str())
        .collect()
}

fn summary(trace: &Trace) -> Value {
    let carried = trace.carried().into_iter();
    let carries = carried.map(
        |(kind, carried)| json!({ "kind": kind, "count": carried.count, "bytes": carried.bytes }),
    );
    let nodes = trace.nodes().iter().map(|node| {
        let mut value =
            json!({ "name": node.name, "ranks": node.ranks, "after": after(trace, node) });
        match node.activity {
            Activity::Compute { lasts, stream } => {
                value["compute_seconds"] = json!(lasts.as_secs_f64());
                value["stream"] = json!(stream);
            }
            activity => {
                value["kind"] = json!(activity.kind());
                value["bytes"] = json!(activity.size_bytes());
            }
        }
        value
    });
    json!({
        "name": trace.name,
        "description": trace.description,
        "ranks": trace.ranks,
        "seconds_without_communication": trace.compute_time(&Terms::default()).as_secs_f64(),
        "memory_bytes_of_a_rank": memory(trace),
        "carries": carries.collect::<Vec<_>>(),
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

fn text(trace: &Trace, width: usize) -> String {
    let span = TimeSpan::from_duration(trace.compute_time(&Terms::default()));
    let mut text = format!(
        "{}: {}\n{}, {}; a step takes {span} if communication takes no time; arrays of {} a rank at most\n\n",
        trace.name,
        trace.description,
        count(trace.ranks, "rank"),
        count(trace.nodes().len(), "node"),
        ByteSize::from_bytes(memory(trace)),
    );
    let mut carried = Listing::new(&["a step's", "count", "bytes"]);
    for (kind, one) in trace.carried() {
        carried.row([
            kind.to_owned(),
            one.count.to_string(),
            ByteSize::from_bytes(one.bytes).to_string(),
        ]);
    }
    text += &carried.render(1..3, width);
    let mut nodes = Listing::new(&["node", "what", "how much", "ranks", "after"]);
    for node in trace.nodes().iter().take(MOST_NODES) {
        let (what, much) = match node.activity {
            Activity::Compute { lasts, .. } => {
                ("compute", TimeSpan::from_duration(lasts).to_string())
            }
            activity => (
                activity.kind().unwrap_or_default(),
                ByteSize::from_bytes(activity.size_bytes()).to_string(),
            ),
        };
        nodes.row([
            node.name.clone(),
            what.to_owned(),
            much,
            members(trace, node),
            after(trace, node).join(", "),
        ]);
    }
    text += "\n\n";
    text += &nodes.render(2..3, width);
    if trace.nodes().len() > MOST_NODES {
        text += &format!("\nthe first {MOST_NODES} nodes; `--json` has all");
    }
    text
}

/// `all`, `0>2`, `0 1`.
fn members(trace: &Trace, node: &Node) -> String {
    let ranks: Vec<String> = node.ranks.iter().map(usize::to_string).collect();
    match node.activity {
        Activity::Transfer { .. } => ranks.join(">"),
        _ if ranks.len() == trace.ranks => "all".to_owned(),
        _ => ranks.join(" "),
    }
}
