//! A lab's reading as measurements.

use std::fmt::Display;

use longhaul_topologies::model::LaneState;
use longhaul_topologies::units::TimeSpan;

use super::model::{self, Attribute, Metric};
use crate::engine::ChannelCounters;
use crate::keeper::{ChannelStatus, ConnectionStatus, HostStatus, LabReading, RunStatus};

/// A value of a metric's series.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Of which metric.
    pub metric: &'static Metric,
    /// Of which series: a value for each of the metric's attributes, in their order.
    pub attributes: Vec<String>,
    /// The value.
    pub value: Number,
}

/// A value. Counts are exact.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Number {
    /// Of a thing that is counted.
    Count(u64),
    /// Of a quantity.
    Real(f64),
}

impl Number {
    /// As a real number; counts are exact up to 2⁵³.
    pub fn real(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Real(real) => real,
        }
    }

    /// Whether it is 0.
    pub fn is_zero(self) -> bool {
        self.real() == 0.0
    }
}

impl Measurement {
    /// What tells the series apart, beside the lab.
    pub fn attributes(&self) -> impl Iterator<Item = (Attribute, &str)> {
        let names = self.metric.attributes.iter().copied();
        names.zip(self.attributes.iter().map(String::as_str))
    }
}

/// All that `reading` says, in the order of the model.
pub fn measure(reading: &LabReading) -> Vec<Measurement> {
    let mut taken = Taken(Vec::new());
    taken.add(&model::LAB_TIME, &[], Number::Real(reading.at_s));
    for channel in &reading.channels {
        taken.channel(channel);
    }
    for host in &reading.hosts {
        taken.host(host);
    }
    if let Some(run) = &reading.run {
        taken.run(run);
    }
    let Taken(mut all) = taken;
    let place = |one: &Measurement| model::ALL.iter().position(|metric| metric == one.metric);
    // Stable: within a metric the order stays the reading's.
    all.sort_by_key(place);
    all
}

/// What was measured so far.
struct Taken(Vec<Measurement>);

impl Taken {
    fn add(&mut self, metric: &'static Metric, attributes: &[&dyn Display], value: Number) {
        debug_assert_eq!(attributes.len(), metric.attributes.len(), "{metric:?}");
        self.0.push(Measurement {
            metric,
            attributes: attributes.iter().map(ToString::to_string).collect(),
            value,
        });
    }

    fn channel(&mut self, channel: &ChannelStatus) {
        let ChannelStatus { from, to, lane, .. } = channel;
        let series: [&dyn Display; 3] = [from, to, lane];
        let ChannelCounters {
            packets,
            bytes,
            queue_drops,
            early_drops,
            marks,
            outage_drops,
            losses,
            engine_drops,
            queue_packets,
            queue_bytes,
        } = channel.counters;
        for (metric, count) in [
            (&model::LINK_IO, bytes),
            (&model::LINK_PACKETS, packets),
            (&model::LINK_MARKED, marks),
            (&model::LINK_UP, u64::from(channel.state != LaneState::Down)),
            (&model::QUEUE_USAGE, queue_bytes),
            (&model::QUEUE_PACKETS, queue_packets),
        ] {
            self.add(metric, &series, Number::Count(count));
        }
        let drops = [
            ("queue-full", Some(queue_drops)),
            ("early", Some(early_drops)),
            ("outage", Some(outage_drops)),
            ("loss", losses),
            ("engine", Some(engine_drops)),
        ];
        for (reason, count) in drops {
            if let Some(count) = count {
                let series: [&dyn Display; 4] = [from, to, lane, &reason];
                self.add(&model::LINK_DROPPED, &series, Number::Count(count));
            }
        }
        let delay = seconds(channel.delay);
        self.add(&model::LINK_DELAY, &series, Number::Real(delay));
        let jitter = channel.jitter.map_or(0.0, seconds);
        self.add(&model::LINK_JITTER, &series, Number::Real(jitter));
        if let Some(rate) = channel.rate {
            let bytes = rate.bits_per_second() as f64 / 8.0;
            self.add(&model::LINK_LIMIT, &series, Number::Real(bytes));
        }
    }

    fn host(&mut self, host: &HostStatus) {
        let counters = host.counters;
        for (direction, bytes, packets) in [
            ("transmit", counters.sent_bytes, counters.sent_packets),
            (
                "receive",
                counters.received_bytes,
                counters.received_packets,
            ),
        ] {
            let series: [&dyn Display; 3] = [&host.name, &host.site, &direction];
            self.add(&model::HOST_IO, &series, Number::Count(bytes));
            self.add(&model::HOST_PACKETS, &series, Number::Count(packets));
        }
    }

    fn run(&mut self, run: &RunStatus) {
        let count = |count: usize| Number::Count(count as u64);
        self.add(
            &model::RUN_ITERATIONS,
            &[],
            Number::Count(run.iterations_done),
        );
        self.add(&model::RUN_WRONG, &[], Number::Count(run.wrong));
        self.add(&model::RUN_POINT, &[], count(run.point));
        self.add(&model::RUN_POINTS, &[], count(run.points));
        if let Some(last) = &run.last {
            self.add(&model::RUN_DURATION, &[], Number::Real(last.time_us / 1e6));
            self.add(&model::RUN_SIZE, &[], Number::Count(last.size_bytes));
        }
        for (rank, host) in run.ranks.iter().enumerate() {
            let of_rank = run.connections.iter().filter(|one| one.from == rank);
            let sent = of_rank.map(|one| one.bytes_acked).sum();
            let series: [&dyn Display; 3] = [&rank, host, &"transmit"];
            self.add(&model::RANK_IO, &series, Number::Count(sent));
        }
        for connection in &run.connections {
            self.connection(run, connection);
        }
    }

    fn connection(&mut self, run: &RunStatus, connection: &ConnectionStatus) {
        let ConnectionStatus { from, to, .. } = connection;
        let (Some(host), Some(peer)) = (run.ranks.get(*from), run.ranks.get(*to)) else {
            return;
        };
        let series: [&dyn Display; 5] = [host, peer, from, to, &connection.connection];
        let rtt = f64::from(connection.rtt_us) / 1e6;
        let rate = connection.delivery_rate_bps as f64 / 8.0;
        for (metric, value) in [
            (&model::CONNECTION_IO, Number::Count(connection.bytes_acked)),
            (
                &model::CONNECTION_RETRANSMITS,
                Number::Count(connection.retransmits),
            ),
            (&model::CONNECTION_RTT, Number::Real(rtt)),
            (
                &model::CONNECTION_WINDOW,
                Number::Count(connection.cwnd_bytes),
            ),
            (&model::CONNECTION_RATE, Number::Real(rate)),
        ] {
            self.add(metric, &series, value);
        }
    }
}

fn seconds(time: TimeSpan) -> f64 {
    time.duration().as_secs_f64()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::EngineKind;
    use crate::keeper::IterationStatus;
    use crate::telemetry::InterfaceCounters;

    /// A run of two ranks over one lane.
    pub(in crate::metrics) fn reading() -> LabReading {
        let counters = ChannelCounters {
            packets: 1000,
            bytes: 1_500_000,
            queue_drops: 3,
            marks: 4,
            losses: Some(5),
            queue_packets: 2,
            queue_bytes: 3000,
            ..ChannelCounters::default()
        };
        LabReading {
            at_s: 12.5,
            engine: Some(EngineKind::Relay),
            sites: Vec::new(),
            channels: vec![ChannelStatus {
                from: "east".into(),
                to: "west".into(),
                lane: 0,
                state: LaneState::Up,
                rate: Some("80Mbit".parse().unwrap()),
                delay: "30ms".parse().unwrap(),
                jitter: None,
                queue: "1bdp".parse().unwrap(),
                differs: None,
                counters,
            }],
            hosts: vec![HostStatus {
                name: "east-0".into(),
                site: "east".into(),
                counters: InterfaceCounters {
                    sent_bytes: 10,
                    sent_packets: 1,
                    received_bytes: 20,
                    received_packets: 2,
                },
            }],
            run: Some(RunStatus {
                point: 1,
                points: 2,
                title: "cubic".into(),
                iterations: 20,
                done: 7,
                iterations_done: 7,
                wrong: 0,
                last: Some(IterationStatus {
                    size_bytes: 1 << 20,
                    time_us: 250_000.0,
                    bus_bandwidth_bps: None,
                }),
                ranks: vec!["east-0".into(), "west-0".into()],
                connections: vec![ConnectionStatus {
                    from: 0,
                    to: 1,
                    connection: 0,
                    rtt_us: 60_000,
                    cwnd_bytes: 14_480,
                    retransmits: 1,
                    delivery_rate_bps: 8_000_000,
                    bytes_acked: 123,
                }],
            }),
            note: None,
        }
    }

    #[test]
    fn a_run_fills_every_metric_of_the_model() {
        let measured = measure(&reading());
        let filled: BTreeSet<_> = measured.iter().map(|one| one.metric.name).collect();
        let all: BTreeSet<_> = model::ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(filled, all);
        for one in &measured {
            assert_eq!(one.attributes.len(), one.metric.attributes.len(), "{one:?}");
        }
    }

    #[test]
    fn a_series_is_measured_once() {
        let measured = measure(&reading());
        let mut seen = BTreeSet::new();
        for one in &measured {
            assert!(seen.insert((one.metric.name, &one.attributes)), "{one:?}");
        }
    }

    #[test]
    fn losses_that_the_engine_does_not_tell_are_absent_and_not_zero() {
        let mut reading = reading();
        reading.channels[0].counters.losses = None;
        let measured = measure(&reading);
        let is_loss = |one: &Measurement| one.attributes.iter().any(|value| value == "loss");
        assert!(!measured.iter().any(is_loss));
    }
}
