//! What does not arrive, arrives twice, or arrives otherwise than it was sent.

use longhaul_topologies::model::Loss;

use super::super::quantity::{Bound, Quantity, Requirement};
use super::{Judging, share};

/// The chance that a faithful lab fails on one of its shares, all channels together.
pub(super) const FALSE_ALARM: f64 = 0.01;

/// Which shares of so many packets a chance can give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    /// The chance.
    asked: f64,
    least: f64,
    most: f64,
    trials: usize,
}

impl Interval {
    /// All that each leave more than `tail` to chance beyond them.
    pub(super) fn of(trials: usize, asked: f64, tail: f64) -> Self {
        Self::effective(trials, trials as f64, asked, tail)
    }

    /// The same where `trials` packets say as much as so many independent ones.
    fn effective(trials: usize, independent: f64, asked: f64, tail: f64) -> Self {
        let independent = (independent.round() as u64).max(1);
        let (least, most) = binomial_interval(independent, asked, tail);
        // Rounded outward by half a packet: a count stands for all shares that round to it.
        let half = if asked == 0.0 {
            0.0
        } else {
            0.5 / independent as f64
        };
        Interval {
            asked,
            least: least as f64 / independent as f64 - half,
            most: most as f64 / independent as f64 + half,
            trials,
        }
    }

    fn reaching(self, least: f64, most: f64) -> Self {
        Interval {
            least: self.least.min(least),
            most: self.most.max(most),
            ..self
        }
    }
}

impl Judging<'_> {
    /// Lost probes within the interval that the channel gives them, which the sample's size decides.
    pub(super) fn loss(&mut self, channels: usize) {
        let sent = self.observed.samples.len();
        if sent == 0 {
            return;
        }
        if let Some(reason) = self.long_gap() {
            return self.skip("loss", &reason);
        }
        let lost = self
            .observed
            .samples
            .iter()
            .filter(|sample| sample.delay.is_none());
        let lost = lost.count();
        let channel = &self.subject.channel;
        let asked = mean_loss(&channel.loss);
        // Losses that come in bursts say less than as many that do not.
        let independent = sent as f64 * independence(&channel.loss);
        let mut interval = Interval::effective(sent, independent, asked, tail(channels));
        let whole = sent as f64;
        match &channel.loss {
            // Any of them may be among the probes, or before or behind them.
            Loss::Packets(numbers) => {
                interval = interval.reaching(0.0, numbers.len() as f64 / whole);
            }
            Loss::Trace(fates) => {
                let (least, most) = window(fates, sent);
                interval = interval.reaching(least as f64 / whole, most as f64 / whole);
            }
            _ => {}
        }
        // A flipped bit in a header loses the packet. And netem lets a lost packet's duplicate through.
        let overhead = self.observed.headers as f64 / self.observed.frame as f64;
        let mangled = channel.corruption.fraction() * overhead;
        let saved = asked * channel.duplication.fraction();
        interval.most += mangled;
        interval.least -= saved;
        self.hold_share(Quantity::Loss, &interval, lost);
    }

    /// Probes that arrived more than once.
    pub(super) fn duplication(&mut self, channels: usize) {
        let arrived = self
            .observed
            .samples
            .iter()
            .filter(|sample| sample.copies > 0);
        let (arrived, twice) = arrived.fold((0, 0), |(arrived, twice), sample| {
            (arrived + 1, twice + usize::from(sample.copies > 1))
        });
        if arrived > 0 {
            let asked = self.subject.channel.duplication.fraction();
            let interval = Interval::of(arrived, asked, tail(channels));
            self.hold_share(Quantity::Duplication, &interval, twice);
        }
    }

    /// Probes that arrived with a flipped bit. They carry no checksum that would have the kernel throw them away; what was
    /// flipped in a header is lost or does not show.
    pub(super) fn corruption(&mut self, channels: usize) {
        let arrived = self
            .observed
            .samples
            .iter()
            .filter(|sample| sample.copies > 0);
        let (arrived, corrupted) = arrived.fold((0, 0), |(arrived, corrupted), sample| {
            (arrived + 1, corrupted + usize::from(sample.corrupted))
        });
        if arrived > 0 {
            let asked = self.subject.channel.corruption.fraction();
            let overhead = self.observed.headers as f64 / self.observed.frame as f64;
            let visible = Interval::of(arrived, asked * (1.0 - overhead), tail(channels));
            let interval = Interval::of(arrived, asked, tail(channels));
            let interval = interval.reaching(visible.least, interval.most);
            self.hold_share(Quantity::Corruption, &interval, corrupted);
        }
    }

    /// Holds a share of packets against the interval that it may lie in.
    pub(super) fn hold_share(&mut self, quantity: Quantity, interval: &Interval, count: usize) {
        let Interval {
            asked,
            least,
            most,
            trials,
        } = *interval;
        let measured = share(count, trials);
        let requirement = Requirement {
            value: asked * 100.0,
            bound: Bound::Within((most - asked).max(asked - least) * 100.0),
            within: (least * 100.0..=most * 100.0).contains(&measured),
        };
        self.push(quantity, "%", Some(requirement), measured, trials);
    }
}

fn tail(channels: usize) -> f64 {
    FALSE_ALARM / channels.max(1) as f64 / 2.0
}

/// The fewest and the most losses among `count` packets of a trace, wherever they begin.
fn window(fates: &[bool], count: usize) -> (usize, usize) {
    let losses = |fates: &[bool]| fates.iter().filter(|&&lost| lost).count();
    let length = fates.len().max(1);
    let (whole, rest) = (count / length * losses(fates), count % length);
    let mut inside = losses(&fates[..rest]);
    let (mut least, mut most) = (inside, inside);
    for begin in 0..length {
        inside += usize::from(fates[(begin + rest) % length]);
        inside -= usize::from(fates[begin]);
        (least, most) = (least.min(inside), most.max(inside));
    }
    (whole + least, whole + most)
}

/// The share of packets lost in the long run.
pub(super) fn mean_loss(loss: &Loss) -> f64 {
    match loss {
        Loss::None => 0.0,
        Loss::Independent(probability) => probability.fraction(),
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => {
            let (bad, good) = (to_bad.fraction(), to_good.fraction());
            let in_bad = if bad + good > 0.0 {
                bad / (bad + good)
            } else {
                0.0
            };
            in_bad * loss_in_bad.fraction() + (1.0 - in_bad) * loss_in_good.fraction()
        }
        Loss::FourState(states) => states.mean_loss(),
        // Of the run as a whole.
        Loss::Packets(_) => 0.0,
        Loss::Trace(fates) => {
            fates.iter().filter(|&&lost| lost).count() as f64 / fates.len() as f64
        }
    }
}

/// How many independent packets one packet is worth for estimating the mean: (1 − r) ÷ (1 + r), where r is the
/// correlation of the model's state from packet to packet.
fn independence(loss: &Loss) -> f64 {
    match loss {
        Loss::None | Loss::Independent(_) => 1.0,
        Loss::GilbertElliott {
            to_bad, to_good, ..
        } => {
            let correlation = (1.0 - to_bad.fraction() - to_good.fraction()).clamp(0.0, 0.999);
            (1.0 - correlation) / (1.0 + correlation)
        }
        // As the two-state chain between the burst and the rest.
        Loss::FourState(states) => {
            let correlation =
                (1.0 - states.p13.fraction() - states.p31.fraction()).clamp(0.0, 0.999);
            (1.0 - correlation) / (1.0 + correlation)
        }
        Loss::Packets(_) | Loss::Trace(_) => 1.0,
    }
}

/// The least and the greatest count that each have at least `tail` of a binomial distribution on their far side.
pub(super) fn binomial_interval(trials: u64, probability: f64, tail: f64) -> (u64, u64) {
    if probability <= 0.0 {
        return (0, 0);
    }
    if probability >= 1.0 {
        return (trials, trials);
    }
    let odds = (probability / (1.0 - probability)).ln();
    let mut log_mass = trials as f64 * (1.0 - probability).ln();
    let (mut below, mut least, mut most) = (0.0, None, trials);
    for count in 0..=trials {
        below += log_mass.exp();
        if least.is_none() && below > tail {
            least = Some(count);
        }
        if below >= 1.0 - tail {
            most = count;
            break;
        }
        log_mass += ((trials - count) as f64).ln() - ((count + 1) as f64).ln() + odds;
    }
    (least.unwrap_or(most), most)
}
