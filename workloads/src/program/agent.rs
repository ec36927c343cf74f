//! The way into a lab's hosts for launchers of distributed programs, which start what runs elsewhere by ssh.
//!
//! They are given this instead: `longhaul __agent HOST COMMAND…`. It enters the host's namespaces by the file descriptors that the
//! lab's process holds, and runs the command by `/bin/sh`, as ssh would. There is no server, no key and no port.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_emulator::lab::Lab;
use nix::sched::{CloneFlags, setns};
use std::os::fd::AsRawFd;

/// The argument by which the executable becomes the agent.
pub const ARGUMENT: &str = "__agent";
/// Where each host's namespaces are: `a-0=NET:UTS b-0=NET:UTS`.
const DOORS: &str = "LONGHAUL_DOORS";

/// What a launcher is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The executable.
    pub program: PathBuf,
    doors: String,
}

impl Agent {
    /// By the executable and the hosts' namespaces.
    pub fn new(program: PathBuf, doors: String) -> Self {
        Self { program, doors }
    }

    /// Into the hosts of `lab`, for processes that this one starts.
    pub fn of(lab: &Lab) -> Self {
        let me = Path::new("/proc").join(std::process::id().to_string());
        let door = |node| {
            let namespace = lab.namespace(node);
            let of = |fd: i32| me.join("fd").join(fd.to_string()).display().to_string();
            let name = &lab.plan().node(node).name;
            let (net, uts) = (namespace.net.as_raw_fd(), namespace.uts.as_raw_fd());
            format!("{name}={}:{}", of(net), of(uts))
        };
        let doors: Vec<String> = lab.plan().hosts().map(door).collect();
        // By this process, not /proc/self: the launcher is another.
        Self::new(me.join("exe"), doors.join(" "))
    }

    /// The variable that it needs.
    pub fn environment(&self) -> [(&'static str, String); 1] {
        [(DOORS, self.doors.clone())]
    }
}

/// The body of the agent; what it is given is what ssh would be. Answers only if it fails, with what an exit code is for ssh.
pub fn main() -> i32 {
    let doors = std::env::var(DOORS).unwrap_or_default();
    let problem = enter_and_run(&doors, std::env::args_os().skip(2));
    eprintln!("longhaul's agent: {problem}");
    // ssh's for its own errors.
    255
}

/// Becomes the command, or says why not.
fn enter_and_run(doors: &str, arguments: impl Iterator<Item = OsString>) -> String {
    let mut words = arguments.map(|word| word.to_string_lossy().into_owned());
    // ssh's options, of which launchers pass those without a value (`-x`).
    let Some(host) = words.find(|word| !word.starts_with('-')) else {
        return "no host is named".to_owned();
    };
    let Some((net, uts)) = door(doors, &host) else {
        return format!("the lab has no host `{host}`");
    };
    for (path, kind) in [
        (net, CloneFlags::CLONE_NEWNET),
        (uts, CloneFlags::CLONE_NEWUTS),
    ] {
        let entered = File::open(path).and_then(|file| Ok(setns(file, kind)?));
        if let Err(error) = entered {
            return format!("cannot enter {host} by {path}: {error}");
        }
    }
    let line: Vec<String> = words.collect();
    let error = Command::new("/bin/sh").arg("-c").arg(line.join(" ")).exec();
    format!("cannot start /bin/sh: {error}")
}

/// The two files of a host.
fn door<'a>(doors: &'a str, host: &str) -> Option<(&'a str, &'a str)> {
    let mut all = doors.split(' ');
    all.find_map(|door| {
        door.split_once('=')
            .filter(|(name, _)| *name == host)?
            .1
            .split_once(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_by_its_whole_name() {
        let doors = "a-0=/proc/2/fd/3:/proc/2/fd/4 a-01=/x:/y";
        assert_eq!(door(doors, "a-0"), Some(("/proc/2/fd/3", "/proc/2/fd/4")));
        assert_eq!(door(doors, "a-01"), Some(("/x", "/y")));
        assert_eq!(door(doors, "a"), None);
    }

    #[test]
    fn what_is_no_host_is_said() {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(OsString::from)
                .collect::<Vec<_>>()
                .into_iter()
        };
        assert_eq!(enter_and_run("", words(&["-x"])), "no host is named");
        assert_eq!(
            enter_and_run("a-0=/x:/y", words(&["-x", "b-0", "true"])),
            "the lab has no host `b-0`"
        );
        assert!(
            enter_and_run("a-0=/no:/no", words(&["a-0", "true"]))
                .starts_with("cannot enter a-0 by /no")
        );
    }
}
