//! The keeper's end of the control socket, in the lab process.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::Kept;
use super::links::Refusal;
use super::wire::{Answer, Request, Wire};
use crate::sandbox::{self, Privilege};

/// How long a client may take over its own request: it is a program on this machine that has it ready. Less than a client waits for an
/// answer, as others wait behind it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long clients are left waiting before the system is asked again whether it has room for one.
const NO_ROOM: Duration = Duration::from_millis(50);

/// The signals that end a lab: what `kill`, a closed terminal and a shutdown send.
const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Tells that one of the signals has come. Make it before any thread starts: threads inherit what is blocked.
pub(super) fn ending_signals() -> io::Result<SignalFd> {
    let set: SigSet = ENDING.into_iter().collect();
    set.thread_block()?;
    Ok(SignalFd::with_flags(
        &set,
        nix::sys::signalfd::SfdFlags::SFD_CLOEXEC,
    )?)
}

/// A thread that answers clients until this is dropped.
#[derive(Debug)]
pub(super) struct Served {
    end: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Answers those who come to `listener` with what `lab` says.
    pub(super) fn start<K: Kept + Send + 'static>(
        lab: Arc<K>,
        listener: UnixListener,
    ) -> io::Result<Self> {
        let end = Arc::new(EventFd::new()?);
        let ends = Arc::clone(&end);
        let body = move || {
            if let Err(error) = serve(&*lab, &listener, &[ends.as_fd()]) {
                tracing::warn!(%error, "the run takes no commands any more");
            }
        };
        let thread = std::thread::Builder::new()
            .name("desk".into())
            .spawn(body)?;
        Ok(Served {
            end,
            thread: Some(thread),
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // An eventfd takes 2^64 − 2 of them.
        let _ = self.end.write(1);
        if let Some(thread) = self.thread.take() {
            // If it has panicked, it has said so.
            let _ = thread.join();
        }
    }
}

/// Answers clients until one asks for the end or one of `ends` can be read.
pub(super) fn serve(
    lab: &impl Kept,
    listener: &UnixListener,
    ends: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let namespaces = OwnNamespaces::open()?;
    let end = EventFd::new()?;
    listener.set_nonblocking(true)?;
    std::thread::scope(|scope| {
        loop {
            let sources = [listener.as_fd(), end.as_fd()].into_iter();
            let mut sources: Vec<PollFd<'_>> = sources
                .chain(ends.iter().copied())
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
                .collect();
            match poll(&mut sources, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                outcome => outcome?,
            };
            let is_ready = |source: &PollFd<'_>| source.any().unwrap_or(true);
            if sources[1..].iter().any(is_ready) {
                return Ok(());
            }
            if is_ready(&sources[0])
                && let Some(client) = accept(listener)
            {
                // A client that does not keep to the protocol, or is gone, gets no answer; one for whom there is no thread
                // left gets none, too, and the lab lives on.
                let attend = || drop(attend(client, lab, &namespaces, &end));
                drop(std::thread::Builder::new().spawn_scoped(scope, attend));
            }
        }
    })
}

/// The next client, if there is one. What the system has no room for, by want of descriptors above all, waits to be accepted: `poll`
/// would ask for it again at once.
pub(super) fn accept(listener: &UnixListener) -> Option<UnixStream> {
    match listener.accept() {
        Ok((client, _)) => return Some(client),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => std::thread::sleep(NO_ROOM),
    }
    None
}

/// The connection of a client, if that is one of this user's.
pub(super) fn greet(client: UnixStream) -> io::Result<Option<Wire>> {
    // The folder keeps others out; this does too, should the folder's mode be changed.
    if getsockopt(&client, PeerCredentials)?.uid() != nix::unistd::geteuid().as_raw() {
        return Ok(None);
    }
    Wire::new(client, PATIENCE).map(Some)
}

/// Answers one client until it closes.
fn attend(
    client: UnixStream,
    lab: &impl Kept,
    own: &OwnNamespaces,
    end: &EventFd,
) -> io::Result<()> {
    let Some(mut wire) = greet(client)? else {
        return Ok(());
    };
    while let Some((request, _)) = wire.receive::<Request>()? {
        match request {
            Request::Status => wire.send(&answer(lab.detail(), Answer::Status), &[])?,
            Request::Reading => {
                let tell = |reading| Answer::Reading(Box::new(reading));
                wire.send(&answer(lab.reading(), tell), &[])?;
            }
            Request::Links { link } => {
                wire.send(&answer(lab.links(link.as_ref()), Answer::Links), &[])?;
            }
            Request::Adjust(adjustment) => {
                wire.send(&answer(lab.adjust(&adjustment), Answer::Adjusted), &[])?;
            }
            Request::Enter { node } => match lab.namespace(&node) {
                Some(namespace) => {
                    let mut all = vec![own.mount.as_fd(), own.pid.as_fd(), own.ipc.as_fd()];
                    all.extend([namespace.net.as_fd(), namespace.uts.as_fd()]);
                    all.extend(own.user.as_ref().map(AsFd::as_fd));
                    wire.send(&Answer::Entered, &all)?;
                }
                None => {
                    let names = lab.detail().map(|detail| {
                        let nodes = detail.nodes.into_iter();
                        nodes.map(|node| node.name).collect()
                    });
                    wire.send(&answer(names, Answer::NoSuchNode), &[])?;
                }
            },
            Request::Topology => {
                let answer = match lab.topology() {
                    Some(topology) => Answer::Topology(Box::new(topology)),
                    None => {
                        Answer::Refused(Refusal::NotNow("others cannot enter its hosts".to_owned()))
                    }
                };
                wire.send(&answer, &[])?;
            }
            Request::Visit(_) => {
                let reason = "it is no virtual lab: its hosts are entered directly";
                wire.send(&Answer::Refused(Refusal::NotNow(reason.to_owned())), &[])?;
            }
            Request::Down => {
                wire.send(&Answer::GoingDown, &[])?;
                end.write(1)?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What was found, or why nothing was.
fn answer<T>(found: Result<T, Refusal>, tell: impl FnOnce(T) -> Answer) -> Answer {
    found.map_or_else(Answer::Refused, tell)
}

/// The namespaces that all nodes of a lab share.
struct OwnNamespaces {
    mount: OwnedFd,
    pid: OwnedFd,
    ipc: OwnedFd,
    /// Rootless only.
    user: Option<OwnedFd>,
}

impl OwnNamespaces {
    fn open() -> io::Result<Self> {
        let open = |kind: &str| File::open(format!("/proc/self/ns/{kind}")).map(OwnedFd::from);
        let rootless =
            sandbox::current().is_some_and(|sandbox| sandbox.privilege == Privilege::Rootless);
        Ok(OwnNamespaces {
            mount: open("mnt")?,
            pid: open("pid")?,
            ipc: open("ipc")?,
            user: rootless.then(|| open("user")).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_accepted_is_not_asked_for_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(accept(&listener).is_none());
        let _client = UnixStream::connect(folder.path().join("socket")).unwrap();
        assert!(accept(&listener).is_some());
        // As if there were no descriptor left: no such socket takes clients.
        let (deaf, _other) = UnixStream::pair().unwrap();
        let begun = std::time::Instant::now();
        assert!(accept(&UnixListener::from(OwnedFd::from(deaf))).is_none());
        assert!(begun.elapsed() >= NO_ROOM);
    }
}
