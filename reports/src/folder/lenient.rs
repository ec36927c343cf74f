//! Reading for reports: what is whole is used, and what is not is told. A gate judges only whole results
//! ([`ResultFolder::open`]); a reader wants to see what there is.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::folder::reader::{fill_in, refuse_newer};
use crate::folder::{
    FolderError, RESULT_FILE, ResultFolder, SAMPLES_FILE, SampleRow, TELEMETRY_FILE, io_error,
    is_file,
};
use crate::format::plural;
use crate::result::{Outcome, Point, RunResult, TelemetryRow, version_1};
use crate::sweep::{SCRIPT_FILE, SWEEP_FILE, Sweep};

/// A result as far as it is whole.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What could be read.
    pub folder: ResultFolder,
    /// What could not, and what that means, in whole sentences without a path.
    pub remarks: Vec<String>,
}

impl From<ResultFolder> for Opened {
    fn from(folder: ResultFolder) -> Self {
        let mut opened = Self {
            folder,
            remarks: Vec::new(),
        };
        opened.remark_on_outcome();
        opened
    }
}

/// Files of a result's folder that nothing may be written over.
const OWN_FILES: [&str; 5] = [
    RESULT_FILE,
    SAMPLES_FILE,
    TELEMETRY_FILE,
    SWEEP_FILE,
    SCRIPT_FILE,
];

impl Opened {
    /// Whether `path` is called as one of the files that a run wrote and that cannot be made again.
    pub fn is_own_file(path: &Path) -> bool {
        let name = path.file_name();
        OWN_FILES.iter().any(|own| name == Some(own.as_ref()))
    }

    /// Reads the folder of a run, or its `result.json`; that of a [sweep](crate::sweep) as one result.
    ///
    /// # Errors
    /// If there is no result at `path`, or it is of a newer schema; if parts of a sweep do not belong together.
    pub fn read(path: &Path) -> Result<Self, FolderError> {
        let metadata = fs::metadata(path).map_err(io_error("open", path))?;
        if metadata.is_dir()
            && let Some(sweep) = Sweep::of(path)?
        {
            return sweep.lenient(path);
        }
        let (file, folder) = places(path, &metadata)?;
        let mut remarks = Vec::new();
        let mut result = read_result(&file, &mut remarks)?;
        let (mut samples, mut telemetry) = (Vec::new(), Vec::new());
        if let Some(folder) = folder {
            let sane = |row: &SampleRow| row.start_s.is_finite() && row.time_us.is_finite();
            samples = read_rows(&folder.join(SAMPLES_FILE), sane, &mut remarks)?;
            let sane = |row: &TelemetryRow| row.time_s.is_finite() && row.value.is_finite();
            telemetry = read_rows(&folder.join(TELEMETRY_FILE), sane, &mut remarks)?;
        } else {
            remarks.push(
                "Only the result file is here: without telemetry.csv there is nothing over time."
                    .to_owned(),
            );
        }
        fill_in(&mut result.points, samples);
        let known: BTreeSet<usize> = result.points.iter().map(|point| point.index).collect();
        let before = telemetry.len();
        telemetry.retain(|row| known.contains(&row.point));
        if telemetry.len() < before {
            let lines = plural(before - telemetry.len(), "line");
            remarks.push(format!(
                "{lines} of telemetry.csv are of points that result.json does not have, and are left out."
            ));
        }
        telemetry.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
        let mut opened = Self {
            folder: ResultFolder { result, telemetry },
            remarks,
        };
        opened.remark_on_outcome();
        Ok(opened)
    }

    fn remark_on_outcome(&mut self) {
        if self.folder.result.outcome == Outcome::Unfinished {
            self.remarks.insert(
                0,
                "The run did not come to its end: what it had until then is shown.".to_owned(),
            );
        }
    }
}

/// The result file, and the folder with the others where it is known.
fn places(path: &Path, metadata: &Metadata) -> Result<(PathBuf, Option<PathBuf>), FolderError> {
    if metadata.is_dir() {
        let file = path.join(RESULT_FILE);
        if !is_file(&file)? {
            return Err(malformed(
                path,
                format!("holds no {RESULT_FILE}: name the folder that `longhaul run` wrote"),
            ));
        }
        return Ok((file, Some(path.to_owned())));
    }
    if !metadata.is_file() {
        return Err(malformed(path, "is neither a folder nor a file".to_owned()));
    }
    let is_named_so = path.file_name().is_some_and(|name| name == RESULT_FILE);
    let folder = path.parent().filter(|_| is_named_so).map(Path::to_owned);
    Ok((path.to_owned(), folder))
}

fn malformed(path: &Path, message: String) -> FolderError {
    FolderError::Malformed {
        path: path.to_owned(),
        message,
    }
}

/// The result, without the points that are not whole.
fn read_result(path: &Path, remarks: &mut Vec<String>) -> Result<RunResult, FolderError> {
    let text = fs::read(path).map_err(io_error("read", path))?;
    let foreign = |why: &str| {
        malformed(
            path,
            format!("is no result of longhaul: {why}; name the folder that `longhaul run` wrote"),
        )
    };
    let cut_off = |error: &serde_json::Error, before: &str| FolderError::CutOff {
        path: path.to_owned(),
        at: format!("in line {}, before {before}", error.line()),
    };
    let (mut value, cut) = match serde_json::from_slice::<Value>(&text) {
        Ok(value) => (value, None),
        Err(error) if error.is_eof() => {
            let value = mend(&text).ok_or_else(|| cut_off(&error, "anything whole is in it"))?;
            (value, Some(error))
        }
        Err(error) => return Err(foreign(&format!("it is no JSON ({error})"))),
    };
    let version = value.get("schema_version").and_then(Value::as_u64);
    let Some(version) = version.filter(|_| value.get("points").is_some()) else {
        return Err(match cut {
            Some(error) => cut_off(&error, "its first point"),
            None => foreign("it has no `schema_version` and `points`"),
        });
    };
    let longhaul = value["longhaul_version"]
        .as_str()
        .unwrap_or("of unknown version");
    refuse_newer(version, longhaul).map_err(|message| malformed(path, message))?;
    if version == 1 {
        version_1::upgrade(&mut value);
    }
    let points = value["points"].take();
    value["points"] = Value::Array(Vec::new());
    let mut result: RunResult =
        serde_json::from_value(value).map_err(|error| foreign(&error.to_string()))?;
    let Value::Array(points) = points else {
        return Err(foreign("its `points` are no list"));
    };
    let all = points.len();
    let mut first_error = None;
    for point in points {
        match serde_json::from_value::<Point>(point) {
            Ok(point) => result.points.push(point),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    let whole = result.points.len();
    if let Some(error) = cut {
        remarks.push(format!(
            "result.json is cut off in line {}: {} whole, what follows is left out.",
            error.line(),
            match whole {
                1 => "1 point is".to_owned(),
                _ => format!("{whole} points are"),
            }
        ));
    } else if let Some(error) = first_error {
        remarks.push(format!(
            "{} of {} in result.json cannot be read ({error}) and are left out.",
            all - whole,
            plural(all, "point")
        ));
    }
    Ok(result)
}

/// What is whole of JSON that is cut off: up to its last complete element, all brackets closed.
fn mend(text: &[u8]) -> Option<Value> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut whole = 0;
    walk(text, |at, byte| match byte {
        b',' => whole = at,
        b'}' | b']' => whole = at + 1,
        _ => {}
    });
    let kept = &text[..whole];
    let mut open = Vec::new();
    walk(kept, |_, byte| match byte {
        b'{' => open.push(b'}'),
        b'[' => open.push(b']'),
        b'}' | b']' => {
            open.pop();
        }
        _ => {}
    });
    let closed: Vec<u8> = kept.iter().copied().chain(open.into_iter().rev()).collect();
    serde_json::from_slice(&closed).ok()
}

/// Shows every byte outside strings.
fn walk(text: &[u8], mut see: impl FnMut(usize, u8)) {
    let (mut in_string, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (true, _) => {}
            (false, byte) => see(at, byte),
        }
    }
}

/// The rows that can be read and are `sane`, with a remark on the others.
fn read_rows<T: DeserializeOwned>(
    path: &Path,
    sane: impl Fn(&T) -> bool,
    remarks: &mut Vec<String>,
) -> Result<Vec<T>, FolderError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            remarks.push(format!(
                "{name} is missing: what it would tell is not shown."
            ));
            return Ok(Vec::new());
        }
        text => text.map_err(io_error("read", path))?,
    };
    // What follows the last line feed was cut off by a kill.
    let whole = text
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    if whole < text.len() {
        remarks.push(format!("The last line of {name} is cut off and left out."));
    }
    let mut reader = csv::Reader::from_reader(&text[..whole]);
    let (mut rows, mut bad, mut first) = (Vec::new(), 0, None);
    let mut refuse = |line: Option<u64>, why: String| {
        bad += 1;
        first.get_or_insert((line, why));
    };
    for row in reader.deserialize::<T>() {
        match row {
            Ok(row) if sane(&row) => rows.push(row),
            Ok(_) => refuse(None, "a value is no number".to_owned()),
            Err(error) => refuse(error.position().map(csv::Position::line), reason(&error)),
        }
    }
    if let Some((line, why)) = first {
        let at = line.map_or_else(String::new, |line| format!(", the first in line {line}"));
        let lines = plural(bad, "line");
        remarks.push(format!("{lines} of {name} cannot be read{at} ({why})."));
    }
    Ok(rows)
}

/// Without the position, which stands beside it, and without the row, which may be anything.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("{len} fields in place of {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "it is no UTF-8".to_owned(),
        _ => "it is no CSV".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};
    use crate::folder::ResultWriter;

    fn written() -> (tempfile::TempDir, RunResult) {
        let (result, telemetry) = example::run(&Shape {
            seconds: 1.0,
            ..Shape::default()
        });
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ResultWriter::create(dir.path()).unwrap();
        writer.result(&result).unwrap();
        for point in &result.points {
            for sample in &point.samples {
                writer.sample(point, sample).unwrap();
            }
        }
        writer.telemetry(&telemetry).unwrap();
        (dir, result)
    }

    #[test]
    fn a_whole_result_opens_as_it_is_by_its_folder_and_by_its_file() {
        let (dir, result) = written();
        for path in [dir.path().to_owned(), dir.path().join(RESULT_FILE)] {
            let opened = Opened::read(&path).unwrap();
            let strict = ResultFolder::open(dir.path()).unwrap();
            assert_eq!(opened.folder.result, result);
            assert_eq!(opened.folder.telemetry, strict.telemetry);
            assert!(opened.remarks.is_empty(), "{:?}", opened.remarks);
        }
    }

    #[test]
    fn a_result_that_is_cut_off_anywhere_opens_or_says_why_not() {
        let (dir, result) = written();
        let file = dir.path().join(RESULT_FILE);
        let text = fs::read(&file).unwrap();
        let mut whole = Vec::new();
        for share in 1..100 {
            fs::write(&file, &text[..text.len() * share / 100]).unwrap();
            match Opened::read(dir.path()) {
                Ok(opened) => {
                    let points = &opened.folder.result.points;
                    assert_eq!(points[..], result.points[..points.len()]);
                    let told = opened
                        .remarks
                        .iter()
                        .any(|remark| remark.contains("cut off"));
                    assert!(told, "{:?}", opened.remarks);
                    whole.push(points.len());
                }
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.contains("cut off"), "{error}");
                }
            }
        }
        assert!(whole.contains(&1), "{whole:?}");
        assert!(whole.is_sorted());
    }

    #[test]
    fn lines_that_cannot_be_read_are_left_out_and_counted() {
        let (dir, _) = written();
        let file = dir.path().join(TELEMETRY_FILE);
        let text = fs::read_to_string(&file).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines[2] = "garbage";
        lines[5] = "0.5,0,channel,a>b/0,bytes,NaN";
        let rest = lines.join("\n");
        fs::write(&file, &rest[..rest.len() - 2]).unwrap();
        fs::remove_file(dir.path().join(SAMPLES_FILE)).unwrap();
        let opened = Opened::read(dir.path()).unwrap();
        assert_eq!(
            opened.remarks,
            [
                "samples.csv is missing: what it would tell is not shown.",
                "The last line of telemetry.csv is cut off and left out.",
                "2 lines of telemetry.csv cannot be read, the first in line 3 (1 fields in place of 6).",
            ]
        );
        assert_eq!(opened.folder.telemetry.len(), lines.len() - 4);
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &Path| Opened::read(path).unwrap_err().to_string();
        assert!(error(dir.path()).contains("holds no result.json: name the folder"));
        let file = dir.path().join("other.json");
        for (text, why) in [
            ("hello", "it is no JSON"),
            ("{\"a\": 1}", "it has no `schema_version` and `points`"),
            ("[1, 2", "is cut off in line 1, before its first point"),
            ("", "is cut off in line 1, before anything whole"),
        ] {
            fs::write(&file, text).unwrap();
            assert!(error(&file).contains(why), "{text}: {}", error(&file));
        }
        assert!(error(&dir.path().join("none")).starts_with("cannot open"));
    }

    #[test]
    fn what_may_not_be_looked_at_is_not_called_missing() {
        let (dir, _) = written();
        for name in [RESULT_FILE, SWEEP_FILE] {
            let file = dir.path().join(name);
            let _ = fs::remove_file(&file);
            // A link to itself: not even root can look there.
            std::os::unix::fs::symlink(name, &file).unwrap();
            let error = Opened::read(dir.path()).unwrap_err().to_string();
            let told = format!("cannot look at {}: ", file.display());
            assert!(error.starts_with(&told), "{error}");
            fs::remove_file(&file).unwrap();
        }
    }
}
