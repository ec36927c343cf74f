//! Messages to one peer.

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::ops::Range;

use super::frame::Header;
use super::{TransportError, piece};

/// A message to send.
pub(super) struct Message {
    /// The operation it is.
    pub(super) operation: usize,
    /// Its bytes in memory.
    pub(super) bytes: Range<usize>,
    /// Bytes not yet handed to the kernel.
    missing: usize,
}

/// What goes to one peer, over all connections of the pair. Each connection takes its piece of every message in turn.
pub(super) struct Outbound<'a> {
    pub(super) peer: usize,
    exchange: u32,
    messages: Vec<Message>,
    /// How many of the messages may go: a prefix, as messages keep their order.
    ready: usize,
    lanes: Vec<Lane<'a>>,
}

struct Lane<'a> {
    stream: &'a TcpStream,
    /// The message whose piece it sends.
    message: usize,
    /// Bytes of that piece's frame already sent, header included.
    sent: usize,
    /// The kernel took less than it was given; the next edge tells when it takes more.
    blocked: bool,
}

impl<'a> Outbound<'a> {
    pub(super) fn new(
        peer: usize,
        exchange: u32,
        messages: impl Iterator<Item = (usize, Range<usize>)>,
        streams: Vec<&'a TcpStream>,
    ) -> Self {
        let messages = messages
            .map(|(operation, bytes)| Message {
                operation,
                missing: bytes.len(),
                bytes,
            })
            .collect();
        let lanes = streams
            .into_iter()
            .map(|stream| Lane {
                stream,
                message: 0,
                sent: 0,
                blocked: false,
            })
            .collect();
        Self {
            peer,
            exchange,
            messages,
            ready: 0,
            lanes,
        }
    }

    /// Whether there are ready messages that the kernel has not taken.
    pub(super) fn is_waiting(&self) -> bool {
        self.messages[..self.ready]
            .last()
            .is_some_and(|message| message.missing > 0)
    }

    /// The connection can take data again.
    pub(super) fn unblock(&mut self, lane: usize) {
        self.lanes[lane].blocked = false;
    }

    /// Sends what it can with one call per connection; `finished` hears of each message that has gone. Tells whether
    /// anything moved.
    pub(super) fn pump(
        &mut self,
        memory: &[u8],
        is_ready: impl Fn(usize) -> bool,
        finished: &mut Vec<usize>,
    ) -> Result<bool, TransportError> {
        while self
            .messages
            .get(self.ready)
            .is_some_and(|message| is_ready(message.operation))
        {
            self.ready += 1;
        }
        let mut moved = false;
        let connections = self.lanes.len();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let next = |lane: &Lane| {
                (lane.message < self.ready)
                    .then(|| piece(self.messages[lane.message].bytes.len(), index, connections))
            };
            while next(lane).is_some_and(|piece| piece.is_empty()) {
                lane.message += 1;
            }
            let Some(piece) = next(lane).filter(|_| !lane.blocked) else {
                continue;
            };
            let message = &mut self.messages[lane.message];
            let header = Header {
                exchange: self.exchange,
                message: lane.message as u32,
                length: piece.len() as u32,
            }
            .encode();
            let body = &memory[message.bytes.start + piece.start..message.bytes.start + piece.end];
            let in_header = lane.sent.min(Header::BYTES);
            let in_body = lane.sent - in_header;
            let rest = header.len() - in_header + body.len() - in_body;
            let parts = [
                IoSlice::new(&header[in_header..]),
                IoSlice::new(&body[in_body..]),
            ];
            match lane.stream.write_vectored(&parts) {
                Ok(sent) => {
                    moved = true;
                    lane.sent += sent;
                    lane.blocked = sent < rest;
                    if sent == rest {
                        lane.message += 1;
                        lane.sent = 0;
                        message.missing -= piece.len();
                        if message.missing == 0 {
                            finished.push(message.operation);
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => lane.blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TransportError::Lost {
                        peer: self.peer,
                        source,
                    });
                }
            }
        }
        Ok(moved)
    }
}
