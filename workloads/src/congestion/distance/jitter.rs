//! Jitter: delay that stays while the rate falls, and moves by more than a queue does.
//!
//! Two things tell it from a queue. From slice to slice it changes by more. And packets that left apart arrive at once, or one before the
//! other: out of a queue they come no closer than the bottleneck sends them. That is certain, so less congestion is enough.
//!
//! And what delay there is in a line that a probe has found all but empty is none of a queue's either: a host's own.

use std::time::Duration;

use longhaul_emulator::time::Time;

use super::super::Ack;

/// Round trips, and seconds, of a span, after which it is judged.
const SPAN: f64 = 20.0;
/// For [`SPAN`].
const SPAN_TIME: f64 = 0.02;
/// A queue changes from a slice to the next by at most so much of the time between them…
const QUEUE_CHANGE: f64 = 0.15;
/// … and what delay changes by beyond that is jitter if it is this much, in the mean, of what full congestion is…
const ROUGH: f64 = 0.25;
/// … and this much of the mean delay: a queue that others hold moves by little beside what it is.
const ROUGH_PART: f64 = 0.15;
/// Mean deviations above the mean up to which such delay is taken for jitter.
const DEVIATIONS: f64 = 3.0;
/// What is taken for jitter is at most so many times what delay was seen to vary by.
const HIDDEN: f64 = 3.0;
/// Spans after which what was taken for jitter is doubted: it may have been a queue that others made, and one's own since…
const PROVISIONAL: u32 = 4;
/// … and when it has shown again.
const TRUSTED: u32 = 16;
/// Spans in which it can show again, while the rate falls.
const DOUBTED: u32 = 3;
/// Two packets tell whether there is jitter if they left at least so many packet times of the bottleneck apart…
const APART: f64 = 0.75;
/// … and at most so many, or met: longer apart hardly any do, whatever jitter there is, but out of a queue none at all.
const NEAR: f64 = 4.0;
/// They have met if they arrive within so many, of what the shorter one takes: a line sends the later one for its own time, a token bucket
/// lets it go once the earlier one has been paid for.
const MET: f64 = 0.5;
/// Pairs that tell, before they are believed…
const PAIRS: f64 = 7.0;
/// … of which so many must have met: one may be chance…
const MEETINGS: f64 = 2.0;
/// … and this part of all.
const MET_PART: f64 = 0.125;
/// From this part of them on there may be jitter…
const SUSPECTED_PART: f64 = 0.03;
/// … and below it there is none, if there were so many.
const DENYING: f64 = 16.0;
/// Of pairs, half are forgotten when there are so many, and after each span.
const MANY_PAIRS: f64 = 256.0;
/// Slices in which a line was all but empty that tell of delay without a queue.
const FLOOR_SLICES: f64 = 8.0;
/// With that certain, so much of the congestion that the rate bears is enough.
const CERTAIN: f64 = 0.5;
/// And more of it is believed once the rate is so many times what it was.
const FASTER: f64 = 1.1;

/// What is taken for it.
#[derive(Debug)]
pub(super) struct Jitter {
    delay: f64,
    /// What there was of it where the line was all but empty.
    floor: f64,
    belief: Belief,
    /// The rate when it was taken for that.
    taken_at: f64,
    span: Span,
    pairs: Pairs,
}

/// Packets that left near each other.
#[derive(Debug, Default)]
struct Pairs {
    newest: Option<Arrival>,
    all: f64,
    met: f64,
}

/// A packet that arrived.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    sent: Time,
    at: Time,
    /// Its length, in parts of that of a full packet.
    fullness: f64,
}

/// A slice of time, for [`Jitter::count`]. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Round trips that it took.
    pub part: f64,
    pub round_trip: f64,
    /// 0 to 1; and what a flow of this rate bears in the mean.
    pub congestion: f64,
    pub borne: f64,
    pub delay: f64,
    /// Delay at which congestion is full.
    pub full: f64,
    /// The bottleneck seems to carry more than this rate.
    pub room: bool,
}

/// Whether what was taken for jitter still is.
#[derive(Clone, Copy, Debug)]
enum Belief {
    /// There is none.
    None,
    /// For so many more spans.
    Trusted { spans: u32 },
    /// Not believed unless it shows again within so many spans; the rate before, in bytes per second.
    Doubted { spans: u32, rate: f64 },
}

/// What was seen since the last judgement.
#[derive(Debug, Default)]
struct Span {
    round_trips: f64,
    congestion: f64,
    /// Delay and its deviation, summed over slices.
    delay: f64,
    deviation: f64,
    /// Of all slices the least delay.
    least: Option<f64>,
    /// From each slice to the next, summed: a queue does not change as fast.
    roughness: f64,
    last: f64,
    slices: f64,
    /// The rate when it began.
    rate: f64,
}

impl Jitter {
    pub fn new() -> Self {
        Jitter {
            delay: 0.0,
            floor: 0.0,
            belief: Belief::None,
            taken_at: 0.0,
            span: Span::default(),
            pairs: Pairs::default(),
        }
    }

    /// Sees a packet arrive, where a full one of `packet` bytes takes `packet_time` seconds at the bottleneck.
    pub fn see(&mut self, ack: &Ack<'_>, packet: f64, packet_time: f64) {
        let way = ack.one_way.unwrap_or(ack.rtt);
        let arrival = Arrival {
            sent: ack.sent,
            at: ack.sent + way,
            fullness: ack.newest_bytes as f64 / packet,
        };
        self.pairs.see(arrival, packet_time);
        // Those that one acknowledgement is of.
        if let Some(apart) = ack.met {
            self.pairs.count(apart.as_secs_f64() / packet_time, true);
        }
    }

    /// Delay that is jitter, in seconds.
    pub fn delay(&self) -> f64 {
        self.delay.max(self.floor)
    }

    /// The line has turned out to have room for more than is sent, and a packet met this delay (in seconds) all the same: so is delay like it none
    /// of a queue's. More, since the last judgement, may have been of a queue that is gone.
    pub fn learn_floor(&mut self, met: f64) {
        if self.span.slices >= FLOOR_SLICES {
            self.floor = self.span.highest().min(HIDDEN * met);
        }
    }

    /// Whether there is some, whatever it does to delays.
    pub fn is_certain(&self) -> bool {
        self.delay > 0.0 || self.pairs.tell()
    }

    /// The bottleneck carries more than was known: pairs were counted by too long a packet time.
    pub fn forget_pairs(&mut self) {
        self.pairs = Pairs::default();
    }

    /// Whether there is, or may be, some.
    pub fn is_suspected(&self) -> bool {
        self.delay > 0.0 || self.pairs.hint()
    }

    /// Counts a slice, after which the rate is this: what it is to be instead, where the rate was cut for nothing.
    pub fn count(&mut self, seen: Seen, rate: f64) -> Option<f64> {
        self.span.count(seen);
        let trips = self.span.round_trips;
        if trips < SPAN || trips * seen.round_trip < SPAN_TIME {
            return None;
        }
        let span = std::mem::take(&mut self.span);
        let restored = self.judge(&span, seen, rate);
        self.pairs.age();
        self.span.rate = restored.unwrap_or(rate);
        restored
    }

    fn judge(&mut self, span: &Span, seen: Seen, rate: f64) -> Option<f64> {
        let mean = span.congestion / span.round_trips;
        let likely =
            span.is_rough(seen.full) && mean > f64::midpoint(seen.borne, 1.0) && !self.pairs.deny();
        // More of it than before may be one's own queue, unless more was sent than then and got through.
        let news = !matches!(self.belief, Belief::Trusted { .. }) || rate > FASTER * self.taken_at;
        let certain = self.pairs.tell() && seen.room && mean > CERTAIN * seen.borne;
        if likely || (certain && news) {
            let (before, spans) = match self.belief {
                // A crowd of flows that start can look the same, but not for long.
                Belief::None => (span.rate, PROVISIONAL),
                Belief::Doubted { rate, .. } => (rate, TRUSTED),
                Belief::Trusted { .. } => (span.rate, TRUSTED),
            };
            self.delay = span.highest();
            self.belief = Belief::Trusted { spans };
            self.taken_at = rate.max(before);
            return Some(self.taken_at);
        }
        self.belief = match self.belief {
            Belief::Trusted { spans: 0 } => {
                self.delay = 0.0;
                let spans = DOUBTED;
                Belief::Doubted { spans, rate }
            }
            Belief::Trusted { spans } => {
                self.delay = self.delay.min(span.highest());
                let spans = spans - 1;
                Belief::Trusted { spans }
            }
            Belief::Doubted { spans: 0, .. } | Belief::None => Belief::None,
            Belief::Doubted { spans, rate } => {
                let spans = spans - 1;
                Belief::Doubted { spans, rate }
            }
        };
        None
    }
}

impl Span {
    fn count(&mut self, seen: Seen) {
        self.round_trips += seen.part;
        self.congestion += seen.part * seen.congestion;
        if self.slices > 0.0 {
            let queue = seen.part * seen.round_trip * QUEUE_CHANGE;
            self.roughness += ((seen.delay - self.last).abs() - queue).max(0.0);
        }
        self.last = seen.delay;
        self.least = Some(self.least.map_or(seen.delay, |least| least.min(seen.delay)));
        self.slices += 1.0;
        self.delay += seen.delay;
        self.deviation += (seen.delay - self.delay / self.slices).abs();
    }

    fn is_rough(&self, full: f64) -> bool {
        let least = (ROUGH * full).max(ROUGH_PART * self.delay / self.slices);
        self.roughness / self.slices > least
    }

    /// What nearly all delays were below. What they all have may be a queue: jitter that keeps the order looks like one, as packets wait for
    /// the latest before them, but only up to a few times of what delays still vary by.
    fn highest(&self) -> f64 {
        let most = (self.delay + DEVIATIONS * self.deviation) / self.slices.max(1.0);
        let range = most - self.least.unwrap_or_default();
        most.min(HIDDEN * range)
    }
}

impl Pairs {
    fn see(&mut self, this: Arrival, packet_time: f64) {
        let Some(newest) = self.newest else {
            self.newest = Some(this);
            return;
        };
        let is_newer = this.sent > newest.sent;
        let gap = if is_newer {
            this.sent.since(newest.sent)
        } else {
            newest.sent.since(this.sent)
        };
        let times = |time: Duration| time.as_secs_f64() / packet_time;
        let least = MET * this.fullness.min(newest.fullness);
        // An older one that comes later was overtaken.
        let met = !is_newer || times(this.at.since(newest.at)) < least;
        let apart = times(gap);
        self.count(if met { apart.min(NEAR) } else { apart }, met);
        if is_newer {
            self.newest = Some(this);
        }
    }

    /// Counts two packets that left so many packet times apart.
    fn count(&mut self, apart: f64, met: bool) {
        if !(APART..=NEAR).contains(&apart) {
            return;
        }
        self.all += 1.0;
        self.met += f64::from(u8::from(met));
        if self.all > MANY_PAIRS {
            self.age();
        }
    }

    /// Older ones count for less.
    fn age(&mut self) {
        self.all /= 2.0;
        self.met /= 2.0;
    }

    /// Whether there may be jitter.
    fn hint(&self) -> bool {
        self.met > SUSPECTED_PART * self.all
    }

    /// Whether there is none: so many would have met.
    fn deny(&self) -> bool {
        self.all >= DENYING && !self.hint()
    }

    /// Whether there is jitter.
    fn tell(&self) -> bool {
        self.all >= PAIRS && self.met >= MEETINGS && self.met > MET_PART * self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: f64 = 36e-6;
    const BORNE: f64 = 0.2;

    /// Slices of an eighth of a round trip of 10 ms, for so many spans, with full congestion and the delay of each by its number. What the
    /// rate becomes, if it does.
    fn spans(jitter: &mut Jitter, spans: u32, delay: impl Fn(u32) -> f64) -> Option<f64> {
        spans_at(jitter, spans, 1.0, 1.0, delay)
    }

    /// The same with this congestion, at this rate.
    fn spans_at(
        jitter: &mut Jitter,
        spans: u32,
        congestion: f64,
        rate: f64,
        delay: impl Fn(u32) -> f64,
    ) -> Option<f64> {
        let mut restored = None;
        for slice in 0..spans * 8 * SPAN as u32 {
            let seen = Seen {
                part: 0.125,
                round_trip: 0.01,
                congestion,
                borne: BORNE,
                delay: delay(slice),
                full: FULL,
                room: true,
            };
            restored = jitter.count(seen, rate).or(restored);
        }
        restored
    }

    fn uneven(slice: u32) -> f64 {
        f64::from(slice * 7919 % 101) * 10e-6
    }

    #[test]
    fn delay_that_jumps_is_jitter_and_gives_the_rate_back() {
        let mut jitter = Jitter::new();
        jitter.span.rate = 5.0;
        assert_eq!(spans(&mut jitter, 1, uneven), Some(5.0));
        assert!((500e-6..1.5e-3).contains(&jitter.delay()));
    }

    #[test]
    fn delay_in_an_empty_line_is_jitter_for_good() {
        let mut jitter = Jitter::new();
        jitter.learn_floor(25e-6);
        assert_eq!(jitter.delay(), 0.0, "nothing was seen");
        for slice in 0..8 {
            let delay = uneven(slice) / 20.0;
            let seen = Seen {
                part: 0.125,
                round_trip: 0.01,
                congestion: 0.3,
                borne: BORNE,
                delay,
                full: FULL,
                room: true,
            };
            jitter.count(seen, 1.0);
        }
        jitter.learn_floor(0.0);
        assert_eq!(jitter.delay(), 0.0, "of a queue that is gone");
        jitter.learn_floor(25e-6);
        assert!(
            (10e-6..100e-6).contains(&jitter.delay()),
            "{}",
            jitter.delay()
        );
        spans(&mut jitter, 1, |_| 0.0);
        assert!(jitter.delay() > 0.0 && !jitter.is_suspected());
    }

    #[test]
    fn a_queue_that_others_hold_is_none() {
        // 20 ms high, and up and down by more than a queue of one's own may be.
        let queue = |slice| 20e-3 + uneven(slice) / 2.0;
        let mut jitter = Jitter::new();
        jitter.span.rate = 5.0;
        assert_eq!(spans(&mut jitter, 1, queue), None);
        assert_eq!(jitter.delay(), 0.0);
        // Nor is one that grows as fast as queues do.
        let growing = |slice| f64::from(slice) * 0.125 * 0.01 * QUEUE_CHANGE;
        assert_eq!(spans(&mut jitter, 1, growing), None);
    }

    #[test]
    fn what_does_not_show_again_is_no_longer_believed() {
        let mut jitter = Jitter::new();
        spans(&mut jitter, 1, uneven);
        spans(&mut jitter, PROVISIONAL + 1, |_| 0.0);
        assert_eq!(jitter.delay(), 0.0);
        spans(&mut jitter, DOUBTED + 1, |_| 0.0);
        assert!(matches!(jitter.belief, Belief::None));
    }

    const PACKET: f64 = 12e-6;

    /// A full packet that left and arrived at these packet times.
    fn arrival(sent: f64, at: f64) -> Arrival {
        let time = |times: f64| Time::default() + Duration::from_secs_f64(times * PACKET);
        Arrival {
            sent: time(sent),
            at: time(at),
            fullness: 1.0,
        }
    }

    /// Packets that leave every so many packet times and arrive after these ways (in packet times), over and over.
    fn pairs(gap: f64, ways: &[f64]) -> Pairs {
        let mut pairs = Pairs::default();
        for (packet, way) in ways.iter().cycle().take(200).enumerate() {
            let sent = packet as f64 * gap;
            pairs.see(arrival(sent, sent + 1000.0 + way), PACKET);
        }
        pairs
    }

    #[test]
    fn packets_that_meet_or_overtake_tell_of_jitter() {
        // The second waits for the first; and overtakes it.
        assert!(pairs(1.5, &[2.0, 0.5, 0.0]).tell());
        assert!(pairs(1.5, &[4.0, 0.0]).tell());
        // One in nine is chance.
        let rarely: Vec<f64> = (0..9).map(|n| f64::from(u8::from(n > 0)) * 3.0).collect();
        assert!(!pairs(1.0, &rarely).tell());
        let mut once = Pairs::default();
        for pair in 0..8 {
            once.count(1.0, pair == 0);
        }
        assert!(!once.tell());
        // Too far apart to tell, unless they meet.
        let far = pairs(5.0, &[4.0, 0.0]);
        assert_eq!(far.all, 0.0);
        assert!(pairs(5.0, &[5.0, 0.0]).tell());
    }

    #[test]
    fn short_packets_follow_and_are_followed_sooner() {
        let met = |earlier: f64, later: f64| {
            let mut pairs = Pairs::default();
            for (packet, fullness) in [(arrival(0.0, 10.0), earlier), (arrival(1.5, 10.2), later)] {
                pairs.see(Arrival { fullness, ..packet }, PACKET);
            }
            pairs.met
        };
        assert_eq!(
            [met(1.0, 1.0), met(1.0, 0.2), met(0.2, 1.0)],
            [1.0, 0.0, 0.0]
        );
    }

    #[test]
    fn packets_out_of_a_queue_never_meet() {
        // It grows by others' packets and empties as fast as the bottleneck sends.
        assert!(!pairs(1.5, &[6.0, 5.5, 5.0, 4.5, 4.0]).tell());
    }

    #[test]
    fn delay_that_jumps_is_none_while_packets_that_left_together_never_meet() {
        let mut jitter = Jitter::new();
        jitter.pairs = pairs(1.5, &[6.0, 5.5, 5.0, 4.5, 4.0]);
        assert_eq!(spans(&mut jitter, 1, uneven), None);
        // What was long ago denies nothing.
        assert!(spans(&mut jitter, 5, uneven).is_some());
    }

    #[test]
    fn with_certainty_little_congestion_is_enough_but_not_for_ever_more() {
        let span = |jitter: &mut Jitter, rate| spans_at(jitter, 1, BORNE, rate, uneven).is_some();
        let mut jitter = Jitter::new();
        assert!(!span(&mut jitter, 1.0));
        jitter.pairs = pairs(1.5, &[4.0, 0.0]);
        assert!(span(&mut jitter, 1.0));
        // The same again may be one's own queue; not so if more got through.
        assert!(!span(&mut jitter, 1.0));
        assert!(span(&mut jitter, 1.2 * FASTER));
    }
}
