//! The bottleneck queue: its limit and its discipline.

use std::time::Duration;

use super::channel::Layers;
use crate::document::{Document, DocumentPath, InputError};
use crate::model::{CoDel, DualPi2, FqCoDel, Pie, QueueDiscipline, QueueLimit, Red, Signal, Step};
use crate::spec::{
    CoDelSpec, DualPi2Spec, FqCoDelSpec, PieSpec, QueueSettings, QueueSpec, RedSpec, StepSpec,
};
use crate::units::{ByteSize, Probability, QueueSize, Rate, TimeSpan};

const DEFAULT: QueueSize = QueueSize::Bdp(1.0);
/// What a queue stated in BDPs holds at least, so that short links work: one super-packet of segmentation offload,
/// which TCP hands to a link at once (GSO_LEGACY_MAX_SIZE in the kernel's netdevice.h).
const LEAST_BDP_QUEUE: ByteSize = ByteSize::from_bytes(65_536);
const ETHERNET_HEADER: u64 = 14;
/// As many as the kernel's sch_fq_codel has at most.
const MOST_FLOWS: u32 = 65_536;

/// A queue as resolved for one channel.
pub(super) struct Queue {
    /// As written.
    pub(super) size: QueueSize,
    pub(super) limit: Option<QueueLimit>,
    pub(super) discipline: QueueDiscipline,
    /// The discipline's, as written.
    pub(super) thresholds: Vec<QueueSize>,
}

impl Queue {
    /// The queue of a channel without a rate, in which nothing waits.
    pub(super) fn idle() -> Self {
        Queue {
            size: DEFAULT,
            limit: None,
            discipline: QueueDiscipline::DropTail,
            thresholds: Vec::new(),
        }
    }
}

pub(super) fn queue(
    document: &Document,
    layers: &Layers,
    rate: Rate,
    round_trip: Duration,
    mtu: u32,
) -> Result<Queue, InputError> {
    let (spec, path) = layers
        .find("queue", |settings| settings.queue.clone())
        .unwrap_or((QueueSpec::Limit(DEFAULT), DocumentPath::root()));
    let reader = Reader {
        document,
        path: &path,
        rate,
        round_trip,
        frame: ByteSize::from_bytes(u64::from(mtu) + ETHERNET_HEADER),
    };
    let (size, limit_path, settings) = match spec {
        QueueSpec::Limit(size) => (size, path.clone(), QueueSettings::default()),
        QueueSpec::Full(settings) => (
            settings.limit.unwrap_or(DEFAULT),
            path.key("limit"),
            *settings,
        ),
    };
    let mut limit = reader.limit(size);
    if let (QueueSize::Bdp(_), QueueLimit::Bytes(bytes)) = (size, limit) {
        limit = QueueLimit::Bytes(bytes.max(LEAST_BDP_QUEUE));
    }
    reader.holds_a_packet(&limit_path, size, limit)?;
    let (red, step) = (settings.red.as_ref(), settings.step.as_ref());
    let thresholds = red.into_iter().flat_map(|red| [red.min, red.max]);
    let thresholds = thresholds.chain(step.map(|step| step.at)).collect();
    let discipline = reader.discipline(settings)?;
    Ok(Queue {
        size,
        limit: Some(limit),
        discipline,
        thresholds,
    })
}

struct Reader<'a> {
    document: &'a Document,
    /// Of the queue.
    path: &'a DocumentPath,
    rate: Rate,
    round_trip: Duration,
    /// The longest.
    frame: ByteSize,
}

impl Reader<'_> {
    fn limit(&self, size: QueueSize) -> QueueLimit {
        QueueLimit::Bytes(match size {
            QueueSize::Packets(packets) => return QueueLimit::Packets(packets),
            QueueSize::Bytes(size) => size,
            QueueSize::Time(time) => self.rate.size_in(time.duration()),
            QueueSize::Bdp(multiples) => {
                let bytes = self.rate.size_in(self.round_trip).bytes() as f64 * multiples;
                ByteSize::from_bytes(bytes.round() as u64)
            }
        })
    }

    fn holds_a_packet(
        &self,
        path: &DocumentPath,
        size: QueueSize,
        limit: QueueLimit,
    ) -> Result<(), InputError> {
        match limit {
            QueueLimit::Bytes(limit) if limit < self.frame => Err(self
                .document
                .error(
                    path,
                    format!(
                        "a queue of {size} holds {limit} at {}: not even one packet",
                        self.rate
                    ),
                )
                .with_help(format!(
                    "a packet is up to {} (the MTU and an Ethernet header): write `10p` or more",
                    self.frame
                ))),
            QueueLimit::Bytes(_) | QueueLimit::Packets(_) => Ok(()),
        }
    }

    fn discipline(&self, settings: QueueSettings) -> Result<QueueDiscipline, InputError> {
        let QueueSettings {
            limit: _,
            red,
            step,
            codel,
            fq_codel,
            pie,
            dualpi2,
        } = settings;
        match (red, step, codel, fq_codel, pie, dualpi2) {
            (None, None, None, None, None, None) => Ok(QueueDiscipline::DropTail),
            (Some(red), None, None, None, None, None) => self.red(red),
            (None, Some(StepSpec { at }), None, None, None, None) => {
                Ok(QueueDiscipline::Step(Step { at: self.limit(at) }))
            }
            (None, None, Some(spec), None, None, None) => {
                self.codel("codel", spec).map(QueueDiscipline::CoDel)
            }
            (None, None, None, Some(spec), None, None) => self.fq_codel(spec),
            (None, None, None, None, Some(spec), None) => self.pie(spec),
            (None, None, None, None, None, Some(spec)) => self.dualpi2(spec),
            _ => Err(self
                .document
                .error(self.path, "a queue has one discipline")
                .with_help("keep one of `red`, `step`, `codel`, `fq_codel`, `pie` and `dualpi2`")),
        }
    }

    fn red(&self, spec: RedSpec) -> Result<QueueDiscipline, InputError> {
        let path = self.path.key("red");
        let (min, max) = (self.limit(spec.min), self.limit(spec.max));
        let rising = match (min, max) {
            (QueueLimit::Bytes(min), QueueLimit::Bytes(max)) => min <= max,
            (QueueLimit::Packets(min), QueueLimit::Packets(max)) => min <= max,
            _ => {
                return Err(self
                    .document
                    .error(&path.key("max"), "`min` and `max` are of different kinds")
                    .with_help("write both in packets (`100p`), or neither"));
            }
        };
        if !rising {
            let message = format!("`max` ({}) is below `min` ({})", spec.max, spec.min);
            return Err(self.document.error(&path.key("max"), message));
        }
        let weight = spec.weight.unwrap_or(1.0);
        if !(1e-6..=1.0).contains(&weight) {
            return Err(self
                .document
                .error(
                    &path.key("weight"),
                    format!("a weight of {weight} is out of range: 0.000001 to 1"),
                )
                .with_help("1 judges by the queue as it is, 0.002 is usual for an average"));
        }
        Ok(QueueDiscipline::Red(Red {
            min,
            max,
            chance: spec.chance.unwrap_or(Probability::ONE),
            weight,
            signal: signal(spec.ecn),
        }))
    }

    fn codel(&self, key: &str, spec: CoDelSpec) -> Result<CoDel, InputError> {
        let path = self.path.key(key);
        Ok(CoDel {
            target: self.span(&path, "target", spec.target, Duration::from_millis(5))?,
            interval: self.span(&path, "interval", spec.interval, Duration::from_millis(100))?,
            signal: signal(spec.ecn),
        })
    }

    fn fq_codel(&self, spec: FqCoDelSpec) -> Result<QueueDiscipline, InputError> {
        let path = self.path.key("fq_codel");
        let codel = CoDelSpec {
            target: spec.target,
            interval: spec.interval,
            ecn: spec.ecn,
        };
        let flows = spec.flows.unwrap_or(1024);
        if !(1..=MOST_FLOWS).contains(&flows) {
            let message = format!("{flows} flow queues are out of range: 1 to {MOST_FLOWS}");
            return Err(self.document.error(&path.key("flows"), message));
        }
        let quantum = spec.quantum.unwrap_or(self.frame);
        if quantum.bytes() == 0 {
            return Err(self
                .document
                .error(&path.key("quantum"), "a turn of nothing never ends"));
        }
        Ok(QueueDiscipline::FqCoDel(FqCoDel {
            codel: self.codel("fq_codel", codel)?,
            quantum,
            flows,
        }))
    }

    fn pie(&self, spec: PieSpec) -> Result<QueueDiscipline, InputError> {
        let path = self.path.key("pie");
        Ok(QueueDiscipline::Pie(Pie {
            target: self.span(&path, "target", spec.target, Duration::from_millis(15))?,
            update: self.span(&path, "update", spec.update, Duration::from_millis(15))?,
            burst: spec
                .burst
                .map_or(Duration::from_millis(150), TimeSpan::duration),
            alpha: self.gain(&path, "alpha", spec.alpha, 0.125)?,
            beta: self.gain(&path, "beta", spec.beta, 1.25)?,
            signal: signal(spec.ecn),
        }))
    }

    fn dualpi2(&self, spec: DualPi2Spec) -> Result<QueueDiscipline, InputError> {
        let path = self.path.key("dualpi2");
        let classic_share = spec
            .classic_share
            .or_else(|| Probability::new(0.1))
            .expect("a tenth is a probability");
        if classic_share.is_zero() || classic_share == Probability::ONE {
            return Err(self
                .document
                .error(
                    &path.key("classic_share"),
                    "one of the two queues would starve",
                )
                .with_help("write a share such as `10%`"));
        }
        Ok(QueueDiscipline::DualPi2(DualPi2 {
            target: self.span(&path, "target", spec.target, Duration::from_millis(15))?,
            update: self.span(&path, "update", spec.update, Duration::from_millis(16))?,
            alpha: self.gain(&path, "alpha", spec.alpha, 0.16)?,
            beta: self.gain(&path, "beta", spec.beta, 3.2)?,
            coupling: self.gain(&path, "coupling", spec.coupling, 2.0)?,
            step: self.span(&path, "step", spec.step, Duration::from_millis(1))?,
            classic_share,
        }))
    }

    /// A time above zero.
    fn span(
        &self,
        path: &DocumentPath,
        key: &str,
        time: Option<TimeSpan>,
        default: Duration,
    ) -> Result<Duration, InputError> {
        let time = time.map_or(default, TimeSpan::duration);
        if time.is_zero() {
            let message = format!("the {key} has to be above zero");
            return Err(self.document.error(&path.key(key), message));
        }
        Ok(time)
    }

    fn gain(
        &self,
        path: &DocumentPath,
        key: &str,
        gain: Option<f64>,
        default: f64,
    ) -> Result<f64, InputError> {
        let gain = gain.unwrap_or(default);
        if !(0.0..=1000.0).contains(&gain) {
            let message = format!("a gain of {gain} is out of range: 0 to 1000");
            return Err(self.document.error(&path.key(key), message));
        }
        Ok(gain)
    }
}

fn signal(ecn: Option<bool>) -> Signal {
    match ecn {
        None | Some(true) => Signal::Mark,
        Some(false) => Signal::Drop,
    }
}
