//! Two hosts and a lane between them, in network namespaces of their own, for the relay to carry.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use longhaul_emulator::plan::{LabPlan, Lane, LaneEnd, NodeId};
use longhaul_topologies::Topology;
use longhaul_topologies::model::{Channel, Link, LinkId, SiteId};
use longhaul_topologies::units::{ByteSize, QueueSize};
use nix::sched::{CloneFlags, unshare};

/// Address of host `a`.
pub const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Address of host `b`.
pub const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const MTU: u32 = 1500;
const MAC_A: &str = "02:6c:68:00:00:01";
const MAC_B: &str = "02:6c:68:00:00:02";

/// Two hosts whose only interface leads into the current thread's network namespace.
pub struct Pair {
    pub a: Host,
    pub b: Host,
}

/// A network namespace with a thread that works in it.
pub struct Host {
    jobs: Sender<Box<dyn FnOnce() + Send>>,
    thread: nix::unistd::Pid,
}

/// How the two hosts are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Through two interfaces of the current namespace, for the relay.
    Lane,
    /// By one veth pair.
    #[allow(
        dead_code,
        reason = "not every program that includes this file measures that"
    )]
    Bare,
}

/// Moves this thread into a new network namespace; rootless, into a new user namespace first.
///
/// # Errors
/// If the kernel refuses.
pub fn enter_namespace() -> io::Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if user.is_root() {
        return Ok(unshare(CloneFlags::CLONE_NEWNET)?);
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

impl Pair {
    /// Wires two new hosts in a new namespace for the current thread.
    pub fn new(join: Join) -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        // Only the hosts' frames are to cross a lane.
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
        let pair = Pair {
            a: Host::new()?,
            b: Host::new()?,
        };
        let (a, b) = (pair.a.thread, pair.b.thread);
        match join {
            Join::Lane => {
                ip(&format!(
                    "link add la type veth peer name eth0 address {MAC_A} netns {a}"
                ))?;
                ip(&format!(
                    "link add lb type veth peer name eth0 address {MAC_B} netns {b}"
                ))?;
                ip("link set la up arp off")?;
                ip("link set lb up arp off")?;
            }
            Join::Bare => {
                ip(&format!(
                    "link add la address {MAC_B} type veth peer name eth0 address {MAC_A} netns {a}"
                ))?;
                ip(&format!("link set la netns {b} name eth0"))?;
            }
        }
        for (host, address) in [(&pair.a, A), (&pair.b, B)] {
            host.run(move || {
                ip("link set lo up")?;
                ip(&format!("addr add {address}/24 dev eth0"))?;
                ip("link set eth0 up")?;
                // Room for the bandwidth-delay products of these tests: 128 MB.
                for (name, value) in [
                    ("tcp_rmem", "4096 131072 134217728"),
                    ("tcp_wmem", "4096 131072 134217728"),
                ] {
                    std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value)?;
                }
                std::fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1")
            })?;
        }
        Ok(pair)
    }

    /// Tells each host the other's address, so that no ARP crosses the lane.
    pub fn introduce(&self) -> io::Result<()> {
        for (host, other, mac) in [(&self.a, B, MAC_B), (&self.b, A, MAC_A)] {
            host.run(move || {
                ip(&format!(
                    "neigh replace {other} lladdr {mac} dev eth0 nud permanent"
                ))
            })?;
        }
        Ok(())
    }

    /// Gives new TCP connections between the hosts buffers of up to so many bytes, and no less than 32 MiB.
    #[allow(
        dead_code,
        reason = "not every program that includes this file measures that"
    )]
    pub fn set_tcp_buffers(&self, bytes: u64) -> io::Result<()> {
        let value = format!("4096 131072 {}", bytes.max(32 << 20));
        for host in [&self.a, &self.b] {
            let value = value.clone();
            host.run(move || {
                ["tcp_rmem", "tcp_wmem"].iter().try_for_each(|name| {
                    std::fs::write(format!("/proc/sys/net/ipv4/{name}"), &value)
                })
            })?;
        }
        Ok(())
    }

    /// Has both hosts' kernels cut super-packets before the interface, as for one without offload.
    #[allow(
        dead_code,
        reason = "not every program that includes this file measures that"
    )]
    pub fn forbid_super_packets(&self) -> io::Result<()> {
        for host in [&self.a, &self.b] {
            host.run(|| ip("link set eth0 gso_max_segs 1"))?;
        }
        Ok(())
    }
}

impl Host {
    /// The thread whose network namespace is the host's.
    #[allow(
        dead_code,
        reason = "not every program that includes this file wires more"
    )]
    pub fn thread(&self) -> nix::unistd::Pid {
        self.thread
    }

    fn new() -> io::Result<Self> {
        let (jobs, inbox) = channel::<Box<dyn FnOnce() + Send>>();
        let (ready, started) = channel();
        std::thread::spawn(move || {
            let entered = unshare(CloneFlags::CLONE_NEWNET);
            let first = entered
                .map_err(io::Error::from)
                .and_then(|()| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"));
            // The other side waits for this.
            let _ = ready.send(first.map(|()| nix::unistd::gettid()));
            inbox.into_iter().for_each(|job| job());
        });
        let thread = started.recv().map_err(io::Error::other)??;
        Ok(Host { jobs, thread })
    }

    /// Runs `job` in the host; sockets made there stay there.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let job = Box::new(move || done.send(job()).expect("the caller waits"));
        self.jobs
            .send(job)
            .expect("the host's thread lives as long as the host");
        result.recv().expect("the job answered")
    }
}

/// A plan of one lane over the interfaces of [`Join::Lane`].
pub fn plan(forward: Channel, reverse: Channel) -> LabPlan {
    let end = |interface: &str, address| LaneEnd {
        gateway: NodeId(0),
        interface: "eth0".to_owned(),
        keeper_interface: interface.to_owned(),
        mac: [0; 6],
        ipv4: address,
        ipv6: std::net::Ipv6Addr::UNSPECIFIED,
    };
    let mut plan = LabPlan::new(Topology {
        name: "pair".to_owned(),
        description: String::new(),
        sites: Vec::new(),
        links: Vec::new(),
        mtu: MTU,
    });
    // The sites are not the plan's to bring up, but the link is what its lanes belong to.
    let mut link = Link::alike(SiteId(0), SiteId(1), 1, &forward);
    link.lanes[0].reverse = reverse.clone();
    plan.topology.links = vec![link];
    plan.lanes = vec![Lane {
        link: LinkId(0),
        lane: 0,
        a: end("la", A),
        b: end("lb", B),
        forward,
        reverse,
    }];
    plan
}

/// A channel that only delays.
pub fn delay(delay: Duration) -> Channel {
    Channel {
        delay,
        queue: QueueSize::Bytes(ByteSize::from_bytes(0)),
        ..Channel::of_delay(Duration::ZERO)
    }
}

/// Runs `ip` in the current namespace.
pub fn ip(arguments: &str) -> io::Result<()> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// Runs many commands of `ip`, one a line, in the current namespace.
#[allow(
    dead_code,
    reason = "not every program that includes this file wires many"
)]
pub fn ip_batch(commands: &str) -> io::Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().expect("it was piped");
    input.write_all(commands.as_bytes())?;
    drop(input);
    match child.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("ip -batch failed")),
    }
}
