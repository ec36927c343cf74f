//! The programs that a build starts: in a process group of their own that ends with the build, what they say in its log.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::KernelError;
use super::source::{Stream, buffer};

/// So many last lines of a log are quoted: an error of a compiler with what stands around it.
const QUOTED_LINES: usize = 15;

/// What the programs of a build say.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// The last lines.
    tail: VecDeque<String>,
}

/// How programs are made to end before their time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// At once: nothing of what they make is kept.
    Kill,
    /// As Ctrl-C would, which a package manager heeds where it can do so without harm.
    Interrupt,
}

/// A process group that is signalled when this is dropped before its first process has ended.
struct Group {
    leader: Option<Pid>,
    ending: Ending,
}

impl Log {
    pub(super) fn create(path: PathBuf) -> Result<Self, KernelError> {
        let file = File::create(&path).map_err(KernelError::cache("write", &path))?;
        Ok(Log {
            path,
            file,
            tail: VecDeque::new(),
        })
    }

    /// The last lines.
    pub(super) fn tail(&self) -> String {
        let lines: Vec<&str> = self.tail.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// Everything so far.
    pub(super) fn text(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Moves it to where it outlives the build; where it is then.
    pub(super) fn keep_as(&self, path: &Path) -> PathBuf {
        match std::fs::rename(&self.path, path) {
            Ok(()) => path.to_owned(),
            Err(_) => self.path.clone(),
        }
    }

    fn add(&mut self, line: &str) {
        // Nobody misses a log on a full disk more than what filled it, and that is said by the program itself.
        let _ = writeln!(self.file, "{line}");
        if self.tail.len() == QUOTED_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            let signal = match self.ending {
                Ending::Kill => Signal::SIGKILL,
                Ending::Interrupt => Signal::SIGINT,
            };
            let _ = killpg(leader, signal);
        }
    }
}

/// Clears away whatever of this process's environment could change what is built, and sets what must not differ between two
/// machines that build the same kernel.
pub(super) fn isolate(command: &mut Command) {
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("LC_ALL", "C")
        .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970")
        .env("KBUILD_BUILD_USER", "longhaul")
        .env("KBUILD_BUILD_HOST", "longhaul")
        .env("KBUILD_BUILD_VERSION", "1");
}

/// Starts a program, which is sent SIGTERM if this process is killed.
pub(super) fn spawn(command: &mut Command) -> Result<Child, KernelError> {
    // SAFETY: one system call between fork and exec.
    unsafe { command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGTERM)?)) };
    let spawned = command.spawn();
    spawned.map_err(|source| KernelError::Start {
        program: name(command.as_std().get_program()),
        source,
    })
}

/// Runs a program without input to its end; `on_line` is told every line it prints.
pub(super) async fn run(
    command: Command,
    ending: Ending,
    log: &mut Log,
    on_line: impl FnMut(&str),
) -> Result<ExitStatus, KernelError> {
    run_fed(command, ending, log, None, on_line, |_| {}).await
}

/// Runs a program with `input` to its end; `on_read` is told how much of it has been read so far.
pub(super) async fn run_fed(
    mut command: Command,
    ending: Ending,
    log: &mut Log,
    input: Option<Stream>,
    mut on_line: impl FnMut(&str),
    mut on_read: impl FnMut(u64),
) -> Result<ExitStatus, KernelError> {
    let program = name(command.as_std().get_program());
    let failed = |source| KernelError::Start {
        program: program.clone(),
        source,
    };
    // One pipe for both of its outputs, so that the log has them in their order.
    let (reader, writer) = io::pipe().map_err(failed)?;
    command
        .stdin(match input {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer)
        .process_group(0);
    let mut child = spawn(&mut command)?;
    // It holds the pipe open.
    drop(command);
    let mut group = Group {
        leader: child
            .id()
            .map(|id| Pid::from_raw(i32::try_from(id).expect("process ids are small"))),
        ending,
    };
    let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(failed)?;
    let listen = async {
        let mut lines = BufReader::new(reader).split(b'\n');
        while let Some(line) = lines.next_segment().await? {
            let line = String::from_utf8_lossy(&line);
            log.add(&line);
            on_line(&line);
        }
        Ok(())
    };
    let stdin = child.stdin.take();
    let feed = async {
        let (Some(mut stream), Some(mut stdin)) = (input, stdin) else {
            return Ok(());
        };
        let (mut buffer, mut read) = (buffer(), 0);
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            // A program that reads no more says why by how it ends.
            if stdin.write_all(&buffer[..count]).await.is_err() {
                return Ok(());
            }
            read += count as u64;
            on_read(read);
        }
    };
    let (listened, fed): (io::Result<()>, io::Result<()>) = tokio::join!(listen, feed);
    let status = child.wait().await.map_err(failed)?;
    group.leader = None;
    listened.and(fed).map_err(failed)?;
    Ok(status)
}

fn name(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn log() -> (tempfile::TempDir, Log) {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::create(folder.path().join("log")).unwrap();
        (folder, log)
    }

    #[tokio::test]
    async fn both_outputs_are_in_the_log_in_their_order() {
        let (_folder, mut log) = log();
        let mut lines = Vec::new();
        let script = "echo one; echo two >&2; echo three; exit 3";
        let status = run(shell(script), Ending::Kill, &mut log, |line| {
            lines.push(line.to_owned());
        });
        assert_eq!(status.await.unwrap().code(), Some(3));
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(log.text(), "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn the_last_lines_are_quoted_and_no_more() {
        let (_folder, mut log) = log();
        run(shell("seq 1 40"), Ending::Kill, &mut log, |_| {})
            .await
            .unwrap();
        let first = 40 - QUOTED_LINES + 1;
        let expected: Vec<String> = (first..=40).map(|line| line.to_string()).collect();
        assert_eq!(log.tail(), expected.join("\n"));
    }

    #[tokio::test]
    async fn a_build_that_is_dropped_takes_all_its_processes_with_it() {
        let (folder, mut log) = log();
        let pids = folder.path().join("pids");
        let script = format!(
            "sh -c 'echo $$ >>{0}; sleep 600' & echo $$ >>{0}; wait",
            pids.display()
        );
        let written = || {
            let text = std::fs::read_to_string(&pids).unwrap_or_default();
            text.lines()
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<i32>>()
        };
        tokio::select! {
            _ = run(shell(&script), Ending::Kill, &mut log, |_| {}) => panic!("it ended by itself"),
            () = until(|| written().len() == 2) => {}
        }
        let lives = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            // Nobody may have reaped it yet.
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        until(|| written().into_iter().all(|pid| !lives(pid))).await;
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let (_folder, mut log) = log();
        let command = Command::new("no-such-program");
        let error = run(command, Ending::Kill, &mut log, |_| {})
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[tokio::test]
    async fn what_could_change_the_build_is_kept_from_it() {
        let (_folder, mut log) = log();
        let mut command = shell("echo flags=$CFLAGS$MAKEFLAGS user=$KBUILD_BUILD_USER");
        command.env("CFLAGS", "-O0").env("MAKEFLAGS", "-k");
        isolate(&mut command);
        run(command, Ending::Kill, &mut log, |_| {}).await.unwrap();
        assert_eq!(log.tail(), "flags= user=longhaul");
    }

    async fn until(mut condition: impl FnMut() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, wait)
            .await
            .expect("in a minute");
    }
}
