//! The gate of a guest that stays: its time stands still while no session is there, while what a session prints has not
//! been taken, and while its input may still come.
//!
//! All that comes from outside reaches the guest while its clock stands still, and the guest shows all that it has done by
//! then; so a session sees the same however long its callers take. What does depend on the wall: when somebody types, when
//! a signal is sent, when one session starts while another runs.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};

use super::GuestError;
use super::clock::{Gate, STRETCH};
use super::job::{End, Shared};
use super::reception::{Caller, Desk, Founding, Inbox, PIECE, SessionId, State, Told};
use super::session::{Pace, SessionFolder, SessionSpec, TYPING_TICK, Word};
use super::watch::Stream;

/// The most pieces of input that lie in the guest unread.
pub(super) const PIECES: usize = 16;
/// A guest that is so far behind the clock on the wall does not try to catch up.
const SLACK: Duration = Duration::from_millis(100);

/// The clock's gate: what happens each time that the guest asks to go on.
pub(super) struct Door {
    desk: Arc<Desk>,
    shared: Shared,
    sessions: BTreeMap<SessionId, Session>,
    /// Where the guest's clock and the one on the wall were last found to agree, while it follows that.
    wall: Option<(Duration, Instant)>,
}

/// A session that the guest knows of.
struct Session {
    folder: SessionFolder,
    spec: SessionSpec,
    caller: Box<dyn Caller>,
    /// Whether somebody listens to it.
    is_heard: bool,
    /// Whether it was told that nobody does.
    is_abandoned: bool,
    /// Pieces of input that the guest has got and the caller does not know of.
    taken: usize,
    stdout: Printed,
    stderr: Printed,
    /// How many words it has been told.
    words: u64,
    /// Whether it knows that there is no more input.
    knows_last: bool,
}

impl Gate for Door {
    fn pass(&mut self, next: Duration) -> Option<Duration> {
        self.hear();
        let desk = Arc::clone(&self.desk);
        let mut state = desk.lock();
        loop {
            if state.closed.is_some() {
                return None;
            }
            self.let_in(&mut state);
            let is_settled = self.pass_on(&mut state);
            if self.sessions.values().any(|session| session.taken > 0) {
                // Not under the lock: it may take its time.
                drop(state);
                self.give_credit();
                state = desk.lock();
                continue;
            }
            let wait = match () {
                () if self.sessions.is_empty() || !is_settled => Wait::ForNews,
                () => self.wait_for_the_wall(&state, next),
            };
            state = match wait {
                Wait::Over => break,
                Wait::ForNews => desk
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Wait::For(time) => {
                    let waited = desk.changed.wait_timeout(state, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        let types = |session: &Session| session.spec.terminal.is_some();
        let anybody_types = self.sessions.values().any(types);
        Some(if anybody_types { TYPING_TICK } else { STRETCH })
    }

    fn ended(&mut self) {
        self.hear();
        // Whoever sees how the guest ended says so; it may take a moment.
        let open = |state: &mut State| state.closed.is_none();
        let waited = self.desk.changed.wait_while(self.desk.lock(), open);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let reason = state.closed.clone().unwrap_or_default();
        state.inboxes.clear();
        for mut arrival in state.arrivals.drain(..) {
            arrival.caller.ended(Err(reason.clone()));
        }
        drop(state);
        for session in self.sessions.values_mut() {
            session.caller.ended(Err(reason.clone()));
        }
        self.desk.lock().is_over = true;
        self.desk.changed.notify_all();
    }
}

/// What time waits for.
enum Wait {
    Over,
    ForNews,
    For(Duration),
}

impl Door {
    pub(super) fn new(desk: Arc<Desk>, shared: Shared) -> Self {
        Door {
            desk,
            shared,
            sessions: BTreeMap::new(),
            wall: None,
        }
    }

    /// Passes on what sessions have printed, and says goodbye to those that have ended.
    fn hear(&mut self) {
        let notes = std::mem::take(&mut self.desk.lock().notes);
        for note in notes {
            // A terminal may be raw.
            let line = format!("longhaul: {note}\r\n");
            for session in self.sessions.values_mut() {
                session.is_heard &= session.caller.printed(Stream::Error, line.as_bytes());
            }
        }
        let mut ended = Vec::new();
        for (&id, session) in &mut self.sessions {
            // How it ended comes last, so what it printed is there if that is.
            let end = session.end();
            session.show();
            if let Some(end) = end {
                ended.push((id, end));
            }
        }
        for (id, end) in ended {
            let mut session = self.sessions.remove(&id).expect("it was just there");
            let outcome = match end {
                End::Code(code) => Ok(code),
                End::Failed(reason) => Err(reason),
            };
            let mut state = self.desk.lock();
            state.inboxes.remove(&id);
            if session.spec.founding {
                // One that nobody waited for made a lab that nobody knows of.
                state.founding = match outcome {
                    Ok(0) if session.is_heard => Founding::Succeeded,
                    _ => Founding::Failed,
                };
            }
            drop(state);
            // Before its caller goes on to something else.
            let _ = fs::remove_dir_all(session.folder.path());
            session.caller.ended(outcome);
        }
    }

    /// Shows the guest those who have arrived.
    fn let_in(&mut self, state: &mut State) {
        while let Some(mut arrival) = state.arrivals.pop_front() {
            match Session::lay_out(&self.shared, arrival.id, &arrival.spec) {
                Ok((folder, [stdout, stderr])) => {
                    let session = Session {
                        folder,
                        spec: arrival.spec,
                        caller: arrival.caller,
                        is_heard: true,
                        is_abandoned: false,
                        taken: 0,
                        stdout: Printed::new(stdout),
                        stderr: Printed::new(stderr),
                        words: 0,
                        knows_last: false,
                    };
                    self.sessions.insert(arrival.id, session);
                }
                Err(error) => {
                    state.inboxes.remove(&arrival.id);
                    if arrival.spec.founding {
                        state.founding = Founding::Failed;
                    }
                    let reason = if self.shared.path().exists() {
                        format!("cannot hand it to the lab kernel: {error}")
                    } else {
                        let folder = self.shared.path().to_owned();
                        GuestError::CutOff { folder }.to_string()
                    };
                    arrival.caller.ended(Err(reason));
                }
            }
        }
    }

    /// Passes on what sessions have been told; whether no more has to be waited for.
    fn pass_on(&mut self, state: &mut State) -> bool {
        let mut is_settled = true;
        for (id, session) in &mut self.sessions {
            let Some(inbox) = state.inboxes.get_mut(id) else {
                continue;
            };
            if !session.is_heard && !std::mem::replace(&mut session.is_abandoned, true) {
                inbox.take(Told::Gone);
            }
            is_settled &= session.pass_on(inbox);
        }
        is_settled
    }

    /// Tells callers that there is room for more input.
    fn give_credit(&mut self) {
        for session in self.sessions.values_mut() {
            let taken = std::mem::take(&mut session.taken);
            if taken > 0 {
                session.caller.taken(taken);
            }
        }
    }

    /// Whether the clock on the wall is where the guest wants to be `next`, where that matters.
    fn wait_for_the_wall(&mut self, state: &State, next: Duration) -> Wait {
        let follows = |(id, session): (&SessionId, &Session)| match session.spec.pace {
            Pace::Wall => true,
            Pace::Free => false,
            // Its input is neither at its end nor about to come, or time would not have got here.
            Pace::Auto => state
                .inboxes
                .get(id)
                .is_some_and(|inbox| inbox.is_silent && !session.knows_last),
        };
        if !self.sessions.iter().any(follows) {
            self.wall = None;
            return Wait::Over;
        }
        let now = Instant::now();
        let (at, wall) = *self.wall.get_or_insert((next, now));
        let due = wall + next.saturating_sub(at);
        match due.checked_duration_since(now) {
            Some(left) if !left.is_zero() => Wait::For(left),
            _ => {
                if now.duration_since(due) > SLACK {
                    self.wall = Some((next, now));
                }
                Wait::Over
            }
        }
    }
}

impl Session {
    /// Makes its folder, with all that is to be in it, at once.
    fn lay_out(
        shared: &Shared,
        id: SessionId,
        spec: &SessionSpec,
    ) -> io::Result<(SessionFolder, [File; 2])> {
        let draft = SessionFolder(shared.next_session());
        DirBuilder::new().mode(0o700).create(draft.path())?;
        fs::create_dir(draft.words())?;
        fs::write(draft.spec(), serde_json::to_vec(spec)?)?;
        let open = |path: PathBuf| {
            let options = &mut File::options();
            options.read(true).write(true).create_new(true).open(path)
        };
        let files = [open(draft.stdout())?, open(draft.stderr())?];
        let folder = SessionFolder(shared.sessions().join(id.0.to_string()));
        fs::rename(draft.path(), folder.path())?;
        Ok((folder, files))
    }

    /// How it ended, if it has.
    fn end(&self) -> Option<End> {
        serde_json::from_slice(&fs::read(self.folder.ended()).ok()?).ok()
    }

    fn show(&mut self) {
        for (stream, printed) in [
            (Stream::Output, &mut self.stdout),
            (Stream::Error, &mut self.stderr),
        ] {
            let caller = &mut self.caller;
            let mut show = |bytes: &[u8]| caller.printed(stream, bytes);
            if self.is_heard && !printed.show(&mut show).unwrap_or(false) {
                self.is_heard = false;
            }
        }
    }

    /// Tells the guest; whether no more has to be waited for.
    fn pass_on(&mut self, inbox: &mut Inbox) -> bool {
        for word in inbox.words.drain(..) {
            self.tell(word, &[]);
        }
        let mut room = PIECES.saturating_sub(self.unread());
        while room > 0
            && let Some(piece) = inbox.input.pop_front()
        {
            self.tell(Word::Input, &piece);
            self.taken += 1;
            room -= 1;
        }
        if inbox.is_last && inbox.input.is_empty() && !self.knows_last {
            self.knows_last = true;
            self.tell(Word::End, &[]);
        }
        self.knows_last || inbox.is_silent || room == 0
    }

    /// A word that cannot be written is lost; the disk is full, and the session's own output will show that first.
    fn tell(&mut self, word: Word, bytes: &[u8]) {
        let path = self.folder.words().join(word.file_name(self.words));
        if fs::write(path, bytes).is_ok() {
            self.words += 1;
        }
    }

    /// How many pieces of input the guest has not read.
    fn unread(&self) -> usize {
        let entries = fs::read_dir(self.folder.words()).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names
            .filter(|name| matches!(Word::of_file_name(name), Some((_, Word::Input))))
            .count()
    }
}

/// A file that the guest appends to, read as far as it goes.
struct Printed {
    file: File,
    read: u64,
}

impl Printed {
    fn new(file: File) -> Self {
        Printed { file, read: 0 }
    }

    /// Shows what is new, and gives the room that it took back; `false` if nobody looks.
    fn show(&mut self, look: &mut impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
        if self.file.metadata()?.len() == self.read {
            return Ok(true);
        }
        let mut chunk = vec![0; PIECE];
        self.file.seek(SeekFrom::Start(self.read))?;
        let began = self.read;
        loop {
            let length = self.file.read(&mut chunk)?;
            if length == 0 {
                break;
            }
            self.read += length as u64;
            if !look(&chunk[..length]) {
                return Ok(false);
            }
        }
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (from, length) = (began.cast_signed(), (self.read - began).cast_signed());
        // Not every file system can; then the room is taken until the session ends.
        let _ = fallocate(&self.file, hole, from, length);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
