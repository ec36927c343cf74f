//! One direction of a lane as queueing disciplines on the interface that it leaves by, in `tc`'s words.
//!
//! netem is the delay line, and under it a token bucket the bottleneck: packets are delayed first and queue then. For a constant delay
//! that is the same to both ends of the lane as the other way round, and it keeps what is under way apart from what waits: one netem
//! with a rate would share one limit between them.

use std::time::Duration;

use crate::model::{
    Channel, FourState, Jitter, JitterDistribution, JitterShape, LaneState, Loss, PacketOrder,
    QueueLimit,
};
use crate::units::{Rate, TimeSpan};

/// How many packets may be under way. None too many: the bottleneck bounds them. `i32::MAX`, as `tc` reads it as signed.
const LIMIT: u32 = i32::MAX.cast_unsigned();

/// With a rate, netem sends no packet before the one that came before it (`netem_enqueue` in `sch_netem.c`); at this one, a packet
/// takes no time.
const ORDER_KEEPING_RATE: &str = "800tbit";

/// How late a token bucket's timer may fire before the rate falls short, as in longhaul's own labs (`emulator/src/tc/bottleneck.rs`).
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The header that a frame has around an IP packet.
const ETHERNET_HEADER: u32 = 14;

/// The queue of a port inside a site, in packets: the kernel's own default (`DEFAULT_TX_QUEUE_LEN` in `include/net/pkt_sched.h`).
const PORT_QUEUE: QueueLimit = QueueLimit::Packets(1000);

/// The commands that make what leaves by `interface` behave as `channel` says, as far as netem and a FIFO can.
pub fn of_channel(channel: &Channel, interface: &str, mtu: u32) -> Vec<String> {
    let line = delay_line(channel).join(" ");
    let mut qdiscs = Vec::new();
    if !line.is_empty() {
        qdiscs.push(format!("root handle 1: netem limit {LIMIT} {line}"));
    }
    if let Some(rate) = channel.rate {
        let parent = if line.is_empty() {
            "root"
        } else {
            "parent 1:1"
        };
        // Nothing that has a rate is without a limit.
        let limit = channel.queue_limit.unwrap_or(PORT_QUEUE);
        let bucket = bucket(rate, limit, mtu);
        qdiscs.push(format!("{parent} handle 2: {bucket}"));
    }
    let command = |qdisc| format!("tc qdisc replace dev {interface} {qdisc}");
    qdiscs.into_iter().map(command).collect()
}

/// The command that gives a port inside a site its rate.
pub fn of_port(rate: Rate, interface: &str, mtu: u32) -> String {
    let bucket = bucket(rate, PORT_QUEUE, mtu);
    format!("tc qdisc replace dev {interface} root handle 1: {bucket}")
}

/// Whether netem draws for every packet of `channel`: super-packets of segmentation offload would be lost as a whole.
pub fn draws_per_packet(channel: &Channel) -> bool {
    channel.state == LaneState::Down
        || loss(&channel.loss).is_some()
        || !channel.duplication.is_zero()
        || !channel.corruption.is_zero()
}

/// Rate and queue.
fn bucket(rate: Rate, limit: QueueLimit, mtu: u32) -> String {
    let frame = u64::from(mtu + ETHERNET_HEADER);
    let limit = match limit {
        QueueLimit::Bytes(bytes) => bytes.bytes(),
        QueueLimit::Packets(packets) => u64::from(packets) * frame,
    };
    let burst = frame + rate.size_in(TIMER_SLACK).bytes();
    let [burst, limit] = [burst, limit.max(frame)].map(|bytes| bytes.min(u32::MAX.into()));
    format!(
        "tbf rate {}bit burst {burst}b limit {limit}b",
        rate.bits_per_second()
    )
}

/// netem's options for all but rate and queue.
fn delay_line(channel: &Channel) -> Vec<String> {
    let mut options = Vec::new();
    let jitter = channel.jitter.as_ref().and_then(jitter);
    if !channel.delay.is_zero() || jitter.is_some() {
        options.push(format!("delay {}", TimeSpan::from(channel.delay)));
        options.extend(jitter);
    }
    if channel.state == LaneState::Down {
        options.push("loss random 100%".to_owned());
        return options;
    }
    options.extend(loss(&channel.loss).map(|model| format!("loss {model}")));
    for (name, chance) in [
        ("duplicate", channel.duplication),
        ("corrupt", channel.corruption),
    ] {
        if !chance.is_zero() {
            options.push(format!("{name} {chance}"));
        }
    }
    options
}

/// What follows the delay: the deviation, its shape, and what keeps the order.
fn jitter(jitter: &Jitter) -> Option<String> {
    let JitterShape::Distribution(shape) = &jitter.shape else {
        return None;
    };
    let (deviation, name) = match shape {
        // Without a table, netem draws evenly from delay ± jitter.
        JitterDistribution::Uniform => (jitter.deviation.mul_f64(3_f64.sqrt()), None),
        JitterDistribution::Normal => (jitter.deviation, Some("normal")),
        JitterDistribution::Pareto => (jitter.deviation, Some("pareto")),
        JitterDistribution::ParetoNormal => (jitter.deviation, Some("paretonormal")),
    };
    let mut text = TimeSpan::from(deviation).to_string();
    if let Some(name) = name {
        text.push_str(&format!(" distribution {name}"));
    }
    if jitter.order == PacketOrder::Preserved {
        text.push_str(&format!(" rate {ORDER_KEEPING_RATE}"));
    }
    Some(text)
}

/// A loss model in netem's words, if it is one of netem's.
fn loss(loss: &Loss) -> Option<String> {
    match loss {
        Loss::None | Loss::Packets(_) | Loss::Trace(_) => None,
        Loss::Independent(chance) => Some(format!("random {chance}")),
        // `tc` takes 1 − h, the loss in the bad state, and makes the kernel's h of it itself (`parse_gemodel` of its q_netem.c).
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => Some(format!(
            "gemodel {to_bad} {to_good} {loss_in_bad} {loss_in_good}"
        )),
        Loss::FourState(FourState {
            p13,
            p31,
            p32,
            p23,
            p14,
        }) => Some(format!("state {p13} {p31} {p32} {p23} {p14}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;
    use crate::validate;

    /// The commands of the one link's forward direction.
    fn commands(settings: &str) -> Vec<String> {
        let text = format!(
            "{{sites: [{{name: a}}, {{name: b}}], links: [{{between: [a, b], {settings}}}]}}"
        );
        let document = Document::from_text("two", &text).unwrap();
        let topology = validate::topology(&document).unwrap();
        of_channel(&topology.links[0].lanes[0].forward, "l0.0", topology.mtu)
    }

    #[test]
    fn a_link_is_a_delay_line_over_a_bottleneck() {
        assert_eq!(
            commands("rate: 100Mbit, delay: 10ms, queue: 100p"),
            [
                "tc qdisc replace dev l0.0 root handle 1: netem limit 2147483647 delay 10ms",
                // A frame, and a frame with what passes in two milliseconds.
                "tc qdisc replace dev l0.0 parent 1:1 handle 2: tbf rate 100000000bit burst 26514b limit 151400b",
            ]
        );
    }

    #[test]
    fn a_link_without_delay_has_no_delay_line_and_one_without_a_rate_no_bottleneck() {
        let [bottleneck] = &commands("rate: 1Gbit, delay: 0s, queue: 1MiB")[..] else {
            panic!("one command")
        };
        assert!(bottleneck.contains("dev l0.0 root handle 2: tbf rate 1000000000bit"));
        assert!(bottleneck.ends_with("limit 1048576b"), "{bottleneck}");
        let [line] = &commands("delay: 40ms")[..] else {
            panic!("one command")
        };
        assert!(line.ends_with("delay 40ms"), "{line}");
        assert!(commands("delay: 0s").is_empty());
    }

    #[test]
    fn what_netem_draws_is_in_its_words() {
        for (settings, expected) in [
            ("loss: 0.1%", "loss random 0.1%"),
            (
                "loss: {gilbert_elliott: {to_bad: 1%, to_good: 20%, loss_in_bad: 75%, loss_in_good: 3%}}",
                "loss gemodel 1% 20% 75% 3%",
            ),
            (
                "loss: {four_state: {p13: 1%, p31: 25%, p32: 10%, p23: 50%, p14: 2%}}",
                "loss state 1% 25% 10% 50% 2%",
            ),
            ("duplication: 1%, corruption: 2%", "duplicate 1% corrupt 2%"),
            ("state: down, duplication: 1%", "loss random 100%"),
            ("loss: {packets: [1]}", ""),
            ("jitter: 1ms", "1ms distribution normal rate 800tbit"),
            (
                "jitter: {deviation: 1ms, order: by-delay}",
                "1ms distribution normal",
            ),
            (
                "jitter: {deviation: 1ms, distribution: uniform, order: by-delay}",
                "1.732051ms",
            ),
            ("jitter: {samples: [1ms, 2ms], order: by-delay}", ""),
        ] {
            let commands = commands(&format!("delay: 10ms, {settings}"));
            let options = commands[0].split_once("delay 10ms").unwrap().1.trim();
            assert_eq!(options, expected, "{settings}");
        }
    }
}
