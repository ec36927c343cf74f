//! What files and settings give, and how they are refused.

use super::*;

const TEXT: &str = "\
name: two
topology:
  name: two
  sites: [{name: a, hosts: 2}, {name: b, hosts: 2}]
  links: [{between: [a, b], rate: 100Mbit, rtt: 20ms}]
workload:
  collective: all_reduce
  sizes: [1MiB]
";

fn source(text: &str) -> ExperimentSource {
    ExperimentSource::new(
        Document::from_text("two.yaml", text).unwrap(),
        Path::new("."),
    )
}

fn refusal(text: &str) -> String {
    let error = source(text).load().unwrap_err();
    format!(
        "{error}{}",
        error
            .help
            .as_ref()
            .map(|help| format!(" [{help}]"))
            .unwrap_or_default()
    )
}

#[test]
fn the_topology_varies_slowest_and_the_stack_fastest() {
    let text = format!(
        "{TEXT}  rank_order: [site-contiguous, interleaved]\nstacks: [cubic, reno]\nrepeats: 2\nsweep: {{topology.links.0.queue: [1bdp, 2bdp]}}\n"
    );
    let experiment = source(&text).load().unwrap();
    assert_eq!(
        (experiment.points.len(), experiment.topologies.len()),
        (16, 2)
    );
    let of = |point: &PointPlan| {
        (
            point.settings["links.0.queue"].clone(),
            point.settings["rank_order"].clone(),
            point.repeat,
            point.stack.name.clone(),
        )
    };
    let seen: Vec<_> = experiment.points.iter().map(of).collect();
    let expected = |queue: &str, order: &str, repeat, stack: &str| {
        (queue.to_owned(), order.to_owned(), repeat, stack.to_owned())
    };
    assert_eq!(
        seen[..3],
        [
            expected("1bdp", "site-contiguous", 0, "cubic"),
            expected("1bdp", "site-contiguous", 0, "reno"),
            expected("1bdp", "site-contiguous", 1, "cubic"),
        ]
    );
    assert_eq!(seen[15], expected("2bdp", "interleaved", 1, "reno"));
    let mut seeds: Vec<u64> = experiment.points.iter().map(|point| point.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 16, "every point has a seed of its own");
}

#[test]
fn a_field_of_the_stacks_can_be_swept() {
    let text = format!(
        "{TEXT}stacks: [reno, {{name: b, connections: 3}}]\nsweep: {{stacks.reno.connections: [1, 4]}}\n"
    );
    let experiment = source(&text).load().unwrap();
    let of = |point: &PointPlan| {
        let value = point.settings["stacks.reno.connections"].clone();
        (value, point.stack.name.clone(), point.stack.connections)
    };
    let seen: Vec<_> = experiment.points.iter().map(of).collect();
    let expected = [
        ("1", "reno", 1),
        ("1", "b", 3),
        ("4", "reno", 4),
        ("4", "b", 3),
    ];
    assert_eq!(
        seen,
        expected.map(|(value, stack, connections)| (
            value.to_owned(),
            stack.to_owned(),
            connections
        ))
    );
    assert_eq!(experiment.topologies.len(), 1);
}

#[test]
fn points_can_be_probed_as_often_as_their_length_asks_for() {
    let text = format!(
        "{TEXT}sweep: {{ways: [{{topology.links.0.rtt: 2ms, probes.interval: 100us}}, {{topology.links.0.rtt: 2s, probes.interval: 5ms}}]}}\n"
    );
    let experiment = source(&text).load().unwrap();
    let intervals = experiment.points.iter().map(|point| point.probe_interval);
    assert_eq!(
        intervals.collect::<Vec<_>>(),
        [Duration::from_micros(100), Duration::from_millis(5)]
    );
}

#[test]
fn a_part_of_the_points_is_as_it_is_in_the_whole() {
    let text = format!("{TEXT}stacks: [cubic, reno]\nrepeats: 3\n");
    let whole = source(&text).load().unwrap();
    let mut part = whole.clone();
    part.keep(2, 3).unwrap();
    let seen = |points: &[PointPlan]| -> Vec<_> {
        points
            .iter()
            .map(|point| (point.number, point.stack.name.clone(), point.seed))
            .collect()
    };
    assert_eq!(seen(&part.points), seen(&whole.points[2..4]));
    assert_eq!(part.resolved, whole.resolved);
    let part = part.part.unwrap();
    assert_eq!((part.first, part.last, part.of), (2, 3, 6));
    for (first, last) in [(6, 6), (0, 6), (2, 1)] {
        let mut none = whole.clone();
        assert!(none.keep(first, last).is_none());
        assert_eq!((none.points.len(), none.part), (6, None));
    }
}

#[test]
fn settings_reach_the_experiment_and_its_topology() {
    let mut source = source(TEXT);
    source.set("workload.iterations", "7").unwrap();
    source.set("topology.links.0.rate", "50Mbit").unwrap();
    let experiment = source.load().unwrap();
    let WorkloadPlan::Collective(plan) = &experiment.points[0].workload else {
        panic!("a collective")
    };
    assert_eq!(plan.iterations, 7);
    let rate = experiment.topologies[0].links[0].lanes[0]
        .forward
        .rate
        .unwrap();
    assert_eq!(rate.bits_per_second(), 50_000_000);
    assert_eq!(
        experiment.resolved["topology"]["links"][0]["rate"],
        "50Mbit"
    );
    assert_eq!(
        experiment.resolved["workload"]["warmup"], 1,
        "defaults are written out"
    );
}

#[test]
fn settings_reach_a_topology_of_the_catalogue() {
    let mut source =
        source("name: x\ntopology: transatlantic\nworkload: {collective: all_reduce}\n");
    source.set("topology.links.0.rate", "50Mbit").unwrap();
    let experiment = source.load().unwrap();
    assert_eq!(
        experiment.topologies[0].links[0].lanes[0]
            .forward
            .rate
            .unwrap()
            .bits_per_second(),
        50_000_000
    );
}

#[test]
fn an_inventory_takes_the_topologys_place_unless_that_would_have_to_be_made() {
    let text = "name: pair\nsites: [{name: x, hosts: [{launch: local, address: 192.0.2.1}]}, \
                {name: y, hosts: [{launch: local, address: 192.0.2.2}]}]\n\
                links: [{between: [x, y], rtt: 80ms}]\n";
    let document = Document::from_text("machines.yaml", text).unwrap();
    let inventory = Inventory::check(&document, Path::new("")).unwrap();
    let on_machines = |text: &str, setting: Option<(&str, &str)>| {
        let mut source = source(text);
        if let Some((key, value)) = setting {
            source.set(key, value).unwrap();
        }
        source.on_machines(&inventory)?;
        source.load()
    };
    let experiment = on_machines(TEXT, Some(("workload.iterations", "7"))).unwrap();
    assert_eq!(
        experiment.topologies,
        std::slice::from_ref(&inventory.topology)
    );
    assert_eq!(experiment.resolved["topology"]["sites"][1]["name"], "y");
    let scheduled = TEXT.replace("rtt: 20ms", "rtt: 20ms, schedule: [{at: 1s, loss: 1%}]");
    let swept = format!("{TEXT}sweep: {{pairs: [{{topology.links.0.loss: 1%}}]}}\n");
    for refused in [
        on_machines(&scheduled, None),
        on_machines(TEXT, Some(("topology.links.0.loss", "1%"))),
        on_machines(&swept, None),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.message, "a physical lab's links cannot be changed");
    }
}

#[test]
fn what_is_wrong_without_the_sweep_is_told_where_it_stands() {
    let swept = |text: &str| format!("{text}sweep: {{topology.links.0.rtt: [1ms, 9ms]}}\n");
    let refused = |text: &str, settings: &[(&str, &str)]| {
        let mut source = source(&swept(text));
        for (key, value) in settings {
            source.set(key, value).unwrap();
        }
        source.load().unwrap_err()
    };
    let catalogue = "name: two\ntopology: metro\nworkload: {collective: all_reduce}\n";
    for text in [TEXT, catalogue] {
        let error = refused(text, &[("topology.links.0.loss", "120%")]);
        let typed = error.setting().expect("the error points at the setting");
        assert_eq!(typed, &Setting::overriding("topology.links.0.loss", "120%"));
        assert!(error.to_string().contains("`120%` is too large"), "{error}");
    }
    let wrong = TEXT.replace("rate: 100Mbit", "loss: 120%");
    let error = refused(&wrong, &[]);
    assert_eq!((error.position, error.setting()), (Some((5, 35)), None));
    // Once set by hand, the file's value does not count.
    let error = refused(
        &wrong,
        &[
            ("topology.links.0.loss", "1%"),
            ("topology.links.0.queue", "5ms"),
        ],
    );
    assert_eq!(error.setting().unwrap().key, "topology.links.0.queue");
}

#[test]
fn every_experiment_of_the_catalogue_loads() {
    for entry in super::super::catalogue::entries() {
        let experiment = super::super::open(entry.name).and_then(|source| source.load());
        let experiment = experiment.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(experiment.name, entry.name);
        assert!(!experiment.description.is_empty() && !experiment.points.is_empty());
    }
}

#[test]
fn fields_of_a_mapping_change_together() {
    let text = format!(
        "{TEXT}stacks: [reno]\nsweep: {{ways: [{{topology.links.0.rtt: 1ms, workload.sizes: [1KiB]}}, {{topology.links.0.rtt: 9ms, workload.sizes: [1MiB]}}], workload.iterations: [1, 2]}}\n"
    );
    let experiment = source(&text).load().unwrap();
    assert_eq!(experiment.topologies.len(), 2);
    let of = |point: &PointPlan| {
        let WorkloadPlan::Collective(plan) = &point.workload else {
            panic!("a collective");
        };
        (
            point.settings["links.0.rtt"].clone(),
            plan.sizes[0],
            plan.iterations,
        )
    };
    let seen: Vec<_> = experiment.points.iter().map(of).collect();
    let expected = [("1ms", 1 << 10), ("9ms", 1 << 20)]
        .into_iter()
        .flat_map(|(rtt, size)| [1, 2].map(|iterations| (rtt.to_owned(), size, iterations)));
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[test]
fn a_stack_runs_where_it_says_alone() {
    let with = |stacks: &str| {
        format!(
            "{TEXT}stacks: [{stacks}]\nsweep: {{topology.links.0.rtt: [1ms, 9ms], workload.iterations: [1, 2]}}\n"
        )
    };
    let near = "{name: near, only: {topology.links.0.rtt: [1ms], workload.iterations: [2]}}";
    let experiment = source(&with(&format!("reno, {near}"))).load().unwrap();
    let points = experiment.points.iter();
    let seen: Vec<_> = points
        .map(|point| {
            let of = |key: &str| point.settings[key].as_str();
            (of("links.0.rtt"), of("iterations"), &*point.stack.name)
        })
        .collect();
    let expected = [
        ("1ms", "1", "reno"),
        ("1ms", "2", "reno"),
        ("1ms", "2", "near"),
        ("9ms", "1", "reno"),
        ("9ms", "2", "reno"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(source(&with(near)).load().unwrap().topologies.len(), 1);

    let only = |only: &str| refusal(&with(&format!("{{name: near, only: {{{only}}}}}")));
    let apart = "w: [{topology.links.0.rtt: 1ms, workload.iterations: 1}, {topology.links.0.rtt: 9ms, workload.iterations: 2}]";
    let nowhere = format!("{TEXT}stacks: [{near}]\nsweep: {{{apart}}}\n");
    let errors = [
        only("links.0.rtt: [1ms]"),
        only("topology.links.0.rtt: [1ms, 2ms]"),
        only("topology.links.0.rtt: []"),
        only("topology.links.0.rtt: 1ms"),
        refusal(&nowhere),
    ];
    insta::assert_snapshot!(errors.join("\n"), @"
    two.yaml:9:43: the sweep has no `links.0.rtt` [name a place as `sweep` does]
    two.yaml:9:58: the sweep has no such `topology.links.0.rtt` [write the value as `sweep` does]
    two.yaml:9:52: a list names at least one
    two.yaml:9:52: invalid type: string \"1ms\", expected a list
    two.yaml:9:9: no stack runs anywhere: the values that `only` names never come together
    ");
}

#[test]
fn errors_name_the_place_and_the_way_out() {
    let with = |from: &str, to: &str| refusal(&TEXT.replace(from, to));
    let errors = [
        with("all_reduce", "all_gather\n  algorithm: tree"),
        with("all_reduce", "allreduce"),
        with("1MiB", "2B"),
        with("1MiB", "{}"),
        with("collective: all_reduce", "iterations: 3"),
        with(
            "collective: all_reduce\n  sizes: [1MiB]",
            "command: {command: ['true'], hosts: [c-0]}",
        ),
        with("workload:", "stacks: [cubic, cubic]\nworkload:"),
        with("workload:", "sweep: {seed: [1]}\nworkload:"),
        with(
            "workload:",
            "sweep: {pairs: [{workload.iterations: 1}, {workload.warmup: 1}]}\nworkload:",
        ),
        with(
            "workload:",
            "sweep: {pairs: [{workload.iterations: 1, seed: 2}]}\nworkload:",
        ),
        with(
            "workload:",
            "sweep: {pairs: [{workload.iterations: 1, topology.links.0.loss: 120%}]}\nworkload:",
        ),
        with(
            "workload:",
            "sweep: {topology.links.0.loss: [1%, 120%]}\nworkload:",
        ),
        with(
            "workload:",
            "sweep: {topology.links.7.loss: [1%]}\nworkload:",
        ),
        with("workload:", "repeats: 99999\nworkload:"),
        with(
            "workload:",
            "sweep: {'stacks.*.connections': [1, 65]}\nstacks: [reno]\nworkload:",
        ),
        with("workload:", "telemetry: {period: 5000min}\nworkload:"),
        with("workload:", "sweep: {probes.interval: [10us]}\nworkload:"),
        with(
            "workload:",
            "stacks: [{name: m, transport: message}]\nworkload:",
        ),
        with(
            "workload:",
            "stacks: [{name: m, transport: message, congestion_control: nothing}]\nworkload:",
        ),
        with(
            "workload:",
            "stacks: [{congestion_control: cubic, paths: {count: 4}}]\nworkload:",
        ),
        with(
            "workload:",
            "stacks: [{name: m, transport: message, congestion_control: {fixed-window: {window: 1MiB}}, connections: 4}]\nworkload:",
        ),
        with(
            "1MiB]",
            "1MiB]\n  iterations: 18446744073709551615\n  warmup: 1",
        ),
        with("1MiB]", "1MiB]\n  patience: 10ms"),
        with(
            "collective: all_reduce",
            "replay: {trace: gpt-pipeline}\n  algorithm: ring",
        ),
        with("collective: all_reduce", "replay: {trace: gpt-pipe}"),
        with(
            "collective: all_reduce",
            "replay: {trace: gpt-pipeline, compute: {scale: -0.5}}",
        ),
        with(
            "collective: all_reduce",
            "replay: {trace: gpt-pipeline, algorithms: {broadcast: direct}}",
        ),
        with("collective", "replay: {trace: gpt-pipeline}\n  collective"),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r"
    two.yaml:8:14: all_gather has no algorithm tree; it has ring
    two.yaml:7:15: unknown variant `allreduce` [did you mean `all_reduce`? There are: `all_reduce`, `all_gather`, `reduce_scatter`, `broadcast`, `all_to_all`, `send_recv`, `pairs`]
    two.yaml:8:10: 2 B is too small for all_reduce of f32 over 4 ranks: it takes at least 4 B
    two.yaml:8:11: invalid type: mapping, expected a size such as `256KB`
    two.yaml:7:3: a workload is either a collective, a trace or one program [write `collective: all_reduce`, `replay: {trace: gpt-data-parallel}`, or one of `command`, `iperf3`, `ping`, `torch`, `mpi`, `nccl-tests` and `perftest` with its settings]
    two.yaml:7:40: there is no host `c-0`; there are a-0, a-1, b-0, b-1
    two.yaml:6:17: there are two stacks named `cubic`
    two.yaml:6:15: a sweep is over fields of the topology, the workload, the stacks or the probes [write for example `topology.links.0.loss`; fields that change together are a list of mappings: `pairs: [{topology.links.0.delay: 1ms, workload.sizes: [1MiB]}]`]
    two.yaml:6:43: each of these sets the same fields, at least one, in the same order
    two.yaml:6:48: a sweep is over fields of the topology, the workload, the stacks or the probes
    two.yaml:6:65: `120%` is too large: at most 100%, which is certain
    two.yaml:6:37: `120%` is too large: at most 100%, which is certain
    two.yaml:6:33: `topology.links` has no entry 7: its entries are 0 to 0
    two.yaml:1:1: this sweep has more than 10000 points
    two.yaml:6:37: connections are 1 to 64 per pair of ranks
    two.yaml:6:21: this is 1ms to 1min
    two.yaml:6:27: this is 100us to 1min
    two.yaml:6:10: the message transport needs a `congestion_control` [write for example `congestion_control: distance`]
    two.yaml:6:10: the message transport's congestion control `nothing`: unknown variant `nothing`, expected one of `distance`, `dcqcn`, `dctcp`, `timely`, `swift`, `hpcc`, `bbr`, `cubic`, `uno`, `gemini`, `doca-rtt`, `fixed-window` [write for example `congestion_control: distance`]
    two.yaml:6:10: `paths` is the message transport's, and this stack is kernel TCP [write `transport: message`, or leave it out]
    two.yaml:6:10: `connections` and `socket_buffer` are TCP's [leave it out: `paths` says how many there are, and buffers follow the window]
    two.yaml:9:15: iterations are 1 to 1000000
    two.yaml:9:13: a rank's patience is 1s to 7 days
    two.yaml:8:14: a trace has many collectives [write `replay: {algorithms: {all_reduce: …}}`]
    two.yaml:7:19: the trace `gpt-pipe`: there is no such trace in the catalogue, and no such file [did you mean `gpt-pipeline`? The catalogue has: gpt-data-parallel, gpt-pipeline, mixtral-experts]
    two.yaml:7:42: a scale is 0 to 1000000
    two.yaml:7:57: broadcast has no algorithm direct; it has ring, tree
    two.yaml:7:3: a workload is either a collective, a trace or one program [write `collective: all_reduce`, `replay: {trace: gpt-data-parallel}`, or one of `command`, `iperf3`, `ping`, `torch`, `mpi`, `nccl-tests` and `perftest` with its settings]
    ");
}
