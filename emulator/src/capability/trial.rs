//! What must be tried to be known.

use std::fs::OpenOptions;
use std::io;
use std::mem::size_of;
use std::thread;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::tc::TcHandle;
use socket2::{Domain, Socket as RawSocket, Type};
use std::os::fd::AsRawFd;

use super::remedy::Remedies;
use super::{Capability, State};
use crate::netem::probe::{
    LOOPBACK, explained, in_scratch_namespace, sample_bottleneck, sample_delay_line, try_qdiscs,
    try_redirect,
};
use crate::tc::socket::Socket;
use crate::tc::{Qdisc, ROOT_HANDLE};

/// Something that works in a scratch network namespace, or does not.
struct Trial {
    name: &'static str,
    needed_for: &'static str,
    /// The module that has it, and the kernel option it is built by.
    module: (&'static str, &'static str),
    run: fn(&mut Socket) -> Result<(), String>,
}

const NETEM_ENGINE: &str = "the netem engine (the relay does without)";

const TRIALS: [Trial; 12] = [
    Trial {
        name: "veth",
        needed_for: "every lab",
        module: ("veth", "CONFIG_VETH"),
        run: veth,
    },
    Trial {
        name: "AF_PACKET with vnet headers",
        needed_for: "the relay engine",
        module: ("af_packet", "CONFIG_PACKET"),
        run: |_| packet_socket(),
    },
    Trial {
        name: "netem",
        needed_for: NETEM_ENGINE,
        module: ("sch_netem", "CONFIG_NET_SCH_NETEM"),
        run: |socket| try_qdiscs(socket, &[sample_delay_line()]),
    },
    Trial {
        name: "tbf",
        needed_for: "ports with a rate; the netem engine",
        module: ("sch_tbf", "CONFIG_NET_SCH_TBF"),
        run: |socket| try_qdiscs(socket, &sample_bottleneck()),
    },
    Trial {
        name: "ingress, mirred, matchall or u32",
        needed_for: NETEM_ENGINE,
        module: (
            "act_mirred",
            "CONFIG_NET_ACT_MIRRED, CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_U32",
        ),
        run: try_redirect,
    },
    Trial {
        name: "fq",
        needed_for: "bbr's pacing by the qdisc (TCP paces by itself without)",
        module: ("sch_fq", "CONFIG_NET_SCH_FQ"),
        run: |socket| knows(socket, "fq"),
    },
    Trial {
        name: "fq_codel",
        needed_for: "queues that mark or drop early",
        module: ("sch_fq_codel", "CONFIG_NET_SCH_FQ_CODEL"),
        run: |socket| knows(socket, "fq_codel"),
    },
    Trial {
        name: "codel",
        needed_for: "queues that mark or drop early",
        module: ("sch_codel", "CONFIG_NET_SCH_CODEL"),
        run: |socket| knows(socket, "codel"),
    },
    Trial {
        name: "red",
        needed_for: "queues that mark or drop early",
        module: ("sch_red", "CONFIG_NET_SCH_RED"),
        run: |socket| knows(socket, "red"),
    },
    Trial {
        name: "ifb",
        needed_for: "shaping what arrives",
        module: ("ifb", "CONFIG_IFB"),
        run: |socket| add_link(socket, link("probe", InfoKind::Ifb, None)),
    },
    Trial {
        name: "TUN",
        needed_for: "engines on layer 3",
        module: ("tun", "CONFIG_TUN"),
        run: |_| open_device("/dev/net/tun"),
    },
    Trial {
        name: "AF_XDP",
        needed_for: "data planes past the kernel's stack",
        module: ("xsk_diag", "CONFIG_XDP_SOCKETS"),
        run: |_| {
            let opened = RawSocket::new(Domain::from(libc::AF_XDP), Type::RAW, None);
            kernel("open an AF_XDP socket", opened.map(drop))
        },
    },
];

/// Tries everything that needs a network namespace of its own and the rights to fill it.
pub(super) fn in_the_sandbox(remedies: &Remedies) -> Vec<Capability> {
    let trials = TRIALS.iter().map(|trial| {
        let state = match in_scratch_namespace(trial.run) {
            Ok(()) => State::Present("works".into()),
            Err(reason) => State::missing(
                reason,
                Some(remedies.module(trial.module.0, trial.module.1)),
            ),
        };
        Capability::new(trial.name, state, trial.needed_for)
    });
    trials.collect()
}

/// Tries what labs can use of the machine itself.
pub(super) fn on_the_host() -> Vec<Capability> {
    let state = |outcome: Result<(), String>, remedy: &str| match outcome {
        Ok(()) => State::Present("permitted".into()),
        Err(reason) => State::missing(reason, Some(remedy.into())),
    };
    vec![
        Capability::new(
            "SCHED_FIFO",
            state(
                real_time(),
                "run as root, or allow it to your user: rtprio 10 in /etc/security/limits.conf",
            ),
            "a relay that is on time on busy machines",
        ),
        Capability::new(
            "/dev/cpu_dma_latency",
            state(
                open_device("/dev/cpu_dma_latency"),
                "run as root, or: sudo chmod a+rw /dev/cpu_dma_latency",
            ),
            "CPUs that wake up at once",
        ),
    ]
}

/// Whether the kernel has a qdisc of that kind. One that it refuses for want of options (`red`) it has.
fn knows(socket: &mut Socket, kind: &'static str) -> Result<(), String> {
    let qdisc = Qdisc {
        parent: TcHandle::ROOT,
        handle: ROOT_HANDLE,
        kind,
        options: Vec::new(),
    };
    match socket.request(qdisc.request(LOOPBACK)) {
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(explained(&error)),
        _ => Ok(()),
    }
}

fn veth(socket: &mut Socket) -> Result<(), String> {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![LinkAttribute::IfName("probe-b".into())];
    add_link(
        socket,
        link(
            "probe-a",
            InfoKind::Veth,
            Some(InfoData::Veth(InfoVeth::Peer(peer))),
        ),
    )
}

fn link(name: &str, kind: InfoKind, data: Option<InfoData>) -> LinkMessage {
    let mut link = LinkMessage::default();
    let info = std::iter::once(LinkInfo::Kind(kind))
        .chain(data.map(LinkInfo::Data))
        .collect();
    link.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::LinkInfo(info),
    ];
    link
}

fn add_link(socket: &mut Socket, link: LinkMessage) -> Result<(), String> {
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewLink(link));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    socket
        .request(request)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => "this kernel does not have it".into(),
            _ => error.to_string(),
        })
}

/// As the relay opens them: super-packets come whole, with a header that says how to cut them.
fn packet_socket() -> Result<(), String> {
    let socket = RawSocket::new(Domain::PACKET, Type::RAW, None);
    let socket = kernel("open an AF_PACKET socket", socket)?;
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int that outlives the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_VNET_HDR,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    kernel(
        "set PACKET_VNET_HDR",
        nix::errno::Errno::result(result).map_err(io::Error::from),
    )?;
    Ok(())
}

fn open_device(path: &str) -> Result<(), String> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    kernel(&format!("open {path}"), opened.map(drop))
}

/// Whether a thread may have real-time priority; tried on one that ends with it.
fn real_time() -> Result<(), String> {
    let attempt = || {
        let parameter = libc::sched_param { sched_priority: 1 };
        // SAFETY: the parameter outlives the call; 0 is the calling thread.
        let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) };
        nix::errno::Errno::result(result)
            .map(drop)
            .map_err(io::Error::from)
    };
    let outcome = thread::scope(|scope| scope.spawn(attempt).join());
    kernel(
        "take real-time priority",
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    )
}

fn kernel<T>(step: &str, outcome: io::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| format!("cannot {step}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::remedy::Family;
    use super::*;

    #[test]
    fn every_trial_ends_in_works_or_in_a_remedy() {
        let remedies = Remedies {
            family: Family::Other,
            release: "6.1".into(),
        };
        for capability in in_the_sandbox(&remedies) {
            println!("{}: {:?}", capability.name, capability.state);
            match capability.state {
                State::Present(detail) => assert_eq!(detail, "works"),
                State::Missing { reason, remedy } => {
                    assert!(!reason.is_empty() && remedy.is_some());
                }
                State::Unknown(reason) => panic!("{}: {reason}", capability.name),
            }
        }
    }

    #[test]
    fn a_kind_that_no_kernel_has_is_found_missing() {
        let outcome = in_scratch_namespace(|socket| knows(socket, "longhaul-none"));
        assert!(
            outcome
                .unwrap_err()
                .contains("this kernel does not have it")
                || !nix::unistd::geteuid().is_root()
        );
    }
}
