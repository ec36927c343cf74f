//! How two ends agree on a transport, over the TCP connection from the one that sends.
//!
//! ```text
//! hello, from the sending end:      welcome, from the receiving one:
//!   0  magic       8                  0  magic       8
//!   8  key         u64, the handle's  8  key         u64, the handle's
//!  16  nonce       u64, drawn        16  nonce       u64, the hello's
//!  24  transport   u16, wanted       24  transport   u16, taken
//!  26  port        u16, its UDP      26  port        u16, its UDP
//! ```

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::handle::MAGIC;
use crate::settings::Transport;

const SIZE: usize = 28;

/// A hello or a welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Of the handle.
    pub(crate) key: u64,
    /// Of the connection; its queue pair's.
    pub(crate) nonce: u64,
    pub(crate) transport: Transport,
    /// Where the queue pair's end is; 0 if there is none.
    pub(crate) port: u16,
}

impl Greeting {
    /// Writes it.
    pub(crate) fn send(self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.to_bytes())
    }

    /// Reads one; `None` if something else came.
    pub(crate) fn receive(stream: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut bytes = [0; SIZE];
        stream.read_exact(&mut bytes)?;
        Ok(Self::from_bytes(bytes))
    }

    fn to_bytes(self) -> [u8; SIZE] {
        let transport: u16 = match self.transport {
            Transport::Tcp => 0,
            Transport::Message => 1,
        };
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.key.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.nonce.to_be_bytes());
        bytes[24..26].copy_from_slice(&transport.to_be_bytes());
        bytes[26..].copy_from_slice(&self.port.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; SIZE]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_be_bytes(*bytes[at..].first_chunk()?));
        let short = |at: usize| Some(u16::from_be_bytes(*bytes[at..].first_chunk()?));
        let transport = match short(24)? {
            0 => Transport::Tcp,
            1 => Transport::Message,
            _ => return None,
        };
        let greeting = Self {
            key: long(8)?,
            nonce: long(16)?,
            transport,
            port: short(26)?,
        };
        bytes.starts_with(&MAGIC).then_some(greeting)
    }
}

/// What both want, or what everyone has.
pub(crate) fn agreed(one: Transport, other: Transport) -> Transport {
    match (one, other) {
        (Transport::Message, Transport::Message) => Transport::Message,
        (Transport::Tcp, _) | (_, Transport::Tcp) => Transport::Tcp,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_greeting_says_what_it_was_told(key: u64, nonce: u64, port: u16, message: bool) {
            let transport = if message { Transport::Message } else { Transport::Tcp };
            let greeting = Greeting { key, nonce, transport, port };
            prop_assert_eq!(Greeting::from_bytes(greeting.to_bytes()), Some(greeting));
        }

        #[test]
        fn strangers_words_are_no_greeting(bytes: [u8; SIZE]) {
            prop_assert_eq!(Greeting::from_bytes(bytes), None);
        }
    }

    #[test]
    fn the_message_transport_takes_two() {
        use Transport::{Message, Tcp};
        assert_eq!(agreed(Message, Message), Message);
        for (one, other) in [(Message, Tcp), (Tcp, Message), (Tcp, Tcp)] {
            assert_eq!(agreed(one, other), Tcp);
        }
    }
}
