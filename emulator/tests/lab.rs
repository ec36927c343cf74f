//! Labs on real namespaces, seen with the eyes of the programs in them.

#[macro_use]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::lab::{Lab, LabError, LabOptions};
use longhaul_emulator::plan::{Node, NodeId};
use longhaul_topologies::Topology;
use nix::sys::stat::fstat;
use support::{eventually, topology};

fn main() -> ExitCode {
    support::run(tests![
        every_host_reaches_every_other_by_both_families,
        flows_spread_over_the_lanes_of_a_link,
        a_fabrics_rate_holds_between_its_hosts,
        hosts_have_a_congestion_control_that_the_machine_lists_or_not,
        a_program_sees_the_labs_names_and_no_others,
        names_of_namespaces_lead_to_the_nodes,
        programs_end_with_the_lab,
        labs_follow_one_another_and_leave_nothing,
        a_lab_that_fails_to_come_up_leaves_nothing,
        two_processes_have_labs_at_once,
    ])
}

/// Longest wait for anything, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three sites in a row: from the first to the last is two links.
fn chain() -> Topology {
    topology(
        &[2, 1, 1],
        &[(0, 1, 2), (1, 2, 1)],
        Duration::from_millis(1),
    )
}

async fn up(topology: Topology) -> Lab {
    Lab::up(
        topology,
        &LabOptions {
            engine: EngineChoice::Relay,
            seed: 1,
            ..LabOptions::default()
        },
    )
    .await
    .unwrap()
}

async fn every_host_reaches_every_other_by_both_families() {
    let lab = up(chain()).await;
    let hosts: Vec<NodeId> = lab.plan().hosts().collect();
    for address in [
        |node: &Node| IpAddr::V4(node.ipv4),
        |node: &Node| IpAddr::V6(node.ipv6),
    ] {
        let socket = |&host: &NodeId| {
            lab.namespace(host)
                .run(|| bound(address(lab.plan().node(host))))
                .unwrap()
        };
        let sockets: Vec<UdpSocket> = hosts.iter().map(socket).collect();
        for socket in &sockets {
            for to in &sockets {
                socket.send_to(b"hello", to.local_addr().unwrap()).unwrap();
            }
        }
        let everyone: BTreeSet<SocketAddr> = sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap())
            .collect();
        for socket in &sockets {
            assert_eq!(
                senders(socket, everyone.len()),
                everyone,
                "heard by {:?}",
                socket.local_addr()
            );
        }
    }
    lab.down().await;
}

async fn flows_spread_over_the_lanes_of_a_link() {
    let lab = up(topology(&[1, 1], &[(0, 1, 2)], Duration::from_millis(1))).await;
    let [from, to] = lab.plan().hosts().collect::<Vec<_>>()[..] else {
        unreachable!("two hosts")
    };
    for address in [
        |node: &Node| IpAddr::V4(node.ipv4),
        |node: &Node| IpAddr::V6(node.ipv6),
    ] {
        let before = packets_from_gateway();
        let receiver = lab
            .namespace(to)
            .run(|| bound(address(lab.plan().node(to))))
            .unwrap();
        // All on one lane by chance: 2 in 2^64. All open at once, so that no port comes twice.
        let flow = |_| {
            lab.namespace(from)
                .run(|| bound(address(lab.plan().node(from))))
                .unwrap()
        };
        let flows: Vec<UdpSocket> = (0..64).map(flow).collect();
        for flow in &flows {
            flow.send_to(b"flow", receiver.local_addr().unwrap())
                .unwrap();
        }
        assert_eq!(senders(&receiver, 64).len(), 64);
        for (lane, (before, after)) in before.into_iter().zip(packets_from_gateway()).enumerate() {
            assert!(after > before, "lane {lane} carried nothing");
        }
    }
    lab.down().await;
}

async fn hosts_have_a_congestion_control_that_the_machine_lists_or_not() {
    let listed = |file: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_{file}")).unwrap();
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let default = listed("congestion_control").remove(0);
    let lab = up(chain()).await;
    let hosts: Vec<NodeId> = lab.plan().hosts().collect();
    let (from, to) = (lab.namespace(hosts[0]), lab.plan().node(hosts[3]));
    let used = |address: IpAddr| {
        let connect = || -> std::io::Result<_> {
            let socket = socket2::Socket::new(
                socket2::Domain::for_address((address, 7).into()),
                socket2::Type::STREAM,
                None,
            )?;
            // There is nobody: the route is chosen nevertheless, and with it what the connection uses.
            socket.set_nonblocking(true)?;
            let _ = socket.connect(&SocketAddr::from((address, 7)).into());
            socket.tcp_congestion()
        };
        let name = from.run(connect).unwrap().unwrap();
        let name = String::from_utf8(name).unwrap();
        name.trim_end_matches('\0').to_owned()
    };
    for name in listed("available_congestion_control") {
        lab.set_congestion_control(Some(&name)).unwrap();
        assert_eq!(
            [used(to.ipv4.into()), used(to.ipv6.into())],
            [&*name, &*name]
        );
    }
    lab.set_congestion_control(None).unwrap();
    assert_eq!(
        [used(to.ipv4.into()), used(to.ipv6.into())],
        [&*default, &*default]
    );
    let error = lab.set_congestion_control(Some("nosuch")).unwrap_err();
    assert!(error.help().unwrap().contains("modprobe"), "{error}");
}

async fn a_fabrics_rate_holds_between_its_hosts() {
    const BYTES: usize = 2_000_000;
    let mut topology = topology(&[2, 1], &[(0, 1, 1)], Duration::from_millis(1));
    topology.sites[0].fabric.rate = Some("20Mbit".parse().unwrap());
    let lab = up(topology).await;
    let [from, to] = ["s0-0", "s0-1"].map(|name| lab.plan().node_named(name).unwrap());
    let address = lab.plan().node(to).ipv4;
    let listener = lab
        .namespace(to)
        .run(|| TcpListener::bind((address, 0)).unwrap())
        .unwrap();
    let target = listener.local_addr().unwrap();
    eventually(|| {
        let mut sender = lab
            .namespace(from)
            .run(|| TcpStream::connect(target).unwrap())
            .unwrap();
        let mut receiver = listener.accept().unwrap().0;
        let start = Instant::now();
        let sending = std::thread::spawn(move || sender.write_all(&[0; BYTES]).unwrap());
        receiver.read_exact(&mut vec![0; BYTES]).unwrap();
        sending.join().unwrap();
        let rate = BYTES as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e6;
        // Headers take 4 %; a full bucket passes at once.
        assert!(rate < 24.0, "{rate} Mbit/s");
        match rate > 15.0 {
            true => Ok(()),
            false => Err(format!("{rate} Mbit/s")),
        }
    });
    lab.down().await;
}

/// What the keeper's ends of link 0's two lanes have received from site 0.
fn packets_from_gateway() -> [u64; 2] {
    let devices = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    ["l0.0a:", "l0.1a:"].map(|name| {
        let line = devices
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    })
}

fn bound(address: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Who sent the next `count` datagrams.
fn senders(socket: &UdpSocket, count: usize) -> BTreeSet<SocketAddr> {
    (0..count)
        .filter_map(|_| Some(socket.recv_from(&mut [0; 16]).ok()?.1))
        .collect()
}

async fn a_program_sees_the_labs_names_and_no_others() {
    let lab = up(chain()).await;
    let host = lab.plan().node_named("s1-0").unwrap();
    let seen = |path: &str| {
        String::from_utf8(lab.command(host, "cat").arg(path).output().unwrap().stdout).unwrap()
    };
    assert_eq!(seen("/proc/sys/kernel/hostname"), "s1-0\n");
    if fs::exists("/etc/hosts").unwrap() {
        assert_eq!(seen("/etc/hosts"), lab.plan().hosts_file());
    }
    assert_eq!(seen("/etc/resolv.conf"), "");
    let interfaces = seen("/proc/self/net/dev");
    let interfaces: BTreeSet<&str> = interfaces
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    assert_eq!(interfaces, ["eth0", "lo"].into());
    lab.down().await;
}

async fn names_of_namespaces_lead_to_the_nodes() {
    let lab = up(chain()).await;
    for (id, node) in lab.plan().nodes.iter().enumerate() {
        let named = fs::metadata(lab.folder().join("netns").join(&node.name)).unwrap();
        let held = fstat(&lab.namespace(NodeId(id)).net).unwrap();
        assert_eq!(named.ino(), held.st_ino);
    }
    lab.down().await;
}

async fn programs_end_with_the_lab() {
    let lab = up(chain()).await;
    let host = lab.plan().node_named("s0-1").unwrap();
    let mut program = lab.command(host, "sleep").arg("1000").spawn().unwrap();
    let mut outside = Command::new("sleep").arg("1000").spawn().unwrap();
    lab.down().await;
    let end = program
        .try_wait()
        .unwrap()
        .expect("ended before `down` returned");
    assert_eq!(end.signal(), Some(9));
    assert_eq!(
        outside.try_wait().unwrap(),
        None,
        "a process outside the lab was ended"
    );
    outside.kill().unwrap();
    outside.wait().unwrap();
}

async fn labs_follow_one_another_and_leave_nothing() {
    let before = Traces::now();
    for sites in [2, 3, 2] {
        let lab = up(support::full_mesh(sites, 2, Duration::from_millis(1))).await;
        assert_ne!(Traces::now(), before);
        lab.down().await;
        Traces::wait_for(&before);
    }
    drop(up(chain()).await);
    Traces::wait_for(&before);
}

async fn a_lab_that_fails_to_come_up_leaves_nothing() {
    let before = Traces::now();
    let lab = up(chain()).await;
    let during = Traces::now();
    // The lanes' names in the keeper's namespace are taken.
    let Err(error) = Lab::up(chain(), &LabOptions::default()).await else {
        panic!("two labs in one namespace")
    };
    assert!(matches!(error, LabError::Step { .. }), "{error}");
    assert!(error.to_string().contains("and its peer l"), "{error}");
    Traces::wait_for(&during);
    lab.down().await;
    Traces::wait_for(&before);
}

async fn two_processes_have_labs_at_once() {
    let lab = up(chain()).await;
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "every_host_reaches_every_other_by_both_families"])
        .env("LONGHAUL_RUNTIME_DIR", lab.folder().join("other"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&other.stdout);
    assert!(told.contains("1 passed"), "{other:?}");
    lab.down().await;
}

/// What a lab could leave behind in its sandbox.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    interfaces: Vec<String>,
    mounts: Vec<String>,
    namespaces: Vec<String>,
    files: Vec<String>,
}

impl Traces {
    fn now() -> Self {
        let folder = &longhaul_emulator::sandbox::current().unwrap().folder;
        let lines = |path: &str| {
            fs::read_to_string(path)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let descriptors = fs::read_dir("/proc/self/fd").unwrap();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let targets = targets.map(|path| path.to_string_lossy().into_owned());
        Self {
            interfaces: lines("/proc/thread-self/net/dev")
                .iter()
                .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
                .collect(),
            mounts: lines("/proc/self/mountinfo"),
            namespaces: targets
                .filter(|target| target.starts_with("net:") || target.starts_with("uts:"))
                .collect(),
            files: fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path().display().to_string())
                .collect(),
        }
    }

    /// Nothing may be left at once; what the runtime's tasks still hold may take a moment.
    fn wait_for(expected: &Self) {
        let deadline = Instant::now() + PATIENCE;
        while Self::now() != *expected && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(Self::now(), *expected);
    }
}
