//! Probes on their way between machines, put together from what each of them tells.
//!
//! Every machine notes by its own clock what it sends and what arrives. Here moments become this machine's, and a departure on one and
//! an arrival on another become a delay.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::clock::Distance;
use super::error::PhysicalError;
use super::lab::PhysicalLab;
use super::mark::MOST_PATHS;
use super::now_ns;
use super::protocol::{Order, Reply, Request, Seen};
use crate::probe::ledger::Ledger;
use crate::probe::payload::State;
use crate::probe::{EcnField, ProbeSample, patience};

/// The most probes that one machine sends in a second.
const MOST_PER_SECOND: u32 = 2000;

/// Probes on their way, and what machines have told of them.
#[derive(Debug)]
pub(super) struct Round {
    nonce: u16,
    pub(super) interval: Duration,
    pub(super) started: Instant,
    started_ns: u64,
    pub(super) give_up: Duration,
    ledger: Ledger,
    /// The ledger's number of each probe that may still arrive.
    numbers: BTreeMap<(u16, u32), u64>,
    /// Arrivals that were told before their departure was.
    early: Vec<Arrival>,
    /// Packets of trains that have arrived: way, number, moment by the receiver's clock.
    pub(super) trains: Vec<(u16, u32, u64)>,
}

/// A probe that has arrived, in this machine's time.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    probe: (u16, u32),
    at_ns: u64,
    state: State,
}

impl Round {
    /// Has machines send probes over `ways`, from one to another.
    pub(super) fn start(
        lab: &PhysicalLab,
        ways: &[(usize, usize)],
        interval: Duration,
        ecn: EcnField,
    ) -> Result<Self, PhysicalError> {
        if ways.len() > MOST_PATHS {
            return Err(PhysicalError::System {
                step: format!("probe {} ways", ways.len()),
                source: std::io::Error::other(format!("there is room for {MOST_PATHS}")),
            });
        }
        let nonce = lab.nonce();
        let most = (0..lab.count())
            .map(|host| ways.iter().filter(|(from, _)| *from == host).count())
            .max();
        let most = u32::try_from(most.unwrap_or_default()).unwrap_or(u32::MAX);
        let interval = interval.max(Duration::from_secs(1) * most / MOST_PER_SECOND);
        let (started, started_ns) = (Instant::now(), now_ns());
        let order = |host: usize| {
            let own = ways.iter().enumerate();
            let own = own.filter(|(_, (from, _))| *from == host);
            Request::Probe(Order {
                targets: own
                    .map(|(path, (_, to))| (path as u16, lab.probed(*to)))
                    .collect(),
                interval_ns: interval.as_nanos() as u64,
                nonce,
                ecn,
            })
        };
        // Nobody sends before everybody knows what to take for a probe of this.
        silence(lab, nonce)?;
        lab.ask_all("send probes", order)?;
        let topology = &lab.plan().topology;
        let channels = topology.links.iter().flat_map(|link| &link.lanes);
        let delays = channels.flat_map(|lane| [lane.forward.delay, lane.reverse.delay]);
        Ok(Self {
            nonce,
            interval,
            started,
            started_ns,
            // The way between two sites is no longer than all links one after another.
            give_up: patience(delays.sum()),
            ledger: Ledger::default(),
            numbers: BTreeMap::new(),
            early: Vec::new(),
            trains: Vec::new(),
        })
    }

    /// Sends no more.
    pub(super) fn stop(&self, lab: &PhysicalLab) -> Result<(), PhysicalError> {
        silence(lab, self.nonce)
    }

    /// Asks every machine what it has seen, and puts it together.
    pub(super) fn collect(&mut self, lab: &PhysicalLab) -> Result<Vec<Seen>, PhysicalError> {
        let replies = lab.ask_all("tell what it has seen", |_| Request::Collect)?;
        let distances = lab.distances();
        let mut all = Vec::new();
        for (host, reply) in replies.into_iter().enumerate() {
            match reply {
                Reply::Seen(seen) => all.push(seen),
                other => return Err(lab.foreign(host, &other)),
            }
        }
        self.put_together(&all, &distances);
        Ok(all)
    }

    /// Departures first, in the order of time, as the ledger wants them; then arrivals, each machine's in its own order.
    fn put_together(&mut self, all: &[Seen], distances: &[Distance]) {
        let mut departures: Vec<(u64, (u16, u32))> = Vec::new();
        let mut arrivals = std::mem::take(&mut self.early);
        for (seen, distance) in all.iter().zip(distances) {
            let departure = |&(path, number, at)| (distance.ours(at), (path, number));
            departures.extend(seen.sent.iter().map(departure));
            arrivals.extend(
                seen.arrived
                    .iter()
                    .map(|&(path, number, at, whole)| Arrival {
                        probe: (path, number),
                        at_ns: distance.ours(at),
                        state: if whole {
                            State::Intact
                        } else {
                            State::Corrupted
                        },
                    }),
            );
            self.trains.extend(&seen.trains);
        }
        departures.sort_unstable();
        for (at_ns, probe) in departures {
            let sent = Duration::from_nanos(at_ns.saturating_sub(self.started_ns));
            let path = usize::from(probe.0);
            let number = self.ledger.sent(path, sent, Duration::from_nanos(at_ns));
            self.numbers.insert(probe, number);
        }
        for arrival in arrivals {
            match self.numbers.get(&arrival.probe) {
                Some(&number) => {
                    let at = Duration::from_nanos(arrival.at_ns);
                    self.ledger.arrived(number, at, arrival.state);
                }
                None => self.early.push(arrival),
            }
        }
    }

    /// The probes whose fate is settled; those that are on their way for `patience` are lost.
    pub(super) fn drain(&mut self, patience: Duration) -> Vec<ProbeSample> {
        let drained = self.ledger.drain(self.started.elapsed(), patience);
        let first = self.ledger.first();
        self.numbers.retain(|_, number| *number >= first);
        // One that was given up may still come; it stays lost.
        let oldest = now_ns().saturating_sub(self.give_up.as_nanos() as u64);
        self.early.retain(|arrival| arrival.at_ns >= oldest);
        drained
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.ledger.is_waiting()
    }

    /// How long to wait for the last.
    pub(super) fn grace(&self) -> Duration {
        self.ledger.grace(self.give_up)
    }

    /// Tells datagrams of this from others.
    pub(super) fn nonce(&self) -> u16 {
        self.nonce
    }
}

/// Has all machines take datagrams with `nonce`, and send none.
fn silence(lab: &PhysicalLab, nonce: u16) -> Result<(), PhysicalError> {
    let order = |_| {
        Request::Probe(Order {
            nonce,
            ..Order::default()
        })
    };
    lab.ask_all("take probes", order).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_departure_here_and_an_arrival_there_are_a_delay_whatever_the_clocks_and_whoever_tells_first()
     {
        let mut round = Round {
            nonce: 1,
            interval: Duration::from_millis(4),
            started: Instant::now().checked_sub(Duration::from_secs(1)).unwrap(),
            started_ns: 1_000 * MS,
            give_up: Duration::from_secs(2),
            ledger: Ledger::default(),
            numbers: BTreeMap::new(),
            early: Vec::new(),
            trains: Vec::new(),
        };
        // The second machine's clock is 5 s ahead.
        let ahead = Distance {
            behind_ns: -(5_000 * MS).cast_signed(),
            uncertainty: Duration::ZERO,
        };
        let distances = [Distance::default(), ahead];
        let there = |at: u64| (1_000 + 5_000 + at) * MS;
        let arrived_first = Seen {
            arrived: vec![(0, 7, there(41), true)],
            sent: vec![(1, 0, there(2))],
            ..Seen::default()
        };
        round.put_together(&[Seen::default(), arrived_first], &distances);
        let sent_then = Seen {
            sent: vec![(0, 7, 1_001 * MS), (0, 8, 1_005 * MS)],
            arrived: vec![(1, 0, 1_032 * MS, false)],
            ..Seen::default()
        };
        round.put_together(&[sent_then, Seen::default()], &distances);
        let mut told = round.drain(Duration::ZERO);
        told.sort_by_key(|sample| (sample.path, sample.sent));
        let told: Vec<_> = told
            .iter()
            .map(|sample| {
                (
                    sample.path,
                    sample.delay.map(|delay| delay.as_millis()),
                    sample.corrupted,
                )
            })
            .collect();
        assert_eq!(
            told,
            [(0, Some(40), false), (0, None, false), (1, Some(30), true)]
        );
    }
}
