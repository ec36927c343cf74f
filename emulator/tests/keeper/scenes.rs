//! What the command line does, as scenes: of a lab of two nodes that nothing joins, and of a whole one. An error is printed and exits
//! with 2, as there.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use longhaul_emulator::engine::{EngineChoice, EngineKind};
use longhaul_emulator::keeper::{
    self, AdjustedChannel, Kept, LabDetail, LabName, LabReading, LinkStatus, NodeStatus, Purpose,
    Refusal, Registration,
};
use longhaul_emulator::lab::LabOptions;
use longhaul_emulator::namespace::Namespace;
use longhaul_emulator::sandbox::Privilege;
use longhaul_topologies::adjust::{Adjustment, Named};
use nix::sched::{CloneFlags, unshare};

use super::{stage, support};

/// Two nodes with namespaces of their own.
struct StandIn {
    nodes: Vec<(NodeStatus, Namespace)>,
}

impl StandIn {
    fn new() -> std::io::Result<Self> {
        let node = |name: &str, number| -> std::io::Result<_> {
            let status = NodeStatus {
                name: name.to_owned(),
                site: "left".into(),
                ipv4: Ipv4Addr::new(10, 1, 0, number),
                ipv6: Some(Ipv6Addr::LOCALHOST),
            };
            Ok((status, namespace(name)?))
        };
        Ok(StandIn {
            nodes: vec![node("left-0", 1)?, node("left-gw", 2)?],
        })
    }
}

fn namespace(name: &str) -> std::io::Result<Namespace> {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)?;
        nix::unistd::sethostname(name)?;
        let open = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}"));
        Ok(Namespace {
            net: open("net")?.into(),
            uts: open("uts")?.into(),
        })
    };
    std::thread::scope(|scope| scope.spawn(make).join().expect("no panic"))
}

impl Kept for StandIn {
    fn detail(&self) -> Result<LabDetail, Refusal> {
        let nodes = self.nodes.iter();
        Ok(LabDetail {
            engine: EngineKind::Relay,
            nodes: nodes.map(|(status, _)| status.clone()).collect(),
            channels: Vec::new(),
            schedule_failed: None,
        })
    }

    fn reading(&self) -> Result<LabReading, Refusal> {
        Err(Refusal::Engine("nothing joins the nodes".to_owned()))
    }

    fn links(&self, _: Option<&Named>) -> Result<Vec<LinkStatus>, Refusal> {
        Ok(Vec::new())
    }

    fn adjust(&self, _: &Adjustment) -> Result<Vec<AdjustedChannel>, Refusal> {
        Err(Refusal::Engine("nothing joins the nodes".to_owned()))
    }

    fn namespace(&self, node: &str) -> Option<&Namespace> {
        self.nodes
            .iter()
            .find(|(status, _)| status.name == node)
            .map(|(_, namespace)| namespace)
    }

    fn down(self) {}
}

fn name(arguments: &[String]) -> LabName {
    arguments[0].parse().expect("a lab's name")
}

fn code(outcome: Result<(), keeper::KeeperError>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            2
        }
    }
}

pub fn up(arguments: &[String]) -> i32 {
    let up = keeper::up_with(
        name(arguments),
        "stand-in",
        EngineChoice::Auto,
        Privilege::of_this_process(),
        StandIn::new,
    );
    code(up.map(|started| assert!(started.unnamed.is_none(), "{started:?}")))
}

pub fn up_in_vain(arguments: &[String]) -> i32 {
    let bring_up = || Err::<StandIn, _>("the moon is in the way");
    let privilege = Privilege::of_this_process();
    code(
        keeper::up_with(
            name(arguments),
            "stand-in",
            EngineChoice::Auto,
            privilege,
            bring_up,
        )
        .map(drop),
    )
}

pub fn up_panicking(arguments: &[String]) -> i32 {
    let bring_up = || -> Result<StandIn, String> { panic!("the moon fell down") };
    let privilege = Privilege::of_this_process();
    let name = name(arguments);
    code(keeper::up_with(name, "stand-in", EngineChoice::Auto, privilege, bring_up).map(drop))
}

/// Two sites of two hosts.
pub fn up_whole(arguments: &[String]) -> i32 {
    let topology = support::topology(&[2, 2], &[(0, 1, 1)], Duration::from_millis(20));
    code(keeper::up(name(arguments), topology, &LabOptions::default()).map(drop))
}

/// Inside a host: answers one datagram. Says when it listens.
pub fn echo(_: &[String]) -> i32 {
    let echo = || -> std::io::Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:4791")?;
        println!("ready");
        let mut datagram = [0; 16];
        let (length, from) = socket.recv_from(&mut datagram)?;
        socket.send_to(&datagram[..length], from)?;
        Ok(())
    };
    i32::from(echo().is_err())
}

/// Inside a host: the round-trip time to a host by its name, in milliseconds.
pub fn ask(arguments: &[String]) -> i32 {
    let ask = || -> std::io::Result<Duration> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.connect((arguments[0].as_str(), 4791))?;
        let sent = Instant::now();
        socket.send(b"question")?;
        socket.recv(&mut [0; 16])?;
        Ok(sent.elapsed())
    };
    match ask() {
        Ok(time) => println!("{}", time.as_millis()),
        Err(error) => println!("{error}"),
    }
    0
}

pub fn run(_: &[String]) -> i32 {
    let registration = Registration::claim(
        LabName::of_this_run(),
        Purpose::Run,
        "quickstart",
        EngineChoice::Auto,
    );
    let entered =
        registration.and_then(|registration| registration.enter_run(Privilege::of_this_process()));
    let _desk = match entered {
        Ok((_, desk)) => desk,
        Err(error) => return code(Err(error)),
    };
    println!("ready");
    std::thread::sleep(stage::DEADLINE);
    99
}

pub fn exec(arguments: &[String]) -> i32 {
    let [_, host, program, rest @ ..] = arguments else {
        return 99;
    };
    let rest: Vec<OsString> = rest.iter().map(OsString::from).collect();
    match keeper::exec(&name(arguments), host, program.as_ref(), &rest) {
        Ok(code) => code,
        Err(error) => {
            let exit_code = error.program_exit_code();
            code(Err(error)).max(exit_code.unwrap_or(2))
        }
    }
}

pub fn status(_: &[String]) -> i32 {
    code(keeper::status().map(|labs| println!("{}", serde_json::to_string(&labs).expect("JSON"))))
}

/// LAB FROM TO KEY=VALUE…
pub fn link_set(arguments: &[String]) -> i32 {
    let [_, from, to, settings @ ..] = arguments else {
        return 99;
    };
    let setting = |setting: &String| {
        let (key, value) = setting.split_once('=').expect("KEY=VALUE");
        (key.to_owned(), value.to_owned())
    };
    let adjustment = Adjustment {
        link: Named {
            from: from.clone(),
            to: to.clone(),
        },
        lane: None,
        direction: None,
        settings: settings.iter().map(setting).collect(),
    };
    let adjusted = keeper::adjust(&name(arguments), &adjustment);
    code(adjusted.map(|changes| println!("{}", serde_json::to_string(&changes).expect("JSON"))))
}

pub fn link_show(arguments: &[String]) -> i32 {
    let links = keeper::links(&name(arguments), None);
    code(links.map(|links| println!("{}", serde_json::to_string(&links).expect("JSON"))))
}

pub fn down(arguments: &[String]) -> i32 {
    code(keeper::down(&name(arguments)))
}

pub fn clean(_: &[String]) -> i32 {
    code(
        keeper::clean()
            .map(|cleaned| println!("{}", serde_json::to_string(&cleaned).expect("JSON"))),
    )
}
