//! One UDP port: batches by segmentation offload both ways, ECN both ways, no fragments, arrivals by the kernel's stamps.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use longhaul_emulator::time::Time;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

use super::clock::Clock;
use crate::transport::option;

/// "ECN-capable transport" in the type of service (RFC 3168).
const ECT_0: u32 = 0b10;
/// Its bits, and "congestion experienced", which is all of them.
const ECN: i32 = 0b11;

/// Receive buffer asked for: what a fast sender has under way while this thread reduces a chunk. The kernel grants it to root
/// only, and `net.core.rmem_max` to others.
const KERNEL_BUFFER: usize = 32 << 20;

/// The largest datagram, and so the largest batch: what IPv4's length field allows.
pub(super) const MOST_BATCH: usize = 65_000;
/// Segments of one batch: UDP_MAX_SEGMENTS of older kernels.
pub(super) const MOST_SEGMENTS: usize = 64;

/// A bound port.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    /// What has not been received yet came later.
    earliest: Time,
    /// There may be such.
    has_more: bool,
}

/// Batches received by one call; what they call for is sent after that: acknowledgements are one for all of them.
const BATCHES: usize = 8;
/// Room for a batch: the longest datagram of UDP.
const BUFFER: usize = 1 << 16;

/// Where batches are received into.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    bytes: Vec<u8>,
}

/// One batch that was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) from: SocketAddr,
    /// When it came, or the first of it did: a batch has one stamp.
    pub(super) came: Time,
    pub(super) length: usize,
    /// Each datagram in it has this length but the last, which may be shorter.
    pub(super) segment: usize,
    /// With "congestion experienced".
    pub(super) marked: bool,
}

impl Socket {
    /// `port` of `address`; a free one if that is 0.
    pub(super) fn bind(address: IpAddr, port: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, port))?;
        socket.set_nonblocking(true)?;
        let options = socket2::SockRef::from(&socket);
        if setsockopt(&socket, sockopt::RcvBufForce, &KERNEL_BUFFER).is_err() {
            options.set_recv_buffer_size(KERNEL_BUFFER)?;
        }
        if address.is_ipv4() {
            options.set_tos_v4(ECT_0)?;
            options.set_recv_tos_v4(true)?;
            option::set(
                &socket,
                libc::IPPROTO_IP,
                libc::IP_MTU_DISCOVER,
                libc::IP_PMTUDISC_DO,
            )?;
        } else {
            options.set_tclass_v6(ECT_0)?;
            options.set_recv_tclass_v6(true)?;
            option::set(
                &socket,
                libc::IPPROTO_IPV6,
                libc::IPV6_MTU_DISCOVER,
                libc::IPV6_PMTUDISC_DO,
            )?;
        }
        setsockopt(&socket, sockopt::UdpGroSegment, &true)?;
        // A kernel without them leaves only the time at which packets are read.
        let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        Ok(Self {
            socket,
            earliest: Time::default(),
            has_more: false,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Bytes of a UDP payload that the way to `peer` carries whole, as far as this host knows.
    pub(super) fn largest_datagram(&self, peer: SocketAddr) -> io::Result<usize> {
        let probe = UdpSocket::bind((self.address()?.ip(), 0))?;
        probe.connect(peer)?;
        // Bytes of the headers of IP and UDP.
        let (level, name, headers) = match peer {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU, 20 + 8),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU, 40 + 8),
        };
        let mtu: libc::c_int = option::get(&probe, level, name)?;
        Ok(usize::try_from(mtu)
            .unwrap_or_default()
            .saturating_sub(headers))
    }

    /// Sends `bytes` as datagrams of `segment` bytes, the last of which may be shorter. `false` if the kernel takes none now.
    ///
    /// What the network refuses at once is as good as lost, and left to the repeats.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8], segment: usize) -> io::Result<bool> {
        let to_kernel = SockaddrStorage::from(to);
        let size = segment as u16;
        let batch = [ControlMessage::UdpGsoSegments(&size)];
        let control = if bytes.len() > segment {
            &batch[..]
        } else {
            &[]
        };
        let parts = [IoSlice::new(bytes)];
        let fd = self.socket.as_raw_fd();
        match sendmsg(fd, &parts, control, MsgFlags::empty(), Some(&to_kernel)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            // The device cannot sum what it cuts (udp_send_skb in net/ipv4/udp.c).
            Err(Errno::EIO) if bytes.len() > segment => bytes
                .chunks(segment)
                .try_fold(true, |_, datagram| self.send(to, datagram, segment))
                .map(|_| true),
            Err(
                Errno::ENOBUFS
                | Errno::ENETUNREACH
                | Errno::EHOSTUNREACH
                | Errno::ECONNREFUSED
                | Errno::ENETDOWN,
            ) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Receives what is there, [`BATCHES`] at most, as one call: the batch at an index lies at that index of `buffers`.
    pub(super) fn receive(
        &mut self,
        buffers: &mut Buffers,
        clock: &mut Clock,
    ) -> io::Result<Vec<Received>> {
        self.has_more = false;
        let looked = clock.now();
        let control = cmsg_space!(i32, i32, TimeSpec);
        let mut headers = MultiHeaders::preallocate(BATCHES, Some(control));
        let parts = buffers.bytes.chunks_mut(BUFFER);
        let mut parts: Vec<_> = parts.map(|part| [IoSliceMut::new(part)]).collect();
        let fd = self.socket.as_raw_fd();
        let now = MsgFlags::MSG_DONTWAIT;
        let messages = match recvmmsg(fd, &mut headers, parts.iter_mut(), now, None) {
            Ok(messages) => messages,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        };
        let (clocks, mut batches) = (clock.both(), Vec::with_capacity(BATCHES));
        for message in messages {
            let came = |stamp| clocks.monotonic_of(stamp, self.earliest);
            let received = Received::new(&message, |stamp| stamp.map_or(clocks.monotonic, came))?;
            self.earliest = received.came;
            batches.push(received);
        }
        self.has_more = batches.len() == BATCHES;
        if !self.has_more {
            self.earliest = self.earliest.max(looked);
        }
        Ok(batches)
    }

    /// The last look saw nothing: as many batches as one call receives may have been all there were.
    pub(super) fn is_seen_empty(&mut self) {
        self.has_more = false;
    }

    /// Up to when all that has come is received, at `now`, as far as the last look told.
    pub(super) fn received_to(&self, now: Time) -> Time {
        if self.has_more { self.earliest } else { now }
    }
}

impl Received {
    fn new(
        message: &RecvMsg<'_, '_, SockaddrStorage>,
        arrival: impl FnOnce(Option<Duration>) -> Time,
    ) -> io::Result<Self> {
        let from = message.address.as_ref().and_then(address_of);
        let (mut segment, mut service, mut stamp) = (message.bytes, 0, None);
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::UdpGroSegments(size) if size > 0 => segment = size as usize,
                ControlMessageOwned::Ipv4Tos(value) => service = i32::from(value),
                ControlMessageOwned::Ipv6TClass(value) => service = value,
                ControlMessageOwned::ScmTimestampns(value) => stamp = Some(value.into()),
                _ => {}
            }
        }
        Ok(Self {
            from: from.ok_or(io::ErrorKind::AddrNotAvailable)?,
            came: arrival(stamp),
            length: message.bytes,
            segment: segment.max(1),
            marked: service & ECN == ECN,
        })
    }
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BATCHES * BUFFER],
        }
    }

    /// The bytes of the batch at `index`, which is `received`.
    pub(super) fn batch(&self, index: usize, received: &Received) -> &[u8] {
        &self.bytes[index * BUFFER..][..received.length]
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|v6| SocketAddr::V6((*v6).into()))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_batch_arrives_as_the_datagrams_that_were_sent() {
        for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let one = Socket::bind(address, 0).unwrap();
            let (mut other, mut clock) = (Socket::bind(address, 0).unwrap(), Clock::new());
            let before = clock.now();
            let bytes: Vec<u8> = (0..3500).map(|at| (at / 1000) as u8).collect();
            assert!(one.send(other.address().unwrap(), &bytes, 1000).unwrap());
            let (mut got, mut buffers) = (Vec::new(), Buffers::new());
            let deadline = Instant::now() + Duration::from_secs(5);
            while got.len() < 4 && Instant::now() < deadline {
                let batches = other.receive(&mut buffers, &mut clock).unwrap();
                if batches.is_empty() {
                    std::thread::yield_now();
                }
                for (index, received) in batches.iter().enumerate() {
                    assert_eq!(received.from, one.address().unwrap());
                    assert!(!received.marked);
                    assert!((before..=clock.now()).contains(&received.came));
                    let datagrams = buffers.batch(index, received).chunks(received.segment);
                    got.extend(datagrams.map(|datagram| (datagram.len(), datagram[0])));
                }
            }
            assert_eq!(got, [(1000, 0), (1000, 1), (1000, 2), (500, 3)]);
        }
    }

    #[test]
    fn a_call_that_is_full_and_the_last_holds_nothing_up_once_a_look_saw_nothing() {
        let address = Ipv4Addr::LOCALHOST.into();
        let one = Socket::bind(address, 0).unwrap();
        let (mut other, mut clock) = (Socket::bind(address, 0).unwrap(), Clock::new());
        // Of different lengths, which no kernel joins.
        for length in 1..=BATCHES {
            let bytes = vec![0; 2 * length];
            let to = other.address().unwrap();
            assert!(one.send(to, &bytes, bytes.len()).unwrap());
        }
        let mut buffers = Buffers::new();
        assert_eq!(
            other.receive(&mut buffers, &mut clock).unwrap().len(),
            BATCHES
        );
        let later = clock.now() + Duration::from_secs(1);
        assert!(other.received_to(later) < later);
        other.is_seen_empty();
        assert_eq!(other.received_to(later), later);
    }

    #[test]
    fn a_datagram_came_when_it_came_however_late_it_is_received() {
        const LATE: Duration = Duration::from_millis(50);
        let address = Ipv4Addr::LOCALHOST.into();
        let one = Socket::bind(address, 0).unwrap();
        let (mut other, mut clock) = (Socket::bind(address, 0).unwrap(), Clock::new());
        let mut buffers = Buffers::new();
        assert!(other.receive(&mut buffers, &mut clock).unwrap().is_empty());
        // The kernel begins to stamp in the background: what comes before has the time at which it is received.
        let deadline = Instant::now() + Duration::from_secs(5);
        let waited = loop {
            one.send(other.address().unwrap(), b"a", 1).unwrap();
            std::thread::sleep(LATE);
            let received = other.receive(&mut buffers, &mut clock).unwrap();
            let waited = received.first().map(|first| clock.now().since(first.came));
            let waited = waited.unwrap_or_default();
            if waited >= LATE || Instant::now() > deadline {
                break waited;
            }
        };
        assert!(waited >= LATE, "{waited:?}");
    }

    #[test]
    fn the_largest_datagram_is_the_interfaces_without_the_headers() {
        let socket = Socket::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let mtu: usize = std::fs::read_to_string("/sys/class/net/lo/mtu")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let largest = socket.largest_datagram(socket.address().unwrap()).unwrap();
        // IP_MAX_MTU of the kernel.
        assert_eq!(largest, mtu.min(65_535) - 28);
    }
}
