//! One direction of a link: rate, jitter, loss, queue.

use std::time::Duration;

use crate::document::{Document, DocumentPath, InputError};
use crate::model::{
    Channel, DelaySource, Jitter, JitterDistribution, Loss, PacketOrder, QueueLimit,
};
use crate::spec::{ChannelSpec, GilbertElliott, JitterSettings, JitterSpec, LossSpec};
use crate::units::{ByteSize, Probability, QueueSize, Rate, TimeSpan};

/// A 1500-byte packet takes 12 s at this rate: slower links are never meant.
const LEAST_RATE: Rate = Rate::from_bits_per_second(1_000);
/// Half of today's fastest Ethernet port; no machine emulates more.
const MOST_RATE: Rate = Rate::from_bits_per_second(400_000_000_000);
const DEFAULT_QUEUE: QueueSize = QueueSize::Bdp(1.0);
/// What a queue stated in BDPs holds at least, so that short links work: one super-packet of segmentation offload,
/// which TCP hands to a link at once (GSO_LEGACY_MAX_SIZE in the kernel's netdevice.h).
const LEAST_BDP_QUEUE: ByteSize = ByteSize::from_bytes(65_536);
const ETHERNET_HEADER: u64 = 14;

/// The places a channel's settings can stand in, innermost first, with their paths.
pub(super) struct Layers {
    pub(super) direction: (ChannelSpec, DocumentPath),
    pub(super) link: (ChannelSpec, DocumentPath),
    pub(super) defaults: (ChannelSpec, DocumentPath),
}

impl Layers {
    /// The innermost setting that `get` finds, and the path of its `key`.
    pub(super) fn find<T>(
        &self,
        key: &str,
        get: impl Fn(&ChannelSpec) -> Option<T>,
    ) -> Option<(T, DocumentPath)> {
        [&self.direction, &self.link, &self.defaults]
            .into_iter()
            .find_map(|(settings, path)| get(settings).map(|value| (value, path.key(key))))
    }
}

/// The channel that `layers` describe.
pub(super) fn channel(
    document: &Document,
    layers: &Layers,
    (delay, delay_source): (Duration, DelaySource),
    round_trip: Duration,
    mtu: u32,
) -> Result<Channel, InputError> {
    let rate = layers.find("rate", |settings| settings.rate);
    if let Some((rate, path)) = &rate {
        check_rate(document, path, *rate)?;
    }
    let rate = rate.map(|(rate, _)| rate);
    let (queue, queue_limit) = match rate {
        Some(rate) => queue(document, layers, rate, round_trip, mtu)?,
        // Nothing queues.
        None => (DEFAULT_QUEUE, None),
    };
    Ok(Channel {
        rate,
        delay,
        delay_source,
        jitter: jitter(document, layers, delay)?,
        loss: loss(document, layers)?,
        duplication: chance(document, layers, "duplication", |settings| {
            settings.duplication
        })?,
        corruption: chance(document, layers, "corruption", |settings| {
            settings.corruption
        })?,
        queue,
        queue_limit,
    })
}

pub(super) fn check_rate(
    document: &Document,
    path: &DocumentPath,
    rate: Rate,
) -> Result<(), InputError> {
    if (LEAST_RATE..=MOST_RATE).contains(&rate) {
        return Ok(());
    }
    Err(document
        .error(
            path,
            format!("a rate of {rate} is out of range: {LEAST_RATE} to {MOST_RATE}"),
        )
        .with_help("leave the rate out for no limit"))
}

fn jitter(
    document: &Document,
    layers: &Layers,
    delay: Duration,
) -> Result<Option<Jitter>, InputError> {
    let Some((spec, path)) = layers.find("jitter", |settings| settings.jitter) else {
        return Ok(None);
    };
    let (
        JitterSettings {
            deviation,
            distribution,
            order,
        },
        path,
    ) = match spec {
        JitterSpec::Deviation(deviation) => (
            JitterSettings {
                deviation,
                distribution: None,
                order: None,
            },
            path,
        ),
        JitterSpec::Full(settings) => (settings, path.key("deviation")),
    };
    let deviation = deviation.duration();
    if deviation.is_zero() {
        return Ok(None);
    }
    let distribution = distribution.unwrap_or(JitterDistribution::Normal);
    let most = delay.div_f64(distribution.reach());
    if deviation > most {
        let [deviation, delay, most] = [deviation, delay, most].map(TimeSpan::from);
        return Err(document
            .error(
                &path,
                format!("a jitter of {deviation} is too much for a delay of {delay}"),
            )
            .with_help(format!(
                "packets would have to arrive before they are sent: at most {most} with this distribution"
            )));
    }
    Ok(Some(Jitter {
        deviation,
        distribution,
        order: order.unwrap_or(PacketOrder::Preserved),
    }))
}

fn loss(document: &Document, layers: &Layers) -> Result<Loss, InputError> {
    let Some((spec, path)) = layers.find("loss", |settings| settings.loss) else {
        return Ok(Loss::None);
    };
    match spec {
        LossSpec::Independent(chance) if chance.is_zero() => Ok(Loss::None),
        LossSpec::Independent(chance) if is_certain(chance) => {
            Err(nothing_arrives(document, &path, "loss"))
        }
        LossSpec::Independent(chance) => Ok(Loss::Independent(chance)),
        LossSpec::Model(model) => gilbert_elliott(
            document,
            &path.key("gilbert_elliott"),
            model.gilbert_elliott,
        ),
    }
}

fn gilbert_elliott(
    document: &Document,
    path: &DocumentPath,
    spec: GilbertElliott,
) -> Result<Loss, InputError> {
    let GilbertElliott {
        to_bad,
        to_good,
        loss_in_bad,
        loss_in_good,
    } = spec;
    let refuse = |key: &str, message: &str, help: &str| {
        Err(document.error(&path.key(key), message).with_help(help))
    };
    if to_bad.is_zero() {
        return refuse(
            "to_bad",
            "the bad state is never entered",
            "write a chance above 0%, or a plain `loss`",
        );
    }
    if to_good.is_zero() {
        return refuse(
            "to_good",
            "the bad state is never left",
            "write a chance above 0%: 100% divided by the length of a burst",
        );
    }
    let loss_in_good = loss_in_good.unwrap_or(Probability::ZERO);
    if is_certain(loss_in_good) {
        return Err(nothing_arrives(
            document,
            &path.key("loss_in_good"),
            "loss in the good state",
        ));
    }
    let loss_in_bad = loss_in_bad
        .or(Probability::new(1.0))
        .expect("1 is a probability");
    if loss_in_bad.is_zero() && loss_in_good.is_zero() {
        return refuse(
            "loss_in_bad",
            "nothing is lost in either state",
            "write a `loss_in_bad` above 0%, or leave the model out",
        );
    }
    Ok(Loss::GilbertElliott {
        to_bad,
        to_good,
        loss_in_bad,
        loss_in_good,
    })
}

fn chance(
    document: &Document,
    layers: &Layers,
    key: &str,
    get: fn(&ChannelSpec) -> Option<Probability>,
) -> Result<Probability, InputError> {
    match layers.find(key, get) {
        Some((chance, path)) if key == "corruption" && is_certain(chance) => {
            Err(nothing_arrives(document, &path, key))
        }
        Some((chance, _)) => Ok(chance),
        None => Ok(Probability::ZERO),
    }
}

fn is_certain(chance: Probability) -> bool {
    chance.fraction() >= 1.0
}

fn nothing_arrives(document: &Document, path: &DocumentPath, what: &str) -> InputError {
    document
        .error(path, format!("a {what} of 100% lets nothing through"))
        .with_help("write less, such as `1%`")
}

fn queue(
    document: &Document,
    layers: &Layers,
    rate: Rate,
    round_trip: Duration,
    mtu: u32,
) -> Result<(QueueSize, Option<QueueLimit>), InputError> {
    let (queue, path) = layers
        .find("queue", |settings| settings.queue)
        .unwrap_or((DEFAULT_QUEUE, DocumentPath::root()));
    let limit = match queue {
        QueueSize::Packets(packets) => return Ok((queue, Some(QueueLimit::Packets(packets)))),
        QueueSize::Bytes(size) => size,
        QueueSize::Time(time) => rate.size_in(time.duration()),
        QueueSize::Bdp(multiples) => {
            let bytes = rate.size_in(round_trip).bytes() as f64 * multiples;
            ByteSize::from_bytes(bytes.round() as u64).max(LEAST_BDP_QUEUE)
        }
    };
    let packet = ByteSize::from_bytes(u64::from(mtu) + ETHERNET_HEADER);
    if limit < packet {
        return Err(document
            .error(
                &path,
                format!("a queue of {queue} holds {limit} at {rate}: not even one packet"),
            )
            .with_help(format!(
                "a packet is up to {packet} (the MTU and an Ethernet header): write `10p` or more"
            )));
    }
    Ok((queue, Some(QueueLimit::Bytes(limit))))
}
