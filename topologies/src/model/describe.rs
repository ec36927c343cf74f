//! A channel in words, and what changed on it: the words of a topology file, so that what is read can be written.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::{
    Channel, DelaySource, Jitter, JitterDistribution, JitterShape, LaneState, Loss, PacketOrder,
    QueueDiscipline, QueueLimit,
};
use crate::units::{Probability, QueueSize, TimeSpan};

/// Between what was and what is.
const ARROW: &str = "→";

impl Channel {
    /// Every setting by its key in a topology file and as a short text, in one order for all listings. Long lists (traces, tables)
    /// are summed up.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let chance = |chance: Probability| match chance.is_zero() {
            true => "none".to_owned(),
            false => chance.to_string(),
        };
        vec![
            ("state", self.state.to_string()),
            ("rate", self.rate_text()),
            ("delay", self.delay_text()),
            ("jitter", jitter(self.jitter.as_ref())),
            ("loss", loss(&self.loss)),
            ("duplication", chance(self.duplication)),
            ("corruption", chance(self.corruption)),
            ("reordering", self.reordering_text()),
            ("queue", self.queue_text()),
        ]
    }

    /// All that is not as nothing said: `50Mbit, 40ms, loss 1%, queue 1bdp (488KiB)`.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.settings() {
            if value == "none" || (key == "state" && self.state == LaneState::Up) {
                continue;
            }
            if !text.is_empty() {
                text.push_str(", ");
            }
            match key {
                "state" | "rate" | "delay" => text.push_str(&value),
                _ => write!(text, "{key} {value}").expect("a String takes all"),
            }
        }
        text
    }

    /// What is another than `before`: `delay 40ms → 60ms, loss none → 1%`. Empty if the two behave alike, however they were written.
    pub fn changes_from(&self, before: &Channel) -> String {
        let same = [
            self.state == before.state,
            self.rate == before.rate && self.rate_trace == before.rate_trace,
            self.delay == before.delay,
            self.jitter == before.jitter,
            self.loss == before.loss,
            self.duplication == before.duplication,
            self.corruption == before.corruption,
            self.reordering == before.reordering,
            self.queue_limit == before.queue_limit && self.discipline == before.discipline,
        ];
        let changes = before
            .settings()
            .into_iter()
            .zip(self.settings())
            .zip(same)
            .filter(|(_, same)| !same)
            .map(|(((key, was), (_, is)), _)| {
                // Two lists may be summed up by the same words.
                let is = if was == is { "another" } else { &is };
                // A queue of one and the same measure: what follows is its figure.
                if key == "queue"
                    && let (Some(was), Some(is)) = (was.strip_suffix(')'), is.strip_suffix(')'))
                    && let (Some((measure, was)), Some((now, is))) =
                        (was.split_once(" ("), is.split_once(" ("))
                    && measure == now
                {
                    return format!("{key} {measure} ({was} {ARROW} {is})");
                }
                format!("{key} {was} {ARROW} {is}")
            });
        changes.collect::<Vec<_>>().join(", ")
    }

    fn rate_text(&self) -> String {
        match (&self.rate_trace, self.rate) {
            (Some(trace), _) => {
                let mean = trace
                    .mean()
                    .map_or_else(|| "nothing".to_owned(), |rate| rate.to_string());
                let period = TimeSpan::from(trace.period());
                format!(
                    "trace of {} steps over {period}, mean {mean}",
                    trace.steps().len()
                )
            }
            (None, Some(rate)) => rate.to_string(),
            (None, None) => "unlimited".to_owned(),
        }
    }

    fn delay_text(&self) -> String {
        match self.delay_source {
            // To whole microseconds: the distance is not known any better.
            DelaySource::Fibre { distance_km, .. } => {
                let microseconds = self.delay.as_nanos().div_euclid(1000) as u64;
                let delay = TimeSpan::from(Duration::from_micros(microseconds));
                format!("{delay} ({distance_km:.0} km of fibre)")
            }
            DelaySource::OneWay | DelaySource::HalfRtt => TimeSpan::from(self.delay).to_string(),
        }
    }

    fn reordering_text(&self) -> String {
        match self.reordering {
            Some(reordering) if !reordering.chance.is_zero() => {
                format!("{} by {}", reordering.chance, reordering.depth)
            }
            _ => "none".to_owned(),
        }
    }

    fn queue_text(&self) -> String {
        let Some(limit) = self.queue_limit else {
            return "none".to_owned();
        };
        let size = match (self.queue, limit) {
            (written @ (QueueSize::Bdp(_) | QueueSize::Time(_)), limit) => {
                format!("{written} ({})", rounded(limit))
            }
            (QueueSize::Bytes(_) | QueueSize::Packets(_), limit) => limit_text(limit),
        };
        match discipline(&self.discipline) {
            None => size,
            Some(discipline) => format!("{size} {discipline}"),
        }
    }
}

impl fmt::Display for LaneState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            LaneState::Up => "up",
            LaneState::Down => "down",
        })
    }
}

fn limit_text(limit: QueueLimit) -> String {
    match limit {
        QueueLimit::Bytes(bytes) => bytes.to_string(),
        QueueLimit::Packets(packets) => format!("{packets}p"),
    }
}

/// To three digits, for a limit that was computed.
fn rounded(limit: QueueLimit) -> String {
    let QueueLimit::Bytes(bytes) = limit else {
        return limit_text(limit);
    };
    for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        let number = bytes.bytes() as f64 / f64::from(scale);
        if number >= 1.0 {
            let digits = usize::from(number < 100.0) + usize::from(number < 10.0);
            return format!("{number:.digits$}{unit}");
        }
    }
    limit_text(limit)
}

fn discipline(discipline: &QueueDiscipline) -> Option<String> {
    Some(match discipline {
        QueueDiscipline::DropTail => return None,
        QueueDiscipline::Red(red) => {
            let [min, max] = [red.min, red.max].map(limit_text);
            format!("red {min} to {max} {}", red.chance)
        }
        QueueDiscipline::Step(step) => format!("step at {}", limit_text(step.at)),
        QueueDiscipline::CoDel(codel) => format!("codel {}", TimeSpan::from(codel.target)),
        QueueDiscipline::FqCoDel(fq) => format!("fq_codel {}", TimeSpan::from(fq.codel.target)),
        QueueDiscipline::Pie(pie) => format!("pie {}", TimeSpan::from(pie.target)),
        QueueDiscipline::DualPi2(dual) => format!("dualpi2 {}", TimeSpan::from(dual.target)),
    })
}

fn jitter(jitter: Option<&Jitter>) -> String {
    let Some(jitter) = jitter else {
        return "none".to_owned();
    };
    let deviation = TimeSpan::from(jitter.deviation);
    let mut text = match &jitter.shape {
        JitterShape::Distribution(distribution) => {
            format!("{deviation} {}", distribution_name(*distribution))
        }
        JitterShape::Table(table) => {
            format!("{deviation} from a table of {}", table.samples().len())
        }
        JitterShape::Trace(trace) => {
            let period = TimeSpan::from(trace.period());
            format!("trace of {} points over {period}", trace.points().len())
        }
    };
    if jitter.order == PacketOrder::ByDelay {
        text.push_str(" by-delay");
    }
    text
}

fn distribution_name(distribution: JitterDistribution) -> &'static str {
    match distribution {
        JitterDistribution::Uniform => "uniform",
        JitterDistribution::Normal => "normal",
        JitterDistribution::Pareto => "pareto",
        JitterDistribution::ParetoNormal => "pareto-normal",
    }
}

fn loss(loss: &Loss) -> String {
    match loss {
        Loss::None => "none".to_owned(),
        Loss::Independent(chance) => match chance.is_zero() {
            true => "none".to_owned(),
            false => chance.to_string(),
        },
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => {
            let mut text = format!("bursts: {to_bad} to bad, {to_good} to good");
            if loss_in_bad.fraction() < 1.0 || !loss_in_good.is_zero() {
                write!(text, ", {loss_in_bad} lost in bad, {loss_in_good} in good")
                    .expect("a String takes all");
            }
            text
        }
        Loss::FourState(states) => format!("four-state, {:.3}% in all", states.mean_loss() * 1e2),
        Loss::Packets(packets) => match packets.len() {
            1 => format!("packet {}", packets[0]),
            count => format!("{count} listed packets"),
        },
        Loss::Trace(fates) => {
            let lost = fates.iter().filter(|&&lost| lost).count();
            format!("pattern of {lost} in {}", fates.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::model::Reordering;
    use crate::units::Rate;
    use crate::validate;

    /// A channel as that line of a topology file has it, from `a` to `b`.
    fn channel(settings: &str) -> Channel {
        let text = format!(
            "{{sites: [{{name: a}}, {{name: b}}], links: [{{between: [a, b], {settings}}}]}}"
        );
        let topology =
            validate::topology(&Document::from_text("lab.yaml", &text).unwrap()).unwrap();
        topology.links[0].lanes[0].forward.clone()
    }

    #[test]
    fn a_channel_is_described_by_what_is_not_as_nothing_said() {
        assert_eq!(channel("delay: 40ms").describe(), "unlimited, 40ms");
        assert_eq!(
            channel("rtt: 80ms, rate: 50Mbit, loss: 1%, queue: 256KB").describe(),
            "50Mbit, 40ms, loss 1%, queue 256KiB"
        );
        assert_eq!(
            channel("rtt: 80ms, rate: 1Gbit, queue: 2bdp, jitter: 1ms, state: down").describe(),
            "down, 1Gbit, 40ms, jitter 1ms normal, queue 2bdp (19.1MiB)"
        );
        assert_eq!(
            channel("delay: 1ms, rate: {steps: [{at: 0s, rate: 1Mbit}, {at: 2s, rate: 3Mbit}], period: 4s}, queue: {codel: {}}").describe(),
            "trace of 2 steps over 4s, mean 2Mbit, 1ms, queue 1bdp (64.0KiB) codel 5ms"
        );
    }

    #[test]
    fn a_change_names_what_was_and_what_is() {
        let before = channel("delay: 40ms");
        assert_eq!(
            channel("delay: 60ms, loss: 1%").changes_from(&before),
            "delay 40ms → 60ms, loss none → 1%"
        );
        assert_eq!(
            channel("delay: 40ms, state: down").changes_from(&before),
            "state up → down"
        );
        assert_eq!(
            channel("delay: 40ms, rate: 8Mbit").changes_from(&before),
            "rate unlimited → 8Mbit, queue none → 1bdp (78.1KiB)"
        );
    }

    #[test]
    fn what_behaves_alike_has_not_changed_however_it_was_written() {
        let before = channel("rtt: 80ms, rate: 8Mbit, queue: 1bdp");
        assert_eq!(
            channel("delay: 40ms, rate: 8Mbit, queue: 80ms").changes_from(&before),
            ""
        );
        assert_eq!(
            channel("rtt: 160ms, rate: 8Mbit, queue: 1bdp").changes_from(&before),
            "delay 40ms → 80ms, queue 1bdp (78.1KiB → 156KiB)"
        );
        let mut other = before.clone();
        other.loss = Loss::Packets([3].into());
        let mut third = before.clone();
        third.loss = Loss::Packets([3, 4].into());
        let mut fourth = before;
        fourth.loss = Loss::Packets([3, 5].into());
        assert_eq!(
            third.changes_from(&other),
            "loss packet 3 → 2 listed packets"
        );
        assert_eq!(
            fourth.changes_from(&third),
            "loss 2 listed packets → another",
            "two lists in the same words"
        );
    }

    #[test]
    fn every_field_that_differs_is_told() {
        let before = Channel::of_delay(Duration::from_millis(1));
        let chance = Probability::new(0.25).unwrap();
        let after =
            |change: &dyn Fn(Channel) -> Channel| change(before.clone()).changes_from(&before);
        let queue_limit = Some(QueueLimit::Packets(7));
        let reordering = Some(Reordering { chance, depth: 2 });
        let rate = Some(Rate::from_bits_per_second(1000));
        let loss = Loss::Independent(chance);
        for (key, told) in [
            (
                "state",
                after(&|before| Channel {
                    state: LaneState::Down,
                    ..before
                }),
            ),
            ("rate", after(&|before| Channel { rate, ..before })),
            (
                "delay",
                after(&|before| Channel {
                    delay: Duration::ZERO,
                    ..before
                }),
            ),
            (
                "loss",
                after(&|before| Channel {
                    loss: loss.clone(),
                    ..before
                }),
            ),
            (
                "duplication",
                after(&|before| Channel {
                    duplication: chance,
                    ..before
                }),
            ),
            (
                "corruption",
                after(&|before| Channel {
                    corruption: chance,
                    ..before
                }),
            ),
            (
                "reordering",
                after(&|before| Channel {
                    reordering,
                    ..before
                }),
            ),
            (
                "queue",
                after(&|before| Channel {
                    queue_limit,
                    ..before
                }),
            ),
        ] {
            assert!(
                told.starts_with(key) && !told.contains(", "),
                "{key}: {told}"
            );
        }
    }
}
