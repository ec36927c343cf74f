//! The probe: a short train at what the bottleneck carries, now and then, that tells what others use of it.
//!
//! Growth by a little each round trip takes long to fill what others have left. Where nothing has been seen of a queue for some round
//! trips, one train tells how full the bottleneck is, and all flows that find the same free part are to grow by the same factor: that
//! fills it, and leaves their shares as they were. Packets after the train make up for it, so that it is no rate of its own.
//!
//! Where others seem to use more than half, one leaves from time to time whatever the congestion: what is taken for their queue may be none.
//!
//! What the bottleneck carries is asked again, too, ever less often, by a train that leaves as fast as it can: where several starts met,
//! each saw as much of it as the others' trains left.

use std::time::Duration;

use longhaul_emulator::time::Time;

use super::super::{Ack, Loss, Sent};
use super::EMPTY;
use super::train::{ASKING, Train};

/// Packets of a train, at most…
const LONGEST: u32 = 64;
/// … and at least: fewer tell too little…
const SHORTEST: u32 = 16;
/// … but for the one that ends the start, which is sent over any way, and those that are sent in spite of congestion.
const SHORTEST_FIRST: u32 = 8;
/// The queue of others' packets behind a train may take at most so much of a round trip: some is there anyway.
const PART: f64 = 1.0 / 90.0;
/// Quiet is less than this part of the congestion that the rate bears in the mean: packets of several flows meet by chance, too.
const QUIET: f64 = 0.5;
/// Quiet round trips before a train. What others make of theirs shows after one, and after another that of this one.
const INTERVAL: f64 = 2.0;
/// Round trips after which one is sent whatever the congestion, if others seem to use more than [`EMPTY`]: what is taken for a queue may be none…
const PATIENCE: f64 = 16.0;
/// … doubled up to this while they do.
const LONGEST_PATIENCE: f64 = 64.0;
/// Round trips before the first: those who started at once have begun to send by then…
const FIRST_INTERVAL: f64 = 0.25;
/// … and up to so many more, as it is drawn.
const FIRST_SPREAD: f64 = 0.125;
/// The interval doubles up to this while trains find nothing worth taking.
const LONGEST_INTERVAL: f64 = 64.0;
/// Round trips after the start, and after it was found to be more, before what the bottleneck carries is asked again: most of what is found
/// is the whole of it, but not all…
const FIRST_AGAIN: f64 = 8.0;
/// … and so many times as many before each time after that.
const RARER: f64 = 4.0;
/// Multiples of it spread evenly between whole numbers.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// Packets of a train, where the bottleneck carries `carried` in a round trip and others use so much of it.
fn length(carried: f64, others: f64) -> u32 {
    ((carried * PART / others) as u32).min(LONGEST)
}

/// What is looked at, and when next.
#[derive(Debug)]
pub(super) struct Probe {
    train: Option<Train>,
    /// The queue that its first packet met.
    queue: Option<Duration>,
    /// Packets after it that make up for it.
    behind: u32,
    /// Quiet round trips, since the last one.
    quiet: f64,
    interval: f64,
    /// How many round trips there may be between two, with a small rate and congestion.
    patience: f64,
    /// Round trips of the law, at which of them the last was over, and at which it is asked again what the bottleneck carries.
    trips: f64,
    over: f64,
    again: f64,
    /// How much more of it is waited for this time, 0 to 1: flows that meet congestion at once are not to send trains at once.
    offset: f64,
    /// The one that ends the start is to come: from when on, and its packets.
    first: Option<(Time, u32)>,
    asks: Asks,
}

/// What the train under way is to tell.
#[derive(Clone, Copy, Debug)]
enum Asks {
    /// What others use.
    Others,
    /// The same, and ends the start.
    OthersAtStart,
    /// What the bottleneck carries.
    Capacity,
}

/// What a train told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    /// What others use of the bottleneck, in parts of what that carries, and the queue that the train's first packet met.
    Others { others: f64, queue: Duration },
    /// The same, at the end of the start: more than 1 if it is offered too much.
    OthersAtStart(f64),
    /// The bottleneck carries at least this, in bytes per second.
    Capacity(f64),
}

impl Probe {
    pub fn new() -> Self {
        Probe {
            train: None,
            queue: None,
            behind: 0,
            quiet: 0.0,
            interval: INTERVAL,
            patience: PATIENCE,
            trips: 0.0,
            over: 0.0,
            again: FIRST_AGAIN,
            offset: 0.0,
            first: None,
            asks: Asks::Others,
        }
    }

    /// The next one ends the start: it is sent whatever is seen. The bottleneck carries so many packets in a round trip.
    pub fn begin(&mut self, now: Time, round_trip: Duration, carried: f64) {
        *self = Probe::new();
        self.rest(now);
        let wait = round_trip.mul_f64(FIRST_INTERVAL + FIRST_SPREAD * self.offset);
        self.first = Some((now + wait, length(carried, 1.0).max(SHORTEST_FIRST)));
    }

    /// Counts `part` of a round trip. Of what others use it is asked where there is congestion to be told from, in parts of what the rate
    /// bears. The bottleneck carries `carried` packets in a round trip, of which others use so much at most.
    pub fn wait(&mut self, part: f64, congestion: Option<f64>, carried: f64, others: f64) {
        self.trips += part;
        if self.train.is_some() || self.first.is_some() {
            return;
        }
        if self.trips >= self.again + FIRST_AGAIN * self.offset {
            self.again = self.trips * RARER;
            self.ask(Asks::Capacity, ASKING);
            return;
        }
        let Some(congestion) = congestion else {
            return;
        };
        self.quiet = (self.quiet + part * (1.0 - congestion / QUIET)).max(0.0);
        let length = length(carried, others);
        let patience = self.patience * (1.0 + self.offset);
        if self.trips - self.over >= patience && others > EMPTY && length >= SHORTEST_FIRST {
            self.ask(Asks::Others, length);
            return;
        }
        if self.quiet >= self.interval * (1.0 + self.offset) && length >= SHORTEST {
            self.ask(Asks::Others, length);
        }
    }

    fn ask(&mut self, asks: Asks, length: u32) {
        self.train = Some(Train::new(length));
        self.queue = None;
        self.asks = asks;
    }

    /// After silence or overload nothing is under way.
    pub fn abandon(&mut self, now: Time) {
        self.train = None;
        self.behind = 0;
        self.first = None;
        self.rest(now);
    }

    fn rest(&mut self, now: Time) {
        self.quiet = 0.0;
        self.over = self.trips;
        // No two flows do anything in the same nanosecond: as good as chance, and the same in each run.
        self.offset = (now.since(Time::default()).as_nanos() as f64 * GOLDEN).fract();
    }

    /// The pace of the next packet, where `rate` is the flow's.
    pub fn pace(&self, rate: f64, capacity: f64) -> f64 {
        let train = match self.asks {
            Asks::Others | Asks::OthersAtStart => capacity.max(rate),
            Asks::Capacity => f64::INFINITY,
        };
        if self.is_sending() {
            train
        } else if self.behind > 0 {
            // As many packets as the train had, so that it all takes what it takes at the rate.
            1.0 / (2.0 / rate - 1.0 / train)
        } else {
            rate
        }
    }

    fn is_sending(&self) -> bool {
        let train = self.train.as_ref();
        train.is_some_and(|train| train.remaining() > 0)
    }

    pub fn on_sent(&mut self, sent: &Sent) {
        match &mut self.train {
            Some(train) if train.remaining() > 0 => {
                train.on_sent(sent);
                if train.remaining() == 0 {
                    self.behind = train.length();
                }
            }
            _ => self.behind = self.behind.saturating_sub(1),
        }
        if let Some((_, length)) = self.first.take_if(|(due, _)| sent.now >= *due) {
            self.ask(Asks::OthersAtStart, length);
        }
    }

    pub fn on_loss(&mut self, loss: &Loss) {
        if let Some(train) = &mut self.train {
            train.on_loss(loss);
        }
    }

    /// `queue` is the delay that the packet met.
    pub fn on_ack(&mut self, ack: &Ack<'_>, queue: impl FnOnce() -> Duration) -> Option<Told> {
        let train = self.train.as_mut()?;
        let done = train.on_ack(ack);
        if train.has_begun_to_arrive() {
            self.queue.get_or_insert_with(queue);
        }
        if !done {
            return None;
        }
        let train = self.train.take()?;
        self.rest(ack.now);
        if train.remaining() > 0 {
            // What an application did not fill left at another pace.
            return None;
        }
        match self.asks {
            // Where others send trains, too, none tells of what they use.
            Asks::Others => {
                let others = train.others();
                let queue = self.queue.unwrap_or_default();
                (others < 1.0).then_some(Told::Others { others, queue })
            }
            Asks::OthersAtStart => Some(Told::OthersAtStart(train.others())),
            Asks::Capacity => train.fastest().map(Told::Capacity),
        }
    }

    /// What the bottleneck carries is more than was known: it may be more yet.
    pub fn found_more(&mut self) {
        self.again = self.trips + FIRST_AGAIN;
    }

    /// Whether what the last one told was worth a change.
    pub fn found(&mut self, something: bool) {
        self.interval = if something {
            INTERVAL
        } else {
            (self.interval * 2.0).min(LONGEST_INTERVAL)
        };
        self.patience = if something {
            PATIENCE
        } else {
            (self.patience * 2.0).min(LONGEST_PATIENCE)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::acknowledged;

    const CAPACITY: f64 = 125e6;
    const CARRIED: f64 = 2000.0;
    const GAP: Duration = Duration::from_micros(12);
    /// What a train's first packet meets.
    const QUEUE: Duration = Duration::from_micros(5);

    fn quiet(probe: &mut Probe) {
        for _ in 0..=2 * INTERVAL as u32 {
            probe.wait(1.0, Some(0.0), CARRIED, 1.0);
        }
    }

    fn sent(now: Time) -> Sent {
        Sent {
            now,
            bytes: 1500,
            in_flight: 1500,
            backlogged: true,
        }
    }

    /// Sends a train and has its packets acknowledged, each of which took so much longer than the one before.
    fn told(probe: &mut Probe, rise: Duration) -> Option<Told> {
        let at = Time::default() + Duration::from_millis(1);
        let length = probe.train.as_ref().unwrap().length();
        for packet in 0..length {
            probe.on_sent(&sent(at + GAP * packet));
        }
        (0..length).find_map(|packet| {
            let mut ack = acknowledged(at + Duration::from_millis(12) + (GAP + rise) * packet);
            ack.sent = at + GAP * packet;
            ack.rtt = ack.now.since(ack.sent);
            ack.in_flight = 1500;
            probe.on_ack(&ack, || QUEUE + rise * packet)
        })
    }

    #[test]
    fn a_train_tells_what_others_use_and_what_queue_it_began_in() {
        for (rise, expected) in [(Duration::ZERO, 0.0), (GAP / 2, 0.5)] {
            let mut probe = Probe::new();
            quiet(&mut probe);
            let told = told(&mut probe, rise).unwrap();
            let Told::Others { others, queue } = told else {
                panic!("{told:?}")
            };
            assert!((others - expected).abs() < 1e-6, "{others}");
            assert_eq!(queue, QUEUE);
        }
    }

    #[test]
    fn the_queue_is_that_of_the_train_also_where_its_first_packet_is_lost() {
        let mut probe = Probe::new();
        quiet(&mut probe);
        let at = Time::default() + Duration::from_millis(1);
        let length = probe.train.as_ref().unwrap().length();
        for packet in 0..length {
            probe.on_sent(&sent(at + GAP * packet));
        }
        probe.on_loss(&Loss {
            now: at + Duration::from_millis(10),
            bytes: 1500,
            packets: 1,
            sent: at,
            in_flight: 1500,
        });
        let told = (0..length).find_map(|packet| {
            let mut ack = acknowledged(at + Duration::from_millis(12) + GAP * packet);
            // The one before the train comes last of what came before it.
            let is_older = packet == 0;
            ack.sent = if is_older {
                at - GAP
            } else {
                at + GAP * packet
            };
            ack.in_flight = 1500;
            probe.on_ack(&ack, || if is_older { QUEUE * 100 } else { QUEUE })
        });
        let is = matches!(told, Some(Told::Others { queue: QUEUE, .. }));
        assert!(is, "{told:?}");
    }

    #[test]
    fn a_train_that_met_other_trains_tells_nothing_but_in_the_start() {
        let mut probe = Probe::new();
        quiet(&mut probe);
        assert!(told(&mut probe, GAP * 2).is_none());
        probe.begin(Time::default(), Duration::from_millis(10), CARRIED);
        assert!(probe.train.is_none());
        probe.on_sent(&sent(Time::default() + Duration::from_millis(5)));
        let told = told(&mut probe, GAP * 2).unwrap();
        let is = matches!(told, Told::OthersAtStart(seen) if (seen - 2.0).abs() < 1e-6);
        assert!(is, "{told:?}");
    }

    #[test]
    fn a_train_takes_no_more_than_the_rate() {
        let mut probe = Probe::new();
        quiet(&mut probe);
        let rate = CAPACITY / 8.0;
        let length = probe.train.as_ref().unwrap().length();
        let mut took = 0.0;
        for _ in 0..2 * length {
            took += 1500.0 / probe.pace(rate, CAPACITY);
            probe.on_sent(&sent(Time::default()));
        }
        let even = f64::from(2 * length) * 1500.0 / rate;
        assert!((took / even - 1.0).abs() < 1e-9, "{took} {even}");
        assert_eq!(probe.pace(rate, CAPACITY), rate);
    }

    #[test]
    fn congestion_as_the_rate_bears_it_is_not_quiet() {
        let mut probe = Probe::new();
        for _ in 0..FIRST_AGAIN as u32 - 1 {
            probe.wait(1.0, Some(1.0), CARRIED, 1.0);
        }
        assert!(probe.train.is_none());
    }

    #[test]
    fn what_the_bottleneck_carries_is_asked_again_ever_less_often() {
        let mut probe = Probe::new();
        let mut asked = Vec::new();
        for trip in 1..=600 {
            // Whether there is congestion or not, and no room seen.
            probe.wait(1.0, None, CARRIED, 1.0);
            if probe.train.is_none() {
                continue;
            }
            asked.push(trip);
            assert!(probe.pace(CAPACITY / 8.0, CAPACITY).is_infinite());
            // It arrives as the bottleneck's packets do, however fast it left.
            let told = told(&mut probe, Duration::ZERO).unwrap();
            let is = matches!(told, Told::Capacity(seen) if (seen / CAPACITY - 1.0).abs() < 1e-6);
            assert!(is, "{told:?}");
            assert!(probe.behind > 0);
            for _ in 0..SHORTEST {
                probe.on_sent(&sent(Time::default()));
            }
        }
        let first = f64::from(asked[0]);
        assert!((FIRST_AGAIN..=2.0 * FIRST_AGAIN).contains(&first));
        assert!((2..=4).contains(&asked.len()), "{asked:?}");
        let rarer = |pair: &[i32]| f64::from(pair[1]) >= RARER * f64::from(pair[0]);
        assert!(asked.windows(2).all(rarer), "{asked:?}");
    }

    #[test]
    fn what_seems_to_be_others_is_looked_at_whatever_the_congestion() {
        let asks = |others: f64| {
            let mut probe = Probe::new();
            // Once what the bottleneck carries was asked.
            probe.again = f64::INFINITY;
            for _ in 0..PATIENCE as u32 {
                probe.wait(1.0, Some(1.0), CARRIED, others);
            }
            probe.train.is_some()
        };
        assert_eq!([0.4, 0.9].map(asks), [false, true]);
    }

    #[test]
    fn what_finds_nothing_is_tried_less_often() {
        let mut probe = Probe::new();
        probe.found(false);
        probe.found(false);
        quiet(&mut probe);
        assert!(probe.train.is_none());
        probe.found(true);
        quiet(&mut probe);
        assert!(probe.train.is_some());
    }
}
