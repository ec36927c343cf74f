//! What client and keeper say to each other: one line of JSON each way per request, with file descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use longhaul_topologies::adjust::{Adjustment, Named};
use longhaul_topologies::model::LaneState;
use longhaul_topologies::spec::TopologySpec;
use longhaul_topologies::units::{QueueSize, Rate, TimeSpan};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::links::{AdjustedChannel, LinkStatus, Refusal};
use super::reading::LabReading;
use crate::engine::{ChannelCounters, EngineKind};
use crate::guest::SessionSpec;

/// The longest line: the status of some 60,000 channels, far more than a machine carries.
const LONGEST_LINE: usize = 16 << 20;

/// Namespaces of one host: the most descriptors that come with a line.
const MOST_DESCRIPTORS: usize = 6;

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// Everything there is to show.
    Status,
    /// The lab at this instant, for who watches it.
    Reading,
    /// The namespaces of a node.
    Enter {
        /// Its name.
        node: String,
    },
    /// Its topology in full.
    Topology,
    /// The channels as they are.
    Links {
        /// Those of one link.
        link: Option<Named>,
    },
    /// Settings laid over a link.
    Adjust(Adjustment),
    /// A session in a virtual lab; frames follow (see super::frames).
    Visit(Box<SessionSpec>),
    /// The end of the lab.
    Down,
}

/// What the keeper answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// To [`Request::Status`].
    Status(LabDetail),
    /// To [`Request::Status`], by a virtual lab: what is known outside of it.
    Virtual(VirtualStatus),
    /// To [`Request::Reading`].
    Reading(Box<LabReading>),
    /// To [`Request::Visit`].
    Welcome,
    /// To [`Request::Topology`].
    Topology(Box<TopologySpec>),
    /// To [`Request::Enter`]; the descriptors are mount, PID, IPC, network, UTS and, rootless, user namespace.
    Entered,
    /// To [`Request::Enter`]: the nodes there are.
    NoSuchNode(Vec<String>),
    /// To [`Request::Links`].
    Links(Vec<LinkStatus>),
    /// To [`Request::Adjust`]: what changed.
    Adjusted(Vec<AdjustedChannel>),
    /// To [`Request::Down`]: begun.
    GoingDown,
    /// The lab could not do it.
    Refused(Refusal),
}

/// What is known of a virtual lab without asking inside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VirtualStatus {
    /// How much time has passed inside since its kernel booted, in seconds.
    pub virtual_seconds: f64,
    /// How many commands run in it; while there are none its time stands still.
    pub sessions: usize,
}

/// A lab that is up, as its keeper sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabDetail {
    /// The engine that carries the lanes.
    pub engine: EngineKind,
    /// Hosts and gateways, site by site.
    pub nodes: Vec<NodeStatus>,
    /// Every lane in each direction.
    pub channels: Vec<ChannelStatus>,
    /// Why the topology's schedule has ended before its last change, if it has.
    pub schedule_failed: Option<String>,
}

/// A host or gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its host name.
    pub name: String,
    /// Its site's name.
    pub site: String,
    /// Its IPv4 address.
    pub ipv4: std::net::Ipv4Addr,
    /// Its IPv6 address, where the kernel has IPv6.
    pub ipv6: Option<std::net::Ipv6Addr>,
}

/// One direction of one lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// The site it leaves.
    pub from: String,
    /// The site it leads to.
    pub to: String,
    /// The lane, from 0.
    pub lane: usize,
    /// Whether the lane carries anything.
    pub state: LaneState,
    /// Layer-2 rate; unlimited if absent.
    pub rate: Option<Rate>,
    /// One-way delay.
    pub delay: TimeSpan,
    /// Deviation of the delay.
    pub jitter: Option<TimeSpan>,
    /// Its bottleneck queue.
    pub queue: QueueSize,
    /// What the topology has otherwise: `delay 40ms → 60ms`. Absent if nothing.
    pub differs: Option<String>,
    /// What went through so far.
    pub counters: ChannelCounters,
}

/// The namespaces of a node, as they come with [`Answer::Entered`].
#[derive(Debug)]
pub(super) struct Namespaces {
    pub mount: OwnedFd,
    pub pid: OwnedFd,
    pub ipc: OwnedFd,
    pub network: OwnedFd,
    pub uts: OwnedFd,
    /// A rootless lab's.
    pub user: Option<OwnedFd>,
}

impl Namespaces {
    /// From the descriptors that came; `None` if they are too few.
    pub(super) fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut next = descriptors.into_iter();
        Some(Namespaces {
            mount: next.next()?,
            pid: next.next()?,
            ipc: next.next()?,
            network: next.next()?,
            uts: next.next()?,
            user: next.next(),
        })
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire(UnixStream);

impl Wire {
    /// Takes a connection over; neither end waits for the other for longer than `patience` at a time.
    pub(super) fn new(stream: UnixStream, patience: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Wire(stream))
    }

    /// The connection, without its limits, for what comes after the messages.
    pub(super) fn into_stream(self) -> io::Result<UnixStream> {
        self.0.set_read_timeout(None)?;
        self.0.set_write_timeout(None)?;
        Ok(self.0)
    }

    /// Sends a message with descriptors.
    pub(super) fn send(
        &mut self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = ControlMessage::ScmRights(&raw);
        let rights = if raw.is_empty() {
            &[][..]
        } else {
            std::slice::from_ref(&rights)
        };
        let (socket, whole) = (self.0.as_raw_fd(), [IoSlice::new(&line)]);
        let sent = loop {
            match sendmsg::<()>(socket, &whole, rights, MsgFlags::MSG_NOSIGNAL, None) {
                Err(Errno::EINTR) => {}
                sent => break sent?,
            }
        };
        self.0.write_all(&line[sent..])
    }

    /// The next message and what came with it; `None` if the other end has closed.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut line = Vec::new();
        let mut descriptors = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut chunk = vec![0; 64 << 10];
            let mut space = cmsg_space!([std::os::fd::RawFd; MOST_DESCRIPTORS]);
            let mut buffers = [IoSliceMut::new(&mut chunk)];
            let received = loop {
                let (socket, flags) = (self.0.as_raw_fd(), MsgFlags::MSG_CMSG_CLOEXEC);
                match recvmsg::<()>(socket, &mut buffers, Some(&mut space), flags) {
                    Err(Errno::EINTR) => {}
                    received => break received?,
                }
            };
            for message in received.cmsgs()? {
                if let ControlMessageOwned::ScmRights(fds) = message {
                    // SAFETY: the kernel has just installed them for this process, and nobody else knows them.
                    descriptors.extend(
                        fds.into_iter()
                            .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                    );
                }
            }
            let length = received.bytes;
            if length == 0 && line.is_empty() {
                return Ok(None);
            }
            if length == 0 || line.len() + length > LONGEST_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            line.extend_from_slice(&chunk[..length]);
        }
        Ok(Some((serde_json::from_slice(&line)?, descriptors)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::thread::JoinHandleExt;

    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    use super::*;

    fn pair() -> (Wire, Wire) {
        let (a, b) = UnixStream::pair().unwrap();
        let patience = Duration::from_secs(60);
        (
            Wire::new(a, patience).unwrap(),
            Wire::new(b, patience).unwrap(),
        )
    }

    #[test]
    fn descriptors_arrive_with_their_message_and_still_lead_to_the_same_file() {
        let (mut client, mut server) = pair();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "here").unwrap();
        let opened = File::open(file.path()).unwrap();
        server.send(&Answer::Entered, &[opened.as_fd()]).unwrap();
        let (answer, descriptors) = client.receive::<Answer>().unwrap().unwrap();
        assert!(matches!(answer, Answer::Entered));
        let [received]: [OwnedFd; 1] = descriptors.try_into().unwrap();
        assert_eq!(io::read_to_string(File::from(received)).unwrap(), "here");
    }

    #[test]
    fn a_line_longer_than_the_socket_buffer_arrives_whole() {
        let (mut client, mut server) = pair();
        let long: Vec<String> = (0..200_000).map(|i| format!("node-{i}")).collect();
        let sent = long.clone();
        let sender =
            std::thread::spawn(move || server.send(&Answer::NoSuchNode(sent), &[]).unwrap());
        let (answer, _) = client.receive::<Answer>().unwrap().unwrap();
        sender.join().unwrap();
        assert!(matches!(answer, Answer::NoSuchNode(nodes) if nodes == long));
    }

    #[test]
    fn a_signal_ends_no_waiting() {
        extern "C" fn caught(_: i32) {}
        let action = SigAction::new(
            SigHandler::Handler(caught),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: the handler does nothing, and nothing else here uses the signal.
        unsafe { sigaction(Signal::SIGUSR2, &action) }.unwrap();
        let (mut client, mut server) = pair();
        let receiver = std::thread::spawn(move || client.receive::<Answer>());
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(2));
            // SAFETY: the thread has not been joined.
            unsafe { libc::pthread_kill(receiver.as_pthread_t(), libc::SIGUSR2) };
        }
        server.send(&Answer::Entered, &[]).unwrap();
        let (answer, _) = receiver.join().unwrap().unwrap().unwrap();
        assert!(matches!(answer, Answer::Entered));
    }

    #[test]
    fn an_end_in_the_middle_of_a_line_is_an_error_and_one_between_lines_is_not() {
        let (client, mut server) = pair();
        (&client.0).write_all(b"\"status").unwrap();
        drop(client);
        assert_eq!(
            server.receive::<Request>().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let (client, mut server) = pair();
        drop(client);
        assert!(server.receive::<Request>().unwrap().is_none());
    }

    #[test]
    fn a_silent_peer_is_waited_for_only_so_long() {
        let (_client, server) = UnixStream::pair().unwrap();
        let mut server = Wire::new(server, Duration::from_millis(10)).unwrap();
        assert_eq!(
            server.receive::<Request>().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }
}
