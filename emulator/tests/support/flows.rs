//! Flows between the two hosts of a pair, and the relay between them.

#![allow(dead_code, reason = "each test program uses its part")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use longhaul_emulator::engine::{ChannelCounters, LinkEngine};
use longhaul_emulator::relay::Relay;
use longhaul_topologies::model::{Channel, Direction, QueueLimit};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use nix::libc;

use crate::pair::{A, B, Host, Pair, delay, enter_namespace, ip, plan};

/// A test; an error fails it.
pub type Test = fn() -> io::Result<()>;

/// Runs `tests`, one after the other: each moves this thread into a network namespace of its own.
pub fn run<const N: usize>(tests: [(&str, Test); N]) -> ExitCode {
    if let Err(error) = enter_namespace().and_then(|()| ip("link set lo up")) {
        println!("skipped: cannot make network namespaces with ip(8) here: {error}");
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = tests.map(|(name, test)| Trial::test(name, move || Ok(test()?)));
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

pub const SEED: u64 = 7;
/// How long anything may take that has to happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn attach(forward: Channel, reverse: Channel) -> Relay {
    Relay::attach(&plan(forward, reverse), SEED).expect("the relay attaches to veth interfaces")
}

pub fn percent(percent: f64) -> Probability {
    Probability::new(percent / 100.0).expect("a probability")
}

pub fn limited(bits_per_second: u64, queue: u64, one_way: Duration) -> Channel {
    Channel {
        rate: Some(Rate::from_bits_per_second(bits_per_second)),
        queue_limit: Some(QueueLimit::Bytes(ByteSize::from_bytes(queue))),
        ..delay(one_way)
    }
}

/// Two UDP sockets connected to each other.
pub fn sockets(pair: &Pair) -> io::Result<[UdpSocket; 2]> {
    let bound = |host: &Host, address| -> io::Result<UdpSocket> {
        let socket = host.run(move || UdpSocket::bind((address, 7000)))?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
        Ok(socket)
    };
    let [a, b] = [bound(&pair.a, A)?, bound(&pair.b, B)?];
    a.connect((B, 7000))?;
    b.connect((A, 7000))?;
    Ok([a, b])
}

/// One packet there and back, so that both neighbours are known; repeated where the link may lose it.
pub fn warm_up(a: &UdpSocket, b: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 8];
    for (from, to) in [(a, b), (b, a)] {
        to.set_read_timeout(Some(Duration::from_secs(1)))?;
        let arrived = (0..20).any(|_| from.send(b"hello").is_ok() && to.recv(&mut buffer).is_ok());
        assert!(arrived, "no packet got through");
        to.set_read_timeout(Some(DEADLINE))?;
    }
    Ok(())
}

/// Sends `payload` as datagrams of `size` bytes, in as few super-packets as UDP allows.
pub fn send_grouped(socket: &UdpSocket, payload: &[u8], size: usize) -> io::Result<()> {
    /// `UDP_MAX_SEGMENTS` in linux/udp.h is 64 or 128; a datagram holds 65,507 bytes at most.
    const SEGMENTS: usize = 60;
    let segment = size as libc::c_int;
    // SAFETY: the option takes an int, which outlives the call.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const segment).cast(),
            size_of_val(&segment) as libc::socklen_t,
        )
    };
    nix::errno::Errno::result(answer)?;
    payload
        .chunks(SEGMENTS * size)
        .try_for_each(|chunk| socket.send(chunk).map(|_| ()))
}

pub fn connection(pair: &Pair) -> io::Result<(TcpStream, TcpStream)> {
    let listener = pair.b.run(|| TcpListener::bind((B, 7001)))?;
    let sender = pair
        .a
        .run(|| TcpStream::connect_timeout(&SocketAddr::from((B, 7001)), DEADLINE))?;
    let (receiver, _) = listener.accept()?;
    for stream in [&sender, &receiver] {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
    }
    Ok((sender, receiver))
}

pub fn counters(relay: &mut Relay, direction: Direction) -> ChannelCounters {
    let all = relay.counters().expect("the relay answers");
    all.into_iter()
        .find(|(id, _)| id.direction == direction)
        .expect("every lane has two directions")
        .1
}

/// Those counters once they are as `wanted`, which is to be within [`DEADLINE`].
pub fn counters_when(
    relay: &mut Relay,
    direction: Direction,
    wanted: impl Fn(&ChannelCounters) -> bool,
) -> ChannelCounters {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let now = counters(relay, direction);
        if wanted(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "still {now:?}");
    }
}

/// Receives into `buffer`; answers the length, and the payload of the one control message that the socket asks for.
pub fn receive_with_control(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
) -> io::Result<(usize, Vec<u8>)> {
    let mut control = [MaybeUninit::<usize>::zeroed(); 16];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the buffers outlive the call and are as long as stated.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = nix::errno::Errno::result(received)? as usize;
    // SAFETY: the kernel has filled `control` as `message` says; the header it answers lies within, and so does as much
    // payload as it tells.
    let payload = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message)
            .as_ref()
            .ok_or(io::ErrorKind::NotFound)?;
        let length = header.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
        std::slice::from_raw_parts(libc::CMSG_DATA(header), length).to_vec()
    };
    Ok((length, payload))
}

/// The counters once they have stopped changing for longer than any delay used here, and in ten answers at least: this thread and
/// the relay's may both have waited for a CPU all the time.
pub fn settled(relay: &mut Relay, direction: Direction) -> ChannelCounters {
    let deadline = Instant::now() + DEADLINE;
    let mut last = (counters(relay, direction), Instant::now());
    let mut same = 0;
    loop {
        std::thread::sleep(Duration::from_millis(1));
        let current = counters(relay, direction);
        if current != last.0 {
            last = (current, Instant::now());
            same = 0;
        } else {
            same += 1;
        }
        if same >= 10 && last.1.elapsed() > Duration::from_millis(60) {
            return current;
        }
        assert!(
            Instant::now() < deadline,
            "the counters never settle: {current:?}"
        );
    }
}
