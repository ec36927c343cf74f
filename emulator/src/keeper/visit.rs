//! A command run inside a virtual lab, as if it ran here: its input, output, signals, terminal and exit code.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::Winsize;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::KeeperError;
use super::client::Connection;
use super::frames::{Frame, FromClient, FromKeeper};
use super::name::LabName;
use super::registry::Registry;
use crate::guest::{CREDIT, PIECE, Pace, SessionSpec, Stream, Told, Window};

/// How long input may fail to come before time goes on without it.
const SILENCE: Duration = Duration::from_millis(200);

/// What is passed on; a window's size is another matter.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// A command for a virtual lab.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What longhaul is to be called with inside.
    pub arguments: Vec<OsString>,
    /// Variables beside those of the lab.
    pub environment: Vec<(OsString, OsString)>,
    /// What it reads.
    pub input: Input,
    /// How fast time passes meanwhile.
    pub pace: Pace,
    /// Whether it brings the lab up.
    pub founding: bool,
}

/// What a command in a virtual lab reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    Nothing,
    /// This process's standard input; and where that and standard output are a terminal, it has one, too.
    Ours,
}

/// Whoever shows what a command prints.
pub trait Visitor {
    /// It has printed something.
    ///
    /// # Errors
    /// If nobody reads it any more; the command is ended then.
    fn printed(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()>;
}

/// This process's own standard output and error.
#[derive(Debug)]
struct Streams;

impl Visitor for Streams {
    fn printed(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match stream {
            Stream::Output => {
                let mut stdout = io::stdout();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Stream::Error => io::stderr().write_all(bytes),
        }
    }
}

/// Collects standard output.
impl Visitor for Vec<u8> {
    fn printed(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match stream {
            Stream::Output => self.extend_from_slice(bytes),
            Stream::Error => io::stderr().write_all(bytes)?,
        }
        Ok(())
    }
}

/// Runs a command inside a virtual lab and shows what it prints; `visitor` does, if there is one. Returns its exit code, or
/// 128 + n if signal `n` ended it. Signals that this process gets meanwhile are the command's.
///
/// Must be called while the process has a single thread.
///
/// # Errors
/// If there is no such lab, the command does not start, or the lab comes to its end before it does.
pub fn visit(
    lab: &LabName,
    visit: Visit,
    visitor: Option<&mut dyn Visitor>,
) -> Result<u8, KeeperError> {
    let failed = |source| KeeperError::lab("run a command in", lab, source);
    let terminal = match visit.input {
        Input::Ours => Terminal::ours(),
        Input::Nothing => None,
    };
    let session = SessionSpec {
        arguments: visit.arguments,
        environment: visit.environment,
        folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        terminal: terminal.as_ref().map(Terminal::window),
        pace: visit.pace,
        founding: visit.founding,
    };
    let signals = signals().map_err(failed)?;
    let mut keeper = Connection::open(&Registry::open()?, lab)?.visit(session)?;
    let said = Said(Arc::new(Mutex::new(keeper.try_clone().map_err(failed)?)));
    // A keeper that is gone is noticed where it is listened to.
    let _ = said.say(&FromClient::Begin);
    let _raw = terminal
        .as_ref()
        .map(Raw::make)
        .transpose()
        .map_err(failed)?;
    let credit = match visit.input {
        Input::Nothing => {
            let _ = said.tell(Told::End);
            None
        }
        Input::Ours => {
            let (given, credit) = channel();
            let typed = terminal.is_some();
            let said = said.clone();
            let read = move || {
                let pieces = Pieces {
                    said,
                    credit,
                    room: CREDIT,
                };
                let _ = if typed {
                    pieces.typed()
                } else {
                    pieces.piped()
                };
            };
            let thread = std::thread::Builder::new().name("input".into());
            thread.spawn(read).map_err(failed)?;
            Some(given)
        }
    };
    let mut streams = Streams;
    let visitor = visitor.unwrap_or(&mut streams);
    let conversation = Conversation {
        said,
        credit,
        signals,
        terminal: terminal.as_ref(),
    };
    match conversation.follow(&mut keeper, visitor) {
        Ok(Some(outcome)) => outcome.map_err(|reason| KeeperError::Ended { reason }),
        Ok(None) => Err(KeeperError::Ended {
            reason: format!(
                "the keeper of the lab {lab} is gone: `longhaul clean` removes what it left"
            ),
        }),
        // As the shell counts a program that writes to nobody.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(128 + Signal::SIGPIPE as u8),
        Err(error) => Err(failed(error)),
    }
}

/// Catches what is passed on.
fn signals() -> io::Result<SignalFd> {
    let set: SigSet = PASSED_ON.into_iter().chain([Signal::SIGWINCH]).collect();
    set.thread_block()?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// What is said to the keeper, from several threads.
#[derive(Clone)]
struct Said(Arc<Mutex<UnixStream>>);

impl Said {
    fn say(&self, frame: &FromClient) -> io::Result<()> {
        let mut keeper = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frame.write(&mut *keeper)
    }

    fn tell(&self, told: Told) -> io::Result<()> {
        self.say(&FromClient::Tell(told))
    }
}

/// The main thread's part.
struct Conversation<'a> {
    said: Said,
    /// Where the input's thread hears how much room there is.
    credit: Option<Sender<usize>>,
    signals: SignalFd,
    terminal: Option<&'a Terminal>,
}

impl Conversation<'_> {
    /// Listens to the end; `None` if the keeper closes without a word.
    fn follow(
        &self,
        keeper: &mut UnixStream,
        visitor: &mut dyn Visitor,
    ) -> io::Result<Option<Result<u8, String>>> {
        loop {
            let both = [keeper.as_fd(), self.signals.as_fd()];
            let mut sources = both.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut sources, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                outcome => outcome?,
            };
            let [said, signalled] = sources.map(|source| source.any().unwrap_or(true));
            if signalled {
                self.pass_on()?;
            }
            if !said {
                continue;
            }
            match FromKeeper::read(keeper)? {
                Some(FromKeeper::Output(bytes)) => visitor.printed(Stream::Output, &bytes)?,
                Some(FromKeeper::Error(bytes)) => visitor.printed(Stream::Error, &bytes)?,
                Some(FromKeeper::Taken(pieces)) => {
                    if let Some(credit) = &self.credit {
                        // A thread at the end of its input needs none.
                        let _ = credit.send(pieces as usize);
                    }
                }
                Some(FromKeeper::Ended(code)) => return Ok(Some(Ok(code))),
                Some(FromKeeper::Failed(reason)) => return Ok(Some(Err(reason))),
                None => return Ok(None),
            }
        }
    }

    fn pass_on(&self) -> io::Result<()> {
        while let Some(info) = self.signals.read_signal()? {
            let signal = info.ssi_signo.cast_signed();
            let told = match (Signal::try_from(signal), self.terminal) {
                (Ok(Signal::SIGWINCH), Some(terminal)) => Told::Window(terminal.window()),
                (Ok(Signal::SIGWINCH), None) => continue,
                _ => Told::Signal(signal),
            };
            // What keeps it from being said ends the conversation, too.
            let _ = self.said.tell(told);
        }
        Ok(())
    }
}

/// Input, piece by piece.
struct Pieces {
    said: Said,
    credit: Receiver<usize>,
    room: usize,
}

impl Pieces {
    /// What comes through a pipe or from a file: in pieces that do not depend on how it was written, as long as it comes.
    fn piped(mut self) -> io::Result<()> {
        let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut piece = Vec::with_capacity(PIECE);
        let mut is_silent = false;
        loop {
            let patience = PollTimeout::try_from(SILENCE).unwrap_or(PollTimeout::MAX);
            let timeout = if is_silent {
                PollTimeout::NONE
            } else {
                patience
            };
            if poll(
                &mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)],
                timeout,
            )? == 0
            {
                self.send(&mut piece)?;
                self.said.tell(Told::Silence)?;
                is_silent = true;
                continue;
            }
            let before = piece.len();
            piece.resize(PIECE, 0);
            // What cannot be read, such as a folder, is at its end.
            let length = stdin.read(&mut piece[before..]).unwrap_or_default();
            piece.truncate(before + length);
            is_silent = false;
            if length == 0 || piece.len() == PIECE {
                self.send(&mut piece)?;
            }
            if length == 0 {
                return self.said.tell(Told::End);
            }
        }
    }

    /// What is typed: at once, and time does not wait for more.
    fn typed(mut self) -> io::Result<()> {
        let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        loop {
            self.said.tell(Told::Silence)?;
            let mut piece = vec![0; PIECE];
            let length = stdin.read(&mut piece)?;
            if length == 0 {
                return self.said.tell(Told::End);
            }
            piece.truncate(length);
            self.send(&mut piece)?;
        }
    }

    /// Sends a piece, if it is one, once there is room for it.
    fn send(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        while self.room == 0 {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.room += self.credit.recv().map_err(gone)?;
        }
        self.room -= 1;
        self.said.tell(Told::Input(std::mem::take(piece)))
    }
}

/// The terminal that this process reads and writes.
struct Terminal(File);

impl Terminal {
    fn ours() -> Option<Self> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let is_one = stdin.is_terminal() && stdout.is_terminal();
        is_one
            .then(|| stdin.as_fd().try_clone_to_owned().ok())?
            .map(|fd| Terminal(fd.into()))
    }

    fn window(&self) -> Window {
        use std::os::fd::AsRawFd;
        let mut size = Winsize {
            ws_row: 0,
            ws_col: 0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the descriptor is a terminal's, and the size lives as long as the call.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
        Window {
            rows: size.ws_row,
            columns: size.ws_col,
        }
    }
}

/// A terminal that leaves everything that is typed to the one inside, until dropped.
struct Raw<'a> {
    terminal: &'a Terminal,
    before: Termios,
}

impl<'a> Raw<'a> {
    fn make(terminal: &'a Terminal) -> io::Result<Self> {
        let before = tcgetattr(&terminal.0)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&terminal.0, SetArg::TCSADRAIN, &raw)?;
        Ok(Raw { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal.0, SetArg::TCSADRAIN, &self.before);
    }
}
