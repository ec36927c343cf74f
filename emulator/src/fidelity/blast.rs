//! Sends packet trains: short blasts faster than the channel, stamped where they arrive.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::judge::headers;
use super::subject::Subject;
use super::train::{Timing, Train, TrainArrival};
use crate::probe::{EcnField, End, ProbeError, ProbeSocket, clock, open_error, payload};

/// What is ready is received after so many sends.
const BATCH: usize = 16;
/// How often what is left of the trains before is received: their sockets hold many times what comes meanwhile.
const ELSEWHERE: Duration = Duration::from_millis(2);
/// How long a scout blasts: enough to see a rate, little enough to fill no queue that matters for long.
const SCOUTING: Duration = Duration::from_millis(30);
/// The most it sends.
const SCOUT_BYTES: f64 = 4e6;
/// Where more than this share arrives as fast as it is sent, nothing slowed it.
const UNSLOWED: f64 = 0.9;

/// One train to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blast {
    /// Bits per second of frames at which it is sent.
    pub(super) pace: f64,
    /// See [`Train`].
    pub(super) peak_rate: f64,
    pub(super) asked_rate: f64,
    pub(super) timing: Timing,
    /// Bytes of a frame, about.
    pub(super) frame: u64,
    pub(super) length: Duration,
    /// How long its last packet may be under way.
    pub(super) transit: Duration,
    /// Bytes that may wait between sender and bottleneck.
    pub(super) waiting: usize,
}

/// Sends a train over every subject that has a plan, one after another; arrivals are taken in all the while.
pub(super) fn send_all(
    subjects: &[Subject<'_>],
    plans: &[Result<Blast, String>],
    stop: &AtomicBool,
) -> Result<Vec<Result<Train, String>>, ProbeError> {
    let mut departures = Vec::new();
    for (subject, plan) in subjects.iter().zip(plans) {
        departures.push(match plan {
            Ok(blast) => Some(Departure::new(subject, *blast)?),
            Err(_) => None,
        });
    }
    let failed = |source| ProbeError::Thread {
        step: "send a packet train",
        source,
    };
    for at in 0..departures.len() {
        let (before, rest) = departures.split_at_mut(at);
        if let Some(departure) = &mut rest[0] {
            departure.send(before, stop).map_err(failed)?;
        }
    }
    let transits = departures
        .iter()
        .flatten()
        .map(|departure| departure.blast.transit);
    let deadline = Instant::now() + transits.max().unwrap_or_default() + Duration::from_millis(20);
    while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
        wait(&departures, Duration::from_millis(5)).map_err(failed)?;
        for departure in departures.iter_mut().flatten() {
            departure.receive().map_err(failed)?;
        }
    }
    let trains = departures.into_iter().zip(plans);
    Ok(trains
        .map(|(departure, plan)| match (departure, plan) {
            (Some(departure), _) => Ok(departure.train),
            (None, Err(reason)) => Err(reason.clone()),
            (None, Ok(_)) => unreachable!("every plan has a departure"),
        })
        .collect())
}

/// Finds a rate that nobody told: how fast a short blast at full speed arrives, and how fast it was sent. The former is `None`
/// if nothing slowed it.
pub(super) fn scout(
    subject: &Subject<'_>,
    stop: &AtomicBool,
) -> Result<(Option<f64>, f64), ProbeError> {
    let blast = Blast {
        // No machine sends as fast.
        pace: SCOUT_BYTES * 8.0 / SCOUTING.as_secs_f64(),
        peak_rate: 0.0,
        asked_rate: 0.0,
        timing: Timing::Parts(3),
        frame: u64::from(subject.expected.mtu) + 14,
        length: SCOUTING,
        transit: crate::probe::patience(Duration::ZERO) / 4,
        waiting: SCOUT_BYTES as usize,
    };
    let trains = send_all(std::slice::from_ref(subject), &[Ok(blast)], stop)?;
    let Some(Ok(train)) = trains.into_iter().next() else {
        return Ok((None, 0.0));
    };
    let rate = train
        .rate()
        .ok()
        .filter(|rate| *rate < UNSLOWED * train.sent_rate);
    Ok((rate, train.sent_rate))
}

/// A train on its way.
struct Departure {
    from: ProbeSocket,
    to: ProbeSocket,
    blast: Blast,
    payload: usize,
    train: Train,
    arrived: Vec<bool>,
}

impl Departure {
    fn new(subject: &Subject<'_>, blast: Blast) -> Result<Self, ProbeError> {
        let open = |end: End<'_>| ProbeSocket::open(end).map_err(|source| open_error(end, source));
        let (from, to) = (open(subject.from)?, open(subject.to)?);
        let prepare = || -> io::Result<()> {
            to.reserve(8 << 20)?;
            from.reserve_unsent(blast.waiting)?;
            from.mark_as(EcnField::Ect0)
        };
        prepare().map_err(|source| open_error(subject.from, source))?;
        let headers = headers(subject.from.address);
        let room = usize::try_from(blast.frame.saturating_sub(headers)).unwrap_or_default();
        let payload = payload::write(0, room).len();
        Ok(Self {
            from,
            to,
            blast,
            payload,
            train: Train {
                sent_rate: 0.0,
                peak_rate: blast.peak_rate,
                asked_rate: blast.asked_rate,
                timing: blast.timing,
                frame_bits: (payload as u64 + headers) as f64 * 8.0,
                sent: Vec::new(),
                arrivals: Vec::new(),
            },
            arrived: Vec::new(),
        })
    }

    /// Sends the train and notes the rate it reached; takes in what arrives of it and of those `before`.
    fn send(&mut self, before: &mut [Option<Departure>], stop: &AtomicBool) -> io::Result<()> {
        let (frame_bits, pace) = (self.train.frame_bits, self.blast.pace);
        // What arrives is told by its beginning: the rest need not be written anew for every packet.
        let mut payload = vec![0; self.payload];
        let started = Instant::now();
        let (mut sent, mut looked) = (0.0, started);
        while started.elapsed() < self.blast.length && !stop.load(Ordering::Relaxed) {
            let allowed = started.elapsed().as_secs_f64() * pace;
            let mut batch = 0;
            while sent < allowed && batch < BATCH {
                let number = self.train.sent.len();
                payload::number(number as u64, &mut payload);
                let at = clock();
                if !self.from.send(self.to.address(), &payload)? {
                    break;
                }
                self.train.sent.push(at);
                self.arrived.push(false);
                sent += frame_bits;
                batch += 1;
            }
            self.receive()?;
            if looked.elapsed() > ELSEWHERE {
                for departure in before.iter_mut().flatten() {
                    departure.receive()?;
                }
                looked = Instant::now();
            }
            if sent >= allowed {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        self.train.sent_rate = sent / started.elapsed().as_secs_f64();
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        // The beginning tells the number.
        let mut buffer = [0; payload::SHORTEST];
        while let Some(arrival) = self.to.receive(&mut buffer)? {
            let number = payload::read(&buffer[..arrival.length])
                .and_then(|(number, _)| usize::try_from(number).ok());
            let Some(number) = number.filter(|&number| self.arrived.get(number) == Some(&false))
            else {
                continue;
            };
            self.arrived[number] = true;
            self.train.arrivals.push(TrainArrival {
                number,
                at: arrival.at,
                marked: arrival.marked(),
            });
        }
        Ok(())
    }
}

fn wait(departures: &[Option<Departure>], patience: Duration) -> io::Result<()> {
    let mut waits: Vec<PollFd> = departures
        .iter()
        .flatten()
        .map(|departure| PollFd::new(departure.to.as_fd(), PollFlags::POLLIN))
        .collect();
    match ppoll(&mut waits, Some(TimeSpec::from_duration(patience)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
