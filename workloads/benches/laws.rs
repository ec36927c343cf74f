//! Every law at every distance, on a simulated bottleneck: the figures of `docs/congestion-control.md` and `docs/distance.md`.
//!
//! `cargo bench -p longhaul-workloads --bench laws -- [TABLE]... [law=NAME]... [flows=N] [rate=RATE] [loss=PART] [marks=off] [line=TIMES]
//! [packet=BYTES] [trips=N] [jitter=TIME] [bucket=BYTES] [near=TIME] [far=TIME] [together]`
//! prints the tables asked for, or all: `distances`, `start`, `starts`, `mixed`, `changes`, `bursts`.

use std::ops::RangeInclusive;
use std::time::Duration;

use longhaul_topologies::units::{ByteSize, Rate, TimeSpan};
use longhaul_workloads::congestion::Law;
use longhaul_workloads::congestion::simulation::{Change, Flow, Lane, Outcome, Scenario, Supply};

/// One way, in kilometres; light in fibre goes one in 5 µs.
const DISTANCES: [u32; 10] = [1, 10, 50, 100, 500, 1000, 2000, 5000, 10_000, 20_000];

/// Times between flows that begin one after the other, in twelfths of a round trip.
const SPACINGS: RangeInclusive<u32> = 1..=15;

fn main() {
    // `cargo test --benches` runs this too, and wants no tables.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let asked = Asked::from_arguments();
    if asked.wants("distances") {
        distances(&asked);
    }
    if asked.wants("start") {
        start(&asked);
    }
    if asked.wants("starts") {
        starts(&asked);
    }
    if asked.wants("mixed") {
        mixed(&asked);
    }
    if asked.wants("changes") {
        changes(&asked);
    }
    if asked.wants("bursts") {
        bursts(&asked);
    }
}

/// What to run.
struct Asked {
    tables: Vec<String>,
    laws: Vec<String>,
    flows: Option<usize>,
    rate: Option<Rate>,
    loss: Option<f64>,
    marks: bool,
    /// The interface's rate, in multiples of the bottleneck's.
    line: u64,
    /// Bytes of a packet; what is usual at the rate if absent.
    packet: Option<u64>,
    /// Round trips that the table of distances takes.
    trips: u32,
    jitter: Duration,
    /// What the bottleneck lets through at once after it was idle.
    bucket: ByteSize,
    /// Round trips of the mixed flows.
    near: Duration,
    far: Duration,
    /// Whether those begin at once, not one after the other.
    together: bool,
}

impl Asked {
    fn from_arguments() -> Self {
        let mut asked = Asked {
            tables: Vec::new(),
            laws: Vec::new(),
            flows: None,
            rate: None,
            loss: None,
            marks: true,
            line: 4,
            packet: None,
            trips: 120,
            jitter: Duration::ZERO,
            bucket: ByteSize::from_bytes(0),
            near: Duration::from_millis(1),
            far: Duration::from_millis(80),
            together: false,
        };
        let time = |text: &str| text.parse().map_or(Duration::ZERO, TimeSpan::duration);
        for argument in std::env::args().skip(1) {
            match argument.split_once('=') {
                Some(("law", name)) => asked.laws.push(name.to_owned()),
                Some(("flows", flows)) => asked.flows = flows.parse().ok(),
                Some(("rate", rate)) => asked.rate = rate.parse().ok(),
                Some(("loss", loss)) => asked.loss = loss.parse().ok(),
                Some(("line", times)) => asked.line = times.parse().unwrap_or(4),
                Some(("packet", bytes)) => asked.packet = bytes.parse().ok(),
                Some(("jitter", jitter)) => asked.jitter = time(jitter),
                Some(("bucket", bytes)) => {
                    asked.bucket = ByteSize::from_bytes(bytes.parse().unwrap_or(0));
                }
                Some(("near", near)) => asked.near = time(near),
                Some(("far", far)) => asked.far = time(far),
                None if argument == "together" => asked.together = true,
                Some(("trips", trips)) => asked.trips = trips.parse().unwrap_or(120),
                Some(("marks", on)) => asked.marks = on != "off",
                // cargo's own `--bench` is none of ours.
                _ if argument.starts_with("--") => {}
                _ => asked.tables.push(argument),
            }
        }
        asked
    }

    fn wants(&self, table: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|asked| asked == table)
    }

    /// Laws with their defaults; a window has none.
    fn laws(&self) -> Vec<Law> {
        let names = Law::NAMES.iter().filter(|name| **name != "fixed-window");
        names
            .filter(|name| self.laws.is_empty() || self.laws.iter().any(|law| law == *name))
            .map(|name| law(name))
            .collect()
    }

    fn rates(&self) -> Vec<Rate> {
        let both = [1_000_000_000, 10_000_000_000].map(Rate::from_bits_per_second);
        self.rate.map_or(both.to_vec(), |rate| vec![rate])
    }

    /// Bytes of a packet: as Ethernet has at 1 Gbit/s, as RoCE above, if it was not said.
    fn packet(&self, rate: Rate) -> u64 {
        let usual = if rate.bits_per_second() > 1_000_000_000 {
            4096
        } else {
            1500
        };
        self.packet.unwrap_or(usual)
    }
}

fn law(name: &str) -> Law {
    serde_json::from_value(name.into()).expect("a law's name is a law")
}

fn round_trip(kilometres: u32) -> Duration {
    Duration::from_micros(10) * kilometres
}

/// A quarter of a BDP, but no less than a switch port has.
fn lane(asked: &Asked, rate: Rate, rtt: Duration, loss: f64) -> Lane {
    let bdp = rate.size_in(rtt).bytes();
    let packet = asked.packet(rate);
    let least =
        ByteSize::from_bytes((5 * packet).max(rate.size_in(Duration::from_micros(40)).bytes()));
    let most = ByteSize::from_bytes(least.bytes() * 4);
    Lane {
        rate,
        bucket: asked.bucket,
        queue: ByteSize::from_bytes((bdp / 4).max(150 * packet)),
        marks: asked.marks.then_some((least, most)),
        loss,
        jitter: asked.jitter,
        telemetry: true,
    }
}

fn flow(asked: &Asked, law: &Law, rate: Rate, rtt: Duration) -> Flow {
    Flow {
        law: law.clone(),
        rtt,
        lane: 0,
        start: Duration::ZERO,
        packet: asked.packet(rate),
        line_rate: Some(Rate::from_bits_per_second(
            rate.bits_per_second() * asked.line,
        )),
        supply: Supply::Endless,
    }
}

fn micros(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e6)
}

fn distances(asked: &Asked) {
    println!(
        "law, rate, flows, loss: utilisation % / p99 of the queue's delay in µs, in the second half, / fairness of several / drops, by km"
    );
    for rate in asked.rates() {
        for flows in [1, 8] {
            for loss in [0.0, 1e-5] {
                if asked.flows.is_some_and(|only| only != flows)
                    || asked.loss.is_some_and(|only| only != loss)
                {
                    continue;
                }
                for law in asked.laws() {
                    let mut row = format!("{:<9} {rate:>6} {flows} {loss:>6}:", law.name());
                    for kilometres in DISTANCES {
                        let rtt = round_trip(kilometres);
                        let length = (rtt * asked.trips).max(Duration::from_millis(60));
                        let apart = if asked.together {
                            Duration::ZERO
                        } else {
                            rtt / 3
                        };
                        let outcome = Scenario {
                            lanes: vec![lane(asked, rate, rtt, loss)],
                            flows: (0..flows)
                                .map(|index| Flow {
                                    start: apart * index as u32,
                                    ..flow(asked, &law, rate, rtt)
                                })
                                .collect(),
                            changes: Vec::new(),
                            length,
                            grain: (rtt / 8).clamp(Duration::from_micros(10), length / 2000),
                            seed: 1,
                        }
                        .run();
                        let steady = length / 2..length;
                        let utilisation = 100.0 * outcome.utilisation(steady.clone());
                        let delay = micros(outcome.queue_delay(0.99, steady.clone()));
                        row += &format!(" {utilisation:5.1}/{delay}");
                        if flows > 1 {
                            row += &format!("/{:.2}/{}", outcome.fairness(steady), outcome.drops);
                        }
                    }
                    println!("{row}");
                }
            }
        }
    }
}

fn start(asked: &Asked) {
    println!(
        "\nlaw, rate, km: round trips to 90 % of the line, drops in a quarter of a BDP, utilisation of the first 20"
    );
    for rate in asked.rates() {
        for law in asked.laws() {
            for kilometres in [10, 100, 1000, 10_000, 20_000] {
                let rtt = round_trip(kilometres);
                let outcome = Scenario {
                    lanes: vec![lane(asked, rate, rtt, 0.0)],
                    flows: vec![flow(asked, &law, rate, rtt)],
                    changes: Vec::new(),
                    length: rtt * 30,
                    grain: (rtt / 20).max(Duration::from_micros(10)),
                    seed: 1,
                }
                .run();
                println!(
                    "{:<9} {rate:>6} {kilometres:>6}: {:>5} {:>6} {:5.1}",
                    law.name(),
                    round_trips(&outcome, Duration::ZERO, rtt),
                    outcome.drops,
                    100.0 * outcome.utilisation(Duration::ZERO..rtt * 20),
                );
            }
        }
    }
}

/// What one flow after the other costs, whatever the time between them.
fn starts(asked: &Asked) {
    println!(
        "\nlaw, rate: eight flows, one after the other by 1/12 to 15/12 of a round trip: mean drops / most of them / utilisation %, fairness from 20 to 40 round trips after the last began, in the mean, by km"
    );
    for rate in asked.rates() {
        for law in asked.laws() {
            let mut row = format!("{:<9} {rate:>6}:", law.name());
            for kilometres in DISTANCES {
                let rtt = round_trip(kilometres);
                // Drops, utilisation and fairness for each spacing.
                let found: Vec<[f64; 3]> = SPACINGS
                    .map(|twelfths| {
                        let apart = rtt * twelfths / 12;
                        let last = apart * 7;
                        let length = last + rtt * 40;
                        let outcome = Scenario {
                            lanes: vec![lane(asked, rate, rtt, 0.0)],
                            flows: (0..8)
                                .map(|index| Flow {
                                    start: apart * index,
                                    ..flow(asked, &law, rate, rtt)
                                })
                                .collect(),
                            changes: Vec::new(),
                            length,
                            grain: (rtt / 8).max(Duration::from_micros(10)),
                            seed: 1,
                        }
                        .run();
                        let steady = last + rtt * 20..length;
                        [
                            outcome.drops as f64,
                            100.0 * outcome.utilisation(steady.clone()),
                            outcome.fairness(steady),
                        ]
                    })
                    .collect();
                let [drops, utilisation, fairness] = [0, 1, 2].map(|figure| {
                    found.iter().map(|figures| figures[figure]).sum::<f64>() / found.len() as f64
                });
                let most = found.iter().map(|figures| figures[0]).fold(0.0, f64::max);
                row += &format!(" {drops:.0}/{most:.0}/{utilisation:.1}/{fairness:.2}");
            }
            println!("{row}");
        }
    }
}

/// Until 90 % of the lanes are in use, for half a round trip.
fn round_trips(outcome: &Outcome, from: Duration, rtt: Duration) -> String {
    in_round_trips(outcome.reaches(0.9, from, rtt / 2), rtt)
}

/// The same after a change, and so for twenty round trips, in `part` of the lanes.
fn back(outcome: &Outcome, part: f64, from: Duration, rtt: Duration) -> String {
    in_round_trips(outcome.recovers(part, from, rtt / 2, rtt * 20), rtt)
}

fn in_round_trips(time: Option<Duration>, rtt: Duration) -> String {
    time.map_or("never".to_owned(), |time| {
        format!("{:.1}", time.as_secs_f64() / rtt.as_secs_f64())
    })
}

fn mixed(asked: &Asked) {
    println!(
        "\nlaw, rate: flows of {:?} and {:?} on one bottleneck, four each: fairness until 60, 120, 250 and 500 far round trips; from 375 on utilisation, p99 of the queue in µs, shares of near and far",
        asked.near, asked.far
    );
    let (near, far) = (asked.near, asked.far);
    let apart = if asked.together {
        Duration::ZERO
    } else {
        far * 6 / 13
    };
    for rate in asked.rates() {
        for law in asked.laws() {
            let length = far * 500;
            let outcome = Scenario {
                lanes: vec![lane(asked, rate, far, 0.0)],
                flows: (0..8)
                    .map(|index| Flow {
                        start: apart * index as u32,
                        ..flow(asked, &law, rate, if index % 2 == 0 { near } else { far })
                    })
                    .collect(),
                changes: Vec::new(),
                length,
                grain: far / 80,
                seed: 1,
            }
            .run();
            let steady = length * 3 / 4..length;
            let fairness = [(30, 60), (60, 120), (125, 250), (375, 500)]
                .map(|(from, to)| format!("{:.3}", outcome.fairness(far * from..far * to)));
            let share = |first: usize| {
                let flows = (first..8).step_by(2);
                let rates = flows.map(|flow| outcome.goodput(flow, steady.clone()));
                100.0 * rates.sum::<f64>() / rate.bytes_per_second() as f64
            };
            println!(
                "{:<9} {rate:>6}: {} {:5.1} {:>6} {:5.1} {:5.1}",
                law.name(),
                fairness.join(" "),
                100.0 * outcome.utilisation(steady.clone()),
                micros(outcome.queue_delay(0.99, steady.clone())),
                share(0),
                share(1),
            );
        }
    }
}

fn changes(asked: &Asked) {
    println!(
        "\nlaw, rate, ms of round trip: round trips until 90 % of the line are in use again, and so for twenty, after 30 ms more of a way, a cut of 200 ms, a flow that moves in from a lane that failed (of the lane that is left)"
    );
    for rate in asked.rates() {
        for law in asked.laws() {
            for milliseconds in [1, 10, 40, 80, 160] {
                let rtt = Duration::from_millis(milliseconds);
                let at = rtt * 40;
                let after = rtt + Duration::from_millis(30);
                let pause = Duration::from_millis(200);
                let try_it =
                    |lanes: usize, changes: Vec<(Duration, Change)>, rtt_after: Duration| {
                        Scenario {
                            lanes: vec![lane(asked, rate, rtt, 0.0); lanes],
                            flows: (0..lanes)
                                .map(|lane| Flow {
                                    lane,
                                    ..flow(asked, &law, rate, rtt)
                                })
                                .collect(),
                            changes,
                            length: at + pause + rtt_after * 60,
                            grain: rtt / 20,
                            seed: 1,
                        }
                        .run()
                    };
                let route = try_it(1, vec![(at, Change::RoundTrip(0, after))], after);
                let cut = try_it(
                    1,
                    vec![(at, Change::Down(0)), (at + pause, Change::Up(0))],
                    rtt,
                );
                let failed = try_it(
                    2,
                    vec![(at, Change::Down(1)), (at, Change::Move(1, 0))],
                    rtt,
                );
                println!(
                    "{:<9} {rate:>6} {milliseconds:>4}: {:>6} {:>6} {:>6} drops {} {} {}",
                    law.name(),
                    // What is in use before the change is felt does not count.
                    back(&route, 0.9, at + after, after),
                    back(&cut, 0.9, at + pause, rtt),
                    // Half of both lanes is what is left.
                    back(&failed, 0.45, at + rtt / 2, rtt),
                    route.drops,
                    cut.drops,
                    failed.drops,
                );
            }
        }
    }
}

fn bursts(asked: &Asked) {
    println!(
        "\nlaw, rate, ms of round trip: bursts of four BDPs every ten round trips: mean of a burst's rate in % of the line, p99.9 of the queue in µs, drops"
    );
    for rate in asked.rates() {
        for law in asked.laws() {
            for milliseconds in [1, 20, 80] {
                let rtt = Duration::from_millis(milliseconds);
                let bytes = rate.size_in(rtt * 4).bytes();
                let every = rtt * 10;
                let bursts = 10;
                let grain = rtt / 20;
                let outcome = Scenario {
                    lanes: vec![lane(asked, rate, rtt, 0.0)],
                    flows: vec![Flow {
                        supply: Supply::Bursts { bytes, every },
                        ..flow(asked, &law, rate, rtt)
                    }],
                    changes: Vec::new(),
                    length: every * bursts,
                    grain,
                    seed: 1,
                }
                .run();
                // The first is the start's.
                let active = |burst: u32| {
                    let begin = every * burst;
                    (1..=200)
                        .map(|grains| grain * grains)
                        .find(|time| {
                            let arrived =
                                outcome.goodput(0, begin..begin + *time) * time.as_secs_f64();
                            arrived >= 0.99 * bytes as f64
                        })
                        .unwrap_or(every)
                };
                let time: f64 = (1..bursts).map(|burst| active(burst).as_secs_f64()).sum();
                let ideal = f64::from(bursts - 1) * 4.0 * rtt.as_secs_f64();
                println!(
                    "{:<9} {rate:>6} {milliseconds:>4}: {:5.1} {:>6} {:>6}",
                    law.name(),
                    100.0 * ideal / time,
                    micros(outcome.queue_delay(0.999, every..every * bursts)),
                    outcome.drops,
                );
            }
        }
    }
}
