//! What leaves the sending end next, and on which path.

use longhaul_emulator::time::Time;

use super::PathChoice;
use super::erasure::Encoder;
use super::path::Health;
use super::sender::{MOST_SILENCE, Sender};
use super::wire::{self, Transmission};

impl Sender {
    /// Writes the next packet that may leave now; answers its path.
    pub(super) fn next_packet(&mut self, now: Time, out: &mut Vec<u8>) -> Option<u8> {
        if let Some(index) = self.path_to_try(now) {
            return Some(self.transmit(now, index, None, out));
        }
        if let Some(index) = self.probes.pop_first() {
            let sequence = self.backlog.oldest();
            return Some(self.transmit(now, index, sequence, out));
        }
        let next = self.backlog.next(self.granted);
        if let Some(encoder) = self.encoder.as_mut().filter(|_| next.is_none()) {
            encoder.end_block();
        }
        if self.encoder.as_ref().is_some_and(Encoder::has_next) {
            let index = self.choose(now)?;
            return self.transmit_parity(now, index, out);
        }
        let Some(sequence) = next else {
            let allowed = self.is_allowed();
            for flow in &mut self.flows {
                if flow.in_flight > 0 && flow.has_room() && allowed {
                    flow.run_dry();
                }
            }
            return None;
        };
        let index = self.choose(now)?;
        Some(self.transmit(now, index, Some(sequence), out))
    }

    /// A path that was given up and is due for another try.
    fn path_to_try(&mut self, now: Time) -> Option<usize> {
        self.paths
            .iter_mut()
            .position(|path| match &mut path.health {
                Health::Silent { again, interval } if *again <= now => {
                    // What was sent to try it before has not come back.
                    *interval = (*interval * 2).min(MOST_SILENCE);
                    *again = now + *interval;
                    true
                }
                _ => false,
            })
    }

    /// The path for the next packet: one with room, whose pace allows it.
    fn choose(&mut self, now: Time) -> Option<usize> {
        if !self.is_allowed() {
            return None;
        }
        let bytes = self.parameters.datagram as u64;
        let open = |index: &usize| {
            let flow = &self.flows[self.flow_of(*index)];
            self.paths[*index].is_live() && flow.has_room() && flow.wait(now, bytes).is_none()
        };
        let count = self.paths.len();
        let chosen = match self.parameters.choice {
            PathChoice::Hash => Some(0).filter(open),
            PathChoice::Spray => (0..count).map(|step| (self.turn + step) % count).find(open),
            PathChoice::Adaptive => (0..count)
                .filter(open)
                .min_by(|&one, &other| self.cost(one).total_cmp(&self.cost(other))),
        }?;
        self.turn = (chosen + 1) % count;
        Some(chosen)
    }

    /// What a packet pays on a path: its delay, and more of it the more are marked there.
    fn cost(&self, index: usize) -> f64 {
        let path = &self.paths[index];
        let delay = path.round_trip.smoothed().unwrap_or_default();
        delay.as_secs_f64() * (1.0 + path.marks)
    }

    /// Writes a packet with that piece, or a probe.
    fn transmit(
        &mut self,
        now: Time,
        index: usize,
        sequence: Option<u64>,
        out: &mut Vec<u8>,
    ) -> u8 {
        let transmission = Transmission {
            number: self.paths[index].next_number(),
            sent: now,
        };
        let envelope = self.envelope(index);
        let start = out.len();
        let piece = sequence.and_then(|sequence| self.backlog.piece(sequence));
        let sequence = piece.map(|piece| piece.sequence);
        let packet = match piece {
            Some(piece) => wire::Packet::Data {
                transmission,
                piece,
            },
            None => wire::Packet::Probe(transmission),
        };
        wire::encode(out, envelope, self.parameters.hops, &packet);
        let bytes = (out.len() - start) as u64;
        match (piece, &mut self.encoder) {
            (Some(piece), encoder) if self.backlog.is_new(piece.sequence) => {
                if let Some(encoder) = encoder {
                    encoder.add(&piece);
                }
            }
            _ => self.totals.repeats += 1,
        }
        if let Some(sequence) = sequence {
            self.backlog.sent(sequence);
        }
        self.count_sent(now, index, sequence, bytes);
        index as u8
    }

    /// Writes the next packet of parity.
    fn transmit_parity(&mut self, now: Time, index: usize, out: &mut Vec<u8>) -> Option<u8> {
        let ready = self.encoder.as_mut()?.next()?;
        let transmission = Transmission {
            number: self.paths[index].next_number(),
            sent: now,
        };
        let packet = wire::Packet::Parity {
            transmission,
            parity: ready.parity(),
        };
        let start = out.len();
        wire::encode(out, self.envelope(index), self.parameters.hops, &packet);
        self.count_sent(now, index, None, (out.len() - start) as u64);
        Some(index as u8)
    }

    fn count_sent(&mut self, now: Time, index: usize, sequence: Option<u64>, bytes: u64) {
        let more = self.backlog.next(self.granted).is_some();
        let flow = self.flow_of(index);
        let snapshot = self.flows[flow].send(now, bytes, more);
        self.paths[index].send(now, sequence, bytes, snapshot);
    }
}
