//! A run that was made in parts, wherever and whenever each was: a folder with a result's folder for every part, `0`, `1`…, and a file
//! that says what they are parts of. [`ResultFolder::open`] and [`Opened::read`] take it as one result.
//!
//! Parts must be alike in what decides their figures: experiment, seed, longhaul, lab. The machines may differ, as they do on a cluster;
//! then the merged result says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file;
use crate::folder::{
    FolderError, Opened, RESULT_FILE, ResultFolder, ResultWriter, io_error, is_file,
};
use crate::format::{plural, points, sentence};
use crate::html::REPORT_FILE;
use crate::result::{Outcome, Part, RunDetails, RunResult};
use crate::timeaxis::TimeAxis;

/// What a sweep's folder is told by.
pub const SWEEP_FILE: &str = "sweep.json";

/// The most points of one experiment: more is a slip in a sweep, not an intention.
pub const MOST_POINTS: usize = 10_000;

/// The script beside it that runs one part.
pub const SCRIPT_FILE: &str = "sweep.sh";

/// How a run is parted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The experiment's name.
    pub name: String,
    /// The command that made the folder, as typed.
    pub command: String,
    /// How many points the experiment has; at least 1, at most [`MOST_POINTS`].
    pub points: usize,
    /// How many of them a part has; the last may have fewer. At least 1.
    pub points_per_part: usize,
}

/// What a sweep's folder has.
struct Found<T> {
    /// The parts that have a result, with their numbers.
    parts: Vec<(usize, T)>,
    /// Which others have but the beginning of one.
    cut_off: Vec<String>,
}

impl Sweep {
    /// Every part, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let Self {
            points,
            points_per_part: per_part,
            ..
        } = *self;
        (0..points).step_by(per_part.max(1)).map(move |first| Part {
            first,
            last: (first + per_part).min(points) - 1,
            of: points,
        })
    }

    /// Makes `folder`, which must be new or empty, with `script`.
    ///
    /// # Errors
    /// If it is not empty, or cannot be written.
    pub fn create(&self, folder: &Path, script: &str) -> Result<(), FolderError> {
        fs::create_dir_all(folder).map_err(io_error("make the folder", folder))?;
        ResultWriter::check(folder)?;
        let text = serde_json::to_string_pretty(self).expect("text and numbers serialise") + "\n";
        for (name, text) in [(SWEEP_FILE, text.as_str()), (SCRIPT_FILE, script)] {
            let file = folder.join(name);
            file::replace(&file, text.as_bytes()).map_err(io_error("write", &file))?;
        }
        Ok(())
    }

    /// Takes back what [`create`](Self::create) made, as long as there is nothing else in it.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn discard(folder: &Path) -> Result<(), FolderError> {
        for name in [SWEEP_FILE, SCRIPT_FILE] {
            let file = folder.join(name);
            fs::remove_file(&file).map_err(io_error("remove", &file))?;
        }
        fs::remove_dir(folder).map_err(io_error("remove", folder))
    }

    /// Whether `file` is what a sweep has in its folder beside its results: its description, its script, a part's log, or its report.
    ///
    /// # Errors
    /// If the sweep's description cannot be read.
    pub fn wrote(file: &Path) -> Result<bool, FolderError> {
        let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
            return Ok(false);
        };
        let name = name.to_string_lossy();
        let log = name.strip_suffix(".log").and_then(|part| part.parse().ok());
        if log.is_none() && ![SWEEP_FILE, SCRIPT_FILE, REPORT_FILE].contains(&&*name) {
            return Ok(false);
        }
        let sweep = Self::of(folder)?;
        Ok(sweep.is_some_and(|sweep| log.is_none_or(|part: usize| part < sweep.parts().count())))
    }

    /// The sweep in `folder`, if it is one's.
    pub(crate) fn of(folder: &Path) -> Result<Option<Self>, FolderError> {
        let file = folder.join(SWEEP_FILE);
        // A result has no parts, whatever lies beside it.
        if !is_file(&file)? || is_file(&folder.join(RESULT_FILE))? {
            return Ok(None);
        }
        let text = fs::read(&file).map_err(io_error("read", &file))?;
        match serde_json::from_slice::<Self>(&text) {
            Ok(sweep) if sweep.points == 0 || sweep.points_per_part == 0 => {
                Err(malformed(&file, "says that there is nothing to run"))
            }
            Ok(sweep) if sweep.points > MOST_POINTS => {
                let message = format!(
                    "says that there are {} points, and no experiment has more than {MOST_POINTS}: make the sweep again",
                    sweep.points
                );
                Err(malformed(&file, message))
            }
            Ok(sweep) => Ok(Some(sweep)),
            Err(error) => Err(malformed(&file, error.to_string())),
        }
    }

    /// All parts as one result; every point must be there.
    pub(crate) fn whole(&self, folder: &Path) -> Result<ResultFolder, FolderError> {
        let Found { parts, cut_off } = self.read(folder, ResultFolder::open)?;
        let merged = self.merge(folder, &parts, &cut_off)?;
        match self.missing(folder, &merged.result) {
            Some(missing) => {
                let told: Vec<String> = cut_off.into_iter().chain([missing]).collect();
                Err(malformed(folder, told.join("; ")))
            }
            None => Ok(merged),
        }
    }

    /// What there is of all parts as one result.
    pub(crate) fn lenient(&self, folder: &Path) -> Result<Opened, FolderError> {
        let Found { parts, cut_off } = self.read(folder, Opened::read)?;
        let mut remarks = Vec::new();
        let mut folders = Vec::new();
        for (number, opened) in parts {
            let own = opened.remarks.iter();
            remarks.extend(own.map(|remark| format!("Part {number}: {remark}")));
            folders.push((number, opened.folder));
        }
        let merged = self.merge(folder, &folders, &cut_off)?;
        remarks.extend(cut_off.iter().map(|told| sentence(told)));
        remarks.extend(
            self.missing(folder, &merged.result)
                .as_deref()
                .map(sentence),
        );
        remarks.extend(machines(&folders).as_deref().map(sentence));
        Ok(Opened {
            folder: merged,
            remarks,
        })
    }

    /// Every part that has a result. One that is cut off so early that nothing of it is of use is as good as none.
    fn read<T>(
        &self,
        folder: &Path,
        read: impl Fn(&Path) -> Result<T, FolderError>,
    ) -> Result<Found<T>, FolderError> {
        let (mut parts, mut cut_off) = (Vec::new(), Vec::new());
        for number in 0..self.parts().count() {
            let place = part(folder, number);
            if !is_file(&place.join(RESULT_FILE))? {
                continue;
            }
            match read(&place) {
                Ok(one) => parts.push((number, one)),
                Err(FolderError::CutOff { at, .. }) => cut_off.push(format!(
                    "part {number} counts as missing: its {RESULT_FILE} is cut off {at}"
                )),
                Err(error) => return Err(error),
            }
        }
        Ok(Found { parts, cut_off })
    }

    fn merge(
        &self,
        folder: &Path,
        parts: &[(usize, ResultFolder)],
        cut_off: &[String],
    ) -> Result<ResultFolder, FolderError> {
        let Some((_, first)) = parts.first() else {
            let message = match cut_off {
                [] => "no part of this sweep has a result yet: wait for its jobs".to_owned(),
                _ => format!(
                    "no part of this sweep has a whole result: {}; remove such a part, and `sh {} NUMBER` runs it again",
                    cut_off.join("; "),
                    folder.join(SCRIPT_FILE).display()
                ),
            };
            return Err(malformed(folder, message));
        };
        let expected: Vec<Part> = self.parts().collect();
        let mut axis = TimeAxis::new(first);
        axis.whole.result.part = None;
        axis.whole.result.run_details = self.details(parts);
        for (number, other) in parts {
            let place = part(folder, *number);
            if other.result.part != Some(expected[*number]) {
                let Part { first, last, of } = expected[*number];
                let numbers = points(first..=last);
                return Err(malformed(
                    &place,
                    format!("is not of {numbers} of {of}: it came from elsewhere, so remove it"),
                ));
            }
            if let Some(what) = difference(&first.result, &other.result) {
                let message = format!(
                    "has another {what} than the parts before it, and no result is made of both: remove it and run part {number} again"
                );
                return Err(malformed(&place, message));
            }
            let whole = &mut axis.whole.result;
            if other.result.environment.links != whole.environment.links {
                "mixed".clone_into(&mut whole.environment.links);
            }
            if whole.outcome == Outcome::Finished {
                whole.outcome = other.result.outcome.clone();
            }
            axis.append(other, |point| {
                let inside = |file: &mut String| *file = format!("{number}/{file}");
                for command in &mut point.commands {
                    inside(&mut command.log);
                    command.output.iter_mut().for_each(inside);
                }
                point
                    .captures
                    .iter_mut()
                    .for_each(|capture| inside(&mut capture.file));
            });
        }
        let result = &mut axis.whole.result;
        if result.points.len() < self.points && result.outcome == Outcome::Finished {
            result.outcome = Outcome::Unfinished;
        }
        Ok(axis.whole)
    }

    /// From the first part's beginning to the last one's end. How long that was by the wall clock says nothing: parts may have waited,
    /// or have been run at the same time.
    fn details(&self, parts: &[(usize, ResultFolder)]) -> Option<RunDetails> {
        let all = || {
            parts
                .iter()
                .filter_map(|(_, part)| part.result.run_details.as_ref())
        };
        // Timestamps of RFC 3339 in UTC sort as they are.
        Some(RunDetails {
            command: self.command.clone(),
            started: all().map(|details| &details.started).min()?.clone(),
            finished: all().filter_map(|details| details.finished.clone()).max(),
            wall_seconds: None,
            virtual_lab: None,
        })
    }

    /// Which points are missing from `result`, and how to get them.
    fn missing(&self, folder: &Path, result: &RunResult) -> Option<String> {
        let there: BTreeSet<usize> = result.points.iter().map(|point| point.index).collect();
        let missing: Vec<usize> = (0..self.points).filter(|n| !there.contains(n)).collect();
        let [first, ..] = missing[..] else {
            return None;
        };
        let number = first / self.points_per_part;
        Some(format!(
            "{} of {} {} missing: `sh {} {number}` runs part {number}, once {} is gone",
            points(missing.iter().copied()),
            self.points,
            if missing.len() == 1 { "is" } else { "are" },
            folder.join(SCRIPT_FILE).display(),
            part(folder, number).display()
        ))
    }
}

/// The folder of a part.
pub fn part(folder: &Path, number: usize) -> PathBuf {
    folder.join(number.to_string())
}

/// What two parts differ in that must be alike.
fn difference(one: &RunResult, other: &RunResult) -> Option<&'static str> {
    let lab = |result: &RunResult| {
        let environment = &result.environment;
        let (lab, computing) = (environment.lab, environment.computing);
        (lab, computing, environment.lab_kernel.clone())
    };
    let alike = [
        (
            one.name == other.name && one.experiment == other.experiment,
            "experiment",
        ),
        (one.seed == other.seed, "seed"),
        (
            one.longhaul_version == other.longhaul_version,
            "version of longhaul",
        ),
        (lab(one) == lab(other), "lab"),
    ];
    alike
        .into_iter()
        .find_map(|(is_so, what)| (!is_so).then_some(what))
}

/// What is to be known of the machines, if there was more than one kind.
fn machines(parts: &[(usize, ResultFolder)]) -> Option<String> {
    let mut kinds: Vec<(String, Vec<usize>)> = Vec::new();
    for (_, part) in parts {
        let environment = &part.result.environment;
        let machine = &environment.machine;
        let kind = format!(
            "{}, {}, Linux {}, {} links",
            machine.cpu,
            plural(machine.cpus, "CPU"),
            machine.kernel,
            environment.links
        );
        let numbers = part.result.points.iter().map(|point| point.index);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, known)) => known.extend(numbers),
            None => kinds.push((kind, numbers.collect())),
        }
    }
    if kinds.len() < 2 {
        return None;
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(kind, numbers)| format!("{} on {kind}", points(numbers)))
        .collect();
    Some(format!(
        "not all was run on machines that are alike: {}",
        kinds.join("; ")
    ))
}

fn malformed(path: &Path, message: impl Into<String>) -> FolderError {
    FolderError::Malformed {
        path: path.to_owned(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};

    /// A sweep of four points in parts of `per_part`, all of which are there, after `change`.
    fn swept(
        per_part: usize,
        change: impl Fn(usize, &mut RunResult),
    ) -> (tempfile::TempDir, RunResult) {
        let (whole, telemetry) = example::run(&Shape {
            stacks: &["cubic", "bbr"],
            repeats: 2,
            seconds: 1.0,
            ..Shape::default()
        });
        assert_eq!(whole.points.len(), 4);
        let sweep = Sweep {
            name: whole.name.clone(),
            command: "longhaul sweep quickstart".to_owned(),
            points: 4,
            points_per_part: per_part,
        };
        let folder = tempfile::tempdir().unwrap();
        sweep.create(folder.path(), "#!/bin/sh\n").unwrap();
        for (number, own) in sweep.parts().enumerate() {
            let mut result = whole.clone();
            result.part = Some(own);
            result.points = whole.points[own.first..=own.last].to_vec();
            // Each part has a zero of its own.
            let start = result.points[0].began_s;
            for point in &mut result.points {
                point.shift(-start);
            }
            change(number, &mut result);
            let mut writer = ResultWriter::create(&part(folder.path(), number)).unwrap();
            for point in &result.points {
                let of_point = telemetry.iter().filter(|row| row.point == point.index);
                let moved = of_point.map(|row| {
                    let mut row = row.clone();
                    row.time_s -= start;
                    row
                });
                writer.telemetry(&moved.collect::<Vec<_>>()).unwrap();
            }
            writer.result(&result).unwrap();
        }
        (folder, whole)
    }

    #[test]
    fn what_a_sweep_wrote_beside_its_results_is_told_from_all_else() {
        let (folder, _) = swept(2, |_, _| {});
        let wrote = |name: &str| Sweep::wrote(&folder.path().join(name)).unwrap();
        for own in ["sweep.json", "sweep.sh", "0.log", "1.log", "report.html"] {
            assert!(wrote(own), "{own}");
        }
        for other in [
            "0",
            "2.log",
            "x.log",
            "notes.txt",
            "0/result.json",
            "0/report.html",
        ] {
            assert!(!wrote(other), "{other}");
        }
        fs::write(folder.path().join(SWEEP_FILE), "{}").unwrap();
        assert!(Sweep::wrote(&folder.path().join("0.log")).is_err());
    }

    #[test]
    fn parts_are_all_points_once_and_in_order() {
        for (count, per_part) in [(1, 1), (4, 1), (5, 2), (6, 3), (3, 9)] {
            let sweep = Sweep {
                name: String::new(),
                command: String::new(),
                points: count,
                points_per_part: per_part,
            };
            let numbers: Vec<usize> = sweep.parts().flat_map(|p| p.first..=p.last).collect();
            assert_eq!(
                numbers,
                (0..count).collect::<Vec<_>>(),
                "{count} by {per_part}"
            );
            assert!(
                sweep
                    .parts()
                    .all(|p| p.last - p.first < per_part && p.of == count)
            );
        }
    }

    #[test]
    fn parts_become_the_result_of_one_run() {
        for per_part in [1, 3] {
            let (folder, whole) = swept(per_part, |_, _| ());
            let merged = ResultFolder::open(folder.path()).unwrap();
            let lenient = Opened::read(folder.path()).unwrap();
            assert!(lenient.remarks.is_empty(), "{:?}", lenient.remarks);
            for ResultFolder { result, telemetry } in [merged, lenient.folder] {
                assert_eq!((result.part, &result.outcome), (None, &Outcome::Finished));
                let details = result.run_details.unwrap();
                assert_eq!(details.command, "longhaul sweep quickstart");
                for (number, (point, own)) in result.points.iter().zip(&whole.points).enumerate() {
                    assert_eq!(point.index, number);
                    assert_eq!(
                        (&point.stack, point.repeat, &point.summaries),
                        (&own.stack, own.repeat, &own.summaries)
                    );
                    let sampled = telemetry.iter().filter(|row| row.point == number);
                    assert!(sampled.clone().count() > 0);
                    for row in sampled {
                        assert!(
                            (point.began_s - 0.01..=point.ended_s + 0.01).contains(&row.time_s)
                        );
                    }
                }
                assert_eq!(result.points.len(), 4);
                assert!(result.points.is_sorted_by(|a, b| a.ended_s < b.began_s));
            }
        }
    }

    #[test]
    fn points_that_are_missing_are_named_and_only_a_reader_goes_on() {
        let (folder, _) = swept(1, |_, _| ());
        for number in [1, 2] {
            fs::remove_dir_all(part(folder.path(), number)).unwrap();
        }
        let error = ResultFolder::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("points 1–2 of 4 are missing: `sh "),
            "{error}"
        );
        assert!(error.contains("sweep.sh 1` runs part 1"), "{error}");
        let opened = Opened::read(folder.path()).unwrap();
        assert_eq!(opened.folder.result.points.len(), 2);
        assert_eq!(opened.folder.result.outcome, Outcome::Unfinished);
        assert!(opened.remarks[0].starts_with("Points 1–2 of 4 are missing"));

        for number in [0, 3] {
            fs::remove_dir_all(part(folder.path(), number)).unwrap();
        }
        let error = Opened::read(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("no part of this sweep has a result yet"),
            "{error}"
        );
    }

    #[test]
    fn a_part_that_is_cut_off_counts_as_missing_and_is_named() {
        let (folder, whole) = swept(2, |_, _| ());
        let file = part(folder.path(), 1).join(RESULT_FILE);
        let text = fs::read(&file).unwrap();
        for length in [0, 30, 300] {
            fs::write(&file, &text[..length]).unwrap();
            let told = "art 1 counts as missing: its result.json is cut off in line ";
            let missing = "oints 2–3 of 4 are missing: `sh ";

            let opened = Opened::read(folder.path()).unwrap();
            assert_eq!(opened.folder.result.points.len(), 2, "{length}");
            let [cut_off, gone] = &opened.remarks[..] else {
                panic!("{length}: {:?}", opened.remarks)
            };
            assert!(cut_off.contains(told), "{cut_off}");
            assert!(gone.contains(missing), "{gone}");

            let error = ResultFolder::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains(missing), "{error}");
        }
        // A reader takes the points that are whole.
        fs::write(&file, &text[..text.len() * 3 / 4]).unwrap();
        let points = Opened::read(folder.path()).unwrap().folder.result.points;
        assert_eq!(points.len(), 3);
        assert_eq!(points[2].index, whole.points[2].index);

        for number in [0, 1] {
            fs::write(part(folder.path(), number).join(RESULT_FILE), "{").unwrap();
        }
        let error = Opened::read(folder.path()).unwrap_err().to_string();
        let told = "no part of this sweep has a whole result: part 0 counts as missing";
        assert!(error.contains(told), "{error}");
    }

    #[test]
    fn a_part_that_may_not_be_looked_at_is_not_called_missing() {
        let (folder, _) = swept(2, |_, _| ());
        let place = part(folder.path(), 1);
        fs::remove_dir_all(&place).unwrap();
        // A link to itself: not even root can look there.
        std::os::unix::fs::symlink("1", &place).unwrap();
        for error in [
            ResultFolder::open(folder.path()).unwrap_err(),
            Opened::read(folder.path()).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(
                error.starts_with("cannot look at ") && error.contains("/1/"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_result_is_made_of_parts_that_differ() {
        type Change = fn(&mut RunResult);
        let changes: [(&str, Change); 5] = [
            ("another seed", |result| result.seed += 1),
            ("another experiment", |result| {
                result.experiment["topology"] = "metro".into();
            }),
            ("another version of longhaul", |result| {
                result.longhaul_version.push('0');
            }),
            ("another lab", |result| {
                result.environment.computing = crate::result::Computing::Free;
            }),
            ("is not of points 2–3 of 4", |result| result.part = None),
        ];
        for (told, change) in changes {
            let (folder, _) = swept(2, |number, result| {
                if number == 1 {
                    change(result);
                }
            });
            for error in [
                ResultFolder::open(folder.path()).unwrap_err(),
                Opened::read(folder.path()).unwrap_err(),
            ] {
                let error = error.to_string();
                assert!(error.contains(told), "{error}");
                assert!(error.contains("/1: "), "{error}");
            }
        }
    }

    #[test]
    fn machines_may_differ_and_then_it_is_told() {
        let (folder, _) = swept(1, |number, result| {
            if number == 3 {
                result.environment.machine.cpu = "Another CPU".to_owned();
                result.environment.links = "netem".to_owned();
            }
        });
        let opened = Opened::read(folder.path()).unwrap();
        let [remark] = &opened.remarks[..] else {
            panic!("{:?}", opened.remarks)
        };
        assert!(remark.contains("points 0–2 on "), "{remark}");
        assert!(remark.contains("; point 3 on Another CPU"), "{remark}");
        assert_eq!(opened.folder.result.environment.links, "mixed");
    }

    #[test]
    fn a_sweep_of_more_points_than_an_experiment_has_is_refused() {
        let (folder, _) = swept(2, |_, _| {});
        let file = folder.path().join(SWEEP_FILE);
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("\"points\": 4", "\"points\": 1000000000000");
        fs::write(&file, text).unwrap();
        let error = Opened::read(folder.path()).unwrap_err().to_string();
        let told = "says that there are 1000000000000 points, and no experiment has more than 10000: make the sweep again";
        assert!(error.ends_with(told), "{error}");
    }

    #[test]
    fn a_sweep_goes_over_nothing_and_takes_back_no_more_than_it_made() {
        let (folder, _) = swept(4, |_, _| ());
        let sweep = Sweep::of(folder.path()).unwrap().unwrap();
        assert!(matches!(
            sweep.create(folder.path(), "").unwrap_err(),
            FolderError::Exists(_)
        ));
        assert!(Sweep::discard(folder.path()).is_err());
        assert!(part(folder.path(), 0).join(RESULT_FILE).is_file());

        let new = folder.path().join("new");
        sweep.create(&new, "").unwrap();
        Sweep::discard(&new).unwrap();
        assert!(!new.exists());
    }
}
