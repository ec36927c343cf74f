//! First in, first out: what every discipline keeps its packets in.

use std::collections::VecDeque;
use std::ops::Range;

use super::depth::{Depth, Gate};
use super::{Arrival, Traffic, Train};
use crate::time::Time;

/// Trains in the order of their arrival. It keeps its memory, so that a queue which has seen its worst allocates no more.
#[derive(Clone, Debug)]
pub(super) struct Fifo<P> {
    trains: VecDeque<Train<P>>,
    depth: Depth,
}

impl<P: Clone> Fifo<P> {
    pub(super) fn new() -> Self {
        Fifo {
            trains: VecDeque::new(),
            depth: Depth::default(),
        }
    }

    pub(super) fn depth(&self) -> Depth {
        self.depth
    }

    pub(super) fn is_empty(&self) -> bool {
        self.trains.is_empty()
    }

    /// What is next.
    pub(super) fn head(&self) -> Option<&Train<P>> {
        self.trains.front()
    }

    /// When the head arrived.
    pub(super) fn head_arrival(&self) -> Option<Time> {
        self.trains.front().map(|head| head.arrival)
    }

    /// Puts a train at the end.
    pub(super) fn push(&mut self, train: Train<P>) {
        if !train.segments.is_empty() {
            self.depth += Depth::of(train.traffic.shape, &train.segments);
            self.trains.push_back(train);
        }
    }

    /// Takes up to `most` wire packets off the head's front; at least one, if any waits.
    pub(super) fn pop(&mut self, most: u32) -> Option<Train<P>> {
        let most = most.max(1);
        let head = self.trains.front_mut()?;
        let taken = if head.segments.len() as u32 <= most {
            self.trains.pop_front()?
        } else {
            let first = head.segments.start;
            let segments = first..first + most;
            head.segments.start = segments.end;
            Train {
                segments,
                ..head.clone()
            }
        };
        self.depth -= Depth::of(taken.traffic.shape, &taken.segments);
        Some(taken)
    }

    /// Drops wire packets from the head until `most` or at least `bytes` are gone; answers what is.
    pub(super) fn shed(&mut self, most: u64, bytes: u64) -> Depth {
        let mut gone = Depth::default();
        while gone.packets < most && gone.bytes < bytes {
            let Some(head) = self.trains.front_mut() else {
                break;
            };
            let first = head.segments.start;
            gone += Depth::of(head.traffic.shape, &(first..first + 1));
            head.segments.start += 1;
            if head.segments.is_empty() {
                self.trains.pop_front();
            }
        }
        self.depth -= gone;
        gone
    }

    /// Lets in what `gate` does of what arrives; answers how many wire packets it does not. A run of
    /// alike wire packets costs the same however long it is.
    pub(super) fn admit(&mut self, arrival: &Arrival<'_, P>, gate: &mut Gate) -> u64 {
        let shape = arrival.traffic.shape;
        let mut loader = self.load(arrival);
        let mut refused = 0;
        let mut rest = arrival.segments.clone();
        while !rest.is_empty() {
            let admitted = rest.start + gate.admit_leading(shape, &rest);
            loader.add(rest.start..admitted, Marking::Unmarked);
            rest.start = admitted;
            // If one of full length does not fit none does, but the last may be shorter.
            let alike = match rest.len() as u32 {
                last @ (0 | 1) => last,
                more => more - 1,
            };
            refused += u64::from(alike);
            rest.start += alike;
        }
        refused
    }

    /// Begins to put in wire packets of what arrived.
    pub(super) fn load<'a>(&'a mut self, arrival: &Arrival<'a, P>) -> Loader<'a, P> {
        Loader {
            fifo: self,
            packet: arrival.packet,
            traffic: arrival.traffic,
            arrival: arrival.now,
            pushed: 0,
        }
    }

    /// Everything in it, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Train<P>> {
        self.depth = Depth::default();
        self.trains.drain(..)
    }
}

/// Whether a queue has decided to set CE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) enum Marking {
    /// The ECN field stays as it is.
    Unmarked,
    /// The ECN field becomes CE.
    Marked,
}

/// Puts wire packets of one packet into a queue, in rising order and in as few trains as their fates allow.
pub(super) struct Loader<'a, P> {
    fifo: &'a mut Fifo<P>,
    packet: &'a P,
    traffic: Traffic,
    arrival: Time,
    pushed: u32,
}

impl<P: Clone> Loader<'_, P> {
    pub(super) fn add(&mut self, segments: Range<u32>, marking: Marking) {
        if segments.is_empty() {
            return;
        }
        // Only what this loader pushed is of the same packet.
        let last = self.fifo.trains.back_mut().filter(|last| {
            self.pushed > 0 && last.segments.end == segments.start && last.marking == marking
        });
        self.pushed += 1;
        if let Some(last) = last {
            last.segments.end = segments.end;
            self.fifo.depth += Depth::of(self.traffic.shape, &segments);
            return;
        }
        self.fifo.push(Train {
            packet: self.packet.clone(),
            traffic: self.traffic,
            segments,
            arrival: self.arrival,
            marking,
        });
    }
}
