//! A lab in the background, and the command that waits until it is up.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;

use longhaul_topologies::Topology;
use nix::fcntl::OFlag;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use serde::{Deserialize, Serialize};

use super::client::Connection;
use super::kept::{Kept, RunningLab};
use super::name::LabName;
use super::registry::{Purpose, Registration, Registry};
use super::wire::Namespaces;
use super::{KeeperError, names, server};
use crate::engine::EngineChoice;
use crate::lab::{LabError, LabOptions};
use crate::sandbox::{Privilege, SandboxError};

/// The lines of a log that an error quotes: a panic's message with what it is about.
const QUOTED: usize = 5;
/// A log is searched this far from its end.
const LOOKED_AT: u64 = 16 << 10;

/// A lab that has come up.
#[derive(Debug)]
pub struct Started {
    /// Why `ip netns` cannot see it, if it should and cannot. The lab is none the worse for it.
    pub unnamed: Option<KeeperError>,
}

/// What a lab that does not come up tells the command that waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plea {
    /// What went wrong.
    pub message: String,
    /// The way out, if known.
    pub help: Option<String>,
}

/// Brings `topology` up as the lab `name` in the background; returns once it is up. Root's labs also get names in
/// /run/netns, `lh-NAME-HOST`, unless `$LONGHAUL_RUNTIME_DIR` is set.
///
/// Must be called while the process has a single thread.
///
/// # Errors
/// If the name is taken or the lab does not come up; then nothing of it is left.
pub fn up(name: LabName, topology: Topology, options: &LabOptions) -> Result<Started, KeeperError> {
    let subject = topology.name.clone();
    let bring_up = || RunningLab::up(topology, options);
    up_with(
        name,
        &subject,
        options.engine,
        Privilege::of_this_process(),
        bring_up,
    )
}

/// As [`up`], for anything that `bring_up` makes in the lab process.
///
/// # Errors
/// As [`up`].
pub fn up_with<K: Kept, E: Into<Box<dyn Error>>>(
    name: LabName,
    subject: &str,
    engine: EngineChoice,
    privilege: Privilege,
    bring_up: impl FnOnce() -> Result<K, E>,
) -> Result<Started, KeeperError> {
    let registration = Registration::claim(name, Purpose::Up, subject, engine)?;
    let name = registration.name().clone();
    in_the_background(registration, |registration, teller| {
        keep(registration, privilege, teller, bring_up)
    })?;
    let named = privilege == Privilege::Root && names::are_used();
    let unnamed = if named {
        name_namespaces(&name).err()
    } else {
        None
    };
    Ok(Started { unnamed })
}

/// Leaves `registration` to a process in the background that goes on with `rest`; returns once that has told good news.
pub(super) fn in_the_background(
    registration: Registration,
    rest: impl FnOnce(Registration, OwnedFd) -> Result<(), Plea>,
) -> Result<(), KeeperError> {
    let name = registration.name().clone();
    let path = registration.folder().join("log");
    // It goes with the registration, and what it says is needed after that.
    let log = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| KeeperError::path("make", &path, e))?;
    let (news, teller) = nix::unistd::pipe2(OFlag::O_CLOEXEC)
        .map_err(|e| KeeperError::lab("start", &name, e.into()))?;
    // Each process would print what is in the buffer.
    let _ = io::stdout().flush();
    // SAFETY: the process has one thread, or the sandbox refuses later on.
    match unsafe { fork() }.map_err(|e| KeeperError::lab("start", &name, e.into()))? {
        ForkResult::Parent { child } => {
            drop(teller);
            let _ = waitpid(child, None);
            registration.hand_over();
            await_news(&name, news, log)
        }
        ForkResult::Child => {
            drop(news);
            leave_the_terminal(&log, teller, |teller| rest(registration, teller))
        }
    }
}

/// Waits for what the lab has to say first; if that is bad, also for its end. Of one that ends without a word, `log` may say more.
fn await_news(name: &LabName, news: OwnedFd, log: File) -> Result<(), KeeperError> {
    let mut news = BufReader::new(File::from(news));
    let mut line = String::new();
    news.read_line(&mut line)
        .map_err(|e| KeeperError::lab("hear from", name, e))?;
    let plea = match serde_json::from_str::<Result<(), Plea>>(&line) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(plea)) => plea,
        Err(_) => Plea {
            message: match last_words(log) {
                Some(words) => format!("its processes ended, and said last:\n  {words}"),
                None => "its processes were killed".into(),
            },
            help: None,
        },
    };
    // All processes of the lab hold the other end.
    let _ = news.read_line(&mut line);
    Err(KeeperError::NotUp {
        name: name.clone(),
        message: plea.message,
        help: plea.help,
    })
}

/// The last that a lab printed, if anything.
fn last_words(mut log: File) -> Option<String> {
    let mut bytes = Vec::new();
    let length = log.seek(SeekFrom::End(0)).ok()?;
    log.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT)))
        .and_then(|_| log.read_to_end(&mut bytes))
        .ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let last = match lines.iter().rposition(|line| line.contains("panicked at")) {
        // What may follow is a backtrace.
        Some(at) => &lines[at..lines.len().min(at + QUOTED)],
        None => &lines[lines.len().saturating_sub(QUOTED)..],
    };
    (!last.is_empty()).then(|| last.join("\n  "))
}

/// Says that the lab is up, or why not.
pub(super) fn tell(teller: OwnedFd, news: &Result<(), Plea>) -> io::Result<()> {
    let mut line = serde_json::to_vec(news)?;
    line.push(b'\n');
    File::from(teller).write_all(&line)
}

/// Goes on as a process of a session of its own, without a terminal and with `log` for what it prints, and ends with
/// `rest`. Forks once more, so that the command that waits has no child whose end it would have to wait for.
fn leave_the_terminal(
    log: &File,
    teller: OwnedFd,
    rest: impl FnOnce(OwnedFd) -> Result<(), Plea>,
) -> ! {
    let left = || -> io::Result<()> {
        setsid()?;
        // SAFETY: still one thread.
        if let ForkResult::Parent { .. } = unsafe { fork() }? {
            // SAFETY: ends the process, without the exit handlers that are the other's to run.
            unsafe { libc::_exit(0) }
        }
        std::env::set_current_dir("/")?;
        dup2_stdin(File::open("/dev/null")?)?;
        dup2_stdout(log)?;
        dup2_stderr(log)?;
        Ok(())
    };
    let outcome = match left() {
        Ok(()) => rest(teller),
        Err(error) => {
            let plea = Plea {
                message: format!("cannot leave the terminal: {error}"),
                help: None,
            };
            let _ = tell(teller, &Err(plea.clone()));
            Err(plea)
        }
    };
    std::process::exit(i32::from(outcome.is_err()))
}

/// The lab from its first process to its last.
fn keep<K: Kept, E: Into<Box<dyn Error>>>(
    registration: Registration,
    privilege: Privilege,
    teller: OwnedFd,
    bring_up: impl FnOnce() -> Result<K, E>,
) -> Result<(), Plea> {
    let prepared = enter(registration, privilege);
    let (listener, signals) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let plea = Plea::from(error);
            let _ = tell(teller, &Err(plea.clone()));
            return Err(plea);
        }
    };
    let lab = match bring_up() {
        Ok(lab) => lab,
        Err(error) => {
            let error = error.into();
            let plea = Plea {
                message: error.to_string(),
                help: help(&*error),
            };
            let _ = tell(teller, &Err(plea.clone()));
            return Err(plea);
        }
    };
    // A command that was interrupted meanwhile does not know that it has a lab.
    let outcome =
        tell(teller, &Ok(())).and_then(|()| server::serve(&lab, &listener, &[signals.as_fd()]));
    lab.down();
    outcome.map_err(|error| Plea {
        message: format!("the keeper failed: {error}"),
        help: None,
    })
}

/// The way out of what keeps a lab from coming up, if it has one.
fn help(error: &(dyn Error + 'static)) -> Option<String> {
    error.downcast_ref().and_then(LabError::help)
}

/// Enters the sandbox with all that has to be made before.
fn enter(
    registration: Registration,
    privilege: Privilege,
) -> Result<(UnixListener, SignalFd), KeeperError> {
    let name = registration.name().clone();
    let listener = registration.listen()?;
    registration.enter(privilege)?;
    let signals =
        server::ending_signals().map_err(|e| KeeperError::lab("watch for signals to", &name, e))?;
    Ok((listener, signals))
}

/// Makes the lab visible to `ip netns`.
fn name_namespaces(name: &LabName) -> Result<(), KeeperError> {
    let registry = Registry::open()?;
    let mut keeper = Connection::open(&registry, name)?;
    let nodes: Vec<String> = keeper
        .detail()?
        .nodes
        .into_iter()
        .map(|node| node.name)
        .collect();
    names::add(name, &registry.folder_of(name), &nodes, |node| {
        let Namespaces { network, .. } = keeper.namespaces(node)?;
        Ok(network)
    })
}

impl From<KeeperError> for Plea {
    fn from(error: KeeperError) -> Self {
        let message = error.to_string();
        let help = match error {
            KeeperError::Sandbox(SandboxError::Refused { help, .. }) => Some(help),
            _ => None,
        };
        Plea { message, help }
    }
}
