//! Programs in the lab's hosts: started without a shell, their output in files, ended as whole process groups.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use longhaul_emulator::lab::Lab;
use longhaul_reports::result::CommandOutcome;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

use crate::program::Output;

/// How long a program has after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(1);
/// How long a server may take until it listens, on a machine that does much else.
const READY: Duration = Duration::from_secs(30);
/// Time between two looks whether it does.
const LOOK: Duration = Duration::from_millis(5);
/// Lines of a log that a message quotes.
const QUOTED_LINES: usize = 5;
/// Bytes at the end of a log that are searched for them.
const QUOTED_BYTES: u64 = 2000;

/// Why programs did not do what they should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A program did not start.
    #[error("cannot start `{program}` on {host}: {source}")]
    Start {
        /// The program.
        program: String,
        /// Where.
        host: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{program}` on {host} {how}{}", quoted(log))]
    Failed {
        /// The program.
        program: String,
        /// Where.
        host: String,
        /// `exited with code 1`, `was ended by signal 9`.
        how: String,
        /// The last lines of its output.
        log: Vec<String>,
    },
    /// Programs were still running when their time was up.
    #[error("still running after {} s on {}; raise `workload.{kind}.timeout` if they need longer", timeout.as_secs_f64(), hosts.join(", "))]
    Timeout {
        /// What kind of program.
        kind: &'static str,
        /// The time they had.
        timeout: Duration,
        /// Where.
        hosts: Vec<String>,
    },
    /// A server does not listen.
    #[error("`{program}` on {host} does not listen on port {port} after {} s{}", READY.as_secs(), quoted(log))]
    Deaf {
        /// The program.
        program: String,
        /// Where.
        host: String,
        /// Where it should listen.
        port: u16,
        /// The last lines of its output.
        log: Vec<String>,
    },
    /// Its output could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A log could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Log {
        /// Which file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// A process to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Where.
    pub host: String,
    /// The program and its arguments.
    pub line: Vec<String>,
    /// Variables beside those of longhaul's own environment.
    pub environment: BTreeMap<String, String>,
    /// When it ends.
    pub role: Role,
    /// The port on which it will listen: what comes after it starts once it does.
    pub listens: Option<u16>,
    /// Where its output goes.
    pub streams: Streams,
}

/// When a process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// By itself.
    #[default]
    Foreground,
    /// Ended when the others are done.
    Background,
}

/// Where a process' output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// All of it to `HOST.log`.
    #[default]
    Together,
    /// Standard output to `HOST.out`, to be read for figures; the rest to `HOST.log`.
    Apart,
}

impl Process {
    /// In the foreground, with all its output in one file.
    pub fn new(host: &str, line: Vec<String>) -> Self {
        Self {
            host: host.to_owned(),
            line,
            environment: BTreeMap::new(),
            role: Role::default(),
            listens: None,
            streams: Streams::default(),
        }
    }

    /// With these variables.
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.environment
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// With this role.
    pub fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// A server at `port`.
    pub fn listens(self, port: u16) -> Self {
        Self {
            listens: Some(port),
            ..self
        }
    }

    /// With its output so.
    pub fn streams(self, streams: Streams) -> Self {
        Self { streams, ..self }
    }
}

/// Programs that run. Dropping them kills their process groups.
#[derive(Debug)]
pub struct Programs {
    kind: &'static str,
    programs: Vec<Running>,
    timeout: Duration,
}

#[derive(Debug)]
struct Running {
    host: String,
    program: String,
    role: Role,
    child: Child,
    group: Pid,
    log: PathBuf,
    /// Where standard output goes, if not to the log.
    output: Option<PathBuf>,
    status: Option<ExitStatus>,
}

impl Programs {
    /// Starts `processes` one after the other, waiting for each that listens; their output goes to files in `logs`. `kind` is their
    /// field in the experiment.
    ///
    /// # Errors
    /// If a log cannot be made, a program does not start, or one does not listen; those that had started are ended.
    pub async fn start(
        lab: &Lab,
        processes: &[Process],
        (kind, timeout): (&'static str, Duration),
        logs: &Path,
    ) -> Result<Self, CommandError> {
        fs::create_dir_all(logs).map_err(|source| CommandError::Log {
            path: logs.to_owned(),
            source,
        })?;
        let mut started = Self {
            kind,
            programs: Vec::new(),
            timeout,
        };
        for (index, process) in processes.iter().enumerate() {
            let earlier = processes[..index].iter();
            let number = earlier.filter(|other| other.host == process.host).count();
            let name = match number {
                0 => process.host.clone(),
                _ => format!("{}-{}", process.host, number + 1),
            };
            started
                .programs
                .push(start(lab, process, &logs.join(name))?);
            if let (Some(port), Some(program)) = (process.listens, started.programs.last_mut()) {
                program.wait_until_it_listens(port).await?;
            }
        }
        Ok(started)
    }

    /// What the processes whose output is apart wrote to standard output, in the order of their start.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn outputs(&self) -> Result<Vec<Output>, CommandError> {
        let all = self.programs.iter().enumerate();
        let apart =
            all.filter_map(|(index, program)| Some((index, program, program.output.as_ref()?)));
        apart
            .map(|(process, program, path)| {
                let text = fs::read(path).map_err(|source| CommandError::Read {
                    path: path.clone(),
                    source,
                })?;
                Ok(Output {
                    process,
                    host: program.host.clone(),
                    text: String::from_utf8_lossy(&text).into_owned(),
                })
            })
            .collect()
    }

    /// Waits until all programs in the foreground are done, or one fails, or their time is up.
    ///
    /// # Errors
    /// If a program failed or time was up.
    pub async fn finish(&mut self) -> Result<(), CommandError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Some(failed) = self.poll() {
                return Err(failed);
            }
            if self
                .programs
                .iter()
                .all(|program| program.status.is_some() || program.role == Role::Background)
            {
                return Ok(());
            }
            if timeout_at(deadline, self.next_exit()).await.is_err() {
                let running = self
                    .programs
                    .iter()
                    .filter(|program| program.status.is_none() && program.role == Role::Foreground);
                let hosts = running.map(|program| program.host.clone()).collect();
                return Err(CommandError::Timeout {
                    kind: self.kind,
                    timeout: self.timeout,
                    hosts,
                });
            }
        }
    }

    /// Ends what still runs, politely at first.
    pub async fn stop(&mut self) {
        for program in &self.programs {
            program.signal(Signal::SIGTERM);
        }
        let deadline = Instant::now() + GRACE;
        for program in &mut self.programs {
            if program.status.is_none() {
                program.status = timeout_at(deadline, program.child.wait())
                    .await
                    .ok()
                    .and_then(Result::ok);
            }
            program.signal(Signal::SIGKILL);
            if program.status.is_none() {
                program.status = timeout(GRACE, program.child.wait())
                    .await
                    .ok()
                    .and_then(Result::ok);
            }
        }
    }

    /// How each program ended, once they are [stopped](Self::stop), by the names of their logs, which are relative to `folder`.
    pub fn outcomes(&self, folder: &Path) -> Vec<CommandOutcome> {
        let outcomes = self.programs.iter().map(|program| program.outcome(folder));
        let mut outcomes: Vec<CommandOutcome> = outcomes.collect();
        outcomes.sort_by(|a, b| a.log.cmp(&b.log));
        outcomes
    }

    /// Takes note of programs that ended; answers the first that failed.
    fn poll(&mut self) -> Option<CommandError> {
        for program in &mut self.programs {
            if program.status.is_none() {
                program.status = program.child.try_wait().ok().flatten();
            }
        }
        let mut failed = self
            .programs
            .iter()
            .filter(|program| program.role == Role::Foreground);
        failed.find_map(Running::failure)
    }

    /// Waits until one more program in the foreground has ended.
    async fn next_exit(&mut self) {
        let running = self
            .programs
            .iter_mut()
            .filter(|program| program.status.is_none() && program.role == Role::Foreground);
        let exits: Vec<_> = running
            .map(|program| Box::pin(program.child.wait()))
            .collect();
        if !exits.is_empty() {
            let _ = futures::future::select_all(exits).await;
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for program in &self.programs {
            program.signal(Signal::SIGKILL);
        }
    }
}

impl Running {
    /// Signals the whole process group; its number is not reused while a member lives or the child is not waited for.
    fn signal(&self, signal: Signal) {
        // ESRCH: all of it has ended.
        let _ = killpg(self.group, signal);
    }

    /// Looks for the port among those that listen in its network namespace, until it has ended or is late.
    async fn wait_until_it_listens(&mut self, port: u16) -> Result<(), CommandError> {
        let deadline = Instant::now() + READY;
        while !listens(self.group, port) {
            self.status = self.child.try_wait().ok().flatten();
            if let Some(failed) = self.failure() {
                return Err(failed);
            }
            if self.status.is_some() || Instant::now() >= deadline {
                return Err(CommandError::Deaf {
                    program: self.program.clone(),
                    host: self.host.clone(),
                    port,
                    log: self.last_words(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// The end of its log; where that says nothing, of what it wrote to standard output.
    fn last_words(&self) -> Vec<String> {
        let of = |path: &Path| last_lines(&end_of(path).unwrap_or_default());
        let log = of(&self.log);
        match &self.output {
            Some(output) if log.is_empty() => of(output),
            _ => log,
        }
    }

    fn failure(&self) -> Option<CommandError> {
        let status = self.status.filter(|status| !status.success())?;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => format!("ended with {status}"),
        };
        Some(CommandError::Failed {
            program: self.program.clone(),
            host: self.host.clone(),
            how,
            log: self.last_words(),
        })
    }

    fn outcome(&self, folder: &Path) -> CommandOutcome {
        let code = |status: ExitStatus| {
            status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
        };
        let relative = |path: &Path| {
            let path = path.strip_prefix(folder).unwrap_or(path);
            path.display().to_string()
        };
        CommandOutcome {
            host: self.host.clone(),
            // One that outlives SIGKILL hangs in the kernel and is as good as killed.
            exit_code: self
                .status
                .and_then(code)
                .unwrap_or(128 + Signal::SIGKILL as i32),
            log: relative(&self.log),
            output: self.output.as_deref().map(relative),
        }
    }
}

/// Starts one, with its output in files named `files` and an ending.
fn start(lab: &Lab, process: &Process, files: &Path) -> Result<Running, CommandError> {
    let host = &process.host;
    let (program, arguments) = match &process.line[..] {
        [program, arguments @ ..] => (program.clone(), arguments),
        [] => (String::new(), &[][..]),
    };
    let failed = |source| CommandError::Start {
        program: program.clone(),
        host: host.clone(),
        source,
    };
    let missing = || {
        failed(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no such host",
        ))
    };
    let node = lab.plan().node_named(host).ok_or_else(missing)?;
    let file = |ending: &str| {
        let mut path = files.as_os_str().to_owned();
        path.push(ending);
        let path = PathBuf::from(path);
        match File::create(&path) {
            Ok(file) => Ok((file, path)),
            Err(source) => Err(CommandError::Log { path, source }),
        }
    };
    let (errors, log) = file(".log")?;
    let (output, apart) = match process.streams {
        Streams::Apart => file(".out").map(|(file, path)| (file, Some(path)))?,
        Streams::Together => {
            let output = errors.try_clone();
            let path = log.clone();
            let output = output.map_err(|source| CommandError::Log { path, source })?;
            (output, None)
        }
    };
    let mut command = lab.command(node, &program);
    command
        .args(arguments)
        .envs(&process.environment)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    let child = Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .ok_or_else(missing)?;
    Ok(Running {
        host: host.clone(),
        program,
        role: process.role,
        child,
        group: Pid::from_raw(group),
        log,
        output: apart,
        status: None,
    })
}

/// Whether something listens on `port` in the network namespace of process `pid`.
fn listens(pid: Pid, port: u16) -> bool {
    ["tcp", "tcp6"].iter().any(|family| {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{family}"));
        table.is_ok_and(|table| has_listener(&table, port))
    })
}

/// Whether `table` (proc_pid_net(5)) has a socket in the state LISTEN, which is 0A, at `port`.
fn has_listener(table: &str, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.rsplit(':').next());
        let at = local.and_then(|local| u16::from_str_radix(local, 16).ok());
        at == Some(port) && fields.nth(1) == Some("0A")
    })
}

/// The last [`QUOTED_BYTES`] of a log, which may be of any length.
fn end_of(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(QUOTED_BYTES)))?;
    let mut end = Vec::new();
    file.take(QUOTED_BYTES).read_to_end(&mut end)?;
    Ok(end)
}

/// The last lines of a log's end that say something.
fn last_lines(end: &[u8]) -> Vec<String> {
    let lines: Vec<String> = String::from_utf8_lossy(end)
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].to_vec()
}

fn quoted(log: &[String]) -> String {
    if log.is_empty() {
        ", and had written nothing".to_owned()
    } else {
        format!("; its last words: {}", log.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_quotes_the_last_lines_that_say_something() {
        let log = b"one\ntwo\n\nthree\nfour\nfive\nsix  \n\n";
        assert_eq!(last_lines(log), ["two", "three", "four", "five", "six"]);
        assert!(last_lines(b"\n\n").is_empty());
    }

    #[test]
    fn of_a_long_log_only_the_end_is_read() {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs::write(log.path(), "x".repeat(5000) + "\nthe end\n").unwrap();
        let end = end_of(log.path()).unwrap();
        assert_eq!(end.len() as u64, QUOTED_BYTES);
        assert_eq!(last_lines(&end)[1], "the end");
    }

    #[test]
    fn a_listener_is_found_by_its_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 00000000:1451 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12\n   \
                     1: 0100007F:1452 0100007F:86DA 01 00000000:00000000 00:00000000 00000000     0        0 13\n";
        assert!(has_listener(table, 5201));
        assert!(!has_listener(table, 5202), "connected, not listening");
    }

    #[test]
    fn a_failure_names_host_code_and_last_words() {
        let failed = |log| CommandError::Failed {
            program: "iperf3".into(),
            host: "dublin-0".into(),
            how: "exited with code 1".into(),
            log,
        };
        assert_eq!(
            failed(vec!["unable to connect".to_owned()]).to_string(),
            "`iperf3` on dublin-0 exited with code 1; its last words: unable to connect"
        );
        assert_eq!(
            failed(Vec::new()).to_string(),
            "`iperf3` on dublin-0 exited with code 1, and had written nothing"
        );
    }
}
