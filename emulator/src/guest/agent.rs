//! Sessions as the guest's init serves them: it starts their commands, passes on what they are told, writes what they print
//! and how they end into files, and ends never: such a guest is switched off from outside.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::job::{End, Shared};
use super::session::{SessionFolder, SessionSpec, TICK, TYPING_TICK, Window, Word};

/// How old a guest is before it serves anybody: to programs that read the time since boot, zero seconds may stand for a clock
/// that was not read yet (iputils' ping then sends without a pause).
const OF_AGE: Duration = Duration::from_secs(1);
/// How much a stream may print within a tick: what the host has not taken yet lies in its memory.
const BURST: usize = 4 << 20;
/// A pipe's capacity.
const CHUNK: usize = 64 << 10;

/// What starts sessions.
pub(super) struct Agent {
    shared: Shared,
    /// What every session's command is.
    executable: PathBuf,
    /// What all of them find in their environment.
    environment: Vec<(OsString, OsString)>,
    children: Children,
}

/// The processes whose end somebody waits for.
#[derive(Clone, Default)]
struct Children(Arc<Mutex<BTreeMap<Pid, Sender<u8>>>>);

/// A session whose command runs.
struct Running {
    folder: SessionFolder,
    command: Pid,
    has_ended: Arc<AtomicBool>,
    /// How many words have been dealt with.
    words: u64,
    /// Files of input, in order; none once there is no more.
    input: Option<Sender<PathBuf>>,
    terminal: Option<OwnedFd>,
}

impl Agent {
    pub(super) fn new(
        shared: Shared,
        executable: PathBuf,
        environment: Vec<(OsString, OsString)>,
    ) -> Self {
        Agent {
            shared,
            executable,
            environment,
            children: Children::default(),
        }
    }

    /// Serves sessions for as long as the guest lives.
    pub(super) fn serve(self) -> io::Result<End> {
        let children = self.children.clone();
        thread("sessions", move || self.look_for_work())?;
        loop {
            let (pid, code) = match waitpid(None, None) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => {
                    std::thread::sleep(TICK);
                    continue;
                }
                Err(errno) => return Err(errno.into()),
            };
            children.ended(pid, u8::try_from(code).unwrap_or(u8::MAX));
        }
    }

    fn look_for_work(&self) {
        let mut sessions = BTreeMap::new();
        let mut next = 0;
        std::thread::sleep(OF_AGE);
        loop {
            let types = |session: &Running| session.terminal.is_some();
            std::thread::sleep(if sessions.values().any(types) {
                TYPING_TICK
            } else {
                TICK
            });
            for number in self.new_sessions(next) {
                next = number + 1;
                let folder = SessionFolder(self.shared.sessions().join(number.to_string()));
                match self.start(folder.clone()) {
                    Ok(session) => drop(sessions.insert(number, session)),
                    Err(error) => tell_end(&folder, &End::Failed(error.to_string())),
                }
            }
            sessions.retain(|_, session| !session.has_ended.load(Ordering::Relaxed));
            for session in sessions.values_mut() {
                session.listen();
            }
        }
    }

    /// The numbers of sessions from `next` on, in order.
    fn new_sessions(&self, next: u64) -> Vec<u64> {
        let entries = fs::read_dir(self.shared.sessions()).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let numbers = names.filter_map(|name| name.parse().ok());
        let mut numbers: Vec<u64> = numbers.filter(|&number| number >= next).collect();
        numbers.sort_unstable();
        numbers
    }

    fn start(&self, folder: SessionFolder) -> io::Result<Running> {
        let spec: SessionSpec = serde_json::from_slice(&fs::read(folder.spec())?)?;
        let mut command = Command::new(&self.executable);
        command
            .args(&spec.arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .envs(spec.environment.iter().cloned());
        // One that is not there would look as if the command were not.
        let is_there = spec.folder.is_dir();
        command.current_dir(if is_there {
            &spec.folder
        } else {
            Path::new("/")
        });
        let streams = match spec.terminal {
            Some(window) => Streams::terminal(window, &mut command)?,
            None => Streams::pipes(&mut command)?,
        };
        let (pid, code) = self.children.start(&mut command)?;
        // Its ends of the streams: they would never be at their end while this process has them, too.
        drop(command);

        let done = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let (input, files) = channel();
        let stdin = streams.input;
        thread("input", move || feed(stdin, &files))?;
        let (drained, is_drained) = channel::<()>();
        for (from, to) in streams
            .outputs
            .into_iter()
            .zip([folder.stdout(), folder.stderr()])
        {
            let to = OpenOptions::new().append(true).open(to)?;
            let done = streams.terminal.is_none().then(|| Arc::clone(&done));
            let drained = drained.clone();
            thread("output", move || {
                let _ = pump(&from, to, done.as_deref());
                drop(drained);
                // What the command has left in the background may go on to print.
                let _ = discard(from);
            })?;
        }
        drop(drained);
        let has_ended = Arc::new(AtomicBool::new(false));
        let (ended, place) = (Arc::clone(&has_ended), folder.clone());
        thread("end", move || {
            let code = code.recv().unwrap_or(u8::MAX);
            // An eventfd takes 2^64 - 2 of them.
            let _ = done.write(1);
            // Until nobody is left who could send anything.
            let _ = is_drained.recv();
            ended.store(true, Ordering::Relaxed);
            tell_end(&place, &End::Code(code));
        })?;
        Ok(Running {
            folder,
            command: pid,
            has_ended,
            words: 0,
            input: Some(input),
            terminal: streams.terminal,
        })
    }
}

impl Children {
    /// Starts a command; its process, and where its exit code will come from.
    fn start(&self, command: &mut Command) -> io::Result<(Pid, Receiver<u8>)> {
        let (teller, code) = channel();
        // Held, since it may end before it is known here.
        let mut children = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = Pid::from_raw(command.spawn()?.id().cast_signed());
        children.insert(pid, teller);
        Ok((pid, code))
    }

    /// Takes note of the end of a process; of most nobody wants to know: orphans are init's.
    fn ended(&self, pid: Pid, code: u8) {
        let mut children = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(teller) = children.remove(&pid) {
            let _ = teller.send(code);
        }
    }
}

impl Running {
    /// Does what the session has been told since it was looked at last.
    fn listen(&mut self) {
        let entries = fs::read_dir(self.folder.words()).into_iter().flatten();
        let mut words: Vec<(u64, Word, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let (sequence, word) = Word::of_file_name(entry.file_name().to_str()?)?;
                Some((sequence, word, entry.path()))
            })
            .filter(|&(sequence, ..)| sequence >= self.words)
            .collect();
        words.sort_unstable_by_key(|&(sequence, ..)| sequence);
        for (sequence, word, file) in words {
            self.words = sequence + 1;
            match word {
                Word::Input => {
                    if let Some(input) = &self.input {
                        // Its reader lives as long as there may be more.
                        let _ = input.send(file);
                    }
                    continue;
                }
                Word::End => self.input = None,
                Word::Signal(signal) => self.signal(signal),
                Word::Window(window) => self.resize(window),
            }
            let _ = fs::remove_file(file);
        }
    }

    /// One that has ended needs none.
    fn signal(&self, signal: i32) {
        let _ = match Signal::try_from(signal) {
            // Nobody is left who wants anything of what it started.
            Ok(Signal::SIGKILL) => killpg(self.command, Signal::SIGKILL),
            Ok(signal) => kill(self.command, signal),
            Err(errno) => Err(errno),
        };
    }

    fn resize(&self, window: Window) {
        if let Some(terminal) = &self.terminal {
            let size = size(window);
            // SAFETY: the descriptor is a terminal's, and the size lives as long as the call.
            unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        }
    }
}

/// This side's ends of a command's streams.
struct Streams {
    input: File,
    /// One, or standard output and standard error.
    outputs: Vec<OwnedFd>,
    terminal: Option<OwnedFd>,
}

impl Streams {
    fn pipes(command: &mut Command) -> io::Result<Self> {
        let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC);
        // Each as its ends to read and to write.
        let ((stdin, input), (output, stdout), (error, stderr)) = (pipe()?, pipe()?, pipe()?);
        command
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .process_group(0);
        Ok(Streams {
            input: input.into(),
            outputs: vec![output, error],
            terminal: None,
        })
    }

    fn terminal(window: Window, command: &mut Command) -> io::Result<Self> {
        let pair = openpty(Some(&size(window)), None)?;
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        command
            .stdin(Stdio::from(pair.slave.try_clone()?))
            .stdout(Stdio::from(pair.slave.try_clone()?))
            .stderr(Stdio::from(pair.slave));
        let take_the_terminal = || {
            nix::unistd::setsid()?;
            // SAFETY: takes two numbers.
            Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made.
        unsafe { command.pre_exec(take_the_terminal) };
        Ok(Streams {
            input: pair.master.try_clone()?.into(),
            outputs: vec![pair.master.try_clone()?],
            terminal: Some(pair.master),
        })
    }
}

fn size(window: Window) -> Winsize {
    Winsize {
        ws_row: window.rows,
        ws_col: window.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Gives a command its input, file by file.
fn feed(stdin: File, files: &Receiver<PathBuf>) {
    let mut stdin = Some(stdin);
    while let Ok(file) = files.recv() {
        if let Some(to) = &mut stdin
            && fs::read(&file)
                .and_then(|bytes| to.write_all(&bytes))
                .is_err()
        {
            // Nobody reads it any more, which is no reason for the host to wait.
            stdin = None;
        }
        // So the host knows that there is room for more.
        let _ = fs::remove_file(file);
    }
}

/// Writes what comes from a command until it has ended and all is there, or nobody is left who could print: a terminal is
/// hung up on when its command ends, so that there is no need of `done`.
fn pump(from: &OwnedFd, mut to: File, done: Option<&EventFd>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut burst = Burst::default();
    // Once the command has ended: what it left in the background may go on to print for ever.
    let mut rest = CHUNK;
    loop {
        let both = [Some(from.as_fd()), done.map(AsFd::as_fd)];
        let mut sources: Vec<PollFd<'_>> = both
            .into_iter()
            .flatten()
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut sources, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome?,
        };
        let has_ended = sources
            .get(1)
            .is_some_and(|done| done.any().unwrap_or(true));
        if !sources[0].any().unwrap_or(true) || rest == 0 {
            return Ok(());
        }
        match nix::unistd::read(from, &mut chunk) {
            // EIO: a terminal that nobody has open.
            Ok(0) | Err(Errno::EIO) => return Ok(()),
            Ok(length) => {
                to.write_all(&chunk[..length])?;
                burst.add(length);
                if has_ended {
                    rest = rest.saturating_sub(length);
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Reads to the end, and lets time pass meanwhile.
fn discard(from: OwnedFd) -> io::Result<()> {
    let mut from = File::from(from);
    let mut chunk = vec![0; CHUNK];
    let mut burst = Burst::default();
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            length => burst.add(length),
        }
    }
}

/// How much has come since time passed. Printing takes none of it, so a program that only prints has to be held up.
#[derive(Default)]
struct Burst(usize);

impl Burst {
    fn add(&mut self, length: usize) {
        self.0 += length;
        if self.0 >= BURST {
            self.0 = 0;
            std::thread::sleep(TICK);
        }
    }
}

/// The last that is heard of a session.
fn tell_end(folder: &SessionFolder, end: &End) {
    let text = serde_json::to_vec(end).expect("it is plain");
    if let Err(error) = fs::write(folder.ended(), text) {
        eprintln!("init: cannot tell how a session ended: {error}");
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(work)?;
    Ok(())
}
