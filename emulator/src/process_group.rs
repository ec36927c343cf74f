//! A child that leads a process group, ended with all that is in it.
//!
//! The group's number is the child's id, and nobody else's as long as the child is not reaped: so it is looked at without that, and reaped last.

use std::io;
use std::process::{Child, ExitStatus};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Whether the child has ended.
///
/// # Errors
/// If the system refuses.
pub(crate) fn has_ended(leader: &Child) -> io::Result<bool> {
    match look(leader) {
        Ok(WaitStatus::StillAlive) => Ok(false),
        // Reaped already.
        Ok(_) | Err(Errno::ECHILD) => Ok(true),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Kills what is left of the group, whether the child has ended or not, and reaps the child. Once more, it only answers how the child
/// ended.
///
/// # Errors
/// If the system refuses.
pub(crate) fn end(leader: &mut Child) -> io::Result<ExitStatus> {
    if look(leader) != Err(Errno::ECHILD) {
        let _ = killpg(pid(leader), Signal::SIGKILL);
        // Should it not lead a group yet, or no more.
        let _ = nix::sys::signal::kill(pid(leader), Signal::SIGKILL);
    }
    leader.wait()
}

/// How the child is, without reaping it.
fn look(leader: &Child) -> nix::Result<WaitStatus> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(pid(leader)), flags)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};

    use super::*;

    /// A shell whose background process holds its output open.
    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        command.process_group(0).spawn().unwrap()
    }

    #[test]
    fn what_a_leader_left_behind_ends_with_it() {
        let mut leader = shell("sleep 1000 & exit 3");
        while !has_ended(&leader).unwrap() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let mut output = leader.stdout.take().unwrap();
        assert_eq!(end(&mut leader).unwrap().code(), Some(3));
        // Comes to an end as nobody has it open any more.
        assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0);
        assert!(has_ended(&leader).unwrap());
        assert_eq!(end(&mut leader).unwrap().code(), Some(3));
    }

    #[test]
    fn a_leader_that_goes_on_is_killed_with_its_group() {
        let mut leader = shell("sleep 1000 & echo; wait");
        let mut output = leader.stdout.take().unwrap();
        output.read_exact(&mut [0]).unwrap();
        assert!(!has_ended(&leader).unwrap());
        assert_eq!(end(&mut leader).unwrap().signal(), Some(9));
        assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
}
