//! A node's network and UTS namespaces, held as file descriptors: they vanish with the last holder.
//!
//! A namespace has a name too, for `ip netns` and `nsenter`: a bind mount in a [`NamespaceFolder`], which lies in the
//! lab's private mount namespace and takes all its names with it.
//!
//! Programs see the machine's /sys: a mount namespace with a sysfs of its own for every child would cost more than
//! it brings, as what looks for interfaces (iproute2, glibc's `getifaddrs`, Gloo, NCCL's sockets) asks netlink or
//! `SIOCGIFCONF`, which answer for the namespace. Only `/sys/class/net` is wrong inside a host.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use netns_rs::NetNs;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::sethostname;

/// The namespaces of one node.
#[derive(Debug)]
pub struct Namespace {
    /// The network namespace.
    pub net: OwnedFd,
    /// The UTS namespace: the host name.
    pub uts: OwnedFd,
}

impl Namespace {
    /// Creates both namespaces: the network one empty but for `lo`, the UTS one with `name` as its host name. `name`
    /// leads to the network namespace in `folder`, too.
    ///
    /// # Errors
    /// If the kernel refuses a namespace, or `folder` has that name already.
    pub fn create(folder: &NamespaceFolder, name: &str) -> io::Result<Self> {
        if folder.path.join(name).try_exists()? {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("a namespace is named {name} already"),
            ));
        }
        let net = NetNs::new_with_env(name, FolderEnv(&folder.path)).map_err(io::Error::other)?;
        Ok(Self {
            net: net.file().as_fd().try_clone_to_owned()?,
            uts: uts_namespace(name)?,
        })
    }

    /// Runs `f` on a thread of its own inside the network namespace: sockets made there stay there.
    ///
    /// # Errors
    /// If the thread cannot enter.
    ///
    /// # Panics
    /// If `f` does.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> io::Result<T> {
        run_in(&self.net, f)
    }

    /// Makes `command` start inside both namespaces, in a process group of its own, with every signal unblocked and at
    /// its default.
    ///
    /// It ends with the lab because the sandbox's PID namespace does. PR_SET_PDEATHSIG would add nothing to that and
    /// take something away: it fires when the *thread* that spawned the child ends, and runtimes end idle threads.
    ///
    /// # Panics
    /// If the process has no file descriptor left.
    pub fn enter_on_exec(&self, command: &mut Command) {
        // Copies, as the command may be spawned after the namespace was dropped.
        let net = self.net.try_clone().expect("a spare file descriptor");
        let uts = self.uts.try_clone().expect("a spare file descriptor");
        let last_signal = libc::SIGRTMAX();
        let enter = move || {
            setns(&net, CloneFlags::CLONE_NEWNET)?;
            setns(&uts, CloneFlags::CLONE_NEWUTS)?;
            for signal in 1..=last_signal {
                // SAFETY: async-signal-safe. Refused for SIGKILL and SIGSTOP, which cannot be changed, and for the two
                // that libc keeps to itself.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
            Ok(())
        };
        command.process_group(0);
        // SAFETY: between fork and exec `enter` makes system calls only; it neither allocates nor locks.
        unsafe { command.pre_exec(enter) };
    }
}

/// Runs `f` on a thread of its own inside the network namespace `net`.
///
/// # Errors
/// If the thread cannot enter.
///
/// # Panics
/// If `f` does.
pub(crate) fn run_in<T: Send>(
    net: impl AsFd + Sync,
    f: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    on_own_thread(|| {
        setns(&net, CloneFlags::CLONE_NEWNET)?;
        Ok(f())
    })
}

/// A folder of named network namespaces, on a tmpfs of its own; unmounted, with every name in it, on drop.
///
/// Make it only in a private mount namespace: mounts are seen by all that share it.
#[derive(Debug)]
pub struct NamespaceFolder {
    path: PathBuf,
}

impl NamespaceFolder {
    /// Creates the folder and mounts it.
    ///
    /// # Errors
    /// If the kernel refuses the mount.
    pub fn mount(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path)?;
        // Nothing but mount points is created in it; a page per name is plenty.
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(
            Some("tmpfs"),
            &path,
            Some("tmpfs"),
            flags,
            Some("mode=0755"),
        )?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for NamespaceFolder {
    fn drop(&mut self) {
        // One lazy unmount takes all names at once; one each would wait for as many RCU grace periods.
        if let Err(error) = umount2(&self.path, MntFlags::MNT_DETACH) {
            tracing::warn!(path = %self.path.display(), %error, "cannot unmount the folder of namespace names");
        }
        // Fails harmlessly if someone put something beneath the mount.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Tells netns-rs where names go. `init` would make the folder a shared mount on every call; ours is mounted already and
/// must not be shared.
struct FolderEnv<'a>(&'a Path);

impl netns_rs::Env for FolderEnv<'_> {
    fn persist_dir(&self) -> PathBuf {
        self.0.to_owned()
    }

    fn init(&self) -> netns_rs::Result<()> {
        Ok(())
    }
}

/// A new UTS namespace with that host name.
fn uts_namespace(name: &str) -> io::Result<OwnedFd> {
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWUTS)?;
        sethostname(name)?;
        Ok(File::open("/proc/thread-self/ns/uts")?.into())
    })
}

/// Runs `f` on a thread that ends with it, so that what it did to its namespaces ends, too.
fn on_own_thread<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("namespace".into())
            .spawn_scoped(scope, f)?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use nix::unistd::gethostname;

    use super::*;

    /// Runs `test` on a thread with a private mount namespace and a folder in it.
    fn with_folder(test: impl FnOnce(&NamespaceFolder) + Send) {
        let outcome = on_own_thread(|| {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
                println!("skipped: no mount namespace of our own: {error}");
                return Ok(());
            }
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
            let place = tempfile::tempdir()?;
            let folder = NamespaceFolder::mount(place.path().join("netns"))?;
            test(&folder);
            Ok(())
        });
        outcome.unwrap();
    }

    fn stdout_of(command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn sockets_made_inside_do_not_meet_those_outside() {
        with_folder(|folder| {
            let namespace = Namespace::create(folder, "dublin-0").unwrap();
            let inside = namespace
                .run(|| UdpSocket::bind("0.0.0.0:4791").unwrap())
                .unwrap();
            let again = namespace
                .run(|| UdpSocket::bind("0.0.0.0:4791").unwrap_err())
                .unwrap();
            assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
            UdpSocket::bind(inside.local_addr().unwrap()).unwrap();
        });
    }

    #[test]
    fn a_command_sees_the_nodes_name_and_network_and_the_caller_keeps_its_own() {
        with_folder(|folder| {
            let before = gethostname().unwrap();
            let namespace = Namespace::create(folder, "dublin-0").unwrap();
            let mut command = Command::new("cat");
            command.args(["/proc/sys/kernel/hostname", "/proc/self/net/dev"]);
            namespace.enter_on_exec(&mut command);
            let seen = stdout_of(&mut command);
            assert!(seen.starts_with("dublin-0\n"), "{seen}");
            assert_eq!(seen.matches(':').count(), 1, "only lo: {seen}");
            assert_eq!(gethostname().unwrap(), before);
        });
    }

    #[test]
    fn a_command_leads_its_process_group_and_ignores_no_signal() {
        with_folder(|folder| {
            let namespace = Namespace::create(folder, "dublin-0").unwrap();
            let mut command = Command::new("cat");
            command.arg("/proc/self/stat").arg("/proc/self/status");
            // SAFETY: async-signal-safe, and SIG_IGN is a valid disposition. Runs before the namespace's own hook.
            unsafe {
                command.pre_exec(|| {
                    libc::signal(libc::SIGINT, libc::SIG_IGN);
                    Ok(())
                })
            };
            namespace.enter_on_exec(&mut command);
            let seen = stdout_of(&mut command);
            let stat: Vec<&str> = seen.split_whitespace().collect();
            assert_eq!(stat[0], stat[4], "process group: {seen}");
            // Signals 32 and 33 are libc's own; a program cannot set them.
            let libc_own = 0x1_8000_0000;
            for mask in ["SigBlk:\t", "SigIgn:\t"] {
                let bits = seen
                    .lines()
                    .find_map(|line| line.strip_prefix(mask))
                    .unwrap();
                assert_eq!(
                    u64::from_str_radix(bits, 16).unwrap() & !libc_own,
                    0,
                    "{mask}{bits}"
                );
            }
        });
    }

    #[test]
    fn a_name_is_given_once_and_goes_with_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path();
        with_folder(|_| {
            let folder = NamespaceFolder::mount(place.join("netns")).unwrap();
            let first = Namespace::create(&folder, "dublin-0").unwrap();
            let error = Namespace::create(&folder, "dublin-0").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            let named = File::open(folder.path().join("dublin-0")).unwrap();
            let inode = |file: &dyn AsFd| nix::sys::stat::fstat(file).unwrap().st_ino;
            assert_eq!(inode(&named), inode(&first.net));
            drop(folder);
            assert!(!place.join("netns").exists());
            let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            assert!(!mounts.contains(place.to_str().unwrap()), "{mounts}");
        });
    }
}
