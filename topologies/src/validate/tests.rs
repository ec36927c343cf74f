//! What a topology file may say, and what is said about one that is wrong.

use std::fmt::Write;
use std::time::Duration;

use miette::Diagnostic;

use super::*;
use crate::document::Document;
use crate::model::{
    Channel, DelaySource, Jitter, JitterDistribution, JitterShape, LaneState, Link, Loss,
    PacketOrder, QueueLimit,
};
use crate::units::{ByteSize, Probability, QueueSize};

fn read(text: &str) -> Result<Topology, InputError> {
    topology(&Document::from_text("lab.yaml", text)?)
}

/// Two sites, `a` and `b`, and one link with these settings.
fn two_sites(link: &str) -> String {
    format!(
        "sites: [{{name: a}}, {{name: b}}]\nlinks:\n  - between: [a, b]\n{}",
        indent(link)
    )
}

fn indent(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}\n")).collect()
}

fn link(settings: &str) -> Link {
    read(&two_sites(settings))
        .unwrap_or_else(|error| panic!("{error}"))
        .links
        .remove(0)
}

#[test]
fn the_innermost_setting_counts() {
    let text = "
sites: [{name: a}, {name: b}]
defaults: {rate: 100Mbit, loss: 1%, delay: 10ms, lanes: 2, queue: 2bdp}
links:
  - between: [a, b]
    rate: 200Mbit
    forward: {rate: 300Mbit, delay: 30ms}
";
    let link = &read(text).unwrap().links[0];
    assert_eq!(link.lanes.len(), 2);
    assert_eq!(link.lanes[0].forward.rate, "300Mbit".parse().ok());
    assert_eq!(link.lanes[0].reverse.rate, "200Mbit".parse().ok());
    assert_eq!(
        (link.lanes[0].forward.delay, link.lanes[0].reverse.delay),
        (Duration::from_millis(30), Duration::from_millis(10))
    );
    assert_eq!(
        link.lanes[0].forward.loss,
        Loss::Independent(Probability::new(0.01).unwrap())
    );
    assert_eq!(link.lanes[0].forward.queue, QueueSize::Bdp(2.0));
}

#[test]
fn a_coupling_may_be_as_strong_as_the_schema_says() {
    let schema = serde_json::to_value(crate::spec::schema()).unwrap();
    let most = &schema["$defs"]["DualPi2Spec"]["properties"]["coupling"]["maximum"];
    assert_eq!(most.as_f64(), Some(1000.0));
    let of = |coupling: &str| {
        read(&format!(
            "{{sites: [{{name: a}}, {{name: b}}], links: [{{between: [a, b], delay: 1ms, rate: 1Gbit, queue: {{dualpi2: {{coupling: {coupling}}}}}}}]}}"
        ))
    };
    assert!(of("1000").is_ok());
    assert!(of("1001").is_err());
}

#[test]
fn an_rtt_is_halved() {
    let link = link("rtt: 81ms");
    assert_eq!(
        (link.lanes[0].forward.delay, link.lanes[0].reverse.delay),
        (Duration::from_micros(40_500), Duration::from_micros(40_500))
    );
    assert_eq!(link.lanes[0].forward.delay_source, DelaySource::HalfRtt);
}

#[test]
fn an_rtt_overrides_a_default_delay() {
    let text = "{sites: [{name: a}, {name: b}], defaults: {delay: 1ms}, links: [{between: [a, b], rtt: 80ms}]}";
    assert_eq!(
        read(text).unwrap().links[0].lanes[0].forward.delay,
        Duration::from_millis(40)
    );
}

#[test]
fn queues_are_resolved_at_the_links_own_round_trip() {
    let limit = |queue: &str| {
        link(&format!(
            "rate: 100Mbit\nforward: {{delay: 30ms}}\nreverse: {{delay: 10ms}}\n{queue}"
        ))
        .lanes[0]
            .forward
            .clone()
            .queue_limit
    };
    let bytes = |bytes| Some(QueueLimit::Bytes(ByteSize::from_bytes(bytes)));
    assert_eq!(limit(""), bytes(500_000));
    assert_eq!(limit("queue: 0.5bdp"), bytes(250_000));
    assert_eq!(limit("queue: 10ms"), bytes(125_000));
    assert_eq!(limit("queue: 64KB"), bytes(65_536));
    assert_eq!(limit("queue: 100p"), Some(QueueLimit::Packets(100)));
    assert_eq!(link("delay: 10ms").lanes[0].forward.queue_limit, None);
}

#[test]
fn a_queue_in_bdps_holds_at_least_a_super_packet() {
    let link = link("rate: 100Mbit\ndelay: 10us");
    assert_eq!(
        link.lanes[0].forward.queue_limit,
        Some(QueueLimit::Bytes(ByteSize::from_bytes(65_536)))
    );
}

#[test]
fn short_forms_of_jitter_and_loss_fill_in_the_rest() {
    let short = link("delay: 40ms\njitter: 0.2ms").lanes[0].forward.clone();
    let normal = Jitter {
        deviation: Duration::from_micros(200),
        shape: JitterShape::Distribution(JitterDistribution::Normal),
        order: PacketOrder::Preserved,
    };
    assert_eq!(short.jitter, Some(normal));
    let full =
        link("delay: 40ms\njitter: {deviation: 23ms, distribution: uniform, order: by-delay}")
            .lanes[0]
            .forward
            .clone();
    assert_eq!(
        full.jitter.map(|jitter| jitter.order),
        Some(PacketOrder::ByDelay)
    );
    let model = link("delay: 40ms\nloss: {gilbert_elliott: {to_bad: 1%, to_good: 20%}}").lanes[0]
        .forward
        .clone()
        .loss;
    let percent = |percent: f64| Probability::new(percent / 100.0).unwrap();
    assert_eq!(
        model,
        Loss::GilbertElliott {
            to_bad: percent(1.0),
            to_good: percent(20.0),
            loss_in_bad: percent(100.0),
            loss_in_good: Probability::ZERO
        }
    );
}

#[test]
fn jitter_and_loss_of_nothing_are_none() {
    let channel = link("delay: 0s\njitter: 0ms\nloss: 0%").lanes[0]
        .forward
        .clone();
    assert_eq!((channel.jitter, channel.loss), (None, Loss::None));
}

#[test]
fn a_setting_that_one_direction_uses_is_not_idle() {
    let text = "
sites: [{name: a, latitude: 0, longitude: 0}, {name: b, latitude: 1, longitude: 1}]
links: [{between: [a, b], delay: fibre, route_factor: 2, queue: 3bdp, forward: {delay: 5ms, rate: 1Gbit}}]
";
    let link = &read(text).unwrap().links[0];
    assert_eq!(
        (
            link.lanes[0].forward.queue,
            link.lanes[0].reverse.queue_limit
        ),
        (QueueSize::Bdp(3.0), None)
    );
    assert!(matches!(
        link.lanes[0].reverse.delay_source,
        DelaySource::Fibre {
            route_factor: 2.0,
            ..
        }
    ));
}

#[test]
fn a_topology_without_links_is_one_site() {
    let topology = read("{name: alone, sites: [{name: here, hosts: 3}]}").unwrap();
    assert_eq!(
        (topology.sites[0].hosts, topology.links.len(), topology.mtu),
        (3, 0, 1500)
    );
}

#[test]
fn the_address_plan_is_not_overrun() {
    let sites = |count: usize, hosts: usize| {
        let list: String = (0..count)
            .map(|index| format!("  - {{name: s{index}, hosts: {hosts}}}\n"))
            .collect();
        let links: String = (1..count)
            .map(|index| format!("  - {{between: [s0, s{index}], delay: 1ms}}\n"))
            .collect();
        format!("sites:\n{list}links:\n{links}")
    };
    assert!(read(&sites(250, 4094)).is_ok());
    let error = read(&sites(251, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "lab.yaml:252:5: 251 sites are too many: the address plan has room for 250"
    );
    assert!(read(&sites(2, 4095)).unwrap_err().message.contains("4094"));
    assert!(read(&two_sites("delay: 1ms\nlanes: 524288")).is_ok());
    assert!(
        read(&two_sites("delay: 1ms\nlanes: 524289"))
            .unwrap_err()
            .message
            .contains("too many lanes")
    );
}

/// Files that are wrong, each in one way.
const WRONG: &[(&str, &str)] = &[
    ("empty file", ""),
    ("not a mapping", "- a\n- b\n"),
    (
        "list for a mapping",
        "sites: [{name: a, fabric: [1Gbit]}]\n",
    ),
    ("no sites", "sites: []\n"),
    ("sites missing", "name: x\n"),
    ("unknown field", "sites: [{name: a, host: 2}]\n"),
    (
        "field of the wrong kind",
        "sites: [{name: a, hosts: many}]\n",
    ),
    ("negative count", "sites: [{name: a, hosts: -1}]\n"),
    ("no hosts", "sites: [{name: a, hosts: 0}]\n"),
    ("bad site name", "sites: [{name: New York}]\n"),
    ("site name with a path in it", "sites: [{name: ../etc}]\n"),
    ("duplicate site", "sites:\n  - name: a\n  - name: a\n"),
    ("half a place", "sites: [{name: a, latitude: 50}]\n"),
    (
        "not on Earth",
        "sites: [{name: a, latitude: 95, longitude: 0}]\n",
    ),
    ("MTU without IPv6", "mtu: 1000\nsites: [{name: a}]\n"),
    ("bad topology name", "name: My Lab\nsites: [{name: a}]\n"),
    ("unclosed bracket", "sites: [{name: a}\nlinks: []\n"),
    ("bad indentation", "sites:\n  - name: a\n   hosts: 2\n"),
    ("duplicate key", "sites: [{name: a}]\nsites: [{name: b}]\n"),
    ("tab", "sites:\n\t- name: a\n"),
    (
        "merge key",
        "base: &base {hosts: 2}\nsites:\n  - <<: *base\n    name: a\n",
    ),
    (
        "disconnected sites",
        "sites: [{name: a}, {name: b}, {name: c}]\nlinks: [{between: [a, c], delay: 1ms}]\n",
    ),
    (
        "unknown site",
        "sites: [{name: virginia}, {name: dublin}]\nlinks:\n  - between: [virgina, dublin]\n    delay: 1ms\n",
    ),
    (
        "one end",
        "sites: [{name: a}]\nlinks: [{between: [a], delay: 1ms}]\n",
    ),
    (
        "three ends",
        "sites: [{name: a}]\nlinks: [{between: [a, b, c], delay: 1ms}]\n",
    ),
    ("unknown anchor", "sites: [{name: *a}]\n"),
    ("two documents", "sites: [{name: a}]\n---\nsites: []\n"),
    (
        "link to itself",
        "sites: [{name: a}, {name: b}]\nlinks: [{between: [a, a], delay: 1ms}]\n",
    ),
    (
        "duplicate link",
        "sites: [{name: a}, {name: b}]\nlinks:\n  - {between: [a, b], delay: 1ms}\n  - {between: [b, a], delay: 1ms}\n",
    ),
    (
        "fibre without coordinates",
        "sites: [{name: a}, {name: b}]\nlinks: [{between: [a, b], delay: fibre}]\n",
    ),
    (
        "route factor below 1",
        "sites: [{name: a, latitude: 0, longitude: 0}, {name: b, latitude: 1, longitude: 1}]\nlinks: [{between: [a, b], delay: fibre, route_factor: 0.9}]\n",
    ),
];

/// Settings of a link that are wrong, each in one way.
const WRONG_LINKS: &[(&str, &str)] = &[
    ("no delay", "rate: 1Gbit"),
    ("delay and rtt", "delay: 40ms\nrtt: 80ms"),
    (
        "rtt and a delay of one direction",
        "rtt: 80ms\nforward: {delay: 50ms}",
    ),
    ("delay without a unit", "delay: 40"),
    ("negative delay", "delay: -40ms"),
    ("endless delay", "delay: 1min"),
    ("idle route factor", "delay: 40ms\nroute_factor: 1.4"),
    (
        "idle route factor of one direction",
        "delay: 40ms\nreverse: {route_factor: 1.4}",
    ),
    ("no lanes", "delay: 40ms\nlanes: 0"),
    ("rate of zero", "delay: 40ms\nrate: 0Mbit"),
    ("rate without a unit", "delay: 40ms\nrate: 500"),
    ("unknown unit", "delay: 40ms\nrate: 5Mb"),
    ("absurd rate", "delay: 40ms\nreverse: {rate: 1Tbit}"),
    ("loss of 120 %", "delay: 40ms\nloss: 120%"),
    ("loss of 100 %", "delay: 40ms\nloss: 100%"),
    ("loss without a unit", "delay: 40ms\nloss: 0.01"),
    ("loss that is a list", "delay: 40ms\nloss: [1%]"),
    (
        "burst that never begins",
        "delay: 40ms\nloss: {gilbert_elliott: {to_bad: 0%, to_good: 10%}}",
    ),
    (
        "burst that never ends",
        "delay: 40ms\nloss:\n  gilbert_elliott:\n    to_bad: 1%\n    to_good: 0%",
    ),
    (
        "misspelt field of a model",
        "delay: 40ms\nloss: {gilbert_elliott: {to_bad: 1%, to_god: 10%}}",
    ),
    (
        "jitter beyond any number",
        "delay: 1ms\njitter: 18446744073709551615s",
    ),
    (
        "jitter of a table that cannot be drawn from",
        "delay: 40ms\njitter: {samples: [1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 1ms, 9ms]}",
    ),
    (
        "trace of too long a delay",
        "delay: 40ms\njitter: {points: [{at: 0s, delay: 0s}, {at: 1s, delay: 11s}]}",
    ),
    (
        "delay and trace too long together",
        "delay: 6s\njitter: {points: [{at: 0s, delay: 0s}, {at: 1s, delay: 5s}]}",
    ),
    (
        "trace that takes for ever",
        "delay: 40ms\nrate: {steps: [{at: 0s, rate: 1Mbit}], period: 18446744073709551615s}",
    ),
    (
        "change that takes for ever",
        "delay: 40ms\nschedule: [{at: 1s, for: 18446744073709551615s, state: down}]",
    ),
    ("jitter beyond the delay", "delay: 1ms\njitter: 0.5ms"),
    (
        "unknown distribution",
        "delay: 40ms\njitter: {deviation: 1ms, distribution: gaussian}",
    ),
    ("queue without a rate", "delay: 40ms\nqueue: 2bdp"),
    (
        "queue of a direction without a rate",
        "delay: 40ms\nforward: {rate: 1Gbit}\nreverse: {queue: 2bdp}",
    ),
    (
        "queue below a packet",
        "delay: 40ms\nrate: 1Mbit\nqueue: 1ms",
    ),
    (
        "queue without a unit",
        "delay: 40ms\nrate: 1Mbit\nqueue: 100",
    ),
    ("queue of nothing", "delay: 40ms\nrate: 1Mbit\nqueue: 0p"),
    (
        "two disciplines",
        "delay: 40ms\nrate: 1Mbit\nqueue: {codel: {}, pie: {}}",
    ),
    (
        "RED that falls",
        "delay: 40ms\nrate: 1Mbit\nqueue: {red: {min: 200KB, max: 100KB}}",
    ),
    (
        "RED of two units",
        "delay: 40ms\nrate: 1Mbit\nqueue: {red: {min: 20p, max: 100KB}}",
    ),
    (
        "CoDel without a target",
        "delay: 40ms\nrate: 1Mbit\nqueue: {codel: {target: 0ms}}",
    ),
    (
        "a queue that starves",
        "delay: 40ms\nrate: 1Mbit\nqueue: {dualpi2: {classic_share: 100%}}",
    ),
    (
        "misspelt discipline",
        "delay: 40ms\nrate: 1Mbit\nqueue: {cobel: {}}",
    ),
    ("rate from nowhere", "delay: 40ms\nrate: {}"),
    (
        "rate of two sources",
        "delay: 40ms\nrate: {csv: a.csv, mahimahi: b}",
    ),
    (
        "steps that go back",
        "delay: 40ms\nrate: {period: 3s, steps: [{at: 0s, rate: 1Mbit}, {at: 2s}, {at: 1s}]}",
    ),
    (
        "a file beside no file",
        "delay: 40ms\nrate: {csv: missing.csv}",
    ),
    (
        "jitter of two shapes",
        "delay: 40ms\njitter: {deviation: 1ms, distribution: pareto, trace: a.csv}",
    ),
    (
        "jitter of nothing",
        "delay: 40ms\njitter: {order: by-delay}",
    ),
    ("loss of no model", "delay: 40ms\nloss: {}"),
    (
        "loss of two models",
        "delay: 40ms\nloss: {packets: [1], pattern: '01'}",
    ),
    ("packet number zero", "delay: 40ms\nloss: {packets: [3, 0]}"),
    ("pattern of letters", "delay: 40ms\nloss: {pattern: '01x'}"),
    (
        "pattern of losses alone",
        "delay: 40ms\nloss: {pattern: '11'}",
    ),
    (
        "states that are left too often",
        "delay: 40ms\nloss: {four_state: {p13: 60%, p14: 50%}}",
    ),
    (
        "reordering by none",
        "delay: 40ms\nreordering: {chance: 1%, depth: 0}",
    ),
    ("an empty list of lanes", "delay: 40ms\nlanes: []"),
    (
        "a lane's idle queue",
        "delay: 40ms\nlanes: [{rate: 1Mbit}, {queue: 10p}]",
    ),
    (
        "a change of nothing",
        "delay: 40ms\nschedule: [{at: 1s, lane: 0}]",
    ),
    (
        "a change of a lane there is not",
        "delay: 40ms\nschedule: [{at: 1s, lane: 1, state: down}]",
    ),
    (
        "a change that lasts no time",
        "delay: 40ms\nschedule: [{at: 1s, for: 0s, state: down}]",
    ),
    (
        "a change to what cannot be",
        "delay: 40ms\njitter: 3ms\nschedule: [{at: 1s, delay: 1ms}]",
    ),
    (
        "a misspelt change",
        "delay: 40ms\nschedule: [{at: 1s, sate: down}]",
    ),
];

/// The error as text: message, the line with what is marked in it, help.
fn render(text: &str, error: &InputError) -> String {
    let mut out = format!("{error}\n");
    if let Some((line, column)) = error.position {
        let label = error.labels().unwrap().next().unwrap();
        let line = text.split('\n').nth(line - 1).unwrap_or_default();
        let marked = text[label.offset()..][..label.len()].chars().count().max(1);
        writeln!(
            out,
            "  | {line}\n  | {}{}",
            " ".repeat(column - 1),
            "^".repeat(marked)
        )
        .unwrap();
    }
    if let Some(help) = &error.help {
        writeln!(out, "  help: {help}").unwrap();
    }
    out
}

#[test]
fn wrong_files_are_told_where_and_what_would_be_right() {
    let files = WRONG.iter().map(|&(name, text)| (name, text.to_owned()));
    let links = WRONG_LINKS
        .iter()
        .map(|&(name, settings)| (name, two_sites(settings)));
    let report: String = files
        .chain(links)
        .map(|(name, text)| {
            let error = read(&text).expect_err(name);
            assert!(error.position.is_some(), "{name}: {error}");
            format!("# {name}\n{}\n", render(&text, &error))
        })
        .collect();
    insta::assert_snapshot!(report);
}

#[test]
fn an_override_that_conflicts_is_the_one_that_is_named() {
    let mut document = Document::from_text("lab.yaml", &two_sites("rtt: 80ms")).unwrap();
    document.set("links.a-b.delay", "40ms").unwrap();
    let error = topology(&document).unwrap_err();
    assert_eq!(
        error.to_string(),
        "lab.yaml with --set links.a-b.delay=40ms: the link says both `rtt` and `delay`"
    );
    document.set("links.0.rtt", "null").unwrap();
    assert_eq!(
        topology(&document).unwrap().links[0].lanes[0].forward.delay,
        Duration::from_millis(40)
    );
}

/// The channels of lane `lane` as they are `at` milliseconds after the beginning: forward, then reverse.
fn channels_at(link: &Link, lane: usize, at: u64) -> [Channel; 2] {
    crate::model::Direction::BOTH.map(|direction| {
        let changes = link.schedule.iter().filter(|change| {
            (change.lane, change.direction) == (lane, direction)
                && change.at <= Duration::from_millis(at)
        });
        let last = changes.map(|change| &change.channel).next_back();
        last.unwrap_or(link.lanes[lane].channel(direction)).clone()
    })
}

#[test]
fn changes_lie_over_each_other_and_end() {
    let link = link(
        "rate: 100Mbit
delay: 40ms
lanes: 2
schedule:
  - {at: 1s, for: 4s, delay: 60ms}
  - {at: 2s, for: 1s, lane: 1, state: down}
  - {at: 2s, direction: reverse, delay: 10ms, loss: 1%}",
    );
    assert!(link.schedule.is_sorted_by_key(|change| change.at));
    let delays = |lane, at| channels_at(&link, lane, at).map(|channel| channel.delay.as_millis());
    assert_eq!(delays(0, 999), [40, 40]);
    assert_eq!(delays(0, 1000), [60, 60]);
    // The later one in the file counts.
    assert_eq!(delays(1, 2500), [60, 10]);
    assert_eq!(delays(1, 5000), [40, 10]);
    let down = |at| channels_at(&link, 1, at).map(|channel| channel.state == LaneState::Down);
    assert_eq!(
        [1999, 2000, 3000].map(down),
        [[false; 2], [true; 2], [false; 2]]
    );
    assert!(
        channels_at(&link, 0, 2500)
            .iter()
            .all(|channel| channel.state == LaneState::Up)
    );
    // A queue of one bandwidth-delay product follows the delay.
    let queues = [0, 1500].map(|at| channels_at(&link, 0, at)[0].queue_limit);
    let bytes = |bytes| Some(QueueLimit::Bytes(ByteSize::from_bytes(bytes)));
    assert_eq!(queues, [bytes(1_000_000), bytes(1_500_000)]);
}

#[test]
fn tens_of_thousands_of_changes_that_lie_over_each_other_are_read() {
    const CHANGES: usize = 30_000;
    let mut schedule = String::new();
    for at in 1..=CHANGES {
        writeln!(schedule, "  - {{at: {at}ms, delay: {}ms}}", 20 + at % 7).unwrap();
    }
    let link = link(&format!(
        "rate: 100Mbit\ndelay: 40ms\nlanes: [{{}}, {{loss: 1%}}]\nschedule:\n{schedule}"
    ));
    assert_eq!(link.schedule.len(), 4 * CHANGES);
    for at in [1, 15_000, CHANGES] {
        let delays = channels_at(&link, 1, at as u64).map(|channel| channel.delay.as_millis());
        assert_eq!(delays, [20 + at as u128 % 7; 2]);
    }
}

#[test]
fn lanes_may_differ_and_the_shortest_tells_the_link_s_delay() {
    let link = link(
        "rate: 1Gbit
rtt: 40ms
lanes:
  - {}
  - {delay: 15ms, reverse: {rate: 500Mbit}}",
    );
    let of = |lane: usize, direction| {
        let channel = link.lanes[lane].channel(direction);
        (channel.delay.as_millis(), channel.rate.unwrap().to_string())
    };
    use crate::model::Direction::{Forward, Reverse};
    assert_eq!(of(0, Forward), (20, "1Gbit".to_owned()));
    assert_eq!(of(1, Reverse), (15, "500Mbit".to_owned()));
    assert_eq!(link.channel(Forward).delay.as_millis(), 15);
    assert_eq!(link.least_rate(Reverse).unwrap().to_string(), "500Mbit");
}

#[test]
fn traces_are_read_beside_the_file_and_told_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("rate.csv", "0,10Mbit\n1,0\n2,20Mbit\n");
    write("cell.up", "1\n5\n10\n");
    write("delay.csv", "0,0\n1,2ms\n");
    write("table", "1ms\n2ms\n4ms\n");
    write("loss", "0001\n");
    write(
        "lab.yaml",
        &two_sites(
            "delay: 10ms
forward: {rate: {csv: rate.csv}, jitter: {trace: delay.csv}, loss: {trace: loss}}
reverse: {rate: {mahimahi: cell.up}, jitter: {table: table}}",
        ),
    );
    let file = folder.path().join("lab.yaml");
    let read = || topology(&Document::read(&file).unwrap());
    let lane = read().unwrap().links[0].lanes[0].clone();
    assert_eq!(lane.forward.rate.unwrap().to_string(), "10Mbit");
    assert_eq!(lane.forward.rate_trace.unwrap().steps().len(), 3);
    assert_eq!(
        lane.forward.loss,
        Loss::Trace([false, false, false, true].into())
    );
    assert_eq!(
        lane.reverse.rate_trace.unwrap().period(),
        Duration::from_millis(10)
    );
    let deviation = lane.reverse.jitter.unwrap().deviation.as_secs_f64();
    assert!((deviation - 1.247e-3).abs() < 1e-6);

    write("rate.csv", "0,10Mbit\n1,");
    let error = read().unwrap_err();
    assert!(error.position.is_some());
    assert_eq!(
        error.message,
        "`rate.csv`, line 2: the line has no rate: is the file cut off?"
    );
    std::fs::remove_file(folder.path().join("rate.csv")).unwrap();
    assert_eq!(
        read().unwrap_err().message,
        "`rate.csv`: there is no such file"
    );
}
