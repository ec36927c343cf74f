//! What a guest prints, how its time passes, and how it ends.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use longhaul_topologies::units::ByteSize;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::GuestError;
use super::boot::{Guest, kill};
use super::job::{End, Shared};
use super::spinning::{self, Computed};
use crate::process_group;

/// What comes this soon after a signal is the same one again: `timeout`, or a Ctrl-C that a parent passes on.
const ECHO: Duration = Duration::from_millis(500);

/// How often is looked at what a guest does.
const GLANCE: Duration = Duration::from_millis(50);
/// How often its memory and its programs are.
const SURVEY: Duration = Duration::from_secs(1);
/// How long a guest may take to end once it was interrupted.
const GRACE: Duration = Duration::from_secs(30);
/// The lines of a console that a message quotes.
const QUOTED: usize = 5;
/// A console is searched this far from its end.
const SEARCHED: u64 = 64 << 10;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the command prints.
    Output,
    /// What it complains.
    Error,
}

/// How much time has passed, inside and outside.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Passed {
    /// In the guest, since its boot.
    pub virtual_time: Duration,
    /// Outside.
    pub wall_time: Duration,
}

impl Passed {
    /// Virtual seconds per wall second.
    pub fn speed(&self) -> f64 {
        self.virtual_time.as_secs_f64() / self.wall_time.as_secs_f64().max(1e-9)
    }
}

/// Whoever follows a guest.
pub trait Witness {
    /// The command printed something.
    fn printed(&mut self, stream: Stream, bytes: &[u8]);
    /// It told of its progress.
    fn progress(&mut self, line: &str);
    /// Time has passed; told a few times a second.
    fn time(&mut self, passed: Passed);
    /// Something worth knowing.
    fn note(&mut self, text: &str);
}

/// A guest that came to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// The command's exit code; 128 + n for signal n.
    pub code: u8,
    /// How long it took.
    pub passed: Passed,
    /// The most memory that it used.
    pub peak_memory: ByteSize,
}

/// The signals that end a guest, blocked as long as this is there. One that nobody waited for does what it does by default after that.
#[derive(Debug)]
pub struct Interrupts {
    signals: SigSet,
    caught: SignalFd,
    /// When the last came that was no echo.
    heard: Option<Instant>,
}

impl Interrupts {
    /// Catches Ctrl-C and its like from now on. To be made, and dropped, while the process has a single thread.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch() -> Result<Self, GuestError> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect();
        let caught = signals.thread_block().and_then(|()| {
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        });
        let caught = caught.map_err(|errno| GuestError::step("watch for signals", errno))?;
        Ok(Interrupts {
            signals,
            caught,
            heard: None,
        })
    }

    /// Waits for one, but not for long. An echo of the last is none.
    fn wait(&mut self, most: Duration) -> io::Result<Option<Signal>> {
        let timeout = PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX);
        match poll(
            &mut [PollFd::new(self.caught.as_fd(), PollFlags::POLLIN)],
            timeout,
        ) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let found = self.caught.read_signal()?;
        let signal = found.and_then(|info| Signal::try_from(info.ssi_signo.cast_signed()).ok());
        if signal.is_none() || self.heard.is_some_and(|at| at.elapsed() < ECHO) {
            return Ok(None);
        }
        self.heard = Some(Instant::now());
        Ok(signal)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if self.heard.is_some_and(|at| at.elapsed() < ECHO) {
            while let Ok(Some(_)) = self.caught.read_signal() {}
        }
        // It blocked them.
        let _ = self.signals.thread_unblock();
    }
}

impl Guest {
    /// Follows the guest to its end. The first signal that is caught meanwhile is passed to its command, so that it can
    /// end in order; a second one kills it. One that computes for `patience` while no time passes
    /// in it is given up.
    ///
    /// # Errors
    /// If it did not come to its end.
    pub fn watch(
        mut self,
        interrupts: &mut Interrupts,
        patience: Duration,
        witness: &mut dyn Witness,
    ) -> Result<Ended, GuestError> {
        let failed = |source| GuestError::step("follow what the lab kernel does", source);
        let mut files = Files::open(&self.shared).map_err(failed)?;
        let mut stall = Stall::default();
        let mut interrupted: Option<Instant> = None;
        let mut surveyed = Instant::now();
        let mut peak = ByteSize::from_bytes(0);
        loop {
            let signal = interrupts.wait(GLANCE).map_err(failed)?;
            let has_ended = process_group::has_ended(&self.kernel).map_err(failed)?;
            // Once more after its end: what it wrote last.
            files.show(witness).map_err(failed)?;
            witness.time(self.passed());
            if has_ended {
                break;
            }
            if let Some(signal) = signal {
                if interrupted.replace(Instant::now()).is_some() {
                    return Err(GuestError::Killed);
                }
                witness.note("interrupted: the lab ends what it does; once more kills it");
                let name = (signal as i32).to_string();
                File::create(self.shared.signals().join(name)).map_err(failed)?;
            }
            if interrupted.is_some_and(|at| at.elapsed() > GRACE) {
                return Err(GuestError::Killed);
            }
            if surveyed.elapsed() >= SURVEY {
                surveyed = Instant::now();
                if self.bond.is_broken() {
                    return Err(self.cut_off());
                }
                let pid = self.kernel.id();
                peak = peak.max(spinning::peak_memory(pid).unwrap_or(peak));
                if let Some(spinning) = stall.look(self.clock.now(), pid) {
                    if spinning.computed >= patience {
                        return Err(GuestError::Stalled {
                            culprit: spinning::describe(spinning.pid),
                            computed: spinning.computed,
                        });
                    }
                    let long = spinning.computed >= patience / 2;
                    if long && !std::mem::replace(&mut stall.told, true) {
                        witness.note(&format!(
                            "no virtual time has passed while {} computed for {} s",
                            spinning::describe(spinning.pid),
                            spinning.computed.as_secs()
                        ));
                    }
                }
            }
        }
        let passed = self.passed();
        match end(&self.shared) {
            Some(End::Code(code)) => Ok(Ended {
                code,
                passed,
                peak_memory: peak,
            }),
            Some(End::Failed(reason)) => Err(GuestError::NotStarted(reason)),
            None => Err(self.autopsy()),
        }
    }

    /// How much time has passed since the boot.
    pub fn passed(&self) -> Passed {
        Passed {
            virtual_time: self.clock.now(),
            wall_time: self.booted.elapsed(),
        }
    }

    /// What is to be said of one whose shared folder is gone.
    pub(super) fn cut_off(&self) -> GuestError {
        GuestError::CutOff {
            folder: self.bond.folder().to_owned(),
        }
    }

    /// Why it ended without a word.
    pub(super) fn autopsy(&mut self) -> GuestError {
        kill(&mut self.kernel);
        if self.bond.is_broken() {
            return self.cut_off();
        }
        let console = tail(&self.shared.console());
        let line = |what: &str| console.lines().find(|line| line.contains(what));
        if let Some(said) = line("Out of memory") {
            return GuestError::OutOfMemory {
                memory: self.memory,
                said: said.trim().to_owned(),
            };
        }
        // SIGBUS: a page of its memory could not be had.
        if line("Kernel mode signal 7").is_some() {
            return GuestError::HostOutOfMemory {
                place: self.memory_place.clone(),
            };
        }
        if let Some(at) = console.find("Kernel panic") {
            return GuestError::Panicked {
                said: quoted(console[at..].lines().take(QUOTED)),
            };
        }
        GuestError::Died {
            said: last_words(&self.shared),
        }
    }
}

/// How its command ended, if it did.
fn end(shared: &Shared) -> Option<End> {
    serde_json::from_slice(&std::fs::read(shared.ended()).ok()?).ok()
}

/// The last lines of the kernel's console.
pub(super) fn last_words(shared: &Shared) -> String {
    let console = tail(&shared.console());
    let lines: Vec<&str> = console
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    match &lines[lines.len().saturating_sub(QUOTED)..] {
        [] => "it said nothing".to_owned(),
        last => quoted(last.iter().copied()),
    }
}

fn quoted<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(str::trim).collect::<Vec<_>>().join("\n  ")
}

/// The end of a file that may be long, or not be there.
fn tail(path: &Path) -> String {
    use std::io::{Seek, SeekFrom};
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SEARCHED)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// The files that the guest writes to, each read as far as it goes.
struct Files {
    output: File,
    error: File,
    progress: File,
    /// A line that has not ended yet.
    line: Vec<u8>,
}

impl Files {
    fn open(shared: &Shared) -> io::Result<Self> {
        Ok(Files {
            output: File::open(shared.stdout())?,
            error: File::open(shared.stderr())?,
            progress: File::open(shared.progress())?,
            line: Vec::new(),
        })
    }

    fn show(&mut self, witness: &mut dyn Witness) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.progress.read_to_end(&mut self.line)?;
        while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let line = std::mem::replace(&mut self.line, rest);
            witness.progress(String::from_utf8_lossy(&line).trim_end());
        }
        for (file, stream) in [
            (&mut self.error, Stream::Error),
            (&mut self.output, Stream::Output),
        ] {
            bytes.clear();
            file.read_to_end(&mut bytes)?;
            if !bytes.is_empty() {
                witness.printed(stream, &bytes);
            }
        }
        Ok(())
    }
}

/// A time in which no virtual time passes.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// Where virtual time stands.
    at: Duration,
    /// What the guest had computed by then.
    before: Computed,
    told: bool,
}

/// A program that computes while no time passes.
pub(super) struct Spinning {
    pub pid: u32,
    /// CPU time of the guest since, which does not depend on what else the machine does.
    pub computed: Duration,
}

impl Stall {
    /// Looks where virtual time is, and if it has not moved, what keeps it: the program that has computed most.
    pub(super) fn look(&mut self, now: Duration, kernel: u32) -> Option<Spinning> {
        let computed = Computed::of(kernel);
        if now != self.at {
            *self = Stall {
                at: now,
                before: computed,
                told: false,
            };
            return None;
        }
        let (pid, computed) = computed.since(&self.before)?;
        Some(Spinning { pid, computed })
    }
}
