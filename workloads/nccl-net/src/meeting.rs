//! Two ends meet: the sending one connects to the address in the handle, they greet, and then have a carrier.
//!
//! Both sides block, for as long as their patience: this is for a communicator's own thread.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use longhaul_workloads::world::{MessageOptions, nonce};
use longhaul_workloads::{ReceivingEnd, SendingEnd};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use crate::carrier::message::{self, Connection, PIECE};
use crate::carrier::{Carrier, Wake, tcp};
use crate::error::{Error, system};
use crate::greeting::{Greeting, agreed};
use crate::handle::Handle;
use crate::settings::Transport;

/// How this end would have it.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) transport: Transport,
    pub(crate) options: MessageOptions,
    pub(crate) patience: Duration,
}

/// Connects from the interface at `from` to the end that made `handle`.
pub(crate) fn connect(
    handle: Handle,
    from: IpAddr,
    terms: Terms,
    wake: &Wake,
) -> Result<Box<dyn Carrier>, Error> {
    let patience = terms.patience;
    let mut stream = dial(from, handle.address, patience).map_err(system(format!(
        "connect from {from} to {}: see NCCL_SOCKET_IFNAME",
        handle.address
    )))?;
    tune(&stream, patience)?;
    let nonce = nonce();
    let end = match terms.transport {
        Transport::Message => {
            let own = stream.local_addr().map_err(Error::PeerLost)?.ip();
            Some(SendingEnd::open(own, nonce, terms.options, PIECE)?)
        }
        Transport::Tcp => None,
    };
    let hello = Greeting {
        key: handle.key,
        nonce,
        transport: terms.transport,
        port: end.as_ref().map_or(0, |end| end.address().port()),
    };
    hello.send(&mut stream).map_err(Error::PeerLost)?;
    let welcome = Greeting::receive(&mut stream)
        .map_err(Error::PeerLost)?
        .filter(|welcome| (welcome.key, welcome.nonce) == (hello.key, hello.nonce))
        .ok_or_else(|| stranger(handle.address))?;
    match (welcome.transport, end) {
        (Transport::Message, Some(mut end)) => {
            end.connect(SocketAddr::new(handle.address.ip(), welcome.port), patience)?;
            let connection = Connection::new(stream, wake)?;
            Ok(Box::new(message::Outgoing::new(end, connection)))
        }
        (Transport::Message, None) => Err(stranger(handle.address)),
        (Transport::Tcp, _) => Ok(Box::new(tcp::Outgoing::new(stream)?)),
    }
}

/// Receives who has connected to the end whose handle has that `key`.
pub(crate) fn accept(
    mut stream: TcpStream,
    peer: SocketAddr,
    key: u64,
    terms: Terms,
    wake: &Wake,
) -> Result<Box<dyn Carrier>, Error> {
    let patience = terms.patience;
    tune(&stream, patience)?;
    // Whoever does not know the key is no peer, whatever it says or does not say.
    let hello = Greeting::receive(&mut stream).ok().flatten();
    let hello = hello
        .filter(|hello| hello.key == key)
        .ok_or_else(|| stranger(peer))?;
    let transport = agreed(hello.transport, terms.transport);
    let end = match transport {
        Transport::Message => {
            let own = stream.local_addr().map_err(Error::PeerLost)?.ip();
            Some(ReceivingEnd::open(own, hello.nonce, terms.options, PIECE)?)
        }
        Transport::Tcp => None,
    };
    let welcome = Greeting {
        transport,
        port: end.as_ref().map_or(0, |end| end.address().port()),
        ..hello
    };
    welcome.send(&mut stream).map_err(Error::PeerLost)?;
    match end {
        Some(mut end) => {
            end.accept(SocketAddr::new(peer.ip(), hello.port), patience)?;
            let connection = Connection::new(stream, wake)?;
            Ok(Box::new(message::Incoming::new(end, connection)))
        }
        None => Ok(Box::new(tcp::Incoming::new(stream)?)),
    }
}

fn stranger(peer: SocketAddr) -> Error {
    Error::Stranger {
        peer: peer.to_string(),
    }
}

/// Connects from `from`, so that what comes back comes to that interface; from anywhere if the families differ.
fn dial(from: IpAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if from.is_ipv4() == to.is_ipv4() {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect_timeout(&to.into(), patience)?;
    Ok(socket.into())
}

/// Small messages leave at once; a peer that is not heard for `patience` is given up, also while nothing is sent.
fn tune(stream: &TcpStream, patience: Duration) -> Result<(), Error> {
    /// Times that a silent peer is asked.
    const ASKED: u32 = 4;
    let tune = || -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let socket = SockRef::from(stream);
        socket.set_tcp_user_timeout(Some(patience))?;
        // Whole seconds, as the kernel has them.
        let least = Duration::from_secs(1);
        let keepalive = TcpKeepalive::new()
            .with_time((patience / 2).max(least))
            .with_interval((patience / 2 / ASKED).max(least))
            .with_retries(ASKED);
        socket.set_tcp_keepalive(&keepalive)
    };
    tune().map_err(system("set up the connection to the peer"))
}
