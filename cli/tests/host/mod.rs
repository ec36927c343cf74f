//! What the tests of the binary with a lab share: a host of their own to run it on, and what it leaves there.
//!
//! Every test has its own folders and its own runtime folder, so that tests neither see nor disturb each other's labs, nor
//! those of whoever works on this machine. As root it also has its own `/run` and network namespace.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

/// Longest wait for anything, on a machine that does many other things. Most of it takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// What a run may end with where fidelity is not the point: these tests share the machine's CPU with each other, so a link
/// may honestly have been late, and then `run` must say so with 4.
pub const FAITHFUL_OR_NOT: [i32; 2] = [0, 4];

/// Two sites of one host each, 10 ms apart.
pub const TOPOLOGY: &str = "
name: tiny
topology:
  name: two
  sites: [{name: a, hosts: 1}, {name: b, hosts: 1}]
  links: [{between: [a, b], rate: 50Mbit, rtt: 20ms}]
";

/// A host for one test. When it is dropped, every process that the test left is killed.
pub struct Host {
    folder: tempfile::TempDir,
    mark: String,
    user: User,
    runtime: RuntimeFolder,
}

/// Who runs the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Who runs the tests.
    Me,
    /// An ordinary user.
    Nobody,
}

/// Where the binary keeps what labs have outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuntimeFolder {
    /// `LONGHAUL_RUNTIME_DIR`, in the test's folder.
    Own,
    /// `/run/longhaul`, which is root's and here the test's own.
    Standard,
}

/// The uid and gid of `nobody` on every distribution that has one.
const NOBODY: u32 = 65534;

/// A run in the background, its output in files.
pub struct Running {
    pub child: Child,
    folder: PathBuf,
}

/// How something ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Everything outside the labs that a lab could leave behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    pub mounts: Vec<String>,
    pub interfaces: Vec<String>,
    pub netns_names: Vec<String>,
    pub registry: Vec<String>,
}

impl Host {
    /// `None`, with the reason printed, if this machine has no labs for whoever runs the tests.
    pub fn new() -> Option<Self> {
        Self::with(User::Me, RuntimeFolder::Own)
    }

    /// With the standard runtime folder if root runs the tests: only there labs get names for `ip netns`.
    pub fn standard() -> Option<Self> {
        let runtime = match geteuid().is_root() {
            true => RuntimeFolder::Standard,
            false => RuntimeFolder::Own,
        };
        Self::with(User::Me, runtime)
    }

    /// Where an ordinary user runs the binary.
    pub fn of_nobody() -> Option<Self> {
        if !geteuid().is_root() {
            println!("skipped: needs root to become an ordinary user");
            return None;
        }
        Self::with(User::Nobody, RuntimeFolder::Own)
    }

    fn with(user: User, runtime: RuntimeFolder) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        if let Err(reason) = namespaces_allowed(user) {
            println!("skipped: {reason}");
            return None;
        }
        if geteuid().is_root() {
            hide();
        }
        let folder = tempfile::tempdir().unwrap();
        if user == User::Nobody {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Some(Host {
            folder,
            mark: format!("{}-{number}", std::process::id()),
            user,
            runtime,
        })
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an experiment: the tiny topology and `workload`.
    pub fn experiment(&self, workload: &str) -> String {
        let path = self.path("tiny.yaml");
        fs::write(&path, format!("{TOPOLOGY}{workload}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn runtime_folder(&self) -> PathBuf {
        match self.runtime {
            RuntimeFolder::Own => self.path("runtime"),
            RuntimeFolder::Standard => "/run/longhaul".into(),
        }
    }

    /// The binary with these arguments, in the test's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let program = match self.user {
            User::Me => Path::new(env!("CARGO_BIN_EXE_longhaul")),
            User::Nobody => open_copy(),
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("LONGHAUL_TEST", &self.mark)
            .env_remove("XDG_RUNTIME_DIR")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        match self.runtime {
            RuntimeFolder::Own => command.env("LONGHAUL_RUNTIME_DIR", self.runtime_folder()),
            RuntimeFolder::Standard => command.env_remove("LONGHAUL_RUNTIME_DIR"),
        };
        if self.user == User::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Starts the binary in a process group of its own, as a shell would.
    pub fn start(&self, arguments: &[&str]) -> Running {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = self.path(&format!("output-{number}"));
        fs::create_dir(&folder).unwrap();
        let mut command = self.command(arguments);
        command
            .process_group(0)
            .stdout(File::create(folder.join("stdout")).unwrap())
            .stderr(File::create(folder.join("stderr")).unwrap());
        let child = command.spawn().unwrap();
        Running { child, folder }
    }

    /// Runs the binary to its end.
    pub fn longhaul(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    /// Runs the binary, which must exit with 0; what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let ended = self.longhaul(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.stdout
    }

    /// Runs the binary with `--json`, which must exit with 0; what it answered.
    pub fn answer(&self, arguments: &[&str]) -> Value {
        let text = self.succeed(&[&["--json"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Every process that the test's binaries started and that lives.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("LONGHAUL_TEST={}", self.mark).into_bytes();
        let is_marked = |pid: &i32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|text| text.split(|&byte| byte == 0).any(|entry| entry == mark))
        };
        all_processes().into_iter().filter(is_marked).collect()
    }

    /// The namespaces they are in and this test is not.
    pub fn namespaces(&self) -> BTreeSet<PathBuf> {
        self.processes()
            .into_iter()
            .flat_map(namespaces_of)
            .collect()
    }

    /// What there is outside labs now.
    pub fn traces(&self) -> Traces {
        let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
        let interfaces = nix::net::if_::if_nameindex().unwrap();
        let interfaces = interfaces
            .iter()
            .map(|interface| interface.name().to_string_lossy().into_owned());
        Traces {
            mounts: mounts.lines().map(str::to_owned).collect(),
            interfaces: interfaces.collect(),
            netns_names: entries(Path::new("/run/netns")),
            registry: entries(&self.runtime_folder()),
        }
    }

    /// Waits until no process of the test lives, and none at all is in `namespaces`.
    pub fn wait_until_gone(&self, namespaces: &BTreeSet<PathBuf>) {
        wait_until("every process has ended", || self.processes().is_empty());
        wait_until("every namespace is empty", || {
            all_processes()
                .into_iter()
                .all(|pid| namespaces_of(pid).is_disjoint(namespaces))
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Running {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap()
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.join("stdout")).unwrap()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let mut status = None;
        wait_until("the command ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Ended {
            code: shell_code(status.unwrap()),
            stdout: fs::read_to_string(self.folder.join("stdout")).unwrap(),
            stderr: self.stderr(),
        }
    }
}

/// Whether there is a kernel for virtual labs; says that the test is skipped if not.
pub fn has_lab_kernel() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = *THERE.get_or_init(|| {
        let info = Command::new(env!("CARGO_BIN_EXE_longhaul"))
            .args(["kernel", "info"])
            .output();
        info.is_ok_and(|info| info.status.success())
    });
    if !there {
        println!("skipped: no lab kernel (longhaul kernel build)");
    }
    there
}

/// Polls `condition` until it holds; a panic that names it if it never does.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} until {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lines of a file that may not be there yet.
pub fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// The children of a process.
pub fn children_of(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The child of a process that has one.
pub fn only_child_of(pid: i32) -> i32 {
    match children_of(pid)[..] {
        [child] => child,
        ref children => panic!("one child of {pid}: {children:?}"),
    }
}

/// Front, init and lab process of a lab that has all three, by its front.
pub fn family(front: i32) -> Option<[i32; 3]> {
    let init = *children_of(front).first()?;
    let lab = *children_of(init).first()?;
    Some([front, init, lab])
}

fn shell_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap()
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // The registry's own lock and mount point stay.
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Whether a process is no more, or waits for its parent only. (Its environment is gone before its files are closed.)
pub fn has_ended(pid: &i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        let state = stat.rsplit(')').next().map(str::trim_start);
        state.is_some_and(|state| state.starts_with(['Z', 'X']))
    })
}

fn all_processes() -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn namespaces_of(pid: i32) -> BTreeSet<PathBuf> {
    let of = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    ["mnt", "net", "pid", "uts", "ipc", "user"]
        .iter()
        .filter_map(|kind| {
            of(&pid.to_string(), kind).filter(|ns| Some(ns) != of("thread-self", kind).as_ref())
        })
        .collect()
}

/// Gives this test's thread, and what it starts, a /run and a network of its own: labs of the machine are out of sight and
/// out of reach, and what appears or stays there is this test's.
fn hide() {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(none, "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
}

/// Whether the kernel gives namespaces to that user, found out by asking for them.
fn namespaces_allowed(user: User) -> Result<(), String> {
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    if user == User::Nobody || !geteuid().is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg("--list").stdout(Stdio::null());
    if user == User::Nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    // SAFETY: one system call between fork and exec.
    unsafe { command.pre_exec(move || Ok(unshare(flags)?)) };
    match command.status() {
        Ok(_) => Ok(()),
        // After `unshare`, the program may be out of an ordinary user's reach: that is no refusal.
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(()),
        Err(error) => Err(format!("no namespaces for {user:?} here: {error}")),
    }
}

/// The binary where every user can run it.
fn open_copy() -> &'static Path {
    use std::os::unix::fs::PermissionsExt;
    static COPY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = COPY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("longhaul");
        // By a process of its own: what another thread of this one forks meanwhile would inherit the file open for
        // writing, and until that has called exec, nobody could start the copy (ETXTBSY).
        let mut copy = Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_longhaul")).arg(&path);
        assert!(copy.status().unwrap().success());
        (folder, path)
    });
    path
}
