//! A virtual lab in the background: its keeper has the lab kernel and lets sessions in.

use std::io;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::KeeperError;
use super::daemon::{self, Plea};
use super::frames::{Frame, FromClient, FromKeeper};
use super::links::Refusal;
use super::name::LabName;
use super::registry::{Purpose, Registration};
use super::server;
use super::wire::{Answer, Request, VirtualStatus, Wire};
use crate::engine::EngineChoice;
use crate::guest::{
    Caller, Guest, GuestSpec, NotNow, Reception, SessionSpec, Stream, Tended, Told,
};

/// How often the kernel is looked after while something runs in it.
const GLANCE: Duration = Duration::from_secs(1);
/// How long the session that brings the lab up may fail to come: the command that boots the kernel has it ready.
const FOUNDING: Duration = Duration::from_secs(120);
/// How long those who have a session have to hear of its end: one who does not listen holds the end up for as long.
const FAREWELL: Duration = Duration::from_secs(5);

/// Boots a lab kernel in the background, for a lab of that name; returns once it takes sessions, of which the first has to
/// bring the lab up. A program that computes for `patience` while no virtual time passes is ended.
///
/// Must be called while the process has a single thread.
///
/// # Errors
/// If the name is taken or the kernel does not boot; then nothing of it is left.
pub fn up_virtual(
    name: LabName,
    subject: &str,
    engine: EngineChoice,
    spec: &GuestSpec,
    patience: Duration,
) -> Result<(), KeeperError> {
    let registration = Registration::claim(name, Purpose::Up, subject, engine)?.on_a_lab_kernel();
    daemon::in_the_background(registration, |registration, teller| {
        keep(registration, teller, spec, patience)
    })
}

/// The lab from its kernel's boot to its end.
fn keep(
    mut registration: Registration,
    teller: OwnedFd,
    spec: &GuestSpec,
    patience: Duration,
) -> Result<(), Plea> {
    let reception = Reception::new();
    let begun = begin(&mut registration, spec, patience, &reception);
    let mut keeper = match begun {
        Ok(keeper) => keeper,
        Err(plea) => {
            // Whoever waits for the news takes their end as that of the lab.
            drop(registration);
            let _ = daemon::tell(teller, &Err(plea.clone()));
            return Err(plea);
        }
    };
    let end = match daemon::tell(teller, &Ok(())) {
        Ok(()) => keeper.serve(),
        // A command that was interrupted meanwhile does not know that it has a lab.
        Err(_) => Ok(End::Failed),
    };
    let (reason, is_dead) = match end {
        Ok(End::Asked) => ("the lab was taken down".to_owned(), false),
        Ok(End::Failed) => ("the lab did not come up".to_owned(), false),
        Ok(End::Died) => (keeper.guest.autopsy().to_string(), true),
        Err(error) => (format!("the keeper failed: {error}"), true),
    };
    keeper.guest.kill();
    // Before anybody hears of it and looks what there is.
    if is_dead {
        registration.leave_dead(&reason);
    } else {
        drop(registration);
    }
    reception.close(&reason);
    reception.wait_until_over(FAREWELL);
    if is_dead {
        return Err(Plea {
            message: reason,
            help: None,
        });
    }
    Ok(())
}

/// Boots the kernel, with all that has to be made before.
fn begin(
    registration: &mut Registration,
    spec: &GuestSpec,
    patience: Duration,
    reception: &Reception,
) -> Result<Keeper, Plea> {
    let name = registration.name().clone();
    let failed = |action: &'static str| {
        let name = name.clone();
        move |error: io::Error| Plea::from(KeeperError::lab(action, &name, error))
    };
    let signals = server::ending_signals().map_err(failed("watch for signals to"))?;
    let listener = registration.listen()?;
    listener
        .set_nonblocking(true)
        .map_err(failed("listen for"))?;
    let folder = registration.hold()?;
    let booted = Guest::boot_for_sessions(spec, &folder.join("guest"), reception);
    let guest = booted.map_err(|error| Plea {
        message: error.to_string(),
        help: None,
    });
    // The gate of a kernel that does not boot waits for nothing.
    let guest = guest.inspect_err(|plea| reception.close(&plea.message))?;
    let end = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(|e| failed("end")(e.into()))?;
    Ok(Keeper {
        listener,
        guest: Tended::new(guest, patience).map_err(failed("look after"))?,
        reception: reception.clone(),
        signals: signals.into(),
        end: Arc::new(end),
        clients: Arc::default(),
    })
}

/// The lab as its keeper has it.
struct Keeper {
    listener: UnixListener,
    guest: Tended,
    reception: Reception,
    signals: OwnedFd,
    /// Readable once a client has asked for the end.
    end: Arc<EventFd>,
    /// How many there are: while there is none nothing happens.
    clients: Arc<AtomicUsize>,
}

/// How a lab came to its end.
enum End {
    Asked,
    /// The founding session failed.
    Failed,
    /// The kernel has ended by itself, or nothing can be done in it any more.
    Died,
}

impl Keeper {
    /// Answers clients until the end.
    fn serve(&mut self) -> io::Result<End> {
        let booted = Instant::now();
        loop {
            // In this order: a client becomes a session before it goes.
            let is_idle = self.clients.load(Ordering::Acquire) == 0 && self.reception.is_quiet();
            let timeout = if is_idle {
                PollTimeout::NONE
            } else {
                PollTimeout::try_from(GLANCE).unwrap_or(PollTimeout::MAX)
            };
            let sources = [
                self.listener.as_fd(),
                self.guest.end(),
                self.guest.bond(),
                self.end.as_fd(),
                self.signals.as_fd(),
            ];
            let mut sources = sources.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut sources, timeout) {
                Err(nix::errno::Errno::EINTR) => continue,
                outcome => outcome?,
            };
            let [client, died, cut_off, asked, signalled] =
                sources.map(|source| source.any().unwrap_or(true));
            if asked || signalled {
                return Ok(End::Asked);
            }
            // An ancestor of the folder that was moved tells nobody: looked for when anything else happens.
            if died || ((cut_off || !is_idle) && self.guest.is_cut_off()) {
                return Ok(End::Died);
            }
            let is_late = !self.reception.is_founded() && booted.elapsed() > FOUNDING;
            if self.reception.has_failed() || is_late {
                return Ok(End::Failed);
            }
            if let Some(said) = self.guest.end_what_spins(&self.reception) {
                self.reception.note(&said);
            }
            if client && let Some(client) = server::accept(&self.listener) {
                self.attend(client);
            }
        }
    }

    /// Answers a client on a thread of its own. One that does not keep to the protocol, or is gone, gets no answer; one for
    /// whom there is no thread left gets none, too, and the lab lives on.
    fn attend(&self, client: UnixStream) {
        let here = Present::new(&self.clients);
        let (reception, end) = (self.reception.clone(), Arc::clone(&self.end));
        let passed = self.guest.passed();
        let attend = move || {
            let _here = here;
            let virtual_seconds = passed.virtual_time.as_secs_f64();
            let status = || VirtualStatus {
                virtual_seconds,
                sessions: reception.sessions(),
            };
            let Some(mut wire) = server::greet(client)? else {
                return Ok(());
            };
            while let Some((request, _)) = wire.receive::<Request>()? {
                match request {
                    Request::Status => wire.send(&Answer::Virtual(status()), &[])?,
                    Request::Visit(session) => return visit(wire, *session, &reception),
                    Request::Down => {
                        wire.send(&Answer::GoingDown, &[])?;
                        end.write(1)?;
                        return Ok(());
                    }
                    _ => {
                        let reason = "it is a virtual lab: this is asked inside of it".to_owned();
                        wire.send(&Answer::Refused(Refusal::NotNow(reason)), &[])?;
                    }
                }
            }
            Ok::<_, io::Error>(())
        };
        drop(std::thread::Builder::new().spawn(attend));
    }
}

/// A client that is counted.
struct Present(Arc<AtomicUsize>);

impl Present {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Present(Arc::clone(count))
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Lets a client's session in, and passes on what the client says, to its end.
fn visit(mut wire: Wire, session: SessionSpec, reception: &Reception) -> io::Result<()> {
    if let Err(why) = reception.admits(&session) {
        let refusal = Refusal::NotNow(reason(why));
        return wire.send(&Answer::Refused(refusal), &[]);
    }
    wire.send(&Answer::Welcome, &[])?;
    let mut stream = wire.into_stream()?;
    let Some(FromClient::Begin) = FromClient::read(&mut stream)? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let caller = Box::new(Remote(stream.try_clone()?));
    let id = match reception.admit(session, caller) {
        Ok(id) => id,
        Err(why) => return FromKeeper::Failed(reason(why)).write(&mut stream),
    };
    while let Ok(Some(FromClient::Tell(told))) = FromClient::read(&mut stream) {
        reception.tell(id, told);
    }
    // The session may have ended; then it does not matter.
    reception.tell(id, Told::Gone);
    Ok(())
}

/// Why a session is not let in, in words.
fn reason(why: NotNow) -> String {
    match why {
        NotNow::Founding => "the lab is still starting: try again in a moment".to_owned(),
        NotNow::Closed(reason) => format!("it is going down: {reason}"),
    }
}

/// The client of a session.
struct Remote(UnixStream);

impl Caller for Remote {
    fn printed(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        let frame = match stream {
            Stream::Output => FromKeeper::Output(bytes.to_owned()),
            Stream::Error => FromKeeper::Error(bytes.to_owned()),
        };
        frame.write(&mut self.0).is_ok()
    }

    fn taken(&mut self, pieces: usize) {
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        // One that is gone is noticed elsewhere.
        let _ = FromKeeper::Taken(pieces).write(&mut self.0);
    }

    fn ended(&mut self, outcome: Result<u8, String>) {
        let frame = outcome.map_or_else(FromKeeper::Failed, FromKeeper::Ended);
        let _ = frame.write(&mut self.0).and_then(|()| self.0.flush());
        // It ends the thread that listens to it.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
