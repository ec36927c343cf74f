//! The queue below what holds up: a FIFO, `sch_red`, `sch_codel`, `sch_fq_codel`, `sch_pie` or `sch_dualpi2`.
//!
//! Layouts from `linux/pkt_sched.h`:
//! ```text
//! tc_fifo_qopt { u32 limit }
//! tc_red_qopt { u32 limit, qth_min, qth_max; u8 Wlog, Plog, Scell_log, flags }
//!   1 TCA_RED_PARMS   2 TCA_RED_STAB u8[256]   3 TCA_RED_MAX_P u32   4 TCA_RED_FLAGS { u32 value, selector }
//! codel     1 TARGET us   2 LIMIT   3 INTERVAL us   4 ECN
//! fq_codel  1 TARGET us   2 LIMIT   3 INTERVAL us   4 ECN   5 FLOWS   6 QUANTUM   9 MEMORY_LIMIT
//! pie       1 TARGET us   2 LIMIT   3 TUPDATE us   4 ALPHA /16   5 BETA /16   6 ECN   7 BYTEMODE   8 DQ_RATE_ESTIMATOR
//! dualpi2   1 LIMIT   3 TARGET us   4 TUPDATE us   5 ALPHA /256   6 BETA /256   8 STEP_THRESH_US   9 MIN_QLEN_STEP
//!          10 COUPLING u8   11 DROP_OVERLOAD u8   12 DROP_EARLY u8   13 C_PROTECTION u8 %   14 ECN_MASK u8   15 SPLIT_GSO u8
//! ```
//!
//! Where the kernel differs from the model:
//! - CoDel, FQ-CoDel, PIE and DualPI2 have a limit of packets: one of bytes becomes that of as many full frames.
//! - **RED** strikes evenly (Floyd and Jacobson 1993, section 7, method 2), whatever the weight. For the queue as it is, where
//!   the model's strikes are independent, the chance is set so that the share of what is struck at `max` is the same; towards
//!   `min` it is up to 1 ÷ (1 − chance ÷ 2) times the model's. An average does not decay while the line is idle: TBF looks for a packet before it takes one, so RED never learns of it.
//! - **Step marking** is RED with both thresholds in one place, which lets in what it cannot mark (`nodrop`, Linux 5.7).
//! - **PIE** updates its probability on timer ticks (1 to 10 ms apart), draws less often right after a strike
//!   (derandomisation, RFC 8033 section 5.4), and pauses while the delay is below half the target.

use std::time::Duration;

use longhaul_topologies::model::{
    CoDel, DualPi2, FqCoDel, Pie, QueueDiscipline, QueueLimit, Red, Signal, Step,
};
use longhaul_topologies::units::ByteSize;
use netlink_packet_route::tc::TcHandle;

use super::encode::{Payload, saturated};
use super::{Object, Qdisc};

const TCA_RED_PARMS: u16 = 1;
const TCA_RED_STAB: u16 = 2;
const TCA_RED_MAX_P: u16 = 3;
const TCA_RED_FLAGS: u16 = 4;
const TC_RED_ECN: u8 = 1;
const TC_RED_NODROP: u8 = 8;
/// All flags that there are: what is not asked for is off.
const TC_RED_SUPPORTED_FLAGS: u8 = 15;

const TCA_CODEL_TARGET: u16 = 1;
const TCA_CODEL_LIMIT: u16 = 2;
const TCA_CODEL_INTERVAL: u16 = 3;
const TCA_CODEL_ECN: u16 = 4;

// Its first four are CoDel's.
const TCA_FQ_CODEL_FLOWS: u16 = 5;
const TCA_FQ_CODEL_QUANTUM: u16 = 6;
const TCA_FQ_CODEL_MEMORY_LIMIT: u16 = 9;
/// The most that it takes (`fq_codel_change`): the limit is to be that of packets.
const FQ_CODEL_MEMORY: u32 = 1 << 31;
/// `FQ_CODEL_QUANTUM_MAX` of `sch_fq_codel.c`.
const FQ_CODEL_QUANTUM_MOST: u64 = 1 << 20;

const TCA_PIE_TARGET: u16 = 1;
const TCA_PIE_LIMIT: u16 = 2;
const TCA_PIE_TUPDATE: u16 = 3;
const TCA_PIE_ALPHA: u16 = 4;
const TCA_PIE_BETA: u16 = 5;
const TCA_PIE_ECN: u16 = 6;
const TCA_PIE_BYTEMODE: u16 = 7;
const TCA_PIE_DQ_RATE_ESTIMATOR: u16 = 8;
/// What the kernel's gains are multiples of.
const PIE_GAIN: f64 = 16.0;
/// `pie_vars_init` of `net/pie.h`.
const PIE_BURST: Duration = Duration::from_millis(150);

const TCA_DUALPI2_LIMIT: u16 = 1;
const TCA_DUALPI2_TARGET: u16 = 3;
const TCA_DUALPI2_TUPDATE: u16 = 4;
const TCA_DUALPI2_ALPHA: u16 = 5;
const TCA_DUALPI2_BETA: u16 = 6;
const TCA_DUALPI2_STEP_THRESH_US: u16 = 8;
const TCA_DUALPI2_MIN_QLEN_STEP: u16 = 9;
const TCA_DUALPI2_COUPLING: u16 = 10;
const TCA_DUALPI2_DROP_OVERLOAD: u16 = 11;
const TCA_DUALPI2_DROP_EARLY: u16 = 12;
const TCA_DUALPI2_C_PROTECTION: u16 = 13;
const TCA_DUALPI2_ECN_MASK: u16 = 14;
const TCA_DUALPI2_SPLIT_GSO: u16 = 15;
/// Scalable is what bears ECT(1) (or CE): `TC_DUALPI2_ECN_MASK_L4S_ECT`.
const DUALPI2_SCALABLE: u8 = 1;
/// What the kernel's gains are multiples of.
const DUALPI2_GAIN: f64 = 256.0;

/// The class of a qdisc that has one.
const ONLY_CLASS: u16 = 1;
const RED: u16 = 4;
const STEP: u16 = 5;
const CODEL: u16 = 6;
const PIE: u16 = 7;
const DUALPI2: u16 = 8;
/// The handle of an FQ-CoDel of no flows.
const FQ_CODEL: u16 = 0x20;
/// The handles end below 0xffff, which is not one.
const FQ_CODEL_FLOWS_MOST: u32 = 65_000;

/// By how much a parameter may be off what was asked for before it is refused.
const TOLERANCE: f64 = 0.05;

/// How the bottleneck's packets wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Queue {
    pub discipline: QueueDiscipline,
    pub limit: QueueLimit,
    /// The longest frame.
    pub frame: ByteSize,
}

impl Queue {
    /// The qdiscs, parents first, below `parent`. To change live ones, say what they were `before`: only FQ-CoDel's number
    /// of queues is not said again.
    ///
    /// A qdisc cannot change its kind, nor FQ-CoDel its number of queues, but be replaced by one with another handle; so
    /// every kind and number has its own. What is replaced drops what it holds.
    pub(super) fn qdiscs(&self, parent: TcHandle, before: Option<&Queue>) -> Vec<Qdisc> {
        let only = |kind, major, options: Payload| {
            vec![Qdisc {
                object: Object::Qdisc,
                parent,
                handle: TcHandle { major, minor: 0 },
                kind,
                options: options.into_bytes(),
            }]
        };
        let packets = self.limit_in_packets();
        match self.discipline {
            QueueDiscipline::DropTail => vec![self.fifo(parent, [2, 3])],
            QueueDiscipline::Red(red) => self.below_red(only("red", RED, red_options(&red)), RED),
            QueueDiscipline::Step(step) => {
                self.below_red(only("red", STEP, step_options(&step)), STEP)
            }
            QueueDiscipline::CoDel(codel) => only("codel", CODEL, codel_options(&codel, packets)),
            QueueDiscipline::FqCoDel(fq_codel) => {
                let flows = fq_codel.flows.min(FQ_CODEL_FLOWS_MOST);
                let same = |before: &Queue| matches!(before.discipline, QueueDiscipline::FqCoDel(before) if before.flows == fq_codel.flows);
                let mut options = fq_codel_options(&fq_codel, packets);
                if !before.is_some_and(same) {
                    options = options.attribute(TCA_FQ_CODEL_FLOWS, Payload::default().u32(flows));
                }
                let flows = u16::try_from(flows).expect("bounded above");
                only("fq_codel", FQ_CODEL + flows, options)
            }
            QueueDiscipline::Pie(pie) => only("pie", PIE, pie_options(&pie, packets)),
            QueueDiscipline::DualPi2(dualpi2) => {
                only("dualpi2", DUALPI2, dualpi2_options(&dualpi2, packets))
            }
        }
    }

    /// The limit in its own unit.
    pub(super) fn limit(&self) -> u32 {
        match self.limit {
            QueueLimit::Bytes(bytes) => saturated(bytes.bytes()),
            QueueLimit::Packets(packets) => packets,
        }
    }

    fn limit_in_packets(&self) -> u32 {
        match self.limit {
            QueueLimit::Bytes(bytes) => saturated(bytes.bytes() / self.frame.bytes().max(1)).max(1),
            QueueLimit::Packets(packets) => packets,
        }
    }

    /// RED's packets wait in a FIFO of ours, so that the limit can be one of packets, and so that a change of RED does not
    /// drop them: it gets a new FIFO of its own whenever it is told a limit (`__red_change`).
    fn below_red(&self, mut red: Vec<Qdisc>, major: u16) -> Vec<Qdisc> {
        let class = TcHandle {
            major,
            minor: ONLY_CLASS,
        };
        red.push(self.fifo(class, [9, 10]));
        red
    }

    fn fifo(&self, parent: TcHandle, [bytes, packets]: [u16; 2]) -> Qdisc {
        let (kind, major) = match self.limit {
            QueueLimit::Bytes(_) => ("bfifo", bytes),
            QueueLimit::Packets(_) => ("pfifo", packets),
        };
        Qdisc {
            object: Object::Qdisc,
            parent,
            handle: TcHandle { major, minor: 0 },
            kind,
            options: Payload::default().u32(self.limit()).into_bytes(),
        }
    }
}

/// Whether the kernel's own can do what `discipline` asks, if the kernel has it.
///
/// # Errors
/// Which parameter it cannot have, and why.
pub fn expressible(discipline: &QueueDiscipline) -> Result<(), String> {
    match discipline {
        QueueDiscipline::DropTail => Ok(()),
        QueueDiscipline::Red(red) => red_is_expressible(red),
        QueueDiscipline::Step(step) => threshold(step.at, 0).map(drop),
        QueueDiscipline::CoDel(codel) => codel_is_expressible(codel),
        QueueDiscipline::FqCoDel(FqCoDel {
            codel,
            quantum,
            flows,
        }) => {
            codel_is_expressible(codel)?;
            if quantum.bytes() > FQ_CODEL_QUANTUM_MOST {
                return Err(format!(
                    "a quantum of {quantum}: the kernel's FQ-CoDel takes at most 1 MiB"
                ));
            }
            if *flows > FQ_CODEL_FLOWS_MOST {
                return Err(format!(
                    "{flows} flow queues: at most {FQ_CODEL_FLOWS_MOST} with the kernel's FQ-CoDel"
                ));
            }
            Ok(())
        }
        QueueDiscipline::Pie(pie) => pie_is_expressible(pie),
        QueueDiscipline::DualPi2(dualpi2) => dualpi2_is_expressible(dualpi2),
    }
}

/// A request to a live step marking that a kernel which knows `nodrop` refuses, as that makes sense with ECN only. One that
/// does not know it takes it, and would drop what cannot be marked.
pub(crate) fn nodrop_without_ecn(step: &Step, parent: TcHandle) -> Qdisc {
    Qdisc {
        object: Object::Qdisc,
        parent,
        handle: TcHandle {
            major: STEP,
            minor: 0,
        },
        kind: "red",
        options: step_options_with(step, TC_RED_NODROP).into_bytes(),
    }
}

/// The packets that find `at` are those that find more than it says: the kernel's thresholds are struck from on. `shift` is
/// how far the average is scaled up.
fn threshold(at: QueueLimit, shift: u32) -> Result<u32, String> {
    let bytes = match at {
        QueueLimit::Bytes(bytes) => bytes,
        QueueLimit::Packets(packets) => {
            return Err(format!(
                "a threshold of {packets} packets: the kernel's RED counts bytes"
            ));
        }
    };
    // `red_check_params` of net/red.h.
    let from = bytes.bytes().saturating_add(1);
    if from < 1 << (31 - shift) {
        Ok(saturated(from))
    } else {
        Err(format!(
            "a threshold of {bytes}: too large for the kernel's RED"
        ))
    }
}

/// The binary logarithm of what a queue length is divided by before it counts.
fn weight_shift(weight: f64) -> Result<u32, String> {
    let shift = (-weight.log2()).round().clamp(0.0, 30.0);
    if ((-shift).exp2() / weight - 1.0).abs() > TOLERANCE {
        return Err(format!(
            "a weight of {weight}: those of the kernel's RED are powers of two"
        ));
    }
    Ok(shift as u32)
}

/// In how many 2⁻³²ths of a strike the chance rises per byte.
fn strikes_per_byte(red: &Red, bytes: u32) -> f64 {
    let chance = red.chance.fraction();
    // Distances between strikes are uniform on 1 … 1/p, which makes the share 2p ÷ (1 + p); for an average the model's are
    // too.
    let spread = if red.weight < 1.0 {
        chance
    } else {
        chance / (2.0 - chance)
    };
    spread * 2_f64.powi(32) / f64::from(bytes.max(1))
}

fn red_is_expressible(red: &Red) -> Result<(), String> {
    let shift = weight_shift(red.weight)?;
    let (min, max) = (threshold(red.min, shift)?, threshold(red.max, shift)?);
    // The kernel rounds to whole ones.
    let per_byte = strikes_per_byte(red, max - min);
    if !red.chance.is_zero() && max > min && 0.5 / per_byte > TOLERANCE {
        return Err(format!(
            "a chance of {} at {} bytes: the kernel's RED does not draw as fine",
            red.chance,
            max - 1
        ));
    }
    Ok(())
}

fn red_options(red: &Red) -> Payload {
    let shift = weight_shift(red.weight).unwrap_or(0);
    let at = |limit| threshold(limit, shift).unwrap_or(u32::MAX >> (shift + 1));
    let (mut min, max) = (at(red.min), at(red.max));
    if red.chance.is_zero() {
        // The kernel takes no chance of 0.
        min = max;
    }
    let bytes = max - min;
    let chance = strikes_per_byte(red, bytes).round() * f64::from(bytes.max(1));
    let flags = match red.signal {
        Signal::Mark => TC_RED_ECN,
        Signal::Drop => 0,
    };
    Payload::default()
        .attribute(
            TCA_RED_PARMS,
            red_parameters([min, max], shift as u8, flags),
        )
        .attribute(TCA_RED_STAB, forget_at_once())
        .attribute(
            TCA_RED_MAX_P,
            Payload::default().u32((chance as u32).max(1)),
        )
}

fn step_options(step: &Step) -> Payload {
    step_options_with(step, TC_RED_ECN | TC_RED_NODROP)
}

fn step_options_with(step: &Step, flags: u8) -> Payload {
    let at = threshold(step.at, 0).unwrap_or(u32::MAX >> 1);
    // The kernel takes flags in one of the two places.
    let bits = Payload::default()
        .u32(flags.into())
        .u32(TC_RED_SUPPORTED_FLAGS.into());
    Payload::default()
        .attribute(TCA_RED_PARMS, red_parameters([at, at], 0, 0))
        .attribute(TCA_RED_STAB, forget_at_once())
        .attribute(TCA_RED_MAX_P, Payload::default().u32(u32::MAX))
        .attribute(TCA_RED_FLAGS, bits)
}

fn red_parameters([min, max]: [u32; 2], shift: u8, flags: u8) -> Payload {
    Payload::default()
        .u32(0)
        .u32(min)
        .u32(max)
        .u8(shift)
        .u8(0)
        .u8(0)
        .u8(flags)
}

/// By how many bits an idle time shifts the average: all. The only one is that before the first packet, and after a change
/// that found the queue empty.
fn forget_at_once() -> Payload {
    Payload::default().bytes(&[31; 256])
}

fn codel_is_expressible(codel: &CoDel) -> Result<(), String> {
    in_32_bits("target", codel.target)?;
    in_32_bits("interval", codel.interval)
}

fn codel_options(codel: &CoDel, packets: u32) -> Payload {
    Payload::default()
        .attribute(TCA_CODEL_TARGET, microseconds(codel.target))
        .attribute(TCA_CODEL_LIMIT, Payload::default().u32(packets))
        .attribute(TCA_CODEL_INTERVAL, microseconds(codel.interval))
        .attribute(TCA_CODEL_ECN, ecn(codel.signal))
}

fn fq_codel_options(fq_codel: &FqCoDel, packets: u32) -> Payload {
    let quantum = saturated(fq_codel.quantum.bytes());
    codel_options(&fq_codel.codel, packets)
        .attribute(TCA_FQ_CODEL_QUANTUM, Payload::default().u32(quantum))
        .attribute(
            TCA_FQ_CODEL_MEMORY_LIMIT,
            Payload::default().u32(FQ_CODEL_MEMORY),
        )
}

fn pie_is_expressible(pie: &Pie) -> Result<(), String> {
    in_32_bits("target", pie.target)?;
    in_32_bits("update", pie.update)?;
    gain("alpha", pie.alpha, PIE_GAIN)?;
    gain("beta", pie.beta, PIE_GAIN)?;
    if pie.burst != PIE_BURST {
        return Err(format!(
            "a burst of {:?}: that of the kernel's PIE is {PIE_BURST:?}",
            pie.burst
        ));
    }
    Ok(())
}

fn pie_options(pie: &Pie, packets: u32) -> Payload {
    let scaled = |gain: f64| Payload::default().u32((gain * PIE_GAIN).round() as u32);
    Payload::default()
        .attribute(TCA_PIE_TARGET, microseconds(pie.target))
        .attribute(TCA_PIE_LIMIT, Payload::default().u32(packets))
        .attribute(TCA_PIE_TUPDATE, microseconds(pie.update))
        .attribute(TCA_PIE_ALPHA, scaled(pie.alpha))
        .attribute(TCA_PIE_BETA, scaled(pie.beta))
        .attribute(TCA_PIE_ECN, ecn(pie.signal))
        .attribute(TCA_PIE_BYTEMODE, Payload::default().u32(0))
        // The delay by timestamps.
        .attribute(TCA_PIE_DQ_RATE_ESTIMATOR, Payload::default().u32(0))
}

fn dualpi2_is_expressible(dualpi2: &DualPi2) -> Result<(), String> {
    in_32_bits("target", dualpi2.target)?;
    gain("alpha", dualpi2.alpha, DUALPI2_GAIN)?;
    gain("beta", dualpi2.beta, DUALPI2_GAIN)?;
    // Nanoseconds in 32 bits.
    for (name, time) in [("update", dualpi2.update), ("step", dualpi2.step)] {
        if u32::try_from(time.as_nanos()).is_err() {
            return Err(format!(
                "an {name} of {time:?}: too long for the kernel's DualPI2"
            ));
        }
    }
    let coupling = dualpi2.coupling;
    if coupling.fract() != 0.0 || !(1.0..=255.0).contains(&coupling) {
        return Err(format!(
            "a coupling of {coupling}: those of the kernel's DualPI2 are whole numbers"
        ));
    }
    let percent = dualpi2.classic_share.fraction() * 100.0;
    if (percent - percent.round()).abs() > 1e-6 {
        return Err(format!(
            "a classic share of {}: those of the kernel's DualPI2 are whole percentages",
            dualpi2.classic_share
        ));
    }
    Ok(())
}

fn dualpi2_options(dualpi2: &DualPi2, packets: u32) -> Payload {
    let number = |value: u32| Payload::default().u32(value);
    let small = |value: u8| Payload::default().u8(value);
    let scaled = |gain: f64| number((gain * DUALPI2_GAIN).round() as u32);
    let percent = (dualpi2.classic_share.fraction() * 100.0).round() as u8;
    // It has a memory limit too, which follows from that of packets.
    Payload::default()
        .attribute(TCA_DUALPI2_LIMIT, number(packets))
        .attribute(TCA_DUALPI2_TARGET, microseconds(dualpi2.target))
        .attribute(TCA_DUALPI2_TUPDATE, microseconds(dualpi2.update))
        .attribute(TCA_DUALPI2_ALPHA, scaled(dualpi2.alpha))
        .attribute(TCA_DUALPI2_BETA, scaled(dualpi2.beta))
        .attribute(TCA_DUALPI2_STEP_THRESH_US, microseconds(dualpi2.step))
        .attribute(TCA_DUALPI2_MIN_QLEN_STEP, number(0))
        .attribute(TCA_DUALPI2_COUPLING, small(dualpi2.coupling as u8))
        .attribute(TCA_DUALPI2_DROP_OVERLOAD, small(1))
        .attribute(TCA_DUALPI2_DROP_EARLY, small(0))
        .attribute(TCA_DUALPI2_C_PROTECTION, small(percent))
        .attribute(TCA_DUALPI2_ECN_MASK, small(DUALPI2_SCALABLE))
        .attribute(TCA_DUALPI2_SPLIT_GSO, small(1))
}

fn in_32_bits(name: &str, time: Duration) -> Result<(), String> {
    match u32::try_from(time.as_micros()) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "a {name} of {time:?}: the kernel counts its microseconds in 32 bits"
        )),
    }
}

fn gain(name: &str, gain: f64, scale: f64) -> Result<(), String> {
    let scaled = gain * scale;
    if (scaled.round() - scaled).abs() > TOLERANCE * scaled || scaled.round() < 1.0 {
        return Err(format!(
            "{name} {gain}: the kernel's gains are multiples of 1/{scale}"
        ));
    }
    Ok(())
}

fn microseconds(time: Duration) -> Payload {
    let rounded = (time + Duration::from_nanos(500)).as_micros();
    Payload::default().u32(u32::try_from(rounded).unwrap_or(u32::MAX).max(1))
}

fn ecn(signal: Signal) -> Payload {
    Payload::default().u32(match signal {
        Signal::Mark => 1,
        Signal::Drop => 0,
    })
}

#[cfg(test)]
mod tests;
