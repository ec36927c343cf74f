//! PID 1 of the sandbox: makes the new namespaces habitable, starts the lab process, reaps, and ends with it.
//!
//! It must not unwind into the program that called [`super::enter`], so nothing here panics: what fails is told
//! to the front, and the process exits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork};

use super::Privilege;
use super::signals::exit_code;

/// Exit code after SIGKILL, as a shell counts it: the front was killed.
const KILLED: i32 = 128 + Signal::SIGKILL as i32;

/// What the front knows and init needs.
pub(super) struct Request {
    /// Whose privileges the lab runs on.
    pub privilege: Privilege,
    /// The user outside: inside a namespace without a map nobody can tell.
    pub user: Uid,
    /// The user's group outside.
    pub group: Gid,
    /// Where the private tmpfs goes.
    pub folder: PathBuf,
}

/// A step that failed, and how.
type Failure = (&'static str, io::Error);

/// Runs in the first process of the new namespaces; returns only in the lab process.
///
/// `control` brings signals for the lab process, and its end of file the front's death; a failure goes to `status`,
/// whose end of file says that the lab process runs.
pub(super) fn run(request: &Request, control: OwnedFd, status: OwnedFd) {
    let lab = set_up(request).and_then(|reaper| {
        // SAFETY: this process is a fork of a single-threaded one.
        unsafe { fork() }
            .map(|fork| (fork, reaper))
            .map_err(|errno| ("start the lab process", errno.into()))
    });
    match lab {
        Ok((ForkResult::Child, _)) => {}
        Ok((ForkResult::Parent { child }, reaper)) => {
            drop(status);
            exit(supervise(child, &reaper, control))
        }
        Err((step, error)) => {
            let report = format!("{} {step}", error.raw_os_error().unwrap_or(libc::EIO));
            let _ = File::from(status).write_all(report.as_bytes());
            exit(1)
        }
    }
}

/// What [`run`] reported through the status pipe, if anything.
pub(super) fn read_report(report: &[u8]) -> Option<(io::Error, String)> {
    let (errno, step) = std::str::from_utf8(report).ok()?.split_once(' ')?;
    Some((
        io::Error::from_raw_os_error(errno.parse().ok()?),
        step.to_owned(),
    ))
}

/// Ends this process without the program's exit handlers, which are the lab process's to run.
fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// All that precedes the lab process; what to wait for its end with.
fn set_up(request: &Request) -> Result<SignalFd, Failure> {
    // If the front died before this line, the end of the control pipe says so.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| ("tie the lab to its front", errno.into()))?;
    if request.privilege == Privilege::Rootless {
        become_root_of_user_namespace(request.user, request.group)?;
    }
    mount_private(request)?;
    bring_loopback_up().map_err(|error| ("bring the loopback interface up", error))?;
    raise_open_files_limit();
    let children: SigSet = [Signal::SIGCHLD].into_iter().collect();
    SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC)
        .map_err(|errno| ("watch for the end of processes", errno.into()))
}

/// Maps the user to root, and nobody else, as user_namespaces(7) allows without privilege.
fn become_root_of_user_namespace(user: Uid, group: Gid) -> Result<(), Failure> {
    let write = |path: &str, text: &str| std::fs::write(path, text);
    write("/proc/self/setgroups", "deny").map_err(|error| ("write /proc/self/setgroups", error))?;
    write("/proc/self/uid_map", &format!("0 {user} 1\n"))
        .map_err(|error| ("write /proc/self/uid_map", error))?;
    write("/proc/self/gid_map", &format!("0 {group} 1\n"))
        .map_err(|error| ("write /proc/self/gid_map", error))
}

/// A mount namespace from which nothing leaks out, with /proc and /sys of the new namespaces where that is allowed.
fn mount_private(request: &Request) -> Result<(), Failure> {
    let folder = request.folder.as_path();
    let none = None::<&str>;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|errno| ("make the mounts private", errno.into()))?;
    mount(
        Some("longhaul"),
        folder,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=0700"),
    )
    .map_err(|errno| ("mount a private tmpfs for the lab's files", errno.into()))?;

    // Where a container masks parts of /proc or /sys, a user namespace may not mount them afresh (mount_too_revealing()
    // in fs/namespace.c). The old ones then stay. They show the host's processes and interfaces: what needs its own asks
    // for `has_own_proc`, as a lab does.
    let _ = mount(Some("proc"), "/proc", Some("proc"), quiet, none);
    let _ = mount_sys(folder, quiet);
    Ok(())
}

/// A /sys that shows the new network namespace, with the old control groups: runtimes read CPU limits there.
fn mount_sys(folder: &Path, flags: MsFlags) -> nix::Result<()> {
    const CGROUPS: &str = "/sys/fs/cgroup";
    let none = None::<&str>;
    let parking = folder.join("cgroup");
    std::fs::create_dir(&parking).map_err(|_| Errno::EIO)?;
    let parked = mount(
        Some(CGROUPS),
        &parking,
        none,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        none,
    );
    let mounted = mount(Some("sysfs"), "/sys", Some("sysfs"), flags, none);
    if parked.is_ok() {
        let moved =
            mounted.and_then(|()| mount(Some(&parking), CGROUPS, none, MsFlags::MS_MOVE, none));
        if moved.is_err() {
            umount2(&parking, MntFlags::MNT_DETACH)?;
        }
    }
    std::fs::remove_dir(&parking).map_err(|_| Errno::EIO)
}

/// Sets IFF_UP on `lo`, which a new network namespace has down.
fn bring_loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is a valid ifreq with a terminated name, which is all SIOCSIFFLAGS reads.
    Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    })?;
    Ok(())
}

/// A lab of hundreds of namespaces holds more descriptors than the soft limit of most shells.
fn raise_open_files_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Reaps every process and passes signals on, until the lab process has ended or the front is gone; the exit code.
fn supervise(lab: Pid, children: &SignalFd, control: OwnedFd) -> i32 {
    let mut control = File::from(control);
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) if status.pid() == Some(lab) => {
                if let Some(code) = exit_code(status) {
                    return code;
                }
            }
            Ok(WaitStatus::StillAlive) => {
                if let Some(end) = wait_for_news(lab, children, &mut control) {
                    return end;
                }
            }
            Ok(_) => {}
            Err(_) => return KILLED,
        }
    }
}

/// Waits until a child has changed or the front says something; an exit code if the front is gone.
fn wait_for_news(lab: Pid, children: &SignalFd, control: &mut File) -> Option<i32> {
    let mut sources = [
        PollFd::new(children.as_fd(), PollFlags::POLLIN),
        PollFd::new(control.as_fd(), PollFlags::POLLIN),
    ];
    if poll(&mut sources, PollTimeout::NONE).is_err() {
        return None;
    }
    let [child_changed, front_spoke] = sources.map(|source| source.any().unwrap_or(true));
    if child_changed {
        let _ = children.read_signal();
    }
    if front_spoke {
        let mut number = [0];
        match control.read(&mut number) {
            Ok(1) => {
                let signal = Signal::try_from(i32::from(number[0])).ok()?;
                let _ = kill(lab, signal);
            }
            _ => return Some(KILLED),
        }
    }
    None
}
