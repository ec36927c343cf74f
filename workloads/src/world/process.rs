//! A rank as a process: started, talked to over its standard input and output, ended.
//!
//! The process that is held here may be the rank itself or what carries its standard input and output to where it runs, such as
//! ssh. In either case its end closes them, and a rank whose standard input has ended exits.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::clock::now_ns;
use super::protocol::{Reply, Request};
use super::{RankSpec, WorldError};

/// How long a rank may take to exit once its control connection has closed.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// How many of a rank's last words go into an error.
const LAST_WORDS: usize = 5;

/// Something a rank said, or its end.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) rank: usize,
    /// When it was heard, on this process's clock.
    pub(super) at_ns: u64,
    pub(super) news: News,
}

/// See [`Event`].
#[derive(Debug)]
pub(super) enum News {
    Reply(Reply),
    /// Its process has ended; how, in words.
    Ended(String),
}

/// A rank's process. Killed when dropped.
#[derive(Debug)]
pub(super) struct RankHandle {
    /// Its standard input; none once it was told to exit.
    control: Option<ChildStdin>,
    /// Owns the process.
    supervisor: JoinHandle<()>,
}

impl RankHandle {
    /// Starts it; what it says goes to `events`.
    pub(super) fn spawn(
        rank: usize,
        spec: RankSpec,
        events: UnboundedSender<Event>,
    ) -> Result<Self, WorldError> {
        let host = spec.host.clone();
        start(spec, rank, events).map_err(|source| WorldError::System {
            step: format!("start rank {rank} on {host}"),
            source,
        })
    }

    /// Tells it something. If it cannot be told, its end is reported by the supervisor.
    pub(super) async fn send(&mut self, request: &Request) {
        let mut line = serde_json::to_vec(request).expect("requests are plain data");
        line.push(b'\n');
        if let Some(control) = &mut self.control {
            let _ = control.write_all(&line).await;
        }
    }

    /// Lets it exit, kills it if it does not, and waits for its end.
    pub(super) async fn stop(mut self) {
        self.control = None;
        if tokio::time::timeout(EXIT_PATIENCE, &mut self.supervisor)
            .await
            .is_err()
        {
            self.supervisor.abort();
            let _ = (&mut self.supervisor).await;
        }
    }
}

impl Drop for RankHandle {
    fn drop(&mut self) {
        // With the task goes the process: it is killed on drop.
        self.supervisor.abort();
    }
}

fn start(spec: RankSpec, rank: usize, events: UnboundedSender<Event>) -> io::Result<RankHandle> {
    let mut command = Command::from(spec.command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let control = child.stdin.take();
    let reader = child.stdout.take().expect("it was piped");
    Ok(RankHandle {
        control,
        supervisor: tokio::spawn(supervise(rank, child, reader, events)),
    })
}

/// Passes on what the rank says until it has ended.
async fn supervise(
    rank: usize,
    mut child: Child,
    reader: ChildStdout,
    events: UnboundedSender<Event>,
) {
    // Dropped before the child, which is killed on drop, too.
    let mut group = Group(child.id());
    let words = tokio::spawn(last_words(rank, child.stderr.take()));
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let at_ns = now_ns();
        let news = match serde_json::from_str(&line) {
            Ok(reply) => News::Reply(reply),
            Err(error) => News::Ended(format!("is no longhaul rank of this version: {error}")),
        };
        let _ = events.send(Event { rank, at_ns, news });
    }
    let Ok(status) = child.wait().await else {
        return;
    };
    group.0 = None;
    // A grandchild might hold its standard error open.
    let words = tokio::time::timeout(Duration::from_millis(200), words).await;
    let words = words.ok().and_then(Result::ok).unwrap_or_default();
    let _ = events.send(Event {
        rank,
        at_ns: now_ns(),
        news: News::Ended(describe(status, &words)),
    });
}

/// What a launcher has started here, a jump's ssh or srun's helpers, killed with it before its time. A child that leads no group is none.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Nobody else's number: the child has not been waited for.
            let _ = killpg(Pid::from_raw(leader.cast_signed()), Signal::SIGKILL);
        }
    }
}

async fn last_words(rank: usize, stderr: Option<impl AsyncRead + Unpin>) -> String {
    let mut last = VecDeque::new();
    if let Some(stderr) = stderr {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            tracing::debug!(rank, "{line}");
            last.push_back(line);
            if last.len() > LAST_WORDS {
                last.pop_front();
            }
        }
    }
    Vec::from(last).join("\n")
}

fn describe(status: ExitStatus, words: &str) -> String {
    let mut how = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "ended".into(),
    };
    if !words.is_empty() {
        how = format!("{how}: {words}");
    }
    how
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::process::CommandExt;

    use super::super::RankClock;
    use super::*;

    #[tokio::test]
    async fn a_rank_that_is_killed_takes_along_what_its_launcher_started() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("held");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut command = std::process::Command::new("sh");
        // Neither heeds the end of its input, and the one in the background holds the pipe.
        let script = format!("sleep 1000 >{} & wait", fifo.display());
        command.args(["-c", &script]).process_group(0);
        let spec = RankSpec {
            host: "east-0".to_owned(),
            site: 0,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            command,
            clock: RankClock::Ours,
            line_rate: None,
        };
        let (events, _heard) = tokio::sync::mpsc::unbounded_channel();
        let rank = RankHandle::spawn(0, spec, events).unwrap();
        let open = tokio::task::spawn_blocking(move || File::open(fifo).unwrap());
        let mut held = open.await.unwrap();
        rank.stop().await;
        let rest = tokio::task::spawn_blocking(move || held.read_to_end(&mut Vec::new()));
        assert_eq!(rest.await.unwrap().unwrap(), 0);
    }
}
