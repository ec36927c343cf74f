use std::time::Duration;

use super::*;
use crate::model::{Channel, DelaySource, LaneState, Loss, QueueDiscipline, QueueLimit};
use crate::units::ByteSize;

const LAB: &str = "
name: lab
sites: [{name: virginia, latitude: 39, longitude: -77}, {name: dublin, latitude: 53, longitude: -6}, {name: sydney}]
links:
  - {between: [virginia, dublin], rate: 8Mbit, rtt: 80ms, lanes: 2, schedule: [{at: 1s, delay: 60ms}]}
  - {between: [sydney, dublin], delay: 140ms, forward: {loss: 1%}}
";

fn lab() -> Topology {
    validate::topology(&Document::from_text("lab.yaml", LAB).unwrap()).unwrap()
}

fn adjustment(from: &str, to: &str, settings: &[(&str, &str)]) -> Adjustment {
    let named = |name: &str| name.to_owned();
    Adjustment {
        link: Named {
            from: named(from),
            to: named(to),
        },
        lane: None,
        direction: None,
        settings: settings
            .iter()
            .map(|&(key, value)| (named(key), named(value)))
            .collect(),
    }
}

/// What changes, channel by channel: lane, direction, words.
fn changes(adjustment: &Adjustment) -> Vec<(usize, Direction, String)> {
    let lab = lab();
    let (id, lanes) = adjustment.lanes(&lab).unwrap();
    let before = &lab.links[id.0].lanes;
    let mut all = Vec::new();
    for (lane, (before, after)) in before.iter().zip(&lanes).enumerate() {
        for direction in Direction::BOTH {
            let change = after
                .channel(direction)
                .changes_from(before.channel(direction));
            if !change.is_empty() {
                all.push((lane, direction, change));
            }
        }
    }
    all
}

fn refusal(adjustment: &Adjustment) -> (String, Option<String>) {
    let error = adjustment.lanes(&lab()).unwrap_err();
    (error.to_string(), error.help)
}

#[test]
fn nothing_set_is_nothing_changed() {
    let lab = lab();
    for (from, to, link) in [("virginia", "dublin", 0), ("dublin", "sydney", 1)] {
        let (id, lanes) = adjustment(from, to, &[]).lanes(&lab).unwrap();
        assert_eq!(id, LinkId(link));
        assert_eq!(lanes, lab.links[link].lanes);
    }
}

#[test]
fn thresholds_in_time_follow_the_rate_as_the_limit_does() {
    for (discipline, thresholds) in [
        ("red: {min: 10ms, max: 30ms}", [10, 30]),
        ("step: {at: 20ms}", [20, 20]),
    ] {
        let text = format!(
            "{{name: lab, sites: [{{name: virginia}}, {{name: dublin}}], links: [{{between: [virginia, dublin], delay: 10ms, rate: 100Mbit, queue: {{limit: 100ms, {discipline}}}}}]}}"
        );
        let document = Document::from_text("lab.yaml", &text).unwrap();
        let lab = validate::topology(&document).unwrap();
        let slower = adjustment("virginia", "dublin", &[("rate", "10Mbit")]);
        let (_, lanes) = slower.lanes(&lab).unwrap();
        let channel = &lanes[0].forward;
        // 10 Mbit/s are 1250 bytes in a millisecond.
        let after = |ms: u64| QueueLimit::Bytes(ByteSize::from_bytes(1250 * ms));
        assert_eq!(channel.queue_limit, Some(after(100)));
        let struck = match channel.discipline {
            QueueDiscipline::Red(red) => [red.min, red.max],
            QueueDiscipline::Step(step) => [step.at, step.at],
            other => panic!("{other:?}"),
        };
        assert_eq!(struck, thresholds.map(after));
    }
}

#[test]
fn a_setting_is_for_all_lanes_and_both_directions_unless_said() {
    let all = adjustment("virginia", "dublin", &[("loss", "1%")]);
    assert_eq!(changes(&all).len(), 4);
    let one = Adjustment {
        lane: Some(1),
        direction: Some(Direction::Forward),
        ..all
    };
    assert_eq!(
        changes(&one),
        [(1, Direction::Forward, "loss none → 1%".to_owned())]
    );
}

#[test]
fn forward_leads_from_the_first_site_named_whichever_way_the_file_has_the_link() {
    for (from, to, meant, own) in [
        ("virginia", "dublin", Direction::Forward, Direction::Forward),
        ("dublin", "virginia", Direction::Forward, Direction::Reverse),
        ("dublin", "virginia", Direction::Reverse, Direction::Forward),
        ("virginia", "dublin", Direction::Reverse, Direction::Reverse),
    ] {
        let adjustment = Adjustment {
            lane: Some(0),
            direction: Some(meant),
            ..adjustment(from, to, &[("duplication", "2%")])
        };
        assert_eq!(
            changes(&adjustment),
            [(0, own, "duplication none → 2%".to_owned())],
            "{from} {to} {meant:?}"
        );
    }
}

#[test]
fn settings_inside_a_setting_are_laid_into_what_there_is() {
    let mut lab = lab();
    let set = |lab: &mut Topology, key: &str, value: &str| -> Channel {
        let (id, lanes) = adjustment("sydney", "dublin", &[(key, value)])
            .lanes(lab)
            .unwrap();
        lab.links[id.0].lanes = lanes;
        lab.links[id.0].lanes[0].forward.clone()
    };
    let channel = set(&mut lab, "jitter.deviation", "1ms");
    assert_eq!(channel.jitter.unwrap().deviation, Duration::from_millis(1));
    let channel = set(&mut lab, "jitter.distribution", "pareto");
    assert_eq!(channel.settings()[3].1, "1ms pareto");
    assert_eq!(channel.settings()[4].1, "1%", "what is not named stays");
    let channel = set(&mut lab, "loss", "null");
    assert_eq!(channel.loss, Loss::None);
    let channel = set(&mut lab, "state", "down");
    assert_eq!(channel.state, LaneState::Down);
}

#[test]
fn a_queue_measured_by_the_delay_follows_it() {
    let adjustment = Adjustment {
        lane: Some(0),
        direction: Some(Direction::Forward),
        ..adjustment("virginia", "dublin", &[("delay", "60ms")])
    };
    // 8 Mbit/s × (60 + 40) ms.
    let (_, lanes) = adjustment.lanes(&lab()).unwrap();
    let limit = Some(QueueLimit::Bytes(ByteSize::from_bytes(100_000)));
    assert_eq!(lanes[0].forward.queue_limit, limit);
    assert_eq!(
        lanes[0].reverse.queue_limit, limit,
        "the round trip is both ways'"
    );
    assert_ne!(lanes[1].forward.queue_limit, limit);
}

#[test]
fn what_measured_what_is_gone_goes_with_it() {
    let adjustment_to = |settings: &[(&str, &str)]| {
        let adjustment = adjustment("virginia", "dublin", settings);
        let mut lab = lab();
        let (id, lanes) = adjustment.lanes(&lab).unwrap();
        lab.links[id.0].lanes = lanes;
        lab
    };
    let lab = adjustment_to(&[("rate", "unlimited")]);
    assert_eq!(lab.links[0].lanes[0].forward.queue_limit, None);
    let lab = adjustment_to(&[("delay", "fibre"), ("route_factor", "2")]);
    let channel = &lab.links[0].lanes[0].forward;
    assert!(matches!(
        channel.delay_source,
        DelaySource::Fibre {
            route_factor: 2.0,
            ..
        }
    ));
    let (_, lanes) = adjustment("virginia", "dublin", &[("delay", "5ms")])
        .lanes(&lab)
        .unwrap();
    assert_eq!(lanes[0].forward.delay, Duration::from_millis(5));
}

#[test]
fn refusals_point_at_what_was_typed() {
    let refused = |settings: &[(&str, &str)]| refusal(&adjustment("dublin", "virginia", settings));
    let (message, _) = refused(&[("delay", "60ms"), ("rate", "10Mb")]);
    assert_eq!(
        message,
        "lab with rate=10Mb: `Mb` in `10Mb` is not a unit of a rate: use bit, kbit, mbit, gbit or tbit (kibit… for 1024s); `Mbps` is bits to most and bytes to tc"
    );
    let (message, help) = refused(&[("dealy", "60ms")]);
    assert_eq!(message, "lab with dealy=60ms: unknown field `dealy`");
    assert!(help.unwrap().starts_with("did you mean `delay`?"));
    let (message, help) = refused(&[("rtt", "60ms")]);
    assert_eq!(
        message,
        "lab with rtt=60ms: a direction of a link has no `rtt`"
    );
    assert_eq!(help.unwrap(), "write `delay`, half of it each way");
    let (message, _) = refused(&[("queue.limit", "5ms")]);
    assert_eq!(
        message,
        "lab with queue.limit=5ms: `queue` is \"1bdp\": there is no `limit` in it"
    );
    let (message, _) = refused(&[("", "5ms")]);
    assert_eq!(message, "lab with =5ms: `` is not a setting of a link");
    let (message, _) = refused(&[("rate", "unlimited"), ("queue", "5ms")]);
    assert_eq!(
        message,
        "lab with queue=5ms: the queue has no effect: without a rate nothing queues"
    );
    let (message, _) = refused(&[("rate", "{csv: rates.csv}")]);
    assert_eq!(
        message,
        "lab with rate={csv: rates.csv}: only a topology in a file can name another file"
    );
}

#[test]
fn wrong_names_are_told_with_what_there_is() {
    let (message, help) = refusal(&adjustment("virgina", "dublin", &[]));
    assert_eq!(message, "lab: there is no site `virgina`");
    assert_eq!(help.unwrap(), "did you mean `virginia`?");
    let (message, help) = refusal(&adjustment("virginia", "sydney", &[]));
    assert_eq!(message, "lab: no link joins `virginia` and `sydney`");
    assert_eq!(help.unwrap(), "from `virginia` links lead to `dublin`");
    let lane = Adjustment {
        lane: Some(2),
        ..adjustment("virginia", "dublin", &[])
    };
    assert_eq!(
        refusal(&lane).0,
        "lab: there is no lane 2: they are numbered from 0 to 1"
    );
}
