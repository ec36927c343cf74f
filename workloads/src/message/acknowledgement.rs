//! What the sending end learns from the packets that come back.

use std::time::Duration;

use longhaul_emulator::inband;
use longhaul_emulator::time::Time;

use super::sender::{Sender, State};
use super::wire::{self, Acknowledgement, Envelope};
use super::{Failure, Recovery, Seen};
use crate::congestion::Ack;

/// The weight of a new share of marks: DCTCP's g (RFC 8257, section 3.3).
const MARKS_GAIN: f64 = 1.0 / 16.0;

impl Sender {
    /// A packet for this queue pair came from its peer.
    ///
    /// # Errors
    /// If the peer was given other settings.
    pub(crate) fn on_packet(
        &mut self,
        seen: Seen,
        envelope: Envelope,
        packet: &wire::Packet<'_>,
    ) -> Result<(), Failure> {
        if envelope.key != self.envelope(0).key {
            return Ok(());
        }
        match packet {
            wire::Packet::Welcome(greeting) => self.on_welcome(seen, greeting),
            wire::Packet::Acknowledgement(acknowledgement) if self.is_open() => {
                self.acknowledge(seen, envelope.path.into(), acknowledgement);
                Ok(())
            }
            wire::Packet::Farewell if matches!(self.state, State::Closing { .. }) => {
                self.state = State::Closed;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Numbers that were never sent are no acknowledgement of ours, and change nothing.
    fn acknowledge(&mut self, seen: Seen, index: usize, told: &Acknowledgement<'_>) -> Option<()> {
        let now = seen.now;
        let path = self.paths.get_mut(index)?;
        if told.newest >= path.next_number()
            || told
                .ranges
                .first()
                .is_some_and(|range| *range.end() >= path.next_number())
        {
            return None;
        }
        let newest_sent = path.sent_at(told.newest);
        let (mut bytes, mut packets) = (0, 0u32);
        let mut newest: Option<super::path::Packet> = None;
        let mut in_flight = 0;
        for range in &told.ranges {
            let backlog = &mut self.backlog;
            path.arrive(range, |packet, was_in_flight| {
                in_flight += was_in_flight;
                bytes += packet.bytes;
                packets += 1;
                if newest.is_none_or(|newest| newest.number < packet.number) {
                    newest = Some(*packet);
                }
                if let Some(sequence) = packet.sequence {
                    backlog.arrive(sequence);
                }
            })?;
        }
        self.heard = now;
        self.backlog.arrive_before(told.expected);
        self.granted = self.granted.max(told.granted);
        self.allowance = told.allowance;

        let rtt = newest_sent
            .filter(|_| newest.is_some_and(|newest| newest.number == told.newest))
            .map(|sent| seen.came.since(sent).saturating_sub(told.held));
        let path = &mut self.paths[index];
        if let Some(rtt) = rtt {
            let answered = newest_sent.map_or(rtt, |sent| now.since(sent));
            path.round_trip.sample(rtt, answered);
        }
        if packets > 0 {
            path.timeouts = 0;
            path.health = super::path::Health::Live;
        }
        let marked = told.marked.saturating_sub(path.marked).min(bytes);
        path.marked = path.marked.max(told.marked);
        if bytes > 0 {
            path.marks += MARKS_GAIN * (marked as f64 / bytes as f64 - path.marks);
        }
        self.totals.arrived += bytes;
        self.totals.marked += marked;
        let flow = self.flow_of(index);
        self.flows[flow].in_flight -= in_flight;

        // As of when the word of what overtook them came: more of it may wait to be read.
        let lost = self.paths[index].find_lost(seen.came);
        self.lose(now, index, &lost);
        if told.out_of_order && self.parameters.recovery == Recovery::GoBackN {
            self.go_back(now);
        }
        let newest = newest.filter(|_| bytes > 0)?;
        let rtt = rtt.or(self.paths[index].round_trip.smoothed())?;
        self.report(seen, index, told, &newest, (bytes, packets, marked), rtt);
        Some(())
    }

    /// Tells the congestion control.
    fn report(
        &mut self,
        seen: Seen,
        index: usize,
        told: &Acknowledgement<'_>,
        newest: &super::path::Packet,
        (bytes, packets, marked): (u64, u32, u64),
        rtt: Duration,
    ) {
        let flow = self.flow_of(index);
        let flow = &mut self.flows[flow];
        let sample = flow.deliver(seen.came, bytes, newest.sent, newest.snapshot);
        let hops: Vec<_> = inband::records(told.telemetry)
            .into_iter()
            .flatten()
            .collect();
        flow.controller.on_ack(&Ack {
            now: seen.now,
            bytes,
            packets,
            marked,
            rtt,
            least_rtt: rtt.saturating_sub(told.way_above),
            met: Some(told.met).filter(|met| !met.is_zero()),
            one_way: u64::try_from(told.way).ok().map(Duration::from_nanos),
            sent: newest.sent,
            newest_bytes: newest.bytes,
            delivered: flow.delivered,
            delivered_at_sending: sample.delivered_at_sending,
            delivery_rate: sample.rate,
            application_limited: sample.application_limited,
            in_flight: flow.in_flight,
            hops: &hops,
        });
    }

    /// The receiver keeps nothing behind a hole: everything in flight goes again.
    fn go_back(&mut self, now: Time) {
        for index in 0..self.paths.len() {
            let lost = self.paths[index].lose_all();
            self.lose(now, index, &lost);
        }
    }
}
