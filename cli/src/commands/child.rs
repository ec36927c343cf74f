//! Another longhaul, run as a process of its own: a lab takes its process over, so a command that needs several runs them in children.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::ExitStatus;

use futures::FutureExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;

use crate::commands::interrupt::{ECHO, interrupted};
use crate::commands::runtime;
use crate::exit::Exit;
use crate::failure::Failure;

/// Runs one child after the other, until this process is interrupted.
pub struct Children {
    runtime: Runtime,
    watch: Watch,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code.
    Code(u8),
    /// This process was interrupted, and passed it on, or began no child any more; or the child says that it was interrupted.
    Interrupted,
    /// By a signal that nobody sent to this process: out of memory, for example.
    Killed(i32),
}

impl Children {
    /// From here on a Ctrl-C and its like end the child that is being run.
    ///
    /// # Errors
    /// If the system has no more threads or no signals for this process.
    pub fn new() -> Result<Self, Failure> {
        let runtime = runtime()?;
        let interrupt = runtime.block_on(async { interrupted() });
        let interrupt = interrupt.map_err(|error| Failure::new(Exit::Lacking, &error))?;
        Ok(Self {
            runtime,
            watch: Watch::on(interrupt),
        })
    }

    /// Runs `command` to its end; what it printed, if its standard output is a pipe.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run(&mut self, command: &mut Command) -> io::Result<(Ended, Vec<u8>)> {
        self.runtime.block_on(self.watch.run(command))
    }
}

/// Waits for a child and for the interrupt.
struct Watch {
    interrupt: Pin<Box<dyn Future<Output = ()>>>,
    interrupted: bool,
}

impl Watch {
    fn on(interrupt: impl Future<Output = ()> + 'static) -> Self {
        Self {
            interrupt: Box::pin(interrupt),
            interrupted: false,
        }
    }

    async fn run(&mut self, command: &mut Command) -> io::Result<(Ended, Vec<u8>)> {
        let mut printed = Vec::new();
        if self.interrupted || (&mut self.interrupt).now_or_never().is_some() {
            self.interrupted = true;
            return Ok((Ended::Interrupted, printed));
        }
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        let read = async {
            match stdout {
                Some(mut stdout) => stdout.read_to_end(&mut printed).await,
                None => Ok(0),
            }
        };
        let (status, read) = tokio::join!(self.end(&mut child), read);
        let ended = self.ended(status?).await;
        read?;
        Ok((ended, printed))
    }

    async fn end(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        tokio::select! {
            status = child.wait() => return status,
            () = &mut self.interrupt => self.interrupted = true,
        }
        // A run takes its lab down and keeps what it has. It may have had the same signal from the terminal, and does not mind.
        if let Some(id) = child.id() {
            let _ = kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM);
        }
        child.wait().await
    }

    async fn ended(&mut self, status: ExitStatus) -> Ended {
        let signal = status.signal();
        if signal.is_some() && !self.interrupted {
            // A terminal's Ctrl-C reaches both, and the child's end may be heard of first.
            let heard = tokio::time::timeout(ECHO, &mut self.interrupt).await;
            self.interrupted = heard.is_ok();
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        match (code, signal) {
            _ if self.interrupted => Ended::Interrupted,
            (Some(code), _) if code == Exit::Interrupted.code() => Ended::Interrupted,
            (_, Some(signal)) => Ended::Killed(signal),
            (code, None) => Ended::Code(code.unwrap_or(u8::MAX)),
        }
    }
}

impl Ended {
    /// As a shell has it.
    pub fn code(self) -> u8 {
        const SIGNALLED: i32 = 128;
        match self {
            Self::Code(code) => code,
            Self::Interrupted => Exit::Interrupted.code(),
            Self::Killed(signal) => u8::try_from(SIGNALLED + signal).unwrap_or(u8::MAX),
        }
    }

    /// What it is to the command that ran the child.
    pub fn exit(self) -> Exit {
        match self {
            Self::Code(code) => Exit::Program(code),
            Self::Interrupted => Exit::Interrupted,
            Self::Killed(_) => Exit::NotHeld,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(signal) => match Signal::try_from(*signal) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {signal}"),
            },
            Self::Code(_) | Self::Interrupted => write!(f, "exit code {}", self.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Duration;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        command
    }

    async fn ended(watch: &mut Watch, script: &str) -> Ended {
        watch.run(&mut shell(script)).await.unwrap().0
    }

    #[tokio::test]
    async fn a_child_ends_by_itself_or_by_a_signal_that_is_named() {
        let mut watch = Watch::on(std::future::pending());
        assert_eq!(ended(&mut watch, "exit 4").await, Ended::Code(4));
        let killed = ended(&mut watch, "kill -KILL $$").await;
        assert_eq!(killed, Ended::Killed(9));
        assert_eq!(killed.to_string(), "killed by SIGKILL");
        assert_eq!(killed.exit(), Exit::NotHeld);
        let (_, printed) = watch.run(&mut shell("echo told")).await.unwrap();
        assert_eq!(printed, b"told\n");
    }

    #[tokio::test]
    async fn an_interrupt_ends_the_child_whatever_it_makes_of_it_and_begins_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        for end in ["exit 0", "exit 7", "trap - TERM; kill -TERM $$"] {
            let _ = std::fs::remove_file(&ready);
            let is_ready = ready.clone();
            let mut watch = Watch::on(async move {
                while !is_ready.exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
            let busy = format!(
                "trap '{end}' TERM; touch {}; while :; do sleep 0.01; done",
                ready.display()
            );
            assert_eq!(ended(&mut watch, &busy).await, Ended::Interrupted, "{end}");
            let (again, printed) = watch.run(&mut shell("echo begun")).await.unwrap();
            assert_eq!((again, printed), (Ended::Interrupted, Vec::new()));
        }
    }
}
