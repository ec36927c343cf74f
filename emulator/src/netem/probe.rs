//! Whether this kernel has what the engine needs, found out by adding it.

use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use longhaul_topologies::model::{
    Channel, Jitter, JitterDistribution, JitterShape, Loss, PacketOrder, QueueLimit,
};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use nix::sched::{CloneFlags, unshare};

use super::requests::redirect;
use crate::tc::bottleneck::{Bottleneck, Grain};
use crate::tc::delay_line::delay_line;
use crate::tc::redirect::INGRESS;
use crate::tc::socket::Socket;
use crate::tc::{LOOPBACK, Qdisc};

/// Something that the engine needs of the kernel.
pub(crate) struct Need {
    /// `netem`, `tbf`…
    pub name: &'static str,
    /// What else needs it.
    pub needed_for: &'static str,
    /// The module that has it.
    pub module: &'static str,
    /// The kernel option it is built by.
    pub option: &'static str,
    /// Adds it to a scratch namespace's `lo`.
    pub try_out: fn(&mut Socket) -> Result<(), String>,
}

/// All of them.
pub(crate) const NEEDS: [Need; 3] = [
    Need {
        name: "netem",
        needed_for: "the netem engine (the relay does without)",
        module: "sch_netem",
        option: "CONFIG_NET_SCH_NETEM",
        try_out: |socket| try_qdiscs(socket, &[sample_delay_line()]),
    },
    Need {
        name: "tbf",
        needed_for: "ports with a rate; the netem engine",
        module: "sch_tbf",
        option: "CONFIG_NET_SCH_TBF",
        try_out: |socket| try_qdiscs(socket, &sample_bottleneck()),
    },
    Need {
        name: "ingress, mirred, matchall or u32",
        needed_for: "the netem engine (the relay does without)",
        module: "act_mirred",
        option: "CONFIG_NET_ACT_MIRRED, CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_U32",
        try_out: try_redirect,
    },
];

/// What this kernel lacks that the engine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What the kernel answered, to what.
    pub reason: String,
    /// The module that has it.
    pub module: &'static str,
    /// The kernel option it is built by.
    pub option: &'static str,
}

/// Whether the engine would work: adds everything it uses to scratch network namespaces, once per process. Kernel versions
/// tell nothing: many kernels are built without netem. Where it is a module, this loads it.
///
/// # Errors
/// The first thing that is missing.
pub fn available() -> Result<(), Missing> {
    static ANSWER: OnceLock<Result<(), Missing>> = OnceLock::new();
    let try_all = || {
        // Each in a namespace of its own: a root qdisc does not replace one of another kind.
        NEEDS.iter().try_for_each(|need| {
            in_scratch_namespace(need.try_out).map_err(|reason| Missing {
                reason,
                module: need.module,
                option: need.option,
            })
        })
    };
    ANSWER.get_or_init(try_all).clone()
}

/// Runs `f` in a network namespace that ends with it.
pub(crate) fn in_scratch_namespace<T: Send>(
    f: impl FnOnce(&mut Socket) -> Result<T, String> + Send,
) -> Result<T, String> {
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| format!("no network namespace: {errno}"))?;
        let mut socket = Socket::open().map_err(|error| format!("no netlink socket: {error}"))?;
        f(&mut socket)
    };
    thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Adds `qdiscs` to the scratch namespace's `lo`.
pub(crate) fn try_qdiscs(socket: &mut Socket, qdiscs: &[Qdisc]) -> Result<(), String> {
    for qdisc in qdiscs {
        let added = socket.request(qdisc.request(LOOPBACK));
        added.map_err(|error| format!("{}: {}", qdisc.kind, explained(&error)))?;
    }
    Ok(())
}

/// Redirects what arrives at the scratch namespace's `lo`, to itself.
fn try_redirect(socket: &mut Socket) -> Result<(), String> {
    try_qdiscs(socket, &[INGRESS])?;
    redirect(socket, LOOPBACK, LOOPBACK)
        .map_err(|error| format!("matchall or u32, with mirred: {}", explained(&error)))
}

/// A bottleneck that uses all that the engine uses of TBF.
fn sample_bottleneck() -> [Qdisc; 2] {
    let bottleneck = Bottleneck {
        rate: Rate::from_bits_per_second(1_000_000_000),
        queue: QueueLimit::Packets(100),
        grain: Grain::WirePackets {
            frame: ByteSize::from_bytes(1514),
        },
    };
    bottleneck.qdiscs()
}

/// A delay line that uses all that the engine uses of netem.
fn sample_delay_line() -> Qdisc {
    let half = Probability::new(0.5).expect("a probability");
    let channel = Channel {
        delay: Duration::from_millis(10),
        jitter: Some(Jitter {
            deviation: Duration::from_millis(1),
            shape: JitterShape::Distribution(JitterDistribution::Normal),
            order: PacketOrder::Preserved,
        }),
        loss: Loss::GilbertElliott {
            to_bad: half,
            to_good: half,
            loss_in_bad: half,
            loss_in_good: half,
        },
        duplication: half,
        corruption: half,
        ..Channel::of_delay(Duration::ZERO)
    };
    delay_line(&channel, 1)
}

/// A qdisc or classifier that the kernel does not have is "not found" to it.
pub(crate) fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "this kernel does not have it".into(),
        _ => error.to_string(),
    }
}
