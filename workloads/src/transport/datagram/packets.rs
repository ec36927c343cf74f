//! Packets between an endpoint's sockets and its queue pairs.

use std::collections::VecDeque;
use std::time::Duration;

use longhaul_emulator::time::Time;

use super::batch::{Batch, Turn};
use super::endpoint::{Endpoint, Incoming, JUMBO, failed};
use super::inbox::Inbox;
use super::socket::{Buffers, Received};
use crate::message::receiver::{Arrived, Receiver};
use crate::message::{Seen, wire};
use crate::transport::{TransportError, system};

/// What became of a queue pair's turn.
enum Sent {
    /// Batches left, and there may be more.
    Batches,
    /// It has none that may leave now.
    Nothing,
    /// The kernel takes no more.
    Refused,
}

impl Endpoint {
    /// Receives what the last look saw, to a bound.
    pub(super) fn receive(&mut self) -> Result<(), TransportError> {
        let mut buffers = std::mem::take(&mut self.buffers);
        let result = self.receive_into(&mut buffers);
        self.buffers = buffers;
        result
    }

    fn receive_into(&mut self, buffers: &mut Buffers) -> Result<(), TransportError> {
        for socket in std::mem::take(&mut self.readable) {
            let batches = self.sockets[socket]
                .receive(buffers, &mut self.clock)
                .map_err(system("receive packets".into()))?;
            for (index, received) in batches.iter().enumerate() {
                let seen = Seen {
                    came: received.came,
                    now: self.clock.now(),
                };
                for datagram in buffers.batch(index, received).chunks(received.segment) {
                    self.on_datagram(seen, received, datagram)?;
                }
            }
        }
        Ok(())
    }

    /// Strangers' packets are dropped.
    fn on_datagram(
        &mut self,
        seen: Seen,
        received: &Received,
        datagram: &[u8],
    ) -> Result<(), TransportError> {
        let Some((telemetry, envelope, packet)) = wire::decode(datagram) else {
            return Ok(());
        };
        let peer = envelope.from as usize;
        if peer >= self.peers.len() {
            return Ok(());
        }
        if packet.is_answer() {
            return match self.outgoing.get_mut(&peer) {
                Some(sender) => sender
                    .on_packet(seen, envelope, &packet)
                    .map_err(failed(peer)),
                None => Ok(()),
            };
        }
        if let wire::Packet::Hello(greeting) = &packet
            && greeting.is_of(self.nonce)
            && !self.incoming.contains_key(&peer)
        {
            // The receiving end neither cuts packets nor gives up: both figures are the sender's.
            let parameters = self.parameters_with(JUMBO, Duration::MAX);
            let incoming = Incoming {
                sources: vec![received.from; parameters.paths.into()],
                receiver: Receiver::new(parameters, self.rank as u32, envelope.key, self.nonce),
                inbox: Inbox::default(),
            };
            self.incoming.insert(peer, incoming);
        }
        let Some(incoming) = self.incoming.get_mut(&peer) else {
            return Ok(());
        };
        if incoming.receiver.is_from(&envelope)
            && let Some(source) = incoming.sources.get_mut(usize::from(envelope.path))
        {
            *source = received.from;
        }
        let arrived = Arrived {
            seen,
            bytes: datagram.len() as u64,
            marked: received.marked,
            telemetry,
        };
        incoming
            .receiver
            .on_packet(arrived, envelope, &packet, &mut incoming.inbox)
            .map_err(failed(peer))?;
        if incoming.receiver.answers_at_once() && self.unsent.is_empty() {
            self.answer(peer)?;
        }
        Ok(())
    }

    /// Sends all that may leave, until the kernel or the port takes no more.
    pub(super) fn transmit(&mut self) -> Result<(), TransportError> {
        self.held_until = None;
        if !self.send_unsent()? {
            return Ok(());
        }
        let peers: Vec<usize> = self.incoming.keys().copied().collect();
        for peer in peers {
            if !self.answer(peer)? {
                return Ok(());
            }
        }
        // Each in turn, as a card's scheduler serves its queue pairs; the next time it goes on where this one ended.
        let mut peers: VecDeque<usize> = self.outgoing.keys().copied().collect();
        peers.rotate_left(peers.iter().filter(|peer| **peer < self.served).count());
        while let Some(&peer) = peers.front() {
            let now = self.now();
            self.held_until = self.port.wait(now);
            if self.held_until.is_some() {
                self.served = peer;
                break;
            }
            match self.send_messages(now, peer)? {
                Sent::Nothing => {
                    peers.pop_front();
                }
                Sent::Batches => peers.rotate_left(1),
                Sent::Refused => break,
            }
        }
        Ok(())
    }

    /// Sends what a receiving end has to say; `false` if the kernel takes no more.
    fn answer(&mut self, peer: usize) -> Result<bool, TransportError> {
        loop {
            let now = self.now();
            let Some(incoming) = self.incoming.get_mut(&peer) else {
                break;
            };
            let mut bytes = Vec::new();
            let Some(path) = incoming.receiver.poll_transmit(now, &mut bytes) else {
                break;
            };
            let to = incoming.sources[usize::from(path)];
            self.unsent.push(Batch::answer(to, bytes));
            if !self.send_unsent()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends what a sending end lets go in one turn.
    fn send_messages(&mut self, now: Time, peer: usize) -> Result<Sent, TransportError> {
        let Some(sender) = self.outgoing.get_mut(&peer) else {
            return Ok(Sent::Nothing);
        };
        let (paths, most) = (self.sockets.len(), self.port.turn());
        let mut turn = Turn::new(peer, self.peers[peer], paths, most);
        while let Some(path) = sender.poll_transmit(now, turn.end()) {
            if !turn.add(path.into(), sender.super_packet(path)) {
                break;
            }
        }
        self.unsent.extend(turn);
        if self.unsent.is_empty() {
            return Ok(Sent::Nothing);
        }
        Ok(match self.send_unsent()? {
            true => Sent::Batches,
            false => Sent::Refused,
        })
    }

    /// Whether the kernel took all that was written; what it did not is kept for the next time.
    fn send_unsent(&mut self) -> Result<bool, TransportError> {
        let mut unsent = std::mem::take(&mut self.unsent);
        let sent = unsent.send(|batch| self.send_batch(batch));
        self.unsent = unsent;
        sent
    }

    /// Whether the kernel took it.
    fn send_batch(&mut self, batch: &mut Batch) -> Result<bool, TransportError> {
        let now = self.now();
        let sender = batch.sender.and_then(|peer| self.outgoing.get_mut(&peer));
        if let Some(sender) = sender {
            sender.restamp(now, batch.socket as u8, &mut batch.bytes, batch.segment);
        }
        let sent = self.sockets[batch.socket]
            .send(batch.to, &batch.bytes, batch.segment)
            .map_err(system(format!(
                "send packets of {} B to {}",
                batch.segment, batch.to
            )))?;
        if sent {
            self.port.sent(now, batch.bytes.len(), batch.datagrams());
        }
        Ok(sent)
    }
}
