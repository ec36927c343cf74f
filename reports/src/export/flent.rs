//! A point's series over time as flent has them (FILEFORMAT_VERSION 4 of its `resultset.py`), under the names of its test `tcp_nup`, so
//! that all plots and tables of that test are there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::export::rows::settings;
use crate::file;
use crate::folder::Opened;
use crate::result::{Entity, Point, RunResult, TelemetryRow, metric};
use crate::side_by_side;

/// By which flent knows its files.
const ENDING: &str = ".flent.gz";
/// Between two values of a series: flent's own STEP_SIZE.
const STEP_S: f64 = 0.2;
/// Two days of them: no run takes longer, whatever a broken file says.
const MOST_STEPS: u32 = 1 << 20;
/// The series of round trips that the plots of `tcp_nup` show.
const PING: &str = "Ping (ms) ICMP";
/// What is in the file, for who wonders.
const NOTE: &str = "TCP upload: all bytes that a host's interface sends, of whatever protocol. Ping: one-way delays of UDP probes, both ways \
    added; ICMP: of the sites farthest apart.";

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FlentError {
    /// flent would take it for something else.
    #[error("{}: flent knows its files by their ending; let it end in {ENDING}", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// Hosts and probes were not observed.
    #[error(
        "no point has telemetry of hosts or probes, and flent's format holds series over time; take --export csv"
    )]
    NoSeries,
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// Writes `file` for a lone point, and `NAME-0.flent.gz`, `NAME-1.flent.gz` and so on for several, as flent has a file for each run;
/// points of which nothing was observed have none. All files.
///
/// # Errors
/// If the name does not end as flent's do, nothing was observed, or a file cannot be written.
pub fn write_flent(results: &[Opened], file: &Path) -> Result<Vec<PathBuf>, FlentError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let Some(name) = name.and_then(|name| name.strip_suffix(ENDING)) else {
        let path = file.to_owned();
        return Err(FlentError::Ending { path });
    };
    let mut documents = Vec::new();
    for (opened, name) in results.iter().zip(side_by_side::names(results)) {
        let result = &opened.folder.result;
        for point in &result.points {
            let rows = opened.folder.telemetry.iter();
            let series = Series::of(point, rows.filter(|row| row.point == point.index));
            if !series.values.is_empty() {
                documents.push(document(result, &name, point, &series));
            }
        }
    }
    let path = |index: usize| match documents.len() {
        1 => file.to_owned(),
        _ => file.with_file_name(format!("{name}-{index}{ENDING}")),
    };
    if documents.is_empty() {
        return Err(FlentError::NoSeries);
    }
    let write = |(index, document): (usize, &Value)| {
        let path = path(index);
        match write(&path, document) {
            Ok(()) => Ok(path),
            Err(source) => Err(FlentError::File { path, source }),
        }
    };
    documents.iter().enumerate().map(write).collect()
}

fn write(path: &Path, document: &Value) -> io::Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut packed, document)?;
    file::replace(path, &packed.finish()?)
}

/// What was observed in the workload of a point.
struct Series {
    /// How long it took, in seconds.
    length_s: f64,
    /// The beginnings of its steps, from 0.
    steps: Vec<f64>,
    /// Values of every step, by flent's names; none where nothing was observed.
    values: BTreeMap<String, Vec<Option<f64>>>,
}

impl Series {
    /// What `rows` tell of the workload of `point`.
    fn of<'a>(point: &Point, rows: impl Iterator<Item = &'a TelemetryRow>) -> Self {
        let (mut sent, mut delays) = (BTreeMap::new(), BTreeMap::new());
        // One that was cut short has no end of its own.
        let mut ended_s = point.ended_s;
        for row in rows {
            ended_s = ended_s.max(row.time_s);
            let of = match (row.entity, row.metric.as_str()) {
                (Entity::Host, metric::BYTES) => &mut sent,
                (Entity::Probe, metric::ONE_WAY_DELAY_US) => &mut delays,
                _ => continue,
            };
            let of: &mut Vec<(f64, f64)> = of.entry(row.name.as_str()).or_default();
            of.push((row.time_s, row.value));
        }
        // Probes are told in the order in which they arrive.
        for series in sent.values_mut().chain(delays.values_mut()) {
            series.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let length_s = (ended_s - began(point)).max(0.0);
        let count = ((length_s / STEP_S).ceil() as u32).min(MOST_STEPS);
        let steps: Vec<f64> = (0..count).map(|step| f64::from(step) * STEP_S).collect();
        let mut all = BTreeMap::new();
        for (host, bytes) in &sent {
            let megabits = |step: &f64| Some(rate(bytes, began(point) + step)? * 8.0 / 1e6);
            let series = steps.iter().map(megabits).collect();
            all.insert(format!("TCP upload::{host}"), series);
        }
        let mut pings: Vec<(String, Vec<Option<f64>>)> = Vec::new();
        for (path, there) in &delays {
            // Once for both ways.
            let Some((from, to)) = path.split_once('>').filter(|(from, to)| from < to) else {
                continue;
            };
            let Some(back) = delays.get(format!("{to}>{from}").as_str()) else {
                continue;
            };
            let milliseconds = |step: &f64| {
                let from = began(point) + step;
                Some((mean_from(there, from)? + mean_from(back, from)?) / 1e3)
            };
            let series = steps.iter().map(milliseconds).collect();
            pings.push((format!("Ping (ms) {from}-{to}"), series));
        }
        let farthest = (0..pings.len()).max_by(|&a, &b| {
            let length = |index: usize| mean(&pings[index].1).unwrap_or(0.0);
            length(a).total_cmp(&length(b))
        });
        if let Some(farthest) = farthest {
            PING.clone_into(&mut pings[farthest].0);
        }
        all.extend(pings);
        all.retain(|_, values| values.iter().any(Option::is_some));
        Series {
            length_s,
            steps,
            values: all,
        }
    }
}

/// When the workload of `point` began.
fn began(point: &Point) -> f64 {
    point.schedule_began_s.unwrap_or(point.began_s)
}

/// What a counter grew by a second in the step that begins then, as far as it was read in it.
fn rate(readings: &[(f64, f64)], from_s: f64) -> Option<f64> {
    let from = from_s.max(readings.first()?.0);
    let to = (from_s + STEP_S).min(readings.last()?.0);
    (to > from).then(|| (at(readings, to) - at(readings, from)) / (to - from))
}

/// A counter between two readings, or at one.
fn at(readings: &[(f64, f64)], time_s: f64) -> f64 {
    let next = readings.partition_point(|reading| reading.0 < time_s);
    match (
        next.checked_sub(1).map(|last| readings[last]),
        readings[next],
    ) {
        (Some((before, least)), (after, most)) => {
            least + (most - least) * (time_s - before) / (after - before)
        }
        (None, (_, value)) => value,
    }
}

/// The mean of what was observed in the step that begins then.
fn mean_from(observed: &[(f64, f64)], from_s: f64) -> Option<f64> {
    let first = observed.partition_point(|one| one.0 < from_s);
    let end = observed.partition_point(|one| one.0 < from_s + STEP_S);
    let values: Vec<Option<f64>> = observed[first..end].iter().map(|one| Some(one.1)).collect();
    mean(&values)
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// The file of a point of the result of that name.
fn document(result: &RunResult, name: &str, point: &Point, series: &Series) -> Value {
    let Series {
        length_s,
        steps,
        values: series,
    } = series;
    let started = result.run_details.as_ref();
    let started = started.and_then(|details| details.started.parse().ok());
    let zero = started.unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = SignedDuration::try_from_secs_f64(began(point)).unwrap_or_default();
    let zero = zero.checked_add(offset).unwrap_or(zero);
    let time = zero.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let zero_s = zero.as_duration().as_secs_f64();
    let mut title = format!("{name}, {}", point.stack);
    if !point.settings.is_empty() {
        title += &format!(", {}", settings(point));
    }
    if point.repeat > 0 {
        title += &format!(", repeat {}", point.repeat);
    }
    let (mut raw, mut of_series) = (Map::new(), Map::new());
    for (name, values) in series {
        let known = steps.iter().zip(values);
        let known =
            known.filter_map(|(x, value)| Some(json!({ "t": zero_s + x, "val": (*value)? })));
        raw.insert(name.clone(), known.collect());
        let units = if name.starts_with("Ping") {
            "ms"
        } else {
            "Mbits/s"
        };
        of_series.insert(
            name.clone(),
            json!({ "UNITS": units, "MEAN_VALUE": mean(values) }),
        );
    }
    let hosts = series.keys().filter(|name| name.starts_with("TCP upload"));
    json!({
        "version": 4,
        "metadata": {
            "NAME": "tcp_nup",
            "TITLE": title,
            "NOTE": format!("longhaul {}. {NOTE}", result.longhaul_version),
            "TIME": time,
            "T0": time,
            "LENGTH": length_s,
            "TOTAL_LENGTH": length_s,
            "STEP_SIZE": STEP_S,
            "TEST_PARAMETERS": { "upload_streams": hosts.count() },
            // What flent says where a test left nothing finer than its steps.
            "FAKE_RAW_VALUES": true,
            "SERIES_META": of_series,
        },
        "x_values": steps,
        "results": series,
        "raw_values": raw,
    })
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;
    use crate::example::{self, Shape};
    use crate::folder::ResultFolder;

    fn opened(stacks: &'static [&'static str]) -> Opened {
        let (result, telemetry) = example::run(&Shape {
            stacks,
            seconds: 2.0,
            ..Shape::default()
        });
        Opened::from(ResultFolder { result, telemetry })
    }

    fn row(entity: Entity, name: &str, metric: &str, time_s: f64, value: f64) -> TelemetryRow {
        TelemetryRow {
            time_s,
            point: 0,
            entity,
            name: name.into(),
            metric: metric.into(),
            value,
        }
    }

    /// A second of a point whose host sends 10 Mbit/s, between sites 30 ms apart one way and 10 ms the other.
    fn steady() -> Opened {
        let mut opened = opened(&["cubic"]);
        let point = &mut opened.folder.result.points[0];
        (point.began_s, point.schedule_began_s, point.ended_s) = (1.0, Some(2.0), 3.0);
        let times = (0..=30).map(|tenth| f64::from(tenth) / 10.0);
        let observed = times.flat_map(|at| {
            [
                row(Entity::Host, "a-0", metric::BYTES, at, 1.25e6 * at),
                row(Entity::Probe, "a>b", metric::ONE_WAY_DELAY_US, at, 30e3),
                row(Entity::Probe, "b>a", metric::ONE_WAY_DELAY_US, at, 10e3),
                row(Entity::Probe, "a>c", metric::ONE_WAY_DELAY_US, at, 5e3),
                row(Entity::Probe, "c>a", metric::ONE_WAY_DELAY_US, at, 5e3),
                row(Entity::Probe, "c>b", metric::ONE_WAY_DELAY_US, at, 99e3),
            ]
        });
        opened.folder.telemetry = observed.collect();
        opened
    }

    fn read(file: &Path) -> Value {
        serde_json::from_reader(GzDecoder::new(std::fs::File::open(file).unwrap())).unwrap()
    }

    #[test]
    fn series_are_what_hosts_send_and_both_ways_of_the_probes() {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("one.flent.gz");
        assert_eq!(write_flent(&[steady()], &file).unwrap(), [&*file]);
        let told = read(&file);
        assert_eq!(told["x_values"].as_array().unwrap().len(), 5);
        let results = told["results"].as_object().unwrap();
        let names: Vec<&str> = results.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["Ping (ms) ICMP", "Ping (ms) a-c", "TCP upload::a-0"]
        );
        for (name, expected) in [
            (PING, 40.0),
            ("Ping (ms) a-c", 10.0),
            ("TCP upload::a-0", 10.0),
        ] {
            let values = results[name].as_array().unwrap();
            assert_eq!(values.len(), 5);
            for value in values.iter().map(|value| value.as_f64().unwrap()) {
                assert!((value - expected).abs() < 1e-6, "{name}: {value}");
            }
        }
        // The run began at 03:04:05, the workload two seconds later.
        assert_eq!(told["metadata"]["T0"], "2026-01-02T03:04:07.000000Z");
        let first = &told["raw_values"][PING][0];
        assert_eq!(first["t"].as_f64().unwrap(), 1_767_323_047.0);
    }

    #[test]
    fn a_point_that_was_cut_short_is_there_as_far_as_it_was_observed() {
        let mut cut = steady();
        cut.folder.result.points[0].ended_s = 0.0;
        let point = &cut.folder.result.points[0];
        let series = Series::of(point, cut.folder.telemetry.iter());
        assert_eq!(series.steps.len(), 5);
    }

    #[test]
    fn each_point_has_a_file_of_its_own() {
        let out = tempfile::tempdir().unwrap();
        let files = write_flent(
            &[opened(&["cubic", "bbr"])],
            &out.path().join("two.flent.gz"),
        );
        let files = files.unwrap();
        let names = ["two-0.flent.gz", "two-1.flent.gz"].map(|name| out.path().join(name));
        assert_eq!(files, names);
        assert_eq!(read(&files[1])["metadata"]["TITLE"], "quickstart, bbr");
    }

    #[test]
    fn what_flent_could_not_read_is_refused_with_the_way_out() {
        let refused = |opened: Opened, file: &str| {
            let refused = write_flent(&[opened], Path::new(file));
            refused.unwrap_err().to_string()
        };
        assert!(refused(steady(), "a.json").contains("end in .flent.gz"));
        let mut nothing = steady();
        nothing.folder.telemetry.clear();
        assert!(refused(nothing, "a.flent.gz").contains("--export csv"));
        assert!(refused(steady(), "/none/such.flent.gz").contains("cannot write /none/such"));
    }
}
