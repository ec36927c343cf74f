//! Standard input and output as a control connection, which nothing else in the process has.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::{dup2_stdin, dup2_stdout};

/// Takes both from this process: what it reads or prints from now on is nobody's.
///
/// # Errors
/// If they are closed, or a terminal: then nobody at the other end speaks the protocol.
pub fn take() -> io::Result<(File, File)> {
    if io::stdin().is_terminal() {
        let usage = "this is started by longhaul itself, which talks to it over its standard input and output";
        return Err(io::Error::other(usage));
    }
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    Ok((input, output))
}

/// Whether the other end has closed `input`, which is a pipe or, under a server of ssh, a socket.
pub fn has_ended(input: &File) -> bool {
    let mut waiting = [PollFd::new(input.as_fd(), PollFlags::empty())];
    let hung_up = poll(&mut waiting, PollTimeout::ZERO).is_ok()
        && waiting[0]
            .revents()
            .is_some_and(|now| now.contains(PollFlags::POLLHUP));
    // What is no socket refuses to be received from.
    let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    hung_up || recv(input.as_raw_fd(), &mut [0], peek) == Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn pipes_and_sockets_have_ended_once_the_other_end_is_closed_and_not_before() {
        let (read, write) = nix::unistd::pipe().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let pairs = [
            (File::from(read), File::from(write)),
            (
                File::from(OwnedFd::from(ours)),
                File::from(OwnedFd::from(theirs)),
            ),
        ];
        for (input, mut other) in pairs {
            assert!(!has_ended(&input));
            other.write_all(b"x").unwrap();
            assert!(!has_ended(&input));
            io::Read::read_exact(&mut &input, &mut [0]).unwrap();
            drop(other);
            assert!(has_ended(&input));
        }
    }
}
