//! Where commands from outside are handed in to a guest that stays, and what they are told meanwhile; the `door` shows all
//! of it to the guest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::door::{Door, PIECES};
use super::job::Shared;
use super::session::{SessionSpec, Window, Word};
use super::watch::Stream;

/// The most of one piece of input, in bytes: a pipe's capacity.
pub const PIECE: usize = 64 << 10;
/// The most pieces of input that a caller may send before it hears that one was taken.
pub const CREDIT: usize = PIECES;

/// Whoever a session is run for. Its calls may block: time stands still meanwhile.
pub trait Caller: Send {
    /// The command printed something; `false`: nobody is there any more.
    fn printed(&mut self, stream: Stream, bytes: &[u8]) -> bool;
    /// The guest has got so many pieces of input: there is room for as many more.
    fn taken(&mut self, pieces: usize);
    /// It has ended, with this exit code, or could not be run.
    fn ended(&mut self, outcome: Result<u8, String>);
}

/// What a session is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Input, [`PIECE`] bytes of it unless no more is there yet.
    Input(Vec<u8>),
    /// No more input for now: time need not wait for it.
    Silence,
    /// No more input at all.
    End,
    /// A signal.
    Signal(i32),
    /// The terminal has another size.
    Window(Window),
    /// Nobody is left who wants anything of it.
    Gone,
}

/// Names a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub(super) u64);

/// Why a session is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// The founding session has not ended yet.
    Founding,
    /// The guest is being switched off; why.
    Closed(String),
}

/// The reception; its clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Reception(Arc<Desk>);

#[derive(Debug, Default)]
pub(super) struct Desk {
    pub state: Mutex<State>,
    pub changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    next: u64,
    pub founding: Founding,
    pub arrivals: VecDeque<Arrival>,
    /// Of all sessions that have not ended, arrived or not.
    pub inboxes: BTreeMap<SessionId, Inbox>,
    /// What whoever has a session is to know.
    pub notes: Vec<String>,
    /// Why there are no sessions any more.
    pub closed: Option<String>,
    /// Whether everybody has been told so.
    pub is_over: bool,
}

/// How far the founding session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Founding {
    #[default]
    Awaited,
    Begun,
    Succeeded,
    Failed,
}

/// A session that the guest does not know of yet.
pub(super) struct Arrival {
    pub id: SessionId,
    pub spec: SessionSpec,
    pub caller: Box<dyn Caller>,
}

/// What a session has been told that the guest does not know yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub input: VecDeque<Vec<u8>>,
    /// No more of it will come.
    pub is_last: bool,
    /// No more of it need be waited for.
    pub is_silent: bool,
    pub words: Vec<Word>,
}

impl Reception {
    /// One where nobody has been yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a session in. Its `caller` hears of its end, whatever comes.
    ///
    /// # Errors
    /// If this is not the time.
    pub fn admit(&self, spec: SessionSpec, caller: Box<dyn Caller>) -> Result<SessionId, NotNow> {
        let mut state = self.0.lock();
        state.founding = state.admits(&spec)?;
        let id = SessionId(state.next);
        state.next += 1;
        state.inboxes.insert(id, Inbox::default());
        state.arrivals.push_back(Arrival { id, spec, caller });
        self.0.changed.notify_all();
        Ok(id)
    }

    /// Whether a session would be taken in.
    ///
    /// # Errors
    /// If this is not the time.
    pub fn admits(&self, spec: &SessionSpec) -> Result<(), NotNow> {
        self.0.lock().admits(spec).map(drop)
    }

    /// Tells a session something. What is told to one that has ended is lost.
    pub fn tell(&self, id: SessionId, told: Told) {
        if let Some(inbox) = self.0.lock().inboxes.get_mut(&id) {
            inbox.take(told);
            self.0.changed.notify_all();
        }
    }

    /// Whether nothing happens: the guest is what it is to be, and nobody wants anything of it.
    pub fn is_quiet(&self) -> bool {
        let state = self.0.lock();
        state.founding == Founding::Succeeded && state.inboxes.is_empty()
    }

    /// Whether the founding session has come.
    pub fn is_founded(&self) -> bool {
        self.0.lock().founding != Founding::Awaited
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.0.lock().inboxes.len()
    }

    /// Whether a session was sent a signal that the guest does not know of yet.
    pub fn is_interrupting(&self) -> bool {
        let is_signal = |word: &Word| matches!(word, Word::Signal(_));
        let state = self.0.lock();
        let mut inboxes = state.inboxes.values();
        inboxes.any(|inbox| inbox.words.iter().any(is_signal))
    }

    /// Tells all who have a session something worth knowing.
    pub fn note(&self, text: &str) {
        self.0.lock().notes.push(text.to_owned());
    }

    /// Whether the founding session has failed: then there is no use in the guest.
    pub fn has_failed(&self) -> bool {
        self.0.lock().founding == Founding::Failed
    }

    /// Ends it: whoever waits for a session is told why there will be no more. Time stands still from now on.
    pub fn close(&self, reason: &str) {
        self.0.lock().closed = Some(reason.to_owned());
        self.0.changed.notify_all();
    }

    /// Waits until everybody has been told, after [`close`](Self::close) and the guest's end; not for longer than `most`,
    /// since somebody may not listen.
    pub fn wait_until_over(&self, most: Duration) {
        let is_busy = |state: &mut State| !state.is_over;
        let state = self.0.lock();
        drop(self.0.changed.wait_timeout_while(state, most, is_busy));
    }

    /// The gate of the clock of the guest that does the work.
    pub(super) fn gate(&self, shared: &Shared) -> Door {
        Door::new(Arc::clone(&self.0), shared.clone())
    }
}

impl Desk {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How far the founding is once a session has been let in.
    fn admits(&self, spec: &SessionSpec) -> Result<Founding, NotNow> {
        if let Some(reason) = &self.closed {
            return Err(NotNow::Closed(reason.clone()));
        }
        match (spec.founding, self.founding) {
            (true, Founding::Awaited) => Ok(Founding::Begun),
            (false, Founding::Succeeded) => Ok(Founding::Succeeded),
            _ => Err(NotNow::Founding),
        }
    }
}

impl Inbox {
    pub(super) fn take(&mut self, told: Told) {
        match told {
            Told::Input(bytes) => {
                self.is_silent = false;
                self.input.push_back(bytes);
            }
            Told::Silence => self.is_silent = true,
            Told::End => self.is_last = true,
            Told::Signal(signal) => self.words.push(Word::Signal(signal)),
            Told::Window(window) => self.words.push(Word::Window(window)),
            Told::Gone => {
                self.is_last = true;
                self.words.push(Word::Signal(libc::SIGKILL));
            }
        }
    }
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival")
            .field("id", &self.id)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}
