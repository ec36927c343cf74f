//! Whatever frame reaches the relay leaves it as it was, or is counted; nothing stops it.

#[path = "support/flows.rs"]
mod flows;
#[path = "support/pair.rs"]
mod pair;

use std::io;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use longhaul_topologies::model::{
    Channel, CoDel, Direction, FqCoDel, Loss, QueueDiscipline, Signal,
};
use longhaul_topologies::units::ByteSize;
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use flows::{
    DEADLINE, attach, counters_when, limited, percent, receive_with_control, settled, sockets,
    warm_up,
};
use pair::{Host, Join, Pair, delay, ip};

fn main() -> ExitCode {
    flows::run([
        (
            "frames_of_every_kind_leave_as_they_came",
            frames_of_every_kind_leave_as_they_came,
        ),
        (
            "frames_of_noise_do_no_harm_and_none_is_unaccounted_for",
            frames_of_noise_do_no_harm_and_none_is_unaccounted_for,
        ),
        (
            "jumbo_frames_pass_where_the_mtu_allows_them_and_count_where_not",
            jumbo_frames_pass_where_the_mtu_allows_them_and_count_where_not,
        ),
    ])
}

/// From the other host's address to everybody, so that no host answers or drops it before the packet socket sees it.
const ADDRESSES: [u8; 12] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x77];

/// Every header that a parser may stumble over.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    let udp = [0x13, 0x88, 0, 80, 0, 12, 0, 0, 1, 2, 3, 4];
    let ipv4 = |head: [u8; 8], options: &[u8], payload: &[u8]| {
        let mut packet = vec![0x40 | (5 + options.len() / 4) as u8, head[0]];
        packet.extend(((20 + options.len() + payload.len()) as u16).to_be_bytes());
        packet.extend([
            0, 9, head[1], head[2], 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        packet.extend(options);
        packet.extend(payload);
        packet
    };
    let ipv6 = |next: u8, payload: &[u8]| {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((payload.len() as u16).to_be_bytes());
        packet.extend([next, 64]);
        packet.extend([0xfd; 32]);
        packet.extend(payload);
        packet
    };
    let mut packets = vec![
        ("plain", 0x0800_u16, ipv4([0; 8], &[], &udp)),
        (
            "IP options",
            0x0800,
            ipv4([0; 8], &[7, 7, 4, 0, 0, 0, 0, 0], &udp),
        ),
        (
            "a first fragment",
            0x0800,
            ipv4([0, 0x20, 0, 0, 0, 0, 0, 0], &[], &udp),
        ),
        (
            "a later fragment",
            0x0800,
            ipv4([0, 0x00, 0x64, 0, 0, 0, 0, 0], &[], &udp),
        ),
        ("a length beyond the frame", 0x0800, {
            let mut packet = ipv4([0; 8], &[], &udp);
            packet[2] = 0xff;
            packet
        }),
        ("a header beyond the frame", 0x0800, {
            let mut packet = ipv4([0; 8], &[], &[]);
            packet[0] = 0x4f;
            packet
        }),
        ("cut off in the header", 0x0800, vec![0x45, 0, 0]),
        ("IPv6", 0x86dd, ipv6(17, &udp)),
        ("IPv6 extension headers", 0x86dd, {
            let mut payload = vec![60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
            payload.extend(udp);
            ipv6(0, &payload)
        }),
        ("an IPv6 fragment", 0x86dd, {
            let mut payload = vec![17, 0, 0, 9, 0, 0, 0, 1];
            payload.extend(udp);
            ipv6(44, &payload)
        }),
        (
            "an endless chain of extensions",
            0x86dd,
            ipv6(0, &[0, 0, 1, 4, 0, 0, 0, 0]),
        ),
        ("IPv6 in IPv4", 0x0800, {
            let mut packet = ipv4([0; 8], &[], &ipv6(17, &udp));
            packet[9] = 41;
            packet
        }),
        (
            "ARP",
            0x0806,
            vec![
                0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0,
                9,
            ],
        ),
        ("LLDP", 0x88cc, vec![2, 7, 4, 1, 2, 3, 4, 5, 6, 0, 0]),
        ("an unknown protocol", 0x1234, vec![9; 60]),
        ("a length instead of a type", 46, vec![0; 46]),
        ("nothing but a header", 0x0800, vec![]),
    ];
    let tagged: Vec<_> = packets
        .iter()
        // The kernel itself drops a tag with less than two bytes behind it (`skb_vlan_untag`).
        .filter(|(_, _, packet)| packet.len() >= 2)
        .map(|(name, kind, packet)| {
            let mut inner = vec![0x20, 0x2a];
            inner.extend(kind.to_be_bytes());
            inner.extend(packet);
            (*name, 0x8100, inner)
        })
        .collect();
    packets.extend(tagged);
    let frame = |(name, kind, packet): (&'static str, u16, Vec<u8>)| {
        let mut frame = ADDRESSES.to_vec();
        frame.extend(kind.to_be_bytes());
        frame.extend(packet);
        (name, frame)
    };
    packets.into_iter().map(frame).collect()
}

fn frames_of_every_kind_leave_as_they_came() -> io::Result<()> {
    let fq_codel = QueueDiscipline::FqCoDel(FqCoDel {
        codel: CoDel {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            signal: Signal::Mark,
        },
        quantum: ByteSize::from_bytes(1514),
        flows: 1024,
    });
    let through_a_queue = Channel {
        discipline: fq_codel,
        ..limited(1_000_000_000, 1 << 20, Duration::ZERO)
    };
    for channel in [delay(Duration::ZERO), through_a_queue] {
        let pair = Pair::new(Join::Lane)?;
        let _relay = attach(channel, delay(Duration::ZERO));
        let (a, b) = (raw(&pair.a)?, raw(&pair.b)?);
        for (name, frame) in kinds() {
            a.send(&frame)?;
            let arrived = next_of_ours(&b).map_err(|error| {
                io::Error::other(format!("{name} ({} bytes): {error}", frame.len()))
            })?;
            assert_eq!(arrived, frame, "{name}");
        }
    }
    Ok(())
}

fn frames_of_noise_do_no_harm_and_none_is_unaccounted_for() -> io::Result<()> {
    const FRAMES: u64 = 5_000;
    let harsh = Channel {
        loss: Loss::Independent(percent(5.0)),
        duplication: percent(5.0),
        corruption: percent(20.0),
        ..limited(1_000_000_000, 1 << 20, Duration::from_millis(1))
    };
    let pair = Pair::new(Join::Lane)?;
    let mut relay = attach(harsh, delay(Duration::ZERO));
    pair.introduce()?;
    let [a, b] = sockets(&pair)?;
    warm_up(&a, &b)?;
    let before = settled(&mut relay, Direction::Forward);
    let socket = raw(&pair.a)?;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let kinds = kinds();
    for number in 0..FRAMES {
        // A known frame with some bytes changed and cut off, or noise alone.
        let mut frame = match rng.random_range(0..4) {
            0 => {
                let mut noise = vec![0; rng.random_range(14..1514)];
                rng.fill_bytes(&mut noise);
                noise
            }
            _ => {
                let mut frame = kinds[rng.random_range(0..kinds.len())].1.clone();
                for _ in 0..rng.random_range(1..6) {
                    let at = rng.random_range(0..frame.len());
                    frame[at] = rng.random();
                }
                frame.truncate(rng.random_range(14..frame.len() + 1));
                frame
            }
        };
        frame[..12].copy_from_slice(&ADDRESSES);
        // Before the relay sees them, the kernel drops tagged frames that are too short.
        frame.resize(frame.len().max(60), 0);
        socket.send(&frame)?;
        if number % 64 == 0 {
            // Slow enough for an unoptimised relay beside other work.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let after = settled(&mut relay, Direction::Forward);
    println!("{after:?}");
    let lost = after.losses.unwrap_or(0) - before.losses.unwrap_or(0);
    let delivered = after.packets - before.packets;
    // Frames the kernel refuses to send again count as the engine's.
    assert!(delivered + lost + after.engine_drops >= FRAMES, "{after:?}");
    assert!(delivered + lost <= FRAMES * 11 / 10, "{after:?}");
    // And it still works.
    warm_up(&a, &b)
}

fn jumbo_frames_pass_where_the_mtu_allows_them_and_count_where_not() -> io::Result<()> {
    let pair = Pair::new(Join::Lane)?;
    let mut relay = attach(delay(Duration::ZERO), delay(Duration::ZERO));
    // Longer than the lane's own MTU, which the rings were made for: they go to the ring for super-packets.
    for name in ["la", "lb"] {
        ip(&format!("link set {name} mtu 9000"))?;
    }
    for host in [&pair.a, &pair.b] {
        host.run(|| ip("link set eth0 mtu 9000"))?;
    }
    let (a, b) = (raw(&pair.a)?, raw(&pair.b)?);
    let mut frame = ADDRESSES.to_vec();
    frame.extend([0x12, 0x34]);
    frame.resize(9_000, 5);
    a.send(&frame)?;
    assert_eq!(next_of_ours(&b)?, frame);
    // One that the way out does not take is counted.
    ip("link set lb mtu 1500")?;
    a.send(&frame)?;
    counters_when(&mut relay, Direction::Forward, |now| now.engine_drops > 0);
    Ok(())
}

/// A packet socket on the host's interface, for frames as they are.
fn raw(host: &Host) -> io::Result<Socket> {
    host.run(|| {
        let everything = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(everything)))?;
        socket.set_read_timeout(Some(DEADLINE))?;
        // SAFETY: the address is an all-zero sockaddr_ll with its fields filled in, of just its length.
        let (_, address) = unsafe {
            SockAddr::try_init(|storage, length| {
                let address = storage.cast::<libc::sockaddr_ll>();
                (*address).sll_family = libc::AF_PACKET as u16;
                (*address).sll_protocol = (libc::ETH_P_ALL as u16).to_be();
                (*address).sll_ifindex = if_nametoindex("eth0")? as i32;
                *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
                Ok(())
            })
        }?;
        socket.bind(&address)?;
        let on: libc::c_int = 1;
        // SAFETY: the option takes an int, which outlives the call.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_AUXDATA,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        Errno::result(answer)?;
        Ok(socket)
    })
}

/// The next frame from [`ADDRESSES`], with the VLAN tag put back that the kernel takes out of it (packet(7),
/// `PACKET_AUXDATA`).
fn next_of_ours(socket: &Socket) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let mut frame = vec![0; 10_000];
        let (length, control) = receive_with_control(socket, &mut frame)?;
        frame.truncate(length);
        if !frame.starts_with(&ADDRESSES) {
            continue;
        }
        assert_eq!(control.len(), size_of::<libc::tpacket_auxdata>());
        // SAFETY: as long as the structure, which any bytes are.
        let auxiliary = unsafe {
            control
                .as_ptr()
                .cast::<libc::tpacket_auxdata>()
                .read_unaligned()
        };
        if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
            let tag = [auxiliary.tp_vlan_tpid, auxiliary.tp_vlan_tci].map(u16::to_be_bytes);
            frame.splice(12..12, tag.concat());
        }
        return Ok(frame);
    }
    Err(io::ErrorKind::TimedOut.into())
}
