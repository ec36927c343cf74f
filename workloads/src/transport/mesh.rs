//! A rank's listener and its connections.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use super::frame::Hello;
use super::tcp_info::TcpInfo;
use super::{ATTENTION, Attendant, Connections, TransportError, system};
use crate::world::clock::now_ns;
use crate::world::{ConnectionSample, TransportOptions};

/// Connections of one rank. They are opened when an exchange first needs them, and stay.
#[derive(Debug)]
pub(crate) struct Mesh {
    rank: usize,
    nonce: u64,
    options: TransportOptions,
    address: SocketAddr,
    listener: TcpListener,
    /// Where each rank listens.
    peers: Vec<SocketAddr>,
    /// Per destination, by connection number.
    outbound: BTreeMap<usize, BTreeMap<u32, TcpStream>>,
    /// Per source, by connection number.
    inbound: BTreeMap<usize, BTreeMap<u32, TcpStream>>,
}

/// A connection whose handshake is under way.
struct Opening {
    peer: usize,
    connection: u32,
    socket: Socket,
}

/// A connection that has not yet said whose it is.
struct Greeting {
    stream: TcpStream,
    bytes: [u8; Hello::BYTES],
    got: usize,
}

impl Mesh {
    /// Listens on a free port of `address`.
    ///
    /// # Errors
    /// If the address is not this host's, or the kernel lacks an option (a congestion control, say).
    pub(crate) fn listen(
        rank: usize,
        address: IpAddr,
        nonce: u64,
        options: TransportOptions,
    ) -> Result<Self, TransportError> {
        let socket = open_socket(address, &options)?;
        let listen = || -> io::Result<TcpListener> {
            socket.bind(&SocketAddr::new(address, 0).into())?;
            // The kernel caps it at net.core.somaxconn.
            socket.listen(4096)?;
            Ok(socket.into())
        };
        let listener = listen().map_err(system(format!("listen on {address}")))?;
        let address = listener
            .local_addr()
            .map_err(system("read the listening address".into()))?;
        Ok(Self {
            rank,
            nonce,
            options,
            address,
            listener,
            peers: Vec::new(),
            outbound: BTreeMap::new(),
            inbound: BTreeMap::new(),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells where each rank listens.
    pub(crate) fn set_peers(&mut self, peers: Vec<SocketAddr>) {
        self.peers = peers;
    }

    /// Opens what is missing to `destinations`, and waits for what is missing from `sources`.
    ///
    /// # Errors
    /// If a peer refuses, or nothing happens for `patience`.
    pub(crate) fn connect(
        &mut self,
        destinations: &[usize],
        sources: &[usize],
        patience: Duration,
        attendant: &mut dyn Attendant,
    ) -> Result<(), TransportError> {
        let mut opening = self.open(destinations, patience)?;
        let mut greeting: Vec<Greeting> = Vec::new();
        let mut progress = Instant::now();
        loop {
            if self.finish_opening(&mut opening)?
                | self.accept(&mut greeting)?
                | self.greet(&mut greeting)
            {
                progress = Instant::now();
            }
            let awaited = sources.iter().find(|&&source| !self.is_complete(source));
            let waited = progress.elapsed();
            match (opening.first(), awaited) {
                (None, None) => return Ok(()),
                (Some(first), _) if waited > patience => {
                    return Err(TransportError::Unreachable {
                        peer: first.peer,
                        source: io::Error::new(
                            io::ErrorKind::TimedOut,
                            format!(
                                "{} did not answer for {:.1} s",
                                self.peers[first.peer],
                                waited.as_secs_f64()
                            ),
                        ),
                    });
                }
                (None, Some(&peer)) if waited > patience => {
                    return Err(TransportError::Stalled {
                        peer,
                        what: "no connection from",
                        waited,
                    });
                }
                _ => {}
            }
            attendant.attend(now_ns(), self);
            wait(&self.listener, &opening, &greeting)?;
        }
    }

    /// The connections to `peer`, by number.
    pub(super) fn outbound(&self, peer: usize) -> Vec<&TcpStream> {
        self.outbound
            .get(&peer)
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect()
    }

    /// The connections from `peer`, by number.
    pub(super) fn inbound(&self, peer: usize) -> Vec<&TcpStream> {
        self.inbound
            .get(&peer)
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect()
    }

    fn is_complete(&self, source: usize) -> bool {
        self.inbound.get(&source).map_or(0, BTreeMap::len) == self.options.connections
    }

    /// Starts every missing connection at once: over a WAN each takes a round trip.
    fn open(
        &self,
        destinations: &[usize],
        patience: Duration,
    ) -> Result<Vec<Opening>, TransportError> {
        let mut opening = Vec::new();
        for &peer in destinations
            .iter()
            .filter(|peer| !self.outbound.contains_key(peer))
        {
            for connection in 0..self.options.connections {
                let socket = open_socket(self.address.ip(), &self.options)?;
                let start = || -> io::Result<()> {
                    socket.set_tcp_nodelay(true)?;
                    socket.set_tcp_user_timeout(Some(patience))?;
                    socket.bind(&SocketAddr::new(self.address.ip(), 0).into())?;
                    match socket.connect(&self.peers[peer].into()) {
                        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                        _ => Ok(()),
                    }
                };
                start().map_err(|source| TransportError::Unreachable { peer, source })?;
                opening.push(Opening {
                    peer,
                    connection: connection as u32,
                    socket,
                });
            }
        }
        Ok(opening)
    }

    /// Greets on every connection whose handshake is done; whether there was one.
    fn finish_opening(&mut self, opening: &mut Vec<Opening>) -> Result<bool, TransportError> {
        let mut done = Vec::new();
        for (
            index,
            Opening {
                peer,
                connection,
                socket,
            },
        ) in opening.iter().enumerate()
        {
            let unreachable = |source| TransportError::Unreachable {
                peer: *peer,
                source,
            };
            if let Some(error) = socket.take_error().map_err(unreachable)? {
                return Err(unreachable(error));
            }
            if socket.peer_addr().is_err() {
                continue;
            }
            let hello = Hello {
                nonce: self.nonce,
                from: self.rank as u32,
                connection: *connection,
            };
            // Fits any fresh send buffer.
            (&*socket).write_all(&hello.encode()).map_err(unreachable)?;
            done.push(index);
        }
        for &index in done.iter().rev() {
            let Opening {
                peer,
                connection,
                socket,
            } = opening.swap_remove(index);
            self.outbound
                .entry(peer)
                .or_default()
                .insert(connection, socket.into());
        }
        Ok(!done.is_empty())
    }

    fn accept(&self, greeting: &mut Vec<Greeting>) -> Result<bool, TransportError> {
        let mut any = false;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream
                        .set_nonblocking(true)
                        .map_err(system("accept a connection".into()))?;
                    greeting.push(Greeting {
                        stream,
                        bytes: [0; Hello::BYTES],
                        got: 0,
                    });
                    any = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                // The peer gave up between its handshake and here; it says why itself.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(source) => return Err(system("accept a connection".into())(source)),
            }
        }
    }

    /// Reads greetings; connections of strangers are dropped.
    fn greet(&mut self, greeting: &mut Vec<Greeting>) -> bool {
        let mut any = false;
        let mut waiting = Vec::new();
        for mut greeting in greeting.drain(..) {
            match greeting.stream.read(&mut greeting.bytes[greeting.got..]) {
                Ok(0) => {}
                Ok(got) if greeting.got + got == Hello::BYTES => {
                    let hello = Hello::decode(greeting.bytes);
                    if hello.nonce == self.nonce
                        && (hello.connection as usize) < self.options.connections
                    {
                        let connections = self.inbound.entry(hello.from as usize).or_default();
                        connections.insert(hello.connection, greeting.stream);
                        any = true;
                    }
                }
                Ok(got) => {
                    greeting.got += got;
                    waiting.push(greeting);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => waiting.push(greeting),
                Err(_) => {}
            }
        }
        *greeting = waiting;
        any
    }
}

impl Connections for Mesh {
    /// TCP_INFO of every connection this rank sends on; `at_ns` is now on CLOCK_MONOTONIC. A connection that cannot be
    /// read is left out: its loss shows where data is moved.
    fn sample(&self, at_ns: u64) -> Vec<ConnectionSample> {
        let streams = self.outbound.iter().flat_map(|(&to, streams)| {
            streams
                .iter()
                .map(move |(&connection, stream)| (to, connection as usize, stream))
        });
        streams
            .filter_map(|(to, connection, stream)| {
                let info = TcpInfo::of(stream).ok()?;
                Some(ConnectionSample {
                    at_ns,
                    from: self.rank,
                    to,
                    connection,
                    rtt_us: info.rtt,
                    cwnd_bytes: u64::from(info.snd_cwnd) * u64::from(info.snd_mss()),
                    retransmits: u64::from(info.total_retrans),
                    pacing_rate_bps: (info.pacing_rate != u64::MAX)
                        .then(|| info.pacing_rate.saturating_mul(8)),
                    delivery_rate_bps: info.delivery_rate.saturating_mul(8),
                    bytes_acked: info.bytes_acked,
                    bytes_sacked: u64::from(info.sacked) * u64::from(info.snd_mss()),
                    marked_bytes: None,
                })
            })
            .collect()
    }
}

/// A socket with the options that must be set before it is bound, connected or listens.
fn open_socket(address: IpAddr, options: &TransportOptions) -> Result<Socket, TransportError> {
    let domain = if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(system("open a TCP socket".into()))?;
    if let Some(name) = &options.congestion_control {
        socket.set_tcp_congestion(name.as_bytes()).map_err(system(format!(
            "use congestion control {name} (is it in net.ipv4.tcp_allowed_congestion_control? `modprobe tcp_{name}` loads it)"
        )))?;
    }
    if let Some(bytes) = options.socket_buffer {
        let set = |bytes| {
            socket
                .set_send_buffer_size(bytes)
                .and_then(|()| socket.set_recv_buffer_size(bytes))
        };
        set(bytes as usize).map_err(system(format!("set socket buffers of {bytes} B")))?;
    }
    Ok(socket)
}

/// Sleeps until something can go on.
fn wait(
    listener: &TcpListener,
    opening: &[Opening],
    greeting: &[Greeting],
) -> Result<(), TransportError> {
    let mut polled = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    polled.extend(
        opening
            .iter()
            .map(|opening| PollFd::new(opening.socket.as_fd(), PollFlags::POLLOUT)),
    );
    polled.extend(
        greeting
            .iter()
            .map(|greeting| PollFd::new(greeting.stream.as_fd(), PollFlags::POLLIN)),
    );
    let timeout = PollTimeout::try_from(ATTENTION).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(system("wait for connections".into())(errno.into())),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NONCE: u64 = 77;

    /// Nobody asks.
    pub(crate) struct Alone;

    impl Attendant for Alone {
        fn attend(&mut self, _: u64, _: &dyn Connections) {}
    }

    /// A rank on loopback.
    pub(crate) fn listen(rank: usize) -> Mesh {
        let options = TransportOptions {
            congestion_control: None,
            connections: 2,
            socket_buffer: None,
            chunk_bytes: 1000,
            message: None,
        };
        Mesh::listen(rank, Ipv4Addr::LOCALHOST.into(), NONCE, options).unwrap()
    }

    /// Two ranks, connected from the first to the second.
    pub(crate) fn pair() -> (Mesh, Mesh) {
        let (mut sender, mut receiver) = (listen(0), listen(1));
        sender.set_peers(vec![sender.address(), receiver.address()]);
        sender
            .connect(&[1], &[], Duration::from_secs(5), &mut Alone)
            .unwrap();
        receiver
            .connect(&[], &[0], Duration::from_secs(5), &mut Alone)
            .unwrap();
        (sender, receiver)
    }

    #[test]
    fn both_ends_number_their_connections_alike() {
        let (sender, receiver) = pair();
        let ours: Vec<_> = sender
            .outbound(1)
            .iter()
            .map(|stream| stream.local_addr().unwrap())
            .collect();
        let theirs: Vec<_> = receiver
            .inbound(0)
            .iter()
            .map(|stream| stream.peer_addr().unwrap())
            .collect();
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 2);
    }

    #[test]
    fn a_peer_that_does_not_listen_is_named() {
        let mut mesh = listen(0);
        let gone = listen(1).address();
        mesh.set_peers(vec![mesh.address(), gone]);
        let error = mesh
            .connect(&[1], &[], Duration::from_secs(5), &mut Alone)
            .unwrap_err();
        assert!(
            matches!(&error, TransportError::Unreachable { peer: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[test]
    fn a_peer_that_never_connects_is_named_and_a_stranger_is_not_taken_for_it() {
        let mut mesh = listen(0);
        let mut stranger = TcpStream::connect(mesh.address()).unwrap();
        stranger
            .write_all(
                &Hello {
                    nonce: NONCE + 1,
                    from: 2,
                    connection: 0,
                }
                .encode(),
            )
            .unwrap();
        let error = mesh
            .connect(&[], &[2], Duration::from_millis(300), &mut Alone)
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no connection from rank 2 for 0."),
            "{error}"
        );
        assert!(mesh.inbound(2).is_empty());
    }
}
