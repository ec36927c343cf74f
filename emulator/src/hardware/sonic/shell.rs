//! Commands on a switch, by ssh.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use longhaul_topologies::inventory::SshSpec;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::physical::ssh_to;

/// The exit code of ssh itself (ssh(1)); none of SONiC's commands ends with it.
const SSH_FAILED: i32 = 255;
/// How often a command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A shell of a switch.
pub trait Shell {
    /// Has `command` done within that time, with `input` to read: what it printed, or what it and its errors said last if it failed.
    ///
    /// # Errors
    /// If nobody knows how it ended, or whether it began.
    fn run(
        &self,
        command: &str,
        input: &[u8],
        within: Duration,
    ) -> Result<Result<String, String>, Lost>;

    /// What the switch is called.
    fn name(&self) -> String;
}

/// The way to a switch is gone, or never was there.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// ssh could not be started.
    #[error("ssh cannot be started: {0}; it is in the package openssh-client")]
    NoSsh(io::Error),
    /// ssh ended by itself.
    #[error("{0}")]
    Ssh(String),
    /// It took too long.
    #[error("it was not done after {} s", .0.as_secs_f64())]
    Late(Duration),
}

/// A login, anew for each command.
#[derive(Clone, Debug)]
pub struct Ssh {
    login: SshSpec,
}

impl Ssh {
    pub(super) fn new(login: &SshSpec) -> Self {
        Self {
            login: login.clone(),
        }
    }
}

impl Shell for Ssh {
    fn run(
        &self,
        command: &str,
        input: &[u8],
        within: Duration,
    ) -> Result<Result<String, String>, Lost> {
        let mut ssh = ssh_to(&self.login, "no", None);
        ssh.arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What a terminal's user interrupts is longhaul, which ends after what is under way.
            .process_group(0);
        let mut child = ssh.spawn().map_err(Lost::NoSsh)?;
        let mut stdin = child.stdin.take().expect("it was piped");
        let stdout = child.stdout.take().expect("it was piped");
        let stderr = child.stderr.take().expect("it was piped");
        let (code, printed, said) = thread::scope(|scope| {
            // Who does not read it says why.
            scope.spawn(move || stdin.write_all(input));
            let printed = scope.spawn(|| text(stdout));
            let said = scope.spawn(|| text(stderr));
            let code = wait(&mut child, within);
            let printed = printed.join().unwrap_or_default();
            (code, printed, said.join().unwrap_or_default())
        });
        match code? {
            Some(0) => Ok(Ok(printed)),
            Some(SSH_FAILED) | None => Err(Lost::Ssh(match said.trim() {
                "" => "ssh ended without a word".to_owned(),
                said => said.to_owned(),
            })),
            Some(_) => Ok(Err(format!("{printed}\n{said}"))),
        }
    }

    fn name(&self) -> String {
        self.login.destination.clone()
    }
}

/// Waits for the end, and makes one when that time is over.
fn wait(child: &mut Child, within: Duration) -> Result<Option<i32>, Lost> {
    let until = Instant::now() + within;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code()),
            Ok(None) if Instant::now() < until => thread::sleep(LOOK_EVERY),
            Ok(None) | Err(_) => {
                // With what it has started to get there.
                let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
                let _ = child.wait();
                return Err(Lost::Late(within));
            }
        }
    }
}

fn text(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    // What came before it broke off counts.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
