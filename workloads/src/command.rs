//! External programs in the lab's hosts: started without a shell, their output in files, ended as whole process groups.

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

use crate::experiment::spec::CommandSpec;

/// How long a program has after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(1);
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
    #[error("still running after {} s on {}; raise `workload.command.timeout` if they need longer", timeout.as_secs_f64(), hosts.join(", "))]
    Timeout {
        /// The time they had.
        timeout: Duration,
        /// Where.
        hosts: Vec<String>,
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

/// Programs that run. Dropping them kills their process groups.
#[derive(Debug)]
pub struct Programs {
    programs: Vec<Program>,
    timeout: Duration,
}

#[derive(Debug)]
struct Program {
    host: String,
    program: String,
    role: Role,
    child: Child,
    group: Pid,
    log: PathBuf,
    status: Option<ExitStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Foreground,
    /// Ended when the others are done.
    Background,
}

impl Programs {
    /// Starts the programs of `spec` (which has been checked against the lab's topology), those in the background first;
    /// their output goes to `HOST.log` in `logs`.
    ///
    /// # Errors
    /// If a log cannot be made or a program does not start; those that had started are ended.
    pub fn start(lab: &Lab, spec: &CommandSpec, logs: &Path) -> Result<Self, CommandError> {
        fs::create_dir_all(logs).map_err(|source| CommandError::Log {
            path: logs.to_owned(),
            source,
        })?;
        let hosts = hosts(lab, spec);
        let mut started = Self {
            programs: Vec::new(),
            timeout: spec.timeout.duration(),
        };
        for role in [Role::Background, Role::Foreground] {
            for (rank, host) in hosts.iter().enumerate() {
                if role_of(spec, host) == role {
                    started
                        .programs
                        .push(start(lab, spec, &hosts, rank, role, logs)?);
                }
            }
        }
        Ok(started)
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
                    timeout: self.timeout,
                    hosts,
                });
            }
        }
    }

    /// Ends what still runs, politely at first, and says how each program ended. Log paths are relative to `folder`.
    pub async fn stop(mut self, folder: &Path) -> Vec<CommandOutcome> {
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
        self.programs.sort_by(|a, b| a.log.cmp(&b.log));
        self.programs
            .iter()
            .map(|program| program.outcome(folder))
            .collect()
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
        failed.find_map(Program::failure)
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

impl Program {
    /// Signals the whole process group; its number is not reused while a member lives or the child is not waited for.
    fn signal(&self, signal: Signal) {
        // ESRCH: all of it has ended.
        let _ = killpg(self.group, signal);
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
            log: last_lines(&end_of(&self.log).unwrap_or_default()),
        })
    }

    fn outcome(&self, folder: &Path) -> CommandOutcome {
        let code = |status: ExitStatus| {
            status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
        };
        CommandOutcome {
            host: self.host.clone(),
            // One that outlives SIGKILL hangs in the kernel and is as good as killed.
            exit_code: self
                .status
                .and_then(code)
                .unwrap_or(128 + Signal::SIGKILL as i32),
            log: self
                .log
                .strip_prefix(folder)
                .unwrap_or(&self.log)
                .display()
                .to_string(),
        }
    }
}

/// The command that `spec` has for the result: the one of most hosts.
pub fn command_line(spec: &CommandSpec) -> Vec<String> {
    let own = || {
        spec.per_host
            .values()
            .find(|own| own.background.eq(&false))
            .and_then(|own| own.command.clone())
    };
    spec.command.clone().or_else(own).unwrap_or_default()
}

fn hosts(lab: &Lab, spec: &CommandSpec) -> Vec<String> {
    let all = || {
        lab.plan()
            .hosts()
            .map(|host| lab.plan().node(host).name.clone())
            .collect()
    };
    spec.hosts.clone().unwrap_or_else(all)
}

fn role_of(spec: &CommandSpec, host: &str) -> Role {
    if spec.per_host.get(host).is_some_and(|own| own.background) {
        Role::Background
    } else {
        Role::Foreground
    }
}

fn start(
    lab: &Lab,
    spec: &CommandSpec,
    hosts: &[String],
    rank: usize,
    role: Role,
    logs: &Path,
) -> Result<Program, CommandError> {
    let host = &hosts[rank];
    let own = spec.per_host.get(host).and_then(|own| own.command.as_ref());
    let line = own.or(spec.command.as_ref()).map_or(&[][..], Vec::as_slice);
    let program = line.first().cloned().unwrap_or_default();
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
    let log = logs.join(format!("{host}.log"));
    let log_failed = |source| CommandError::Log {
        path: log.clone(),
        source,
    };
    let output = File::create(&log).map_err(log_failed)?;
    let errors = output.try_clone().map_err(log_failed)?;
    let mut command = lab.command(node, &program);
    command
        .args(&line[1..])
        .envs(environment(lab, spec, hosts, rank))
        .envs(&spec.environment)
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
    Ok(Program {
        host: host.clone(),
        program,
        role,
        child,
        group: Pid::from_raw(group),
        log,
        status: None,
    })
}

/// What launchers of distributed programs set (torchrun's names), and where the program is.
fn environment(
    lab: &Lab,
    spec: &CommandSpec,
    hosts: &[String],
    rank: usize,
) -> BTreeMap<&'static str, String> {
    let host = &hosts[rank];
    let node = |name: &str| lab.plan().node_named(name).map(|id| lab.plan().node(id));
    let address = |name: &str| {
        node(name)
            .map(|node| node.ipv4.to_string())
            .unwrap_or_default()
    };
    let site = node(host).map(|node| lab.plan().topology.site(node.site).name.clone());
    BTreeMap::from([
        ("RANK", rank.to_string()),
        ("WORLD_SIZE", hosts.len().to_string()),
        // One program a host.
        ("LOCAL_RANK", "0".to_owned()),
        ("MASTER_ADDR", address(&hosts[0])),
        ("MASTER_PORT", spec.master_port.to_string()),
        ("LONGHAUL_HOST", host.clone()),
        ("LONGHAUL_SITE", site.unwrap_or_default()),
        (
            "LONGHAUL_PEERS",
            hosts
                .iter()
                .map(|peer| address(peer))
                .collect::<Vec<_>>()
                .join(","),
        ),
    ])
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
