//! A made-up but plausible run, for the tests of everything that reads one.

use std::collections::BTreeMap;

use crate::result::{
    Better, Bound, BoundTime, ChannelSummary, Computing, DelaySummary, Entity, Environment,
    FidelityRow, FidelitySection, FlowSummary, LabKernel, LabKind, LinkShares, Machine, Measure,
    MeasuredValue, MessageSummary, NicCounter, Outcome, Percentiles, Placement, Point, RunDetails,
    RunResult, SCHEMA_VERSION, Sample, Source, TelemetryRow, TimelineEntry, Way, Workload, metric,
};
use crate::stats::{self, InterarrivalJitter};
use crate::verification::{ChannelDelays, Verification, VerificationRow};

/// How much of everything the run has.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub stacks: &'static [&'static str],
    /// A swept setting and its values; no values without a sweep.
    pub sweep: (&'static str, &'static [&'static str]),
    pub repeats: usize,
    pub sizes: &'static [u64],
    pub iterations: u64,
    pub sites: &'static [&'static str],
    /// Length of each point's workload; 0 leaves the telemetry empty.
    pub seconds: f64,
    /// Period of the samples and the probes.
    pub period_s: f64,
    /// How often the first link changes in each point.
    pub changes: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            stacks: &["cubic", "bbr"],
            sweep: ("algorithm", &[]),
            repeats: 1,
            sizes: &[256 << 10, 1 << 20, 4 << 20, 16 << 20],
            iterations: 12,
            sites: &["virginia", "dublin", "singapore"],
            seconds: 6.0,
            period_s: 0.05,
            changes: 0,
        }
    }
}

const RATE_BPS: u64 = 500_000_000;
const RANKS: usize = 6;

/// Numbers that look random and are the same every time (Steele, Lea, Flood: SplitMix64).
struct Random(u64);

impl Random {
    /// Even over 0–1.
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mostly small, sometimes large; mean 1.
    fn tail(&mut self) -> f64 {
        -(1.0 - self.even()).ln()
    }
}

/// The ordered pairs of sites.
fn pairs(sites: &[&str]) -> Vec<(String, String, f64)> {
    let mut pairs = Vec::new();
    for (i, from) in sites.iter().enumerate() {
        for (j, to) in sites.iter().enumerate().filter(|(j, _)| *j != i) {
            let described_us =
                20_000.0 + 27_500.0 * (i.abs_diff(j) as f64 - 1.0) + 15_000.0 * i.min(j) as f64;
            pairs.push(((*from).to_owned(), (*to).to_owned(), described_us));
        }
    }
    pairs
}

/// A run of that shape, with its telemetry in time order.
pub(crate) fn run(shape: &Shape) -> (RunResult, Vec<TelemetryRow>) {
    let mut random = Random(7);
    let (mut points, mut telemetry) = (Vec::new(), Vec::new());
    let mut began_s = 1.5;
    for repeat in 0..shape.repeats {
        for (rank, stack) in shape.stacks.iter().enumerate() {
            let settings: Vec<BTreeMap<String, String>> = match shape.sweep {
                (_, []) => vec![BTreeMap::new()],
                (name, values) => values
                    .iter()
                    .map(|value| BTreeMap::from([(name.into(), (*value).into())]))
                    .collect(),
            };
            for (variant, settings) in settings.into_iter().enumerate() {
                let speed = 0.94 - 0.05 * (rank + 2 * variant) as f64;
                let mut point = point(shape, points.len(), stack, speed, &mut random, began_s);
                point.repeat = repeat;
                if let (Some(name), Workload::Collective { algorithm, .. }) =
                    (settings.get("algorithm"), &mut point.workload)
                {
                    algorithm.clone_from(name);
                }
                point.settings = settings;
                watch(shape, &mut point, speed, &mut random, &mut telemetry);
                began_s = point.ended_s + 1.0;
                points.push(point);
            }
        }
    }
    let result = RunResult {
        schema_version: SCHEMA_VERSION,
        longhaul_version: "0.1.0".into(),
        name: "quickstart".into(),
        description: "all_reduce over three continents".into(),
        run_details: Some(RunDetails {
            command: "longhaul run quickstart --seed 1".into(),
            started: "2026-01-02T03:04:05Z".into(),
            finished: Some("2026-01-02T03:05:05Z".into()),
            wall_seconds: Some(60.0),
            virtual_lab: None,
        }),
        outcome: Outcome::Finished,
        seed: 1,
        experiment: serde_json::json!({"topology": "three-continents"}),
        environment: Environment {
            lab: LabKind::Host,
            computing: Computing::Real,
            lab_kernel: None,
            links: "relay".into(),
            privilege: "root".into(),
            machine: Machine {
                kernel: "6.1.0".into(),
                architecture: "x86_64".into(),
                distribution: "Debian GNU/Linux 12".into(),
                cpu: "a CPU".into(),
                cpus: 2,
                memory_bytes: 8 << 30,
            },
            programs: BTreeMap::new(),
            hosts: BTreeMap::new(),
        },
        part: None,
        points,
    };
    (result, telemetry)
}

/// What a virtual lab says of where it ran.
pub(crate) fn virtual_environment() -> Environment {
    Environment {
        lab: LabKind::Virtual,
        computing: Computing::Free,
        lab_kernel: Some(LabKernel {
            version: "6.12.94".into(),
            key: "3f2a9c".into(),
        }),
        links: "relay".into(),
        privilege: "root".into(),
        machine: Machine {
            kernel: "6.12.94".into(),
            architecture: "x86_64".into(),
            distribution: String::new(),
            cpu: "UML".into(),
            cpus: 1,
            memory_bytes: 1 << 30,
        },
        programs: BTreeMap::new(),
        hosts: BTreeMap::new(),
    }
}

/// A run of iperf3, which tells its throughput every second and round-trip times more often, under two stacks.
pub(crate) fn programs() -> (RunResult, Vec<TelemetryRow>) {
    let (mut result, telemetry) = run(&Shape::default());
    let mut random = Random(11);
    for point in &mut result.points {
        point.workload = Workload::Command {
            command: vec!["iperf3".into(), "-c".into(), "10.2.0.1".into()],
        };
        (point.bound, point.samples, point.summaries) = (None, Vec::new(), Vec::new());
        let began = point.schedule_began_s.unwrap_or(point.began_s);
        let mut values = |count: u32, period: f64, least: f64, span: f64| {
            let value = |index| MeasuredValue {
                time_s: Some(began + f64::from(index) * period),
                value: (least + span * random.even()).round(),
            };
            (1..=count).map(value).collect::<Vec<_>>()
        };
        point.measures = vec![
            Measure::new(
                "throughput",
                "bit/s",
                Better::Higher,
                "virginia-0",
                values(6, 1.0, 3e8, 1e8),
            ),
            Measure::new(
                "rtt",
                "us",
                Better::Lower,
                "virginia-0",
                values(60, 0.1, 80e3, 9e3),
            ),
        ];
    }
    (result, telemetry)
}

fn point(
    shape: &Shape,
    index: usize,
    stack: &str,
    speed: f64,
    random: &mut Random,
    began_s: f64,
) -> Point {
    // A ring over the sites: every rank sends 2(n−1)/n of the array over the slowest link, in 2(n−1) steps.
    let share = 2.0 * (RANKS - 1) as f64 / RANKS as f64;
    let least_us = |size: u64| {
        size as f64 * share * 8e6 / RATE_BPS as f64 + 2.0 * (RANKS - 1) as f64 * 20_000.0
    };
    let bound = Bound {
        busbw_bps: RATE_BPS as f64,
        reason: "the slowest link of the ring, virginia>dublin, carries every byte of bus bandwidth once at 500 Mbit/s"
            .into(),
        times: shape.sizes.iter().map(|&size_bytes| BoundTime { size_bytes, time_us: least_us(size_bytes) }).collect(),
    };
    let mut samples = Vec::new();
    for &size_bytes in shape.sizes {
        for placement in [Placement::OutOfPlace, Placement::InPlace] {
            for iteration in 0..=shape.iterations {
                samples.push(Sample {
                    size_bytes,
                    count: size_bytes / 4,
                    placement,
                    iteration: iteration.saturating_sub(1),
                    warmup: iteration == 0,
                    start_s: began_s,
                    time_us: (least_us(size_bytes) / speed * (1.0 + 0.04 * random.tail())).round(),
                    wrong: 0,
                });
            }
        }
    }
    let summaries = stats::summarise(&samples, "all_reduce", RANKS, Some(&bound)).unwrap();
    Point {
        index,
        stack: stack.to_owned(),
        settings: BTreeMap::new(),
        repeat: 0,
        began_s,
        ended_s: began_s + shape.seconds,
        fidelity: FidelitySection {
            faithful: true,
            ..FidelitySection::default()
        },
        workload: Workload::Collective {
            program: None,
            collective: "all_reduce".into(),
            algorithm: "ring".into(),
            data_type: "f32".into(),
            op: "sum".into(),
            root: -1,
            ranks: RANKS,
            hosts: shape
                .sites
                .iter()
                .flat_map(|site| [format!("{site}-0"), format!("{site}-1")])
                .collect(),
        },
        bound: Some(bound),
        samples,
        summaries,
        delays: Vec::new(),
        schedule_began_s: Some(began_s),
        channels: Vec::new(),
        timeline: timeline(shape, began_s),
        flows: flows(shape),
        shares: vec![LinkShares {
            link: format!("{}>{}", shape.sites[0], shape.sites[1]),
            flows: 2,
            jain: 0.875,
            goodput_bps: Some(940e6),
        }],
        nics: nics(shape),
        captures: Vec::new(),
        commands: Vec::new(),
        measures: Vec::new(),
    }
}

/// What a NIC of the first host may have counted.
fn nics(shape: &Shape) -> Vec<NicCounter> {
    let counter = |counter: &str, metric: &str, attributes: &[(&str, &str)], unit: &str, growth| {
        let attributes = attributes.iter();
        NicCounter {
            host: format!("{}-0", shape.sites[0]),
            nic: "mlx5_0".to_owned(),
            port: Some(1),
            counter: counter.to_owned(),
            metric: format!("longhaul.nic.{metric}"),
            attributes: attributes
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            unit: unit.to_owned(),
            growth,
        }
    };
    let sent = ("network.io.direction", "transmit");
    let paused = [
        ("network.io.direction", "receive"),
        ("longhaul.nic.priority", "3"),
    ];
    let event = [("longhaul.cnp.event", "sent")];
    let other = [("longhaul.counter.name", "packet_seq_err")];
    vec![
        counter("port_xmit_data", "io", &[sent], "By", f64::from(1 << 24)),
        counter("np_cnp_sent", "cnp.count", &event, "{packet}", 12.0),
        counter(
            "rx_prio3_pause_duration",
            "pause.duration",
            &paused,
            "s",
            0.0015,
        ),
        counter("packet_seq_err", "event.count", &other, "{event}", 3.0),
    ]
}

/// A queue pair each way between the first two sites.
fn flows(shape: &Shape) -> Vec<FlowSummary> {
    let (a, b) = (
        format!("{}-0", shape.sites[0]),
        format!("{}-0", shape.sites[1]),
    );
    let flow = |from: &str, to: &str, late| FlowSummary {
        from: from.to_owned(),
        to: to.to_owned(),
        number: 0,
        bytes: 1 << 24,
        retransmits: 7,
        messages: Some(MessageSummary {
            latency_us: Percentiles::of(&[40_200.0, 40_900.0, 41_700.0]),
            late: Some(late),
            marked_bytes: 4096,
        }),
    };
    vec![flow(&a, &b, 2), flow(&b, &a, 0)]
}

/// The first link in turn longer and shorter, and at last down on the way there.
fn timeline(shape: &Shape, began_s: f64) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    for number in 0..shape.changes {
        let is_last = number + 1 == shape.changes;
        let change = match (is_last, number % 2) {
            (true, _) => "state up → down",
            (false, 0) => "delay 20ms → 60ms, queue 1bdp (122KiB → 366KiB)",
            (false, _) => "delay 60ms → 20ms, queue 1bdp (366KiB → 122KiB)",
        };
        let ways = [(0, 1, Way::Forward), (1, 0, Way::Reverse)];
        for (from, to, direction) in ways.into_iter().take(if is_last { 1 } else { 2 }) {
            entries.push(TimelineEntry {
                time_s: began_s + shape.seconds * (number + 1) as f64 / (shape.changes + 1) as f64,
                link: format!("{}>{}", shape.sites[from], shape.sites[to]),
                lane: 0,
                direction,
                source: Source::Scheduled,
                change: change.to_owned(),
                late_us: 80.0,
            });
        }
    }
    entries
}

/// What the sampler and the probes saw of a point: traffic in bursts, queues that fill, delays with a tail.
fn watch(
    shape: &Shape,
    point: &mut Point,
    speed: f64,
    random: &mut Random,
    telemetry: &mut Vec<TelemetryRow>,
) {
    let periods = (shape.seconds / shape.period_s).round() as usize;
    let pairs = pairs(shape.sites);
    let mut bytes = vec![0.0; pairs.len()];
    let mut delays = vec![Vec::new(); pairs.len()];
    for period in 0..periods {
        let time_s = (1e4 * (point.began_s + period as f64 * shape.period_s)).round() / 1e4;
        // Iterations with pauses between them, longer and longer.
        let busy = (period as f64 * shape.period_s * 2.0).sin() > -0.6;
        for (index, (from, to, described_us)) in pairs.iter().enumerate() {
            let mut row = |entity, name: String, metric: &str, value: f64| {
                let metric = metric.to_owned();
                telemetry.push(TelemetryRow {
                    time_s,
                    point: point.index,
                    entity,
                    name,
                    metric,
                    value,
                });
            };
            let load = if busy {
                speed * (0.75 + 0.25 * random.even())
            } else {
                0.0
            };
            bytes[index] += (load * RATE_BPS as f64 / 8.0 * shape.period_s).round();
            let queue = if busy {
                (400_000.0 * random.even() / speed).round()
            } else {
                0.0
            };
            let channel = format!("{from}>{to}/0");
            row(
                Entity::Channel,
                channel.clone(),
                metric::BYTES,
                bytes[index],
            );
            row(Entity::Channel, channel, metric::QUEUE_BYTES, queue);
            let probe = format!("{from}>{to}");
            if random.even() < 0.004 {
                row(Entity::Probe, probe, metric::PROBE_LOST, 1.0);
            } else {
                let delay =
                    (described_us + queue * 8e6 / RATE_BPS as f64 + 300.0 * random.tail()).round();
                delays[index].push(delay);
                row(Entity::Probe, probe, metric::ONE_WAY_DELAY_US, delay);
            }
        }
    }
    for (index, (from, to, described_us)) in pairs.into_iter().enumerate() {
        let delay_us = Percentiles::of(&delays[index]);
        point.delays.push(DelaySummary {
            from: from.clone(),
            to: to.clone(),
            described_us,
            delay_us,
            settled_us: None,
            pdv_us: delay_us.packet_delay_variation(),
            rfc3550_us: InterarrivalJitter::of(&delays[index]),
            sent: periods as u64,
            lost: (periods - delays[index].len()) as u64,
        });
        point.channels.push(ChannelSummary {
            link: format!("{from}>{to}"),
            lane: 0,
            rate_bps: Some(RATE_BPS),
            bytes: bytes[index] as u64,
            packets: bytes[index] as u64 / 1500,
            queue_drops: 0,
            early_drops: 0,
            marks: 0,
            outage_drops: 0,
            losses: None,
            queue_peak_bytes: 400_000,
        });
        for (quantity, unit, asked, measured, bound) in [
            (
                "one-way delay",
                "us",
                described_us,
                described_us + 40.0 + 10.0 * index as f64,
                100.0 + 0.005 * described_us,
            ),
            (
                "rate",
                "bit/s",
                RATE_BPS as f64,
                RATE_BPS as f64 * 0.985,
                RATE_BPS as f64 * 0.03,
            ),
        ] {
            point.fidelity.checks.push(FidelityRow {
                channel: format!("{from}>{to} lane 0"),
                quantity: quantity.into(),
                unit: unit.into(),
                asked,
                measured,
                bound,
                within: true,
            });
        }
    }
}

/// Two channels, one of them half a millisecond late and with twice the loss.
pub(crate) fn verification() -> Verification {
    let row = |channel: &str, quantity: &str, unit: &str, figures: [f64; 3], samples| {
        let [asked, measured, bound] = figures;
        VerificationRow {
            channel: channel.into(),
            quantity: quantity.into(),
            unit: unit.into(),
            asked: Some(asked),
            measured,
            bound: Some(bound),
            within: Some((measured - asked).abs() <= bound),
            samples,
        }
    };
    let (there, back) = ("virginia>dublin lane 0", "dublin>virginia lane 0");
    let mut rows = vec![
        row(
            there,
            "one-way delay",
            "us",
            [37_000.0, 38_100.0, 420.0],
            1497,
        ),
        row(there, "jitter", "us", [2000.0, 2046.0, 400.0], 1497),
        row(there, "jitter's shape", "", [0.0, 0.031, 0.09], 1497),
        row(there, "loss", "%", [0.1, 0.133, 0.27], 1500),
        row(there, "rate", "bit/s", [500e6, 499.2e6, 25e6], 4100),
        row(
            back,
            "one-way delay",
            "us",
            [37_000.0, 37_060.0, 370.0],
            1500,
        ),
        row(
            back,
            "queue",
            "bytes",
            [4_625_000.0, 4_611_000.0, 131_000.0],
            2048,
        ),
        row(back, "marks", "packets", [1.0, 612.0, 0.0], 4096),
    ];
    let marks = rows.last_mut().expect("a row was just pushed");
    (marks.bound, marks.within) = (None, Some(true));
    let normal = |mean: f64, deviation: f64| -> Vec<f64> {
        let logistic = |place: f64| (place / (1.0 - place)).ln() * 0.55;
        let places = (0..=200).map(|index| (f64::from(index) + 0.5) / 201.0);
        places
            .map(|place| mean + deviation * logistic(place))
            .collect()
    };
    let delays = |channel: &str, late: f64, deviation: f64| ChannelDelays {
        channel: channel.into(),
        asked_us: Some(37_000.0),
        measured_us: normal(37_000.0 + late, deviation),
        predicted_us: normal(37_000.0, deviation),
    };
    Verification {
        subject: "transatlantic".into(),
        links: Some("relay".into()),
        duration_s: 3.0,
        faithful: false,
        findings: vec![format!(
            "one-way delay of {there} is 38100.000 us instead of 37000.000 (±420.000): stop other work on this machine"
        )],
        notes: vec![format!("not measured: {back}: rate, as it is unlimited")],
        rows,
        delays: vec![delays(there, 1100.0, 2000.0), delays(back, 60.0, 200.0)],
    }
}
