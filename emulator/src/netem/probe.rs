//! Whether this kernel has what the engine needs, found out by adding it.

use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use longhaul_topologies::model::{
    Channel, CoDel, DualPi2, FqCoDel, Jitter, JitterDistribution, JitterShape, Loss, PacketOrder,
    Pie, QueueDiscipline, QueueLimit, Red, Signal, Step,
};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use nix::sched::{CloneFlags, unshare};

use super::requests::redirect;
use crate::tc::bottleneck::{BELOW_ROOT, Bottleneck, Grain};
use crate::tc::delay_line::delay_line;
use crate::tc::queue::nodrop_without_ecn;
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
        try_out: |socket| try_qdiscs(socket, &sample_bottleneck(QueueDiscipline::DropTail)),
    },
    Need {
        name: "ingress, mirred, matchall or u32",
        needed_for: "the netem engine (the relay does without)",
        module: "act_mirred",
        option: "CONFIG_NET_ACT_MIRRED, CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_U32",
        try_out: try_redirect,
    },
];

/// The queue disciplines, which only channels need that have them.
pub(crate) const DISCIPLINES: [Need; 6] = [
    Need {
        name: "red",
        needed_for: "RED queues of the netem engine (the relay has its own)",
        module: "sch_red",
        option: "CONFIG_NET_SCH_RED",
        try_out: |socket| try_qdiscs(socket, &sample_bottleneck(sample_red())),
    },
    Need {
        name: "red with nodrop",
        needed_for: "step-marking queues of the netem engine (the relay has its own)",
        module: "sch_red",
        option: "CONFIG_NET_SCH_RED of Linux 5.7 or later",
        try_out: try_step,
    },
    Need {
        name: "codel",
        needed_for: "CoDel queues of the netem engine (the relay has its own)",
        module: "sch_codel",
        option: "CONFIG_NET_SCH_CODEL",
        try_out: |socket| try_qdiscs(socket, &sample_bottleneck(sample_codel())),
    },
    Need {
        name: "fq_codel",
        needed_for: "FQ-CoDel queues of the netem engine (the relay has its own)",
        module: "sch_fq_codel",
        option: "CONFIG_NET_SCH_FQ_CODEL",
        try_out: |socket| try_qdiscs(socket, &sample_bottleneck(sample_fq_codel())),
    },
    Need {
        name: "pie",
        needed_for: "PIE queues of the netem engine (the relay has its own)",
        module: "sch_pie",
        option: "CONFIG_NET_SCH_PIE",
        try_out: |socket| try_qdiscs(socket, &sample_bottleneck(sample_pie())),
    },
    Need {
        name: "dualpi2",
        needed_for: "DualPI2 queues of the netem engine (the relay has its own)",
        module: "sch_dualpi2",
        option: "CONFIG_NET_SCH_DUALPI2 of Linux 6.17 or later",
        try_out: |socket| try_qdiscs(socket, &sample_bottleneck(sample_dualpi2())),
    },
];

/// Whether this kernel has `discipline`: adds it to a scratch network namespace, once per process and discipline.
///
/// # Errors
/// What the kernel answered, to what.
pub(super) fn discipline(discipline: &QueueDiscipline) -> Result<(), String> {
    static ANSWERS: [OnceLock<Result<(), String>>; 6] = [const { OnceLock::new() }; 6];
    let position = match discipline {
        QueueDiscipline::DropTail => return Ok(()),
        QueueDiscipline::Red(_) => 0,
        QueueDiscipline::Step(_) => 1,
        QueueDiscipline::CoDel(_) => 2,
        QueueDiscipline::FqCoDel(_) => 3,
        QueueDiscipline::Pie(_) => 4,
        QueueDiscipline::DualPi2(_) => 5,
    };
    ANSWERS[position]
        .get_or_init(|| in_scratch_namespace(DISCIPLINES[position].try_out))
        .clone()
}

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

/// Step marking, and that it lets in what it cannot mark.
fn try_step(socket: &mut Socket) -> Result<(), String> {
    let step = sample_step();
    try_qdiscs(socket, &sample_bottleneck(QueueDiscipline::Step(step)))?;
    match socket.request(nodrop_without_ecn(&step, BELOW_ROOT).request(LOOPBACK)) {
        Err(_) => Ok(()),
        Ok(()) => Err("red with nodrop: this kernel's red does not have it".into()),
    }
}

/// A bottleneck that uses all that the engine uses of TBF.
fn sample_bottleneck(discipline: QueueDiscipline) -> Vec<Qdisc> {
    let bottleneck = Bottleneck {
        rate: Rate::from_bits_per_second(1_000_000_000),
        queue: QueueLimit::Packets(100),
        discipline,
        grain: Grain::WirePackets {
            frame: ByteSize::from_bytes(1514),
        },
    };
    bottleneck.qdiscs()
}

fn sample_red() -> QueueDiscipline {
    QueueDiscipline::Red(Red {
        min: QueueLimit::Bytes(ByteSize::from_bytes(30_000)),
        max: QueueLimit::Bytes(ByteSize::from_bytes(90_000)),
        chance: Probability::ONE,
        weight: 1.0,
        signal: Signal::Mark,
    })
}

fn sample_step() -> Step {
    Step {
        at: QueueLimit::Bytes(ByteSize::from_bytes(30_000)),
    }
}

/// RFC 8289's parameters.
const CODEL: CoDel = CoDel {
    target: Duration::from_millis(5),
    interval: Duration::from_millis(100),
    signal: Signal::Mark,
};

fn sample_codel() -> QueueDiscipline {
    QueueDiscipline::CoDel(CODEL)
}

fn sample_fq_codel() -> QueueDiscipline {
    QueueDiscipline::FqCoDel(FqCoDel {
        codel: CODEL,
        quantum: ByteSize::from_bytes(1514),
        flows: 1024,
    })
}

/// RFC 8033's parameters.
fn sample_pie() -> QueueDiscipline {
    QueueDiscipline::Pie(Pie {
        target: Duration::from_millis(15),
        update: Duration::from_millis(15),
        burst: Duration::from_millis(150),
        alpha: 0.125,
        beta: 1.25,
        signal: Signal::Mark,
    })
}

/// RFC 9332's parameters.
fn sample_dualpi2() -> QueueDiscipline {
    QueueDiscipline::DualPi2(DualPi2 {
        target: Duration::from_millis(15),
        update: Duration::from_millis(16),
        alpha: 0.16,
        beta: 3.2,
        coupling: 2.0,
        step: Duration::from_millis(1),
        classic_share: Probability::new(0.1).expect("a probability"),
    })
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
