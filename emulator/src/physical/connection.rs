//! A machine that was reached: its process there, and what it is asked.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::utsname::uname;
use serde_json::Value;

use super::bootstrap::{self, Presence};
use super::clock::{Comparison, Exchange};
use super::error::{Ending, PhysicalError};
use super::launch::{Launcher, Program};
use super::now_ns;
use super::protocol::{Reply, Request};
use crate::process_group;

/// How long a login may take: what ssh allows itself, twice, for one over another machine.
const LOGIN_PATIENCE: Duration = Duration::from_secs(25);
/// How long longhaul may take to start there once all of it has been sent.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long an answer may take beside what was asked for: several of ssh's own looks whether the other end is alive.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// How long a launcher may take to end once its input has.
const END_PATIENCE: Duration = Duration::from_secs(3);
/// What a shell may print of its own before longhaul speaks.
const MOST_NOISE: usize = 200;
/// How many of a launcher's last words go into an error.
const LAST_WORDS: usize = 5;

/// What this longhaul is, as machines are held against it.
#[derive(Clone, Debug)]
pub(super) struct Ours<'a> {
    pub(super) executable: &'a Path,
    pub(super) digest: &'a str,
}

/// A machine's process, which is to answer one question at a time. Ended when dropped, and with it what it does there.
#[derive(Debug)]
pub(super) struct Connection {
    host: String,
    launcher: String,
    child: Child,
    /// None once it was told to end.
    input: Option<ChildStdin>,
    /// What it said, and when that was heard.
    lines: mpsc::Receiver<(u64, String)>,
    words: Option<JoinHandle<String>>,
    /// Its clock.
    pub(super) clock: Comparison,
}

impl Connection {
    /// Starts longhaul on a machine, after copying it there if need be; and what kind of machine that says it is.
    pub(super) fn open(
        host: &str,
        launcher: &Launcher,
        ours: &Ours<'_>,
    ) -> Result<(Self, Value), PhysicalError> {
        let mut connection = Self::start(host, launcher)?;
        let mut patience = LOGIN_PATIENCE;
        if let Program::Cached { .. } = launcher.program() {
            connection.bring(ours)?;
            patience = START_PATIENCE;
        }
        let machine = connection.identify(launcher, ours, patience)?;
        Ok((connection, machine))
    }

    fn start(host: &str, launcher: &Launcher) -> Result<Self, PhysicalError> {
        let mut command = launcher.first("__host");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| PhysicalError::Launcher {
            host: host.to_owned(),
            launcher: launcher.name(),
            source,
        })?;
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        let errors = BufReader::new(child.stderr.take().expect("it was piped"));
        let system = |source| PhysicalError::System {
            step: format!("start a thread for {host}"),
            source,
        };
        let reader = thread::Builder::new().name("host".into());
        reader
            .spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    if sender.send((now_ns(), line)).is_err() {
                        break;
                    }
                }
            })
            .map_err(system)?;
        let words = thread::Builder::new().name("host's words".into());
        let words = words.spawn(move || last_words(errors)).map_err(system)?;
        Ok(Self {
            host: host.to_owned(),
            launcher: launcher.name(),
            input: child.stdin.take(),
            child,
            lines,
            words: Some(words),
            clock: Comparison::default(),
        })
    }

    /// Has the script there start longhaul, with a copy of this one if there is none.
    fn bring(&mut self, ours: &Ours<'_>) -> Result<(), PhysicalError> {
        let step = "log in";
        let greeting = self.first_of(step, LOGIN_PATIENCE, bootstrap::greeting)?;
        if let Ok(here) = uname()
            && here.machine() != greeting.architecture.as_str()
        {
            return Err(PhysicalError::Architecture {
                host: self.host.clone(),
                theirs: greeting.architecture,
                ours: here.machine().to_string_lossy().into_owned(),
            });
        }
        match greeting.presence {
            Presence::There => self.write(bootstrap::START.as_bytes(), "start longhaul"),
            Presence::Missing => {
                let mut program = Vec::new();
                File::open(ours.executable)
                    .and_then(|mut file| file.read_to_end(&mut program))
                    .map_err(|source| PhysicalError::System {
                        step: format!("read {}", ours.executable.display()),
                        source,
                    })?;
                let step = "take a copy of longhaul";
                self.write(bootstrap::copy(program.len()).as_bytes(), step)?;
                self.write(&program, step)
            }
        }
    }

    /// Hears what longhaul there is, and holds it against this one.
    fn identify(
        &mut self,
        launcher: &Launcher,
        ours: &Ours<'_>,
        patience: Duration,
    ) -> Result<Value, PhysicalError> {
        let here = |line: &str| match serde_json::from_str(line) {
            Ok(Reply::Here {
                version,
                digest,
                machine,
            }) => Some((version, digest, machine)),
            _ => None,
        };
        let (version, digest, machine) = self.first_of("start longhaul", patience, here)?;
        let own = env!("CARGO_PKG_VERSION");
        // Built for another architecture, it has another digest; the version is what must be the same then.
        let named = matches!(launcher.program(), Program::At(_));
        if version == own && (named || digest == ours.digest) {
            return Ok(machine);
        }
        let brief = |version: &str, digest: &str| {
            format!("{version} ({})", digest.get(..8).unwrap_or(digest))
        };
        Err(PhysicalError::Version {
            host: self.host.clone(),
            theirs: brief(&version, &digest),
            ours: brief(own, ours.digest),
        })
    }

    /// Asks, and waits for the answer for at most `extra` longer than for any.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        step: &str,
        extra: Duration,
    ) -> Result<Reply, PhysicalError> {
        self.send(request, step)?;
        self.answer(step, extra)
    }

    /// Asks without waiting for the answer, which is to be taken next.
    pub(super) fn send(&mut self, request: &Request, step: &str) -> Result<(), PhysicalError> {
        let mut line = serde_json::to_vec(request).expect("requests are plain data");
        line.push(b'\n');
        self.write(&line, step)
    }

    /// The answer to what was [sent](Self::send).
    pub(super) fn answer(&mut self, step: &str, extra: Duration) -> Result<Reply, PhysicalError> {
        Ok(self.timed_answer(step, extra)?.0)
    }

    /// The same, and when it was heard.
    fn timed_answer(&mut self, step: &str, extra: Duration) -> Result<(Reply, u64), PhysicalError> {
        let (at, line) = self.line(step, ANSWER_PATIENCE + extra)?;
        match serde_json::from_str(&line) {
            Ok(Reply::Failed { step, message }) => Err(PhysicalError::Refused {
                host: self.host.clone(),
                step,
                message,
            }),
            Ok(reply) => Ok((reply, at)),
            Err(_) => Err(self.foreign(&line)),
        }
    }

    /// Has the two clocks compared once more.
    pub(super) fn compare_clocks(&mut self) -> Result<(), PhysicalError> {
        let step = "tell the time";
        let asked_ns = now_ns();
        self.send(&Request::Clock, step)?;
        match self.timed_answer(step, Duration::ZERO)? {
            (Reply::Clock { now_ns: told_ns }, heard_ns) => {
                self.clock.add(Exchange {
                    asked_ns,
                    told_ns,
                    heard_ns,
                });
                Ok(())
            }
            (other, _) => Err(self.foreign(&format!("{other:?}"))),
        }
    }

    /// The error for an answer that does not belong to its question.
    pub(super) fn foreign(&self, line: &str) -> PhysicalError {
        PhysicalError::Foreign {
            host: self.host.clone(),
            line: line.chars().take(200).collect(),
        }
    }

    fn write(&mut self, bytes: &[u8], step: &str) -> Result<(), PhysicalError> {
        let written = match &mut self.input {
            Some(input) => input.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        // If it has ended, its last words say why.
        written.map_err(|_| self.ended(step))
    }

    /// The first line that `pick` takes; what comes before is a shell's, or a launcher's.
    fn first_of<T>(
        &mut self,
        step: &str,
        patience: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Result<T, PhysicalError> {
        let deadline = Instant::now() + patience;
        let mut last = String::new();
        for _ in 0..MOST_NOISE {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.line(step, left) {
                Ok((_, line)) => line,
                // It had its say, and that was all.
                Err(PhysicalError::Silent { .. }) if !last.is_empty() => break,
                Err(PhysicalError::Ended(ending)) if !last.is_empty() && ending.code == Some(0) => {
                    break;
                }
                Err(error) => return Err(error),
            };
            if let Some(picked) = pick(&line) {
                return Ok(picked);
            }
            last = line;
        }
        Err(self.foreign(&last))
    }

    fn line(&mut self, step: &str, patience: Duration) -> Result<(u64, String), PhysicalError> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(PhysicalError::Silent {
                host: self.host.clone(),
                step: step.to_owned(),
                waited: patience,
            }),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended(step)),
        }
    }

    /// The error for a launcher whose connection is gone.
    fn ended(&mut self, step: &str) -> PhysicalError {
        let status = self.end();
        let words = self.words.take().and_then(|words| words.join().ok());
        PhysicalError::Ended(Box::new(Ending {
            host: self.host.clone(),
            launcher: self.launcher.clone(),
            how: match status.and_then(|status| status.signal()) {
                Some(signal) => format!("was killed by signal {signal}"),
                None => match status.and_then(|status| status.code()) {
                    Some(code) => format!("ended with code {code}"),
                    None => "ended".to_owned(),
                },
            },
            step: step.to_owned(),
            code: status.and_then(|status| status.code()),
            words: words.unwrap_or_default(),
        }))
    }

    /// Lets the launcher end, and kills it if it does not; what it started here (a jump's ssh, say) ends with it.
    fn end(&mut self) -> Option<ExitStatus> {
        self.input = None;
        let deadline = Instant::now() + END_PATIENCE;
        while Instant::now() < deadline {
            match process_group::has_ended(&self.child) {
                Ok(false) => thread::sleep(Duration::from_millis(5)),
                Ok(true) | Err(_) => break,
            }
        }
        process_group::end(&mut self.child).ok()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

fn last_words(errors: impl BufRead) -> String {
    let mut last = VecDeque::new();
    for line in errors.lines().map_while(Result::ok) {
        tracing::debug!("{line}");
        last.push_back(line.trim().to_owned());
        if last.len() > LAST_WORDS {
            last.pop_front();
        }
    }
    Vec::from(last).join("; ")
}
