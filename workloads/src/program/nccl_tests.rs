//! `nccl-tests`: NVIDIA's own benchmark of NCCL, a rank and a GPU on every host, started by Open MPI; with NCCL's settings for long ways
//! as fields.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_emulator::plan::HOST_INTERFACE;
use longhaul_reports::result::{Placement, Workload};
use longhaul_topologies::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::collective::Collective;
use crate::experiment::spec::Sizes;
use crate::program::processes::{Process, Streams};
use crate::program::{
    Findings, Iteration, Line, Output, Place, Program, ProgramError, Refusal, mpi, path_of, ranks,
    timeout,
};

/// nccl-tests, a rank on every host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NcclTestsSpec {
    /// The collective.
    pub collective: Collective,
    /// Sizes of the array of single-precision numbers: one, or each a whole multiple of the one before by the same factor.
    #[serde(default)]
    pub sizes: Sizes,
    /// Iterations of every size; nccl-tests tells their mean.
    #[serde(default = "default_iterations")]
    #[schemars(range(min = 1))]
    pub iterations: u64,
    /// Iterations before them that do not count.
    #[serde(default = "default_warmup")]
    pub warmup: u64,
    /// The hosts; all if absent. Ranks count in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// The folder of its programs, which have been built with `MPI=1`; that of `all_reduce_perf` in PATH if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// How it reports.
    #[serde(default)]
    pub report: ReportFormat,
    /// NCCL's settings.
    #[serde(default)]
    pub nccl: NcclSpec,
    /// Further environment variables (`NCCL_DEBUG: INFO`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// When it is ended and the run fails.
    #[serde(default = "timeout::ten_minutes")]
    pub timeout: TimeSpan,
}

/// How nccl-tests reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportFormat {
    /// As a table, which every version does.
    #[default]
    Text,
    /// As JSON (`-J`), which has more digits, and single iterations where the version tells them.
    Json,
}

/// Settings of NCCL that matter over long ways; NCCL's own choice where one is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NcclSpec {
    /// NCCL_SOCKET_NTHREADS: threads per connection, 1 to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_threads: Option<u64>,
    /// NCCL_NSOCKS_PERTHREAD: sockets per thread; the two multiplied are 64 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets_per_thread: Option<u64>,
    /// NCCL_BUFFSIZE: what a channel may have under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_size: Option<ByteSize>,
    /// NCCL_P2P_NET_CHUNKSIZE: bytes of a message of send and receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p2p_chunk: Option<ByteSize>,
    /// NCCL_MIN_NCHANNELS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_channels: Option<u64>,
    /// NCCL_MAX_NCHANNELS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_channels: Option<u64>,
    /// NCCL_ALGO: `Ring`, `Tree`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// NCCL_PROTO: `Simple`, `LL`, `LL128`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// nccl-tests' own.
fn default_iterations() -> u64 {
    20
}

/// nccl-tests' own.
fn default_warmup() -> u64 {
    5
}

/// NCCL's limits (facts of its documentation: environment variables).
const MOST_THREADS: u64 = 16;
const MOST_SOCKETS: u64 = 64;
const JSON_FILE: &str = "nccl-tests.json";
const PROGRAM: &str = "nccl-tests";

impl Program for NcclTestsSpec {
    fn kind(&self) -> &'static str {
        PROGRAM
    }

    fn needs(&self) -> Vec<&'static str> {
        // Whoever names a folder knows what is in it.
        let binaries = self.folder.is_none().then_some("nccl-tests");
        ["GPU", "Open MPI"].into_iter().chain(binaries).collect()
    }

    fn lines(&self, _: &[String]) -> Vec<Line> {
        vec![Line {
            program: self.program(),
            path: None,
        }]
    }

    fn check(&self, hosts: &[String]) -> Result<(), Refusal> {
        ranks::hosts(self.hosts.as_deref(), hosts)?;
        self.program_name()?;
        self.range()?;
        if self.iterations == 0 {
            return Err(Refusal::of("iterations", "there is at least one iteration"));
        }
        timeout::check(self.timeout)?;
        self.nccl.check()
    }

    fn processes(&self, place: &Place) -> Result<Vec<Process>, ProgramError> {
        fs::create_dir_all(&place.folder).map_err(ProgramError::file("make", &place.folder))?;
        let hosts = self.hosts_of(place);
        let mut variables = self.nccl.variables();
        // Over the lab's links, and nothing else that the machine may have.
        variables.extend([
            (
                "NCCL_SOCKET_IFNAME".to_owned(),
                format!("={HOST_INTERFACE}"),
            ),
            ("NCCL_NET".to_owned(), "Socket".to_owned()),
            ("NCCL_P2P_DISABLE".to_owned(), "1".to_owned()),
            ("NCCL_SHM_DISABLE".to_owned(), "1".to_owned()),
        ]);
        variables.extend(self.environment.clone());
        let mut words = self.words();
        if self.report == ReportFormat::Json {
            let file = place.folder.join(JSON_FILE);
            words.extend(["-J".to_owned(), file.display().to_string()]);
        }
        Ok(vec![
            mpi::open_mpi(place, &hosts, variables, words)?.streams(Streams::Apart),
        ])
    }

    fn timeout(&self) -> Duration {
        self.timeout.duration()
    }

    fn workload(&self, hosts: &[String]) -> Workload {
        let hosts = self.hosts.as_deref().unwrap_or(hosts);
        let algorithm = self.nccl.algorithm.as_deref().unwrap_or("its own choice");
        ranks::workload(PROGRAM, algorithm, self.collective, hosts)
    }

    fn read(&self, outputs: &[Output], place: &Place) -> Result<Findings, ProgramError> {
        let host = outputs.first().map_or("", |output| &output.host);
        let refuse = |problem| ProgramError::Output {
            program: PROGRAM,
            host: host.to_owned(),
            problem,
        };
        let text = outputs.first().map_or("", |output| &output.text);
        check_ranks(text, self.hosts_of(place).len()).map_err(refuse)?;
        let iterations = match self.report {
            ReportFormat::Text => parse_text(text).map_err(refuse)?,
            ReportFormat::Json => {
                let file = place.folder.join(JSON_FILE);
                let json = fs::read_to_string(&file).map_err(ProgramError::file("read", &file))?;
                parse_json(&json).map_err(refuse)?
            }
        };
        Ok(Findings {
            iterations,
            versions: versions(text),
            ..Findings::default()
        })
    }

    fn scatters(&self) -> bool {
        true
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.program()]
    }
}

impl NcclTestsSpec {
    fn hosts_of(&self, place: &Place) -> Vec<String> {
        place.chosen(self.hosts.as_deref())
    }

    /// The name of the collective's program.
    fn program_name(&self) -> Result<&'static str, Refusal> {
        match self.collective {
            Collective::AllReduce => Ok("all_reduce_perf"),
            Collective::AllGather => Ok("all_gather_perf"),
            Collective::ReduceScatter => Ok("reduce_scatter_perf"),
            Collective::Broadcast => Ok("broadcast_perf"),
            Collective::AllToAll => Ok("alltoall_perf"),
            Collective::SendRecv => Ok("sendrecv_perf"),
            Collective::Pairs => Err(ranks::no_pairs()),
        }
    }

    /// The program of the collective.
    fn program(&self) -> PathBuf {
        let name = self.program_name().unwrap_or_default();
        match &self.folder {
            Some(folder) => folder.join(name),
            None => path_of("nccl-tests").with_file_name(name),
        }
    }

    fn words(&self) -> Vec<String> {
        let (from, to, factor) = self.range().unwrap_or((0, 0, 2));
        let mut words = vec![self.program().display().to_string()];
        let options = [
            ("-b", from),
            ("-e", to),
            ("-f", factor),
            ("-n", self.iterations),
            ("-w", self.warmup),
            ("-g", 1),
            ("-c", 1),
        ];
        for (name, value) in options {
            words.extend([name.to_owned(), value.to_string()]);
        }
        words.extend(["-d", "float", "-o", "sum"].map(str::to_owned));
        words
    }

    /// The least size, the greatest, and the factor between: nccl-tests takes no list.
    fn range(&self) -> Result<(u64, u64, u64), Refusal> {
        let sizes = self
            .sizes
            .bytes()
            .map_err(|message| Refusal::of("sizes", message))?;
        let refuse = || {
            Refusal::of(
                "sizes",
                "nccl-tests takes sizes that grow by one whole factor: write `{from: 1MiB, to: 64MiB, factor: 4}`",
            )
        };
        let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
        let factor = match sizes.get(1) {
            None => 2,
            Some(second) if *second > first && second % first == 0 => second / first,
            Some(_) => return Err(refuse()),
        };
        match sizes
            .windows(2)
            .all(|pair| pair[0].checked_mul(factor) == Some(pair[1]))
        {
            true => Ok((first, last, factor)),
            false => Err(refuse()),
        }
    }
}

impl NcclSpec {
    fn check(&self) -> Result<(), Refusal> {
        let threads = self.socket_threads.unwrap_or(1);
        let sockets = self.sockets_per_thread.unwrap_or(1);
        if !(1..=MOST_THREADS).contains(&threads) {
            let message = format!("there are 1 to {MOST_THREADS} threads");
            return Err(Refusal::of("nccl.socket_threads", message));
        }
        if sockets == 0 || threads.saturating_mul(sockets) > MOST_SOCKETS {
            let message = format!("threads × sockets are 1 to {MOST_SOCKETS}");
            return Err(Refusal::of("nccl.sockets_per_thread", message));
        }
        Ok(())
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let size = |value: Option<ByteSize>| number(value.map(ByteSize::bytes));
        let all = [
            ("NCCL_SOCKET_NTHREADS", number(self.socket_threads)),
            ("NCCL_NSOCKS_PERTHREAD", number(self.sockets_per_thread)),
            ("NCCL_BUFFSIZE", size(self.buffer_size)),
            ("NCCL_P2P_NET_CHUNKSIZE", size(self.p2p_chunk)),
            ("NCCL_MIN_NCHANNELS", number(self.min_channels)),
            ("NCCL_MAX_NCHANNELS", number(self.max_channels)),
            ("NCCL_ALGO", self.algorithm.clone()),
            ("NCCL_PROTO", self.protocol.clone()),
        ];
        let given = all
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        given.collect()
    }
}

/// Checks that `text` is of one run of so many ranks: programs that were built without MPI each run alone.
fn check_ranks(text: &str, ranks: usize) -> Result<(), String> {
    let is_rank = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words[..], ["#", "Rank", ..])
    };
    match text.lines().filter(is_rank).count() {
        count if count == ranks => {}
        count => return Err(format!("it names {count} ranks, not {ranks}")),
    }
    match text
        .lines()
        .filter(|line| line.starts_with("# Using devices"))
        .count()
    {
        1 => Ok(()),
        _ => Err("every rank ran alone: build nccl-tests with `make MPI=1`".to_owned()),
    }
}

/// `# nccl-tests version 2.19.6 nccl-headers=23000 nccl-library=23000`.
fn versions(text: &str) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("# nccl-tests version "));
    let mut words = line.unwrap_or_default().split_whitespace();
    if let Some(version) = words.next() {
        versions.insert(PROGRAM.to_owned(), version.to_owned());
    }
    let code: Option<u64> = words.find_map(|word| word.strip_prefix("nccl-library=")?.parse().ok());
    // NCCL_VERSION_CODE: major × 10000 + minor × 100 + patch, since 2.9.
    if let Some(code) = code {
        let version = format!("{}.{}.{}", code / 10_000, code / 100 % 100, code % 100);
        versions.insert("NCCL".to_owned(), version);
    }
    versions
}

/// Reads the table: a row has size, count, type, redop, root, and time, algbw, busbw, #wrong for each placement.
fn parse_text(text: &str) -> Result<Vec<Iteration>, String> {
    let is_header = |line: &&str| line.starts_with('#') && line.contains("redop");
    let header = text
        .lines()
        .find(is_header)
        .ok_or("there is no line with the columns")?;
    let columns: Vec<&str> = header.split_whitespace().skip(1).collect();
    let expected = [
        "size", "count", "type", "redop", "root", "time", "algbw", "busbw", "#wrong", "time",
        "algbw", "busbw", "#wrong",
    ];
    if columns != expected {
        return Err(format!("the columns are others: `{}`", columns.join(" ")));
    }
    let mut iterations = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(size_bytes) = words.first().and_then(|word| word.parse().ok()) else {
            continue;
        };
        let refuse = || format!("`{line}`");
        if words.len() != expected.len() {
            return Err(refuse());
        }
        let count = words[1].parse().map_err(|_| refuse())?;
        for (placement, at) in [(Placement::OutOfPlace, 5), (Placement::InPlace, 9)] {
            let time_us: f64 = words[at].parse().map_err(|_| refuse())?;
            let wrong: f64 = match words[at + 3] {
                // Unchecked.
                "N/A" => 0.0,
                wrong => wrong.parse().map_err(|_| refuse())?,
            };
            iterations.push(mean(size_bytes, count, placement, time_us, wrong));
        }
    }
    match iterations.is_empty() {
        true => Err("there is no row".to_owned()),
        false => Ok(iterations),
    }
}

/// Reads what `-J` writes.
fn parse_json(text: &str) -> Result<Vec<Iteration>, String> {
    let document: Value =
        serde_json::from_str(text).map_err(|error| format!("{JSON_FILE} is no JSON: {error}"))?;
    let results = document["results"]
        .as_array()
        .ok_or("there are no `results`")?;
    let mut iterations = Vec::new();
    for (index, result) in results.iter().enumerate() {
        let refuse = |field: &str| format!("results[{index}] has no number `{field}`");
        let whole = |field: &str| result[field].as_u64().ok_or_else(|| refuse(field));
        let (size_bytes, count) = (whole("size")?, whole("count")?);
        for (placement, key) in [
            (Placement::OutOfPlace, "out_of_place"),
            (Placement::InPlace, "in_place"),
        ] {
            let found = &result[key];
            // Some collectives have one of the two.
            if found.is_null() {
                continue;
            }
            let time_us = found["time"]
                .as_f64()
                .ok_or_else(|| refuse(&format!("{key}.time")))?;
            let wrong = found["nwrong"].as_f64().unwrap_or(0.0);
            let each = result[format!("{key}_per_iter")]["times_us"].as_array();
            match each {
                Some(times) if !times.is_empty() => {
                    for (number, time) in (0..).zip(times) {
                        let time = time
                            .as_f64()
                            .ok_or_else(|| refuse(&format!("{key}_per_iter.times_us")))?;
                        // The check is of the last one.
                        let wrong = if number + 1 == times.len() as u64 {
                            wrong
                        } else {
                            0.0
                        };
                        iterations.push(Iteration {
                            number,
                            ..mean(size_bytes, count, placement, time, wrong)
                        });
                    }
                }
                _ => iterations.push(mean(size_bytes, count, placement, time_us, wrong)),
            }
        }
    }
    match iterations.is_empty() {
        true => Err("`results` is empty".to_owned()),
        false => Ok(iterations),
    }
}

/// What all iterations of a size come to, as one.
fn mean(size_bytes: u64, count: u64, placement: Placement, time_us: f64, wrong: f64) -> Iteration {
    Iteration {
        size_bytes,
        count,
        placement,
        number: 0,
        warmup: false,
        start_ns: None,
        time_us,
        wrong: wrong as u64,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::program::tests::{hosts, place, spec};

    // In the formats of nccl-tests 2.19; written for this test, as the machines it was made on have no GPU.
    const TEXT: &str = include_str!("nccl_tests/all_reduce.txt");
    const JSON: &str = include_str!("nccl_tests/all_reduce.json");

    #[test]
    fn the_table_is_read() {
        check_ranks(TEXT, 2).unwrap();
        insta::assert_debug_snapshot!("text", (versions(TEXT), parse_text(TEXT).unwrap()));
    }

    #[test]
    fn json_is_read_with_single_iterations_where_there_are_some() {
        insta::assert_debug_snapshot!("json", parse_json(JSON).unwrap());
    }

    #[test]
    fn what_is_cut_off_or_of_another_version_is_refused() {
        assert_eq!(check_ranks(TEXT, 4).unwrap_err(), "it names 2 ranks, not 4");
        let alone = TEXT.repeat(2).replacen("#  Rank", "#  rank", 2);
        assert!(check_ranks(&alone, 2).unwrap_err().contains("make MPI=1"));
        let older = TEXT.replace("#wrong", "error");
        assert!(
            parse_text(&older)
                .unwrap_err()
                .starts_with("the columns are others")
        );
        let row = TEXT
            .lines()
            .find(|line| line.trim_start().starts_with("1048576"))
            .unwrap();
        let cut = TEXT.replace(row, &row[..60]);
        assert!(parse_text(&cut).unwrap_err().contains("1048576"));
        assert!(parse_json(&JSON[..200]).unwrap_err().contains("no JSON"));
    }

    #[test]
    fn sockets_are_bound_to_the_labs_interface_and_settings_are_nccls_own() {
        let nccl: NcclTestsSpec = spec(json!({
            "collective": "all_reduce", "folder": "/opt/nccl-tests",
            "sizes": {"from": "1MiB", "to": "64MiB", "factor": 4},
            "nccl": {"socket_threads": 4, "sockets_per_thread": 8, "buffer_size": "16MiB"},
        }));
        assert_eq!(nccl.check(&hosts()), Ok(()));
        assert_eq!(
            nccl.words().join(" "),
            "/opt/nccl-tests/all_reduce_perf -b 1048576 -e 67108864 -f 4 -n 20 -w 5 -g 1 -c 1 -d float -o sum"
        );
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            folder: folder.path().to_owned(),
            scratch: folder.path().to_owned(),
            ..place()
        };
        let process = nccl.processes(&place).unwrap().remove(0);
        let variables = process
            .environment
            .iter()
            .filter(|(name, _)| name.starts_with("NCCL_"));
        let variables: Vec<String> = variables
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        insta::assert_snapshot!(variables.join("\n"), @r"
        NCCL_BUFFSIZE=16777216
        NCCL_NET=Socket
        NCCL_NSOCKS_PERTHREAD=8
        NCCL_P2P_DISABLE=1
        NCCL_SHM_DISABLE=1
        NCCL_SOCKET_IFNAME==eth0
        NCCL_SOCKET_NTHREADS=4
        ");
    }

    #[test]
    fn sizes_that_nccl_tests_cannot_step_through_are_refused() {
        let nccl: NcclTestsSpec =
            spec(json!({"collective": "all_reduce", "sizes": ["1MiB", "2MiB", "3MiB"]}));
        assert!(
            nccl.check(&hosts())
                .unwrap_err()
                .message
                .contains("one whole factor")
        );
        let nccl: NcclTestsSpec = spec(
            json!({"collective": "all_reduce", "nccl": {"socket_threads": 16, "sockets_per_thread": 8}}),
        );
        assert_eq!(
            nccl.check(&hosts()).unwrap_err().field,
            ["nccl", "sockets_per_thread"]
        );
    }
}
