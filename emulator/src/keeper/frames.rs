//! What goes over the control socket while a command runs in a virtual lab: after `Visit` and `Welcome`, frames both ways.
//!
//! A frame is its kind (a byte), the length of what follows (four bytes, the lowest first), and that.

use std::io::{self, Read, Write};

use crate::guest::{PIECE, Told, Window};

/// The longest: a piece of input or output, or a text.
const LONGEST: usize = PIECE;

/// What the keeper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FromKeeper {
    /// Standard output.
    Output(Vec<u8>),
    /// Standard error.
    Error(Vec<u8>),
    /// There is room for so many more pieces of input.
    Taken(u32),
    /// The end: an exit code.
    Ended(u8),
    /// The end: why there is no exit code.
    Failed(String),
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FromClient {
    /// It is ready for frames.
    Begin,
    /// Something for the session.
    Tell(Told),
}

/// A message that is sent as a frame.
pub(super) trait Frame: Sized {
    /// Its kind, and what follows.
    fn parts(&self) -> (u8, Vec<u8>);

    /// `None` if there is no such frame.
    fn from_parts(kind: u8, body: Vec<u8>) -> Option<Self>;

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, body) = self.parts();
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(5 + body.len());
        bytes.push(kind);
        bytes.extend(length.to_le_bytes());
        bytes.extend(body);
        to.write_all(&bytes)
    }

    /// The next; `None` if the other end has closed.
    fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0];
        match from.read(&mut kind) {
            Ok(0) => return Ok(None),
            // It closed without having read all that it was told.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            outcome => outcome?,
        };
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        match Self::from_parts(kind[0], body) {
            Some(frame) => Ok(Some(frame)),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Frame for FromKeeper {
    fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            FromKeeper::Output(bytes) => (b'o', bytes.clone()),
            FromKeeper::Error(bytes) => (b'e', bytes.clone()),
            FromKeeper::Taken(pieces) => (b't', pieces.to_le_bytes().into()),
            FromKeeper::Ended(code) => (b'x', vec![*code]),
            FromKeeper::Failed(reason) => (b'f', reason.bytes().take(LONGEST).collect()),
        }
    }

    fn from_parts(kind: u8, body: Vec<u8>) -> Option<Self> {
        Some(match kind {
            b'o' => FromKeeper::Output(body),
            b'e' => FromKeeper::Error(body),
            b't' => FromKeeper::Taken(u32::from_le_bytes(body.try_into().ok()?)),
            b'x' => FromKeeper::Ended(*body.first()?),
            b'f' => FromKeeper::Failed(String::from_utf8_lossy(&body).into_owned()),
            _ => return None,
        })
    }
}

impl Frame for FromClient {
    fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            FromClient::Begin => (b'b', Vec::new()),
            FromClient::Tell(Told::Input(bytes)) => (b'i', bytes.clone()),
            FromClient::Tell(Told::Silence) => (b's', Vec::new()),
            FromClient::Tell(Told::End) => (b'z', Vec::new()),
            FromClient::Tell(Told::Signal(signal)) => (b'k', signal.to_le_bytes().into()),
            FromClient::Tell(Told::Window(window)) => {
                let sizes = [window.rows, window.columns].map(u16::to_le_bytes);
                (b'w', sizes.concat())
            }
            FromClient::Tell(Told::Gone) => (b'g', Vec::new()),
        }
    }

    fn from_parts(kind: u8, body: Vec<u8>) -> Option<Self> {
        let told = match kind {
            b'b' => return Some(FromClient::Begin),
            b'i' => Told::Input(body),
            b's' => Told::Silence,
            b'z' => Told::End,
            b'k' => Told::Signal(i32::from_le_bytes(body.try_into().ok()?)),
            b'w' => {
                let [a, b, c, d] = body.try_into().ok()?;
                Told::Window(Window {
                    rows: u16::from_le_bytes([a, b]),
                    columns: u16::from_le_bytes([c, d]),
                })
            }
            b'g' => Told::Gone,
            _ => return None,
        };
        Some(FromClient::Tell(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<F: Frame + std::fmt::Debug + PartialEq>(frames: &[F]) {
        let mut bytes = Vec::new();
        for frame in frames {
            frame.write(&mut bytes).unwrap();
        }
        let mut from = &bytes[..];
        for frame in frames {
            assert_eq!(F::read(&mut from).unwrap().as_ref(), Some(frame));
        }
        assert_eq!(F::read(&mut from).unwrap(), None);
    }

    #[test]
    fn frames_cross_the_socket_as_they_are() {
        survives(&[
            FromKeeper::Output(vec![0; PIECE]),
            FromKeeper::Error(b"no".into()),
            FromKeeper::Taken(3),
            FromKeeper::Failed("why".into()),
            FromKeeper::Ended(7),
        ]);
        let window = Window {
            rows: 24,
            columns: 300,
        };
        survives(&[
            FromClient::Begin,
            FromClient::Tell(Told::Input(b"\0\n".into())),
            FromClient::Tell(Told::Silence),
            FromClient::Tell(Told::End),
            FromClient::Tell(Told::Signal(2)),
            FromClient::Tell(Told::Window(window)),
            FromClient::Tell(Told::Gone),
        ]);
    }

    #[test]
    fn a_frame_that_is_cut_off_unknown_or_too_long_is_an_error() {
        for bad in [
            &b"o\x02\0\0\0x"[..],
            b"?\0\0\0\0",
            b"o\xff\xff\xff\xff",
            b"o\0",
        ] {
            assert!(FromKeeper::read(&mut &*bad).is_err(), "{bad:?}");
        }
    }
}
