//! What a channel takes of the kernel's qdiscs, and whether they can give it.

use longhaul_topologies::model::{
    Channel, FourState, Jitter, JitterShape, LaneState, Loss, QueueLimit,
};
use longhaul_topologies::units::ByteSize;

use super::probe;
use crate::engine::{EngineError, EngineKind};
use crate::tc::bottleneck::{Bottleneck, Grain};
use crate::tc::delay_line::rounds_to_never;
use crate::tc::queue;

/// Whether netem can do what `channel` asks, on this kernel.
///
/// # Errors
/// Which field it cannot, and why.
pub fn expressible(channel: &Channel) -> Result<(), String> {
    on_any_kernel(channel)?;
    match channel.rate {
        Some(_) => probe::discipline(&channel.discipline),
        // Nothing queues.
        None => Ok(()),
    }
}

/// Whether netem can do what `channel` asks, on a kernel that has all disciplines.
fn on_any_kernel(channel: &Channel) -> Result<(), String> {
    if let Some(rate) = channel.rate
        && rate.bytes_per_second() == 0
    {
        return Err(format!(
            "rate {rate}: the kernel counts in whole bytes per second"
        ));
    }
    let only_relay = |what: &str| Err(format!("{what}: the kernel has nothing like it"));
    if channel.rate_trace.is_some() {
        return only_relay("a rate trace");
    }
    if let Some(Jitter {
        shape: JitterShape::Trace(_),
        ..
    }) = channel.jitter
    {
        return only_relay("a delay trace");
    }
    if channel.reordering.is_some() {
        return only_relay("reordering of a stated depth");
    }
    queue::expressible(&channel.discipline)?;
    let chances = match channel.loss {
        Loss::None => vec![],
        Loss::Packets(_) => return only_relay("a list of lost packets"),
        Loss::Trace(_) => return only_relay("a loss trace"),
        Loss::FourState(FourState {
            p13,
            p31,
            p32,
            p23,
            p14,
        }) => vec![p13, p31, p32, p23, p14],
        Loss::Independent(chance) => vec![chance],
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => {
            vec![to_bad, to_good, loss_in_bad, loss_in_good]
        }
    };
    let chances = [channel.duplication, channel.corruption]
        .into_iter()
        .chain(chances);
    for chance in chances {
        if rounds_to_never(chance) {
            return Err(format!("a chance of {chance}: the kernel draws 32 bits"));
        }
    }
    if let Some(QueueLimit::Bytes(bytes)) = channel.queue_limit
        && u32::try_from(bytes.bytes()).is_err()
    {
        return Err(format!(
            "a queue of {bytes}: the kernel counts its bytes in 32 bits"
        ));
    }
    Ok(())
}

/// The bottleneck of `channel`, if it has a rate.
pub(super) fn bottleneck(
    channel: &Channel,
    frame: ByteSize,
) -> Result<Option<Bottleneck>, EngineError> {
    expressible(channel).map_err(inexpressible)?;
    // The kernel counts the frame being sent as queued.
    match channel.queue_limit {
        Some(QueueLimit::Bytes(bytes)) if bytes < frame => {
            return Err(inexpressible(format!(
                "a queue of {bytes}: a frame of {frame} does not fit"
            )));
        }
        Some(QueueLimit::Packets(0)) => return Err(inexpressible("a queue of no packets".into())),
        Some(QueueLimit::Bytes(_) | QueueLimit::Packets(_)) | None => {}
    }
    let bottleneck = channel.rate.zip(channel.queue_limit);
    Ok(bottleneck.map(|(rate, queue)| Bottleneck {
        rate,
        queue,
        discipline: channel.discipline,
        grain: Grain::WirePackets { frame },
    }))
}

/// Whether every packet's fate is decided, and counted, by itself.
pub(super) fn draws(channel: &Channel) -> bool {
    channel.state == LaneState::Down
        || channel.loss != Loss::None
        || !channel.duplication.is_zero()
        || !channel.corruption.is_zero()
}

/// What netem cannot do, as an error.
pub(super) fn inexpressible(what: String) -> EngineError {
    EngineError::Inexpressible {
        engine: EngineKind::Netem,
        what,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longhaul_topologies::model::{
        CoDel, DelayTrace, PacketOrder, QueueDiscipline, RateTrace, Reordering, Signal, Step,
    };
    use longhaul_topologies::units::{Probability, Rate};

    use super::*;

    fn channel() -> Channel {
        Channel {
            rate: Some(Rate::from_bits_per_second(1_000_000_000)),
            delay: Duration::from_millis(40),
            queue_limit: Some(QueueLimit::Bytes(ByteSize::from_bytes(10_000_000))),
            ..Channel::of_delay(Duration::ZERO)
        }
    }

    fn refusal(change: impl FnOnce(&mut Channel)) -> String {
        let mut channel = channel();
        change(&mut channel);
        let refused = bottleneck(&channel, ByteSize::from_bytes(1514));
        refused.expect_err("inexpressible").to_string()
    }

    #[test]
    fn an_ordinary_channel_is_expressible() {
        assert_eq!(expressible(&channel()), Ok(()));
    }

    #[test]
    fn a_lane_that_is_down_and_four_states_are_expressible() {
        let percent = |percent| Probability::new(percent / 100.0).unwrap();
        let channel = Channel {
            state: LaneState::Down,
            loss: Loss::FourState(FourState {
                p13: percent(1.0),
                p31: percent(20.0),
                p32: percent(0.0),
                p23: percent(0.0),
                p14: percent(0.1),
            }),
            ..channel()
        };
        assert_eq!(expressible(&channel), Ok(()));
    }

    #[test]
    fn disciplines_are_expressible_within_what_the_kernels_own_can_do() {
        let with = |discipline| {
            on_any_kernel(&Channel {
                discipline,
                ..channel()
            })
        };
        let codel = CoDel {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            signal: Signal::Mark,
        };
        assert_eq!(with(QueueDiscipline::CoDel(codel)), Ok(()));
        let at = QueueLimit::Packets(65);
        let step = with(QueueDiscipline::Step(Step { at }));
        assert!(step.is_err_and(|why| why.contains("65 packets")));
    }

    #[test]
    fn what_only_the_relay_can_do_is_refused_with_its_field() {
        let reordering = Reordering {
            chance: Probability::ONE,
            depth: 3,
        };
        let reordered = refusal(|channel| channel.reordering = Some(reordering));
        assert!(
            reordered.contains("reordering of a stated depth"),
            "{reordered}"
        );
        let listed = refusal(|channel| channel.loss = Loss::Packets([3].into()));
        assert!(listed.contains("a list of lost packets"), "{listed}");
        let played = refusal(|channel| channel.loss = Loss::Trace([true].into()));
        assert!(played.contains("a loss trace"), "{played}");
        let trace = RateTrace::from_mahimahi("1\n2\n").unwrap();
        let varying = refusal(|channel| channel.rate_trace = Some(trace));
        assert!(varying.contains("a rate trace"), "{varying}");
        let trace = DelayTrace::from_csv("0,0\n1,5\n").unwrap();
        let wandering = refusal(|channel| {
            channel.jitter = Some(Jitter {
                deviation: Duration::ZERO,
                shape: JitterShape::Trace(trace),
                order: PacketOrder::Preserved,
            });
        });
        assert!(wandering.contains("a delay trace"), "{wandering}");
    }

    #[test]
    fn what_the_kernel_cannot_count_is_refused_with_its_field() {
        let slow = refusal(|channel| channel.rate = Some(Rate::from_bits_per_second(7)));
        assert!(slow.contains("rate 7bit"), "{slow}");
        let rare =
            refusal(|channel| channel.loss = Loss::Independent(Probability::new(1e-12).unwrap()));
        assert!(rare.contains("chance"), "{rare}");
        let deep = |bytes| Some(QueueLimit::Bytes(ByteSize::from_bytes(bytes)));
        let long = refusal(|channel| channel.queue_limit = deep(1 << 32));
        assert!(long.contains("a queue of"), "{long}");
        let short = refusal(|channel| channel.queue_limit = deep(1000));
        assert!(short.contains("does not fit"), "{short}");
    }
}
