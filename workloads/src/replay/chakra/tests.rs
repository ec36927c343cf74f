//! Traces as `chakra_jsonizer` writes them: protobuf's JSON, defaults left out, numbers of 64 bits in quotes.

use serde_json::{Value, json};

use super::*;
use crate::replay::trace::Activity;

/// A file: the metadata, then the nodes, one after another with nothing between.
fn text(nodes: &[Value]) -> String {
    let mut text = serde_json::to_string_pretty(&json!({ "version": "0.0.4" })).unwrap();
    for node in nodes {
        text += &serde_json::to_string_pretty(node).unwrap();
    }
    text
}

fn file(rank: usize, text: String) -> File {
    File {
        name: format!("step.{rank}.json"),
        text,
    }
}

fn files(ranks: &[Vec<Value>]) -> Vec<File> {
    let texts = ranks.iter().map(|nodes| text(nodes)).enumerate();
    texts.map(|(rank, text)| file(rank, text)).collect()
}

fn compute(id: u64, micros: u64, deps: &[u64]) -> Value {
    let deps: Vec<String> = deps.iter().map(u64::to_string).collect();
    json!({ "id": id.to_string(), "name": format!("gemm{id}"), "type": "COMP_NODE", "dataDeps": deps,
            "durationMicros": micros.to_string(), "attr": [{ "name": "is_cpu_op", "boolVal": false }],
            "inputs": { "values": "[]", "shapes": "[]", "types": "[]" } })
}

fn collective(id: u64, kind: u64, size: u64, group: &str, deps: &[u64]) -> Value {
    let deps: Vec<String> = deps.iter().map(u64::to_string).collect();
    let mut attributes = vec![
        json!({ "name": "comm_type", "int64Val": kind.to_string() }),
        json!({ "name": "comm_size", "int64Val": size.to_string() }),
        json!({ "name": "unread", "doubleVal": 1.5 }),
    ];
    if !group.is_empty() {
        attributes.push(json!({ "name": "pg_name", "stringVal": group }));
    }
    json!({ "id": id.to_string(), "name": format!("nccl{id}"), "type": "COMM_COLL_NODE", "ctrlDeps": deps, "attr": attributes })
}

fn transfer(id: u64, kind: &str, peer: &str, rank: u64, size: u64) -> Value {
    json!({ "id": id.to_string(), "name": format!("p2p{id}"), "type": kind,
            "attr": [{ "name": peer, "int32Val": rank }, { "name": "comm_size", "uint64Val": size.to_string() }] })
}

fn refusal(files: &[File]) -> String {
    let error = read("step", files).unwrap_err();
    match &error.help {
        Some(help) => format!("{error} [{help}]"),
        None => error.to_string(),
    }
}

/// Kind, bytes and ranks of everything, in order.
fn summary(trace: &Trace) -> Vec<(&'static str, u64, Vec<usize>)> {
    let node = trace.nodes().iter();
    node.map(|node| {
        let kind = node.activity.kind().unwrap_or("compute");
        (kind, node.activity.size_bytes(), node.ranks.clone())
    })
    .collect()
}

#[test]
fn ranks_meet_in_the_order_of_their_process_groups() {
    // Four ranks, two pipeline stages of two: gradients per stage, an all-gather of all, activations from 0 to 2.
    let stage = |group: &str, first: Value| {
        vec![
            json!({ "name": "process_group:init", "type": "METADATA_NODE" }),
            first,
            compute(2, 100, &[0, 1]),
            collective(3, 0, 4096, group, &[2]),
            collective(4, 2, 1000, "", &[3]),
        ]
    };
    let ranks = [
        stage("dp0", transfer(1, "COMM_SEND_NODE", "comm_dst", 2, 512)),
        stage("dp0", compute(1, 1, &[])),
        stage("dp1", transfer(1, "COMM_RECV_NODE", "comm_src", 0, 512)),
        stage("dp1", compute(1, 1, &[])),
    ];
    let trace = read("step", &files(&ranks)).unwrap();
    assert_eq!(trace.ranks, 4);
    let summary = summary(&trace);
    assert_eq!(summary.len(), 2 + 1 + 4 + 2 + 1);
    assert!(summary.contains(&("send", 512, vec![0, 2])));
    assert!(summary.contains(&("all_reduce", 4096, vec![0, 1])));
    assert!(summary.contains(&("all_reduce", 4096, vec![2, 3])));
    // Chakra counts what each rank brings, nccl-tests the whole.
    assert_eq!(
        summary.last(),
        Some(&("all_gather", 4000, vec![0, 1, 2, 3]))
    );
    let gather = trace.nodes().last().unwrap();
    for (rank, after) in gather.ranks.iter().zip(&gather.after) {
        let kinds = after
            .iter()
            .map(|&node| trace.nodes()[node].activity.kind());
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [Some("all_reduce")],
            "rank {rank}"
        );
    }
}

#[test]
fn one_file_is_every_ranks() {
    let nodes = [
        compute(1, 250, &[]),
        collective(2, 0, 6, "world", &[1]),
        collective(3, 9, 0, "world", &[2]),
    ];
    let trace = read_alike("step", &file(0, text(&nodes)), 3).unwrap();
    let summary = summary(&trace);
    assert_eq!(
        summary[..3],
        [0, 1, 2].map(|rank| ("compute", 0, vec![rank]))
    );
    // Whole elements; and a barrier, which is the least all-reduce.
    assert_eq!(
        summary[3..],
        [
            ("all_reduce", 8, vec![0, 1, 2]),
            ("all_reduce", 4, vec![0, 1, 2])
        ]
    );
}

#[test]
fn the_processor_and_the_accelerator_compute_side_by_side() {
    let mut host = compute(2, 300, &[]);
    host["attr"] = json!([{ "name": "is_cpu_op", "boolVal": true }]);
    let trace = read_alike("step", &file(0, text(&[compute(1, 250, &[]), host])), 2).unwrap();
    let streams = trace.nodes().iter().map(|node| match node.activity {
        Activity::Compute { stream, .. } => stream,
        _ => panic!("computing alone"),
    });
    assert_eq!(streams.collect::<Vec<_>>(), [0, 0, 1, 1]);
    let longest = std::time::Duration::from_micros(300);
    assert_eq!(trace.compute_time(&Default::default()), longest);
}

#[test]
fn what_is_no_trace_of_this_form_is_refused_with_the_way_to_one() {
    let good = text(&[compute(1, 5, &[])]);
    let errors: Vec<String> = [
        "",
        "{",
        &good[..good.len() - 20],
        "[]",
        "{}",
        r#"{"version": "0.0.1"}"#,
        r#"{"version": "0.0.4"}"#,
        r#"{"schema": "1.1.1-chakra.0.0.4", "nodes": [{"id": 1}]}"#,
        r#"{"workload_graph": []}"#,
    ]
    .map(|text| refusal(&[file(0, text.to_owned())]))
    .into();
    insta::assert_snapshot!(errors.join("\n"), @r"
    step.0.json: this does not begin with a JSON object [this is read as Chakra's JSON of schema 0.0.4, as `chakra_jsonizer` writes it]
    step.0.json:1:1: EOF while parsing an object [this is read as Chakra's JSON of schema 0.0.4, as `chakra_jsonizer` writes it]
    step.0.json:18:3: EOF while parsing an object [this is read as Chakra's JSON of schema 0.0.4, as `chakra_jsonizer` writes it]
    step.0.json: this does not begin with a JSON object [this is read as Chakra's JSON of schema 0.0.4, as `chakra_jsonizer` writes it]
    step.0.json: the schema's version is ``; 0.0.4 is read [the file begins with a GlobalMetadata, as `chakra_jsonizer` writes it]
    step.0.json: the schema's version is `0.0.1`; 0.0.4 is read [the file begins with a GlobalMetadata, as `chakra_jsonizer` writes it]
    step.0.json: there are no nodes
    step.0.json: this is a PyTorch execution trace, before its conversion to Chakra's schema [link it with `chakra_trace_link`, convert it with `chakra_converter PyTorch`, then with `chakra_jsonizer`]
    step.0.json: this is the `workload_graph` that Chakra's feeder reads, which names no process groups [convert the trace with `chakra_jsonizer`]
    ");
}

#[test]
fn nodes_that_cannot_be_replayed_are_named() {
    let alone = |nodes: Vec<Value>| {
        let quiet = vec![compute(9, 1, &[])];
        refusal(&files(&[nodes, quiet]))
    };
    let mut long = compute(1, 0, &[]);
    long["durationMicros"] = json!("99999999999");
    let mut odd = compute(1, 0, &[]);
    odd["durationMicros"] = json!("soon");
    let errors = [
        alone(vec![compute(1, 5, &[7])]),
        alone(vec![compute(1, 5, &[2]), compute(2, 5, &[1])]),
        alone(vec![compute(1, 5, &[]), compute(1, 5, &[])]),
        alone(vec![
            json!({ "id": "1", "name": "load", "type": "MEM_LOAD_NODE" }),
        ]),
        alone(vec![
            json!({ "id": "1", "name": "x", "type": "COMM_COLL_NODE" }),
        ]),
        alone(vec![collective(1, 4, 10, "", &[])]),
        alone(vec![collective(1, 12, 10, "", &[])]),
        alone(vec![long]),
        alone(vec![odd]),
        alone(vec![transfer(1, "COMM_SEND_NODE", "comm_dst", 7, 10)]),
        alone(vec![transfer(1, "COMM_SEND_NODE", "comm_src", 1, 10)]),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r"
    step.0.json: node 1 (`gemm1`) depends on node 7, which is not there
    step.0.json: node 1 (`gemm1`) waits for itself, by way of its dependencies
    step.0.json: there are two nodes of id 1
    step.0.json: node 1 (`load`) is of the type `MEM_LOAD_NODE`, which is not replayed [replayed are COMP_NODE, COMM_COLL_NODE, COMM_SEND_NODE, COMM_RECV_NODE and METADATA_NODE; make other nodes with a duration COMP_NODEs]
    step.0.json: node 1 (`x`) has no `comm_type`
    step.0.json: node 1 (`nccl1`) is a scatter, which longhaul has no collective for: leave it out, or make it a broadcast or an all_reduce
    step.0.json: node 1 (`nccl1`) has a `comm_type` of 12, which is none
    step.0.json: node 1 (`gemm1`) computes for more than an hour
    step.0.json:8:26: `soon` is no whole number [this is read as Chakra's JSON of schema 0.0.4, as `chakra_jsonizer` writes it]
    step.0.json: node 1 (`p2p1`) is with rank 7, and this is rank 0 of 2
    step.0.json: node 1 (`p2p1`) has no `comm_dst`
    ");
}

#[test]
fn ranks_that_do_not_do_the_same_together_are_refused() {
    let pair = |first: Vec<Value>, second: Vec<Value>| refusal(&files(&[first, second]));
    let errors = [
        pair(
            vec![collective(1, 0, 8, "", &[])],
            vec![collective(5, 0, 16, "", &[])],
        ),
        pair(
            vec![collective(1, 0, 8, "", &[]), collective(2, 0, 8, "", &[])],
            vec![collective(5, 0, 8, "", &[])],
        ),
        pair(
            vec![transfer(1, "COMM_SEND_NODE", "comm_dst", 1, 8)],
            vec![compute(1, 1, &[])],
        ),
        // Each waits for what the other begins later.
        pair(
            vec![
                transfer(1, "COMM_RECV_NODE", "comm_src", 1, 8),
                json!({ "id": "2", "name": "s", "type": "COMM_SEND_NODE", "dataDeps": ["1"],
                        "attr": [{ "name": "comm_dst", "int32Val": 1 }, { "name": "comm_size", "int64Val": "8" }] }),
            ],
            vec![
                transfer(1, "COMM_RECV_NODE", "comm_src", 0, 8),
                json!({ "id": "2", "name": "s", "type": "COMM_SEND_NODE", "dataDeps": ["1"],
                        "attr": [{ "name": "comm_dst", "int32Val": 0 }, { "name": "comm_size", "int64Val": "8" }] }),
            ],
        ),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r"
    step.1.json: node 5 (`nccl5`) is all_reduce of 16 B, and what meets it on rank 0, node 1, is all_reduce of 8 B
    step.0.json: node 2 (`nccl2`) is not met by any node of rank 1
    step.0.json: node 1 (`p2p1`) is not met by any node of rank 1
    step.0.json: ranks wait for each other at `p2p1 (node 1 of rank 0)` [collectives of one process group have the same order on all of its ranks]
    ");
    let alike = read_alike(
        "step",
        &file(0, text(&[transfer(1, "COMM_SEND_NODE", "comm_dst", 1, 8)])),
        2,
    );
    assert_eq!(
        alike.unwrap_err().to_string(),
        "step.0.json: node 1 sends or receives, as only some ranks do"
    );
}

#[test]
fn any_end_of_a_file_is_refused_or_read() {
    let whole = text(&[compute(1, 5, &[]), collective(2, 0, 8, "", &[1])]);
    for end in 0..whole.len() {
        let cut = file(0, whole[..end].to_owned());
        if let Err(error) = read_alike("step", &cut, 2) {
            assert!(error.document == "step.0.json" && !error.message.is_empty());
        }
    }
}
