//! How a queue is written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Channel, QueueDiscipline, QueueLimit, Signal};
use crate::units::{ByteSize, Probability, QueueSize, TimeSpan};

/// How much a queue holds, or that and what it does beside.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum QueueSpec {
    /// Drop-tail.
    Limit(QueueSize),
    /// One of the disciplines.
    Full(Box<QueueSettings>),
}

/// A queue: its limit and one discipline at most; drop-tail without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with `limit` and one of `red`, `step`, `codel`, `fq_codel`, `pie` and `dualpi2`"
)]
pub struct QueueSettings {
    /// How much it holds; 1bdp if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<QueueSize>,
    /// Random early detection with Kmin, Kmax and Pmax, as data-centre switches have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<RedSpec>,
    /// DCTCP's marking threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepSpec>,
    /// RFC 8289.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codel: Option<CoDelSpec>,
    /// RFC 8290.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fq_codel: Option<FqCoDelSpec>,
    /// RFC 8033.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pie: Option<PieSpec>,
    /// RFC 9332.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dualpi2: Option<DualPi2Spec>,
}

/// Random early detection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `min` and `max`")]
pub struct RedSpec {
    /// Kmin: below it nothing happens.
    pub min: QueueSize,
    /// Kmax: above it every packet is struck.
    pub max: QueueSize,
    /// Pmax: the chance at `max`; 100% if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<Probability>,
    /// The weight of the newest queue length in the average; 1 if absent: the queue as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.000_001, max = 1.0))]
    pub weight: Option<f64>,
    /// Whether ECN-capable packets are marked instead of dropped; `true` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn: Option<bool>,
}

/// A marking threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `at`")]
pub struct StepSpec {
    /// K: ECN-capable packets that find more than this are marked.
    pub at: QueueSize,
}

/// Controlled delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with `target` and `interval`"
)]
pub struct CoDelSpec {
    /// The standing delay it tolerates; 5ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TimeSpan>,
    /// About the longest RTT of its flows; 100ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<TimeSpan>,
    /// Whether ECN-capable packets are marked instead of dropped; `true` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn: Option<bool>,
}

/// Flow queues with CoDel in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with `target`, `interval`, `quantum` and `flows`"
)]
pub struct FqCoDelSpec {
    /// The standing delay it tolerates; 5ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TimeSpan>,
    /// About the longest RTT of its flows; 100ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<TimeSpan>,
    /// Whether ECN-capable packets are marked instead of dropped; `true` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn: Option<bool>,
    /// Bytes of a turn; a full frame if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantum: Option<ByteSize>,
    /// Queues that flows are hashed to; 1024 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub flows: Option<u32>,
}

/// Proportional integral controller enhanced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with `target`, `update`, `burst`, `alpha` and `beta`"
)]
pub struct PieSpec {
    /// The delay it steers to; 15ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TimeSpan>,
    /// How often the probability is updated; 15ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<TimeSpan>,
    /// How long a burst is let through; 150ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<TimeSpan>,
    /// The weight of the deviation from the target, per second; 0.125 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub alpha: Option<f64>,
    /// The weight of the delay's trend, per second; 1.25 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub beta: Option<f64>,
    /// Whether ECN-capable packets are marked instead of dropped; `true` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn: Option<bool>,
}

/// The dual queue of L4S.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with `target`, `update`, `alpha`, `beta`, `coupling`, `step` and `classic_share`"
)]
pub struct DualPi2Spec {
    /// The delay that the classic queue is steered to; 15ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TimeSpan>,
    /// How often the probability is updated; 16ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<TimeSpan>,
    /// The integral gain, in Hz; 0.16 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub alpha: Option<f64>,
    /// The proportional gain, in Hz; 3.2 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub beta: Option<f64>,
    /// How strongly the two queues are coupled; 2 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub coupling: Option<f64>,
    /// The delay of the scalable queue above which all its packets are marked; 1ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<TimeSpan>,
    /// The share of the link that classic packets get while both queues hold some; 10% if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classic_share: Option<Probability>,
}

/// The queue of `channel` written out in full.
pub(super) fn spec(channel: &Channel) -> QueueSpec {
    let limit = channel.queue;
    let settings = QueueSettings {
        limit: Some(limit),
        ..QueueSettings::default()
    };
    // As written, so that one in time or `bdp` goes on to follow what it is measured by.
    let threshold = |at: usize, resolved: QueueLimit| match (channel.thresholds.get(at), resolved) {
        (Some(written), _) => *written,
        (None, QueueLimit::Bytes(bytes)) => QueueSize::Bytes(bytes),
        (None, QueueLimit::Packets(packets)) => QueueSize::Packets(packets),
    };
    let ecn = |signal: Signal| Some(signal == Signal::Mark);
    let span = |time: Duration| Some(TimeSpan::from(time));
    QueueSpec::Full(Box::new(match &channel.discipline {
        QueueDiscipline::DropTail => return QueueSpec::Limit(limit),
        QueueDiscipline::Red(red) => QueueSettings {
            red: Some(RedSpec {
                min: threshold(0, red.min),
                max: threshold(1, red.max),
                chance: Some(red.chance),
                weight: Some(red.weight),
                ecn: ecn(red.signal),
            }),
            ..settings
        },
        QueueDiscipline::Step(step) => QueueSettings {
            step: Some(StepSpec {
                at: threshold(0, step.at),
            }),
            ..settings
        },
        QueueDiscipline::CoDel(codel) => QueueSettings {
            codel: Some(CoDelSpec {
                target: span(codel.target),
                interval: span(codel.interval),
                ecn: ecn(codel.signal),
            }),
            ..settings
        },
        QueueDiscipline::FqCoDel(fq) => QueueSettings {
            fq_codel: Some(FqCoDelSpec {
                target: span(fq.codel.target),
                interval: span(fq.codel.interval),
                ecn: ecn(fq.codel.signal),
                quantum: Some(fq.quantum),
                flows: Some(fq.flows),
            }),
            ..settings
        },
        QueueDiscipline::Pie(pie) => QueueSettings {
            pie: Some(PieSpec {
                target: span(pie.target),
                update: span(pie.update),
                burst: span(pie.burst),
                alpha: Some(pie.alpha),
                beta: Some(pie.beta),
                ecn: ecn(pie.signal),
            }),
            ..settings
        },
        QueueDiscipline::DualPi2(dual) => QueueSettings {
            dualpi2: Some(DualPi2Spec {
                target: span(dual.target),
                update: span(dual.update),
                alpha: Some(dual.alpha),
                beta: Some(dual.beta),
                coupling: Some(dual.coupling),
                step: span(dual.step),
                classic_share: Some(dual.classic_share),
            }),
            ..settings
        },
    }))
}
