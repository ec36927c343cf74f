//! The gate, with the test in place of the guest.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::reception::{NotNow, Reception};
use super::*;

/// What a caller hears.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Printed(Stream, Vec<u8>),
    Taken(usize),
    Ended(Result<u8, String>),
}

impl Caller for Sender<Heard> {
    fn printed(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        self.send(Heard::Printed(stream, bytes.to_owned())).is_ok()
    }

    fn taken(&mut self, pieces: usize) {
        let _ = self.send(Heard::Taken(pieces));
    }

    fn ended(&mut self, outcome: Result<u8, String>) {
        let _ = self.send(Heard::Ended(outcome));
    }
}

/// A reception, and the test in place of the guest.
struct Stage {
    reception: Reception,
    door: Door,
    shared: Shared,
    _folder: tempfile::TempDir,
}

fn spec(founding: bool) -> SessionSpec {
    SessionSpec {
        arguments: Vec::new(),
        environment: Vec::new(),
        folder: "/".into(),
        terminal: None,
        pace: Pace::Auto,
        founding,
    }
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared(folder.path().to_owned());
        fs::create_dir(shared.sessions()).unwrap();
        let reception = Reception::new();
        Stage {
            door: reception.gate(&shared),
            reception,
            shared,
            _folder: folder,
        }
    }

    /// One that has its founding session behind it.
    fn founded() -> Self {
        let mut stage = Stage::new();
        let (id, heard) = stage.admit(spec(true));
        stage.reception.tell(id, Told::End);
        stage.pass(0);
        stage.end(id, 0);
        stage.door.hear();
        assert_eq!(heard.try_iter().last(), Some(Heard::Ended(Ok(0))));
        stage
    }

    fn admit(&self, spec: SessionSpec) -> (SessionId, Receiver<Heard>) {
        let (caller, heard) = channel();
        let id = self.reception.admit(spec, Box::new(caller)).unwrap();
        (id, heard)
    }

    fn pass(&mut self, milliseconds: u64) -> Option<Duration> {
        self.door.pass(Duration::from_millis(milliseconds))
    }

    /// Passes while something happens outside.
    fn later(&mut self, outside: impl FnOnce(&Reception) + Send, milliseconds: u64) {
        let reception = self.reception.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || outside(&reception));
            self.pass(milliseconds);
        });
    }

    fn place(&self, id: SessionId) -> SessionFolder {
        SessionFolder(self.shared.sessions().join(id.0.to_string()))
    }

    fn end(&self, id: SessionId, code: u8) {
        let text = serde_json::to_vec(&End::Code(code)).unwrap();
        fs::write(self.place(id).ended(), text).unwrap();
    }

    fn words(&self, id: SessionId) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.place(id).words())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn nobody_is_let_in_before_the_founding_session_has_succeeded() {
    let stage = Stage::new();
    let refused = |founding| stage.reception.admits(&spec(founding)).unwrap_err();
    assert_eq!(refused(false), NotNow::Founding);
    stage.admit(spec(true));
    assert_eq!(refused(true), NotNow::Founding);
    assert!(Stage::founded().reception.admits(&spec(false)).is_ok());
}

#[test]
fn a_guest_whose_founding_session_fails_has_failed() {
    let mut stage = Stage::new();
    let (id, heard) = stage.admit(spec(true));
    stage.reception.tell(id, Told::End);
    stage.pass(0);
    stage.end(id, 3);
    stage.later(|reception| reception.close("over"), 1);
    assert_eq!(heard.try_iter().last(), Some(Heard::Ended(Ok(3))));
    assert!(stage.reception.has_failed());
}

#[test]
fn what_a_session_prints_is_heard_once_and_its_room_is_given_back() {
    let mut stage = Stage::founded();
    let (id, heard) = stage.admit(spec(false));
    stage.reception.tell(id, Told::End);
    stage.pass(50);
    let stdout = stage.place(id).stdout();
    let append = |bytes: &[u8]| {
        let mut file = File::options().append(true).open(&stdout).unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
    };
    append(b"one ");
    stage.door.hear();
    append(b"two");
    stage.door.hear();
    stage.door.hear();
    let printed = |bytes: &[u8]| Heard::Printed(Stream::Output, bytes.to_owned());
    let all: Vec<Heard> = heard.try_iter().collect();
    assert_eq!(all, [printed(b"one "), printed(b"two")]);
}

#[test]
fn time_waits_for_input_until_it_ends_and_for_no_more_than_there_is_room_for() {
    let mut stage = Stage::founded();
    let (id, heard) = stage.admit(spec(false));
    for _ in 0..PIECES {
        stage.reception.tell(id, Told::Input(vec![7]));
    }
    // Full: whatever else may come, the guest has enough to do.
    assert_eq!(stage.pass(50), Some(STRETCH));
    assert_eq!(stage.words(id).len(), PIECES);
    assert_eq!(heard.try_iter().last(), Some(Heard::Taken(PIECES)));
    fs::remove_file(stage.place(id).words().join(Word::Input.file_name(0))).unwrap();
    stage.later(
        |reception| {
            reception.tell(id, Told::Input(vec![8]));
            reception.tell(id, Told::End);
        },
        100,
    );
    let end = Word::End.file_name(PIECES as u64 + 1);
    // The end may have come after time went on again: it is told the next time.
    stage.pass(150);
    assert!(stage.words(id).contains(&end), "{:?}", stage.words(id));
}

#[test]
fn time_follows_the_wall_while_input_may_still_come() {
    let mut stage = Stage::founded();
    let (id, _heard) = stage.admit(spec(false));
    stage.reception.tell(id, Told::Silence);
    stage.pass(1000);
    let began = Instant::now();
    stage.pass(1060);
    assert!(began.elapsed() >= Duration::from_millis(60));
    stage.reception.tell(id, Told::End);
    stage.pass(1070);
    let began = Instant::now();
    stage.pass(100_000);
    assert!(began.elapsed() < Duration::from_secs(10), "not free");
}

#[test]
fn a_session_whose_caller_is_gone_is_killed() {
    let mut stage = Stage::founded();
    let (id, heard) = stage.admit(spec(false));
    stage.reception.tell(id, Told::Signal(2));
    drop(heard);
    stage.reception.tell(id, Told::Gone);
    stage.pass(50);
    let kill = Word::Signal(libc::SIGKILL).file_name(1);
    assert!(stage.words(id).contains(&kill), "{:?}", stage.words(id));
}

#[test]
fn whoever_has_a_session_hears_why_there_is_no_guest_any_more() {
    let mut stage = Stage::founded();
    let (id, heard) = stage.admit(spec(false));
    stage.reception.tell(id, Told::End);
    stage.pass(50);
    let (_, waiting) = stage.admit(spec(false));
    stage.reception.close("it went up in smoke");
    assert_eq!(stage.pass(100), None);
    stage.door.ended();
    for heard in [heard, waiting] {
        let last = heard.try_iter().last();
        assert_eq!(last, Some(Heard::Ended(Err("it went up in smoke".into()))));
    }
    assert_eq!(
        stage.reception.admits(&spec(false)),
        Err(NotNow::Closed("it went up in smoke".into()))
    );
}
