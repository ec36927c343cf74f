//! What must be tried to be known.

use std::fs::OpenOptions;
use std::io;
use std::mem::size_of;
use std::path::Path;
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
use crate::netem::probe::{DISCIPLINES, NEEDS, Need, explained, in_scratch_namespace};
use crate::sandbox::Privilege;
use crate::tc::socket::Socket;
use crate::tc::{LOOPBACK, Object, Qdisc, ROOT_HANDLE};

/// What labs use beside what [`NEEDS`] and [`DISCIPLINES`] name.
const TRIALS: [Need; 6] = [
    Need {
        name: "veth",
        needed_for: "every lab",
        module: "veth",
        option: "CONFIG_VETH",
        try_out: veth,
    },
    Need {
        name: "AF_PACKET with vnet headers",
        needed_for: "the relay engine",
        module: "af_packet",
        option: "CONFIG_PACKET",
        try_out: |_| packet_socket(),
    },
    Need {
        name: "fq",
        needed_for: "bbr's pacing by the qdisc (TCP paces by itself without)",
        module: "sch_fq",
        option: "CONFIG_NET_SCH_FQ",
        try_out: |socket| knows(socket, "fq"),
    },
    Need {
        name: "ifb",
        needed_for: "shaping what arrives",
        module: "ifb",
        option: "CONFIG_IFB",
        try_out: |socket| add_link(socket, link("probe", InfoKind::Ifb, None)),
    },
    Need {
        name: "TUN",
        needed_for: "engines on layer 3",
        module: "tun",
        option: "CONFIG_TUN",
        try_out: |_| open_device(TUN),
    },
    Need {
        name: "AF_XDP",
        needed_for: "data planes past the kernel's stack",
        module: "xsk_diag",
        option: "CONFIG_XDP_SOCKETS",
        try_out: |_| {
            let opened = RawSocket::new(Domain::from(libc::AF_XDP), Type::RAW, None);
            kernel("open an AF_XDP socket", opened.map(drop))
        },
    },
];

const TUN: &str = "/dev/net/tun";
const LATENCY: &str = "/dev/cpu_dma_latency";

/// Tries everything that needs a network namespace of its own and the rights to fill it.
pub(super) fn in_the_sandbox(remedies: &Remedies, privilege: Privilege) -> Vec<Capability> {
    let trials = NEEDS.iter().chain(&DISCIPLINES).chain(&TRIALS).map(|need| {
        let state = match in_scratch_namespace(need.try_out) {
            Ok(()) => State::Present("works".into()),
            Err(reason) => {
                // It says which of several qdiscs failed; where there is one, the line has its name already.
                let prefix = format!("{}: ", need.name);
                let reason = reason.strip_prefix(&prefix).unwrap_or(&reason);
                let remedy = match need.name {
                    "TUN" if Path::new(TUN).exists() => permission_for(TUN, privilege),
                    _ => remedies.module(need.module, need.option),
                };
                State::missing(reason, Some(remedy))
            }
        };
        Capability::new(need.name, state, need.needed_for)
    });
    trials.collect()
}

/// Tries what labs can use of the machine itself.
pub(super) fn on_the_host(privilege: Privilege) -> Vec<Capability> {
    let state = |outcome: Result<(), String>, remedy: String| match outcome {
        Ok(()) => State::Present("permitted".into()),
        Err(reason) => State::missing(reason, Some(remedy)),
    };
    let priority = match privilege {
        Privilege::Root => "in a container, start it with `--cap-add SYS_NICE`",
        Privilege::Rootless => {
            "run longhaul as root; or write `NAME - rtprio 1`, with your user's name, into /etc/security/limits.conf and log in again"
        }
    };
    vec![
        Capability::new(
            "SCHED_FIFO",
            state(real_time(), priority.to_owned()),
            "a relay that is on time on busy machines",
        ),
        Capability::new(
            LATENCY,
            state(open_device(LATENCY), permission_for(LATENCY, privilege)),
            "CPUs that wake up at once",
        ),
    ]
}

/// How to be allowed to use a device.
fn permission_for(device: &str, privilege: Privilege) -> String {
    match privilege {
        Privilege::Root => format!("in a container, start it with `--device {device}`"),
        Privilege::Rootless => {
            format!("run longhaul as root; or, until the next boot: sudo chmod a+rw {device}")
        }
    }
}

/// Whether the kernel has a qdisc of that kind. One that it refuses for want of options (`red`) it has.
fn knows(socket: &mut Socket, kind: &'static str) -> Result<(), String> {
    let qdisc = Qdisc {
        object: Object::Qdisc,
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
        for capability in in_the_sandbox(&remedies, Privilege::of_this_process()) {
            println!("{}: {:?}", capability.name, capability.state);
            match capability.state {
                State::Missing { reason, .. } if reason.starts_with(&capability.name) => {
                    panic!("{}: {reason}", capability.name)
                }
                State::Present(detail) => assert_eq!(detail, "works"),
                State::Missing { reason, remedy } => {
                    assert!(!reason.is_empty() && remedy.is_some());
                }
                State::Unknown(reason) => panic!("{}: {reason}", capability.name),
            }
        }
    }

    #[test]
    fn root_is_not_told_to_become_root_nor_a_user_to_load_what_is_there() {
        let of = |privilege| permission_for(TUN, privilege);
        assert_eq!(
            of(Privilege::Root),
            "in a container, start it with `--device /dev/net/tun`"
        );
        let user = of(Privilege::Rootless);
        assert!(user.contains("sudo chmod a+rw /dev/net/tun"), "{user}");
        for capability in on_the_host(Privilege::Root) {
            if let State::Missing { remedy, .. } = capability.state {
                assert!(remedy.unwrap().starts_with("in a container"));
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
