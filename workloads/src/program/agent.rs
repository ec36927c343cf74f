//! The way into a lab's hosts for launchers of distributed programs, which start what runs elsewhere by ssh.
//!
//! They are given this instead: longhaul's executable under the name `longhaul-agent`, with a host and a command as arguments. It enters the
//! host's namespaces by the file descriptors that the lab's process holds, gives it a /sys of its own, as some look for interfaces there,
//! and runs the command by `/bin/sh`, as ssh would. There is no server, no key and no port.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_emulator::lab::Lab;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// The name by which the executable is the agent.
const NAME: &str = "longhaul-agent";
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

    /// The executable by its name as the agent, in `folder`.
    ///
    /// # Errors
    /// If it cannot be made there.
    pub fn install(&self, folder: &Path) -> io::Result<PathBuf> {
        let path = folder.join(NAME);
        match symlink(&self.program, &path) {
            // By an earlier point of this lab.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path),
            made => made.map(|()| path),
        }
    }
}

/// Whether this process has been started as the agent.
pub fn is_wanted() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    name.is_some_and(|name| name.file_name() == Some(NAME.as_ref()))
}

/// The body of the agent; what it is given is what ssh would be. Answers only if it fails, with what an exit code is for ssh.
pub fn main() -> i32 {
    let doors = std::env::var(DOORS).unwrap_or_default();
    let problem = enter_and_run(&doors, std::env::args_os().skip(1));
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
    // Whoever needs it will say what is missing.
    let _ = own_sysfs();
    let line: Vec<String> = words.collect();
    let error = Command::new("/bin/sh").arg("-c").arg(line.join(" ")).exec();
    format!("cannot start /bin/sh: {error}")
}

/// Lays a sysfs over /sys that shows this network namespace's interfaces: the machine's shows others.
fn own_sysfs() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>)
}

/// `words` as a line for a shell.
pub fn quoted(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
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
    fn words_reach_a_shell_as_they_are() {
        let words = ["a b", "it's", "$HOME"].map(str::to_owned);
        let output = Command::new("sh")
            .args(["-c", &format!("printf '%s\\n' {}", quoted(&words))])
            .output();
        assert_eq!(output.unwrap().stdout, b"a b\nit's\n$HOME\n");
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
