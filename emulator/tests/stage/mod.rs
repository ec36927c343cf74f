//! Tests of processes that fork and change their namespaces: a test plays *scenes*, each in a process of its own with a single
//! thread (this same program, started as `PROGRAM --scene NAME ARGUMENT…`), and watches them from outside.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{SigHandler, Signal, kill, signal};

/// Longest wait for anything that should happen at once.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A test's outcome; an error fails it.
pub type Outcome = Result<(), Failed>;

/// A scene: its arguments in, its exit code out.
pub type Scene = fn(&[String]) -> i32;

/// A test: passes unless it panics or gives an error.
pub type Test = fn() -> Outcome;

/// Plays a scene if asked to, else runs the tests.
pub fn main(scenes: &[(&str, Scene)], tests: &[(&'static str, Test)]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name, rest @ ..] = arguments.as_slice()
        && flag == "--scene"
    {
        let (_, scene) = scenes
            .iter()
            .find(|(n, _)| n == name)
            .expect("a scene of that name");
        std::process::exit(scene(rest));
    }
    let trials = tests
        .iter()
        .map(|&(name, test)| Trial::test(name, test))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Whose processes a test plays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum As {
    Root,
    Nobody,
}

/// The uid and gid of `nobody` on every distribution that has one.
const NOBODY: u32 = 65534;

/// Processes, files and the mark by which they are found, for one test.
pub struct Stage {
    pub user: As,
    mark: String,
    pub folder: tempfile::TempDir,
}

impl Stage {
    /// `None`, with the reason printed, if this machine cannot play it.
    pub fn for_user(user: As) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root to become other users");
            return None;
        }
        if user == As::Nobody && !userns_allowed() {
            println!("skipped: this machine refuses user namespaces to ordinary users");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        if user == As::Root {
            hide_run();
        }
        if user == As::Nobody {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY))
                .expect("a folder for nobody");
        }
        let mark = format!(
            "stage-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        Some(Stage { user, mark, folder })
    }

    /// The runtime folder of all scenes on this stage.
    pub fn runtime(&self) -> PathBuf {
        match self.user {
            As::Root => "/run/longhaul".into(),
            As::Nobody => self.folder.path().join("runtime"),
        }
    }

    /// This program, where the scenes can start it.
    pub fn program(&self) -> &'static Path {
        program()
    }

    /// A scene ready to start.
    pub fn scene(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--scene").arg(name).args(arguments);
        command
            .env("STAGE", &self.mark)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.current_dir("/").stdin(Stdio::null());
        // Whoever is started by a shell's background job has these ignored.
        // SAFETY: system calls alone, and no handler of ours.
        unsafe {
            command.pre_exec(|| {
                for interrupt in [Signal::SIGINT, Signal::SIGQUIT] {
                    signal(interrupt, SigHandler::SigDfl)?;
                }
                Ok(())
            })
        };
        match self.user {
            As::Root => command.env_remove("LONGHAUL_RUNTIME_DIR"),
            As::Nobody => command
                .env("LONGHAUL_RUNTIME_DIR", self.runtime())
                .uid(NOBODY)
                .gid(NOBODY),
        };
        command
    }

    /// Every process that this stage's scenes started and that lives.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("STAGE={}", self.mark).into_bytes();
        let has_mark = |pid: &i32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|env| env.split(|&b| b == 0).any(|entry| entry == mark))
        };
        all_processes().into_iter().filter(has_mark).collect()
    }

    /// Waits until no process of the stage lives and none of `namespaces` has one in it.
    pub fn wait_until_empty(&self, namespaces: &BTreeSet<PathBuf>) {
        wait_until("every process has ended", || self.processes().is_empty());
        wait_until("every namespace is empty", || {
            all_processes()
                .iter()
                .all(|&pid| namespaces_of(pid).is_disjoint(namespaces))
        });
    }
}

impl Drop for Stage {
    /// Leaves nothing behind when a test fails half-way.
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// A scene that plays, with its lines of output; killed on drop.
pub struct Playing {
    pub child: Child,
    lines: io::Lines<BufReader<Box<dyn io::Read>>>,
}

impl Playing {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("a started scene");
        let output: Box<dyn io::Read> = Box::new(child.stdout.take().expect("a pipe"));
        Playing {
            child,
            lines: BufReader::new(output).lines(),
        }
    }

    /// On a terminal of its own, as the leader of its session; the terminal's other end.
    pub fn start_on_terminal(mut command: Command) -> (Self, OwnedFd) {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let ours = pty.master;
        let theirs = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        command.stdin(theirs()).stdout(theirs()).stderr(theirs());
        // SAFETY: two system calls.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                nix::errno::Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
                Ok(())
            })
        };
        let child = command.spawn().expect("a started scene");
        let output: Box<dyn io::Read> =
            Box::new(fs::File::from(ours.try_clone().expect("a descriptor")));
        (
            Playing {
                child,
                lines: BufReader::new(output).lines(),
            },
            ours,
        )
    }

    /// Waits for the line that starts with `start`, be it after a Ctrl-Z that the terminal echoed; the rest of it.
    pub fn line(&mut self, start: &str) -> String {
        loop {
            let line = self.lines.next().expect("more lines").expect("a line");
            if let Some(rest) = line.trim_start_matches("^Z").strip_prefix(start) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Waits for the end; the exit code as a shell counts it.
    pub fn code(&mut self) -> i32 {
        let mut code = None;
        wait_until("the scene ends", || {
            code = self.child.try_wait().expect("a status");
            code.is_some()
        });
        exit_code(code.expect("waited for"))
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or(status.signal().map(|n| 128 + n))
        .expect("an end")
}

/// Types on a terminal.
pub fn type_in(terminal: &OwnedFd, text: &str) {
    fs::File::from(terminal.try_clone().expect("a descriptor"))
        .write_all(text.as_bytes())
        .expect("a terminal that takes it");
}

/// Polls `condition` until it holds; a panic that names it after the deadline.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "waited {DEADLINE:?} until {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn all_processes() -> Vec<i32> {
    let names = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|item| item.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// The namespaces a process is in that the test program is not in.
pub fn namespaces_of(pid: i32) -> BTreeSet<PathBuf> {
    let kinds = ["mnt", "net", "pid", "uts", "ipc", "user"];
    let read = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    kinds
        .iter()
        .filter_map(|kind| {
            read(&pid.to_string(), kind).filter(|ns| Some(ns) != read("thread-self", kind).as_ref())
        })
        .collect()
}

/// The children of a process.
pub fn children_of(pid: i32) -> Vec<i32> {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The state letter of a process: `R`, `S`, `T`…
pub fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Gives this thread, and the scenes it plays, a /run of their own: labs and `ip netns` names of the machine are out of
/// sight and out of reach.
fn hide_run() {
    use nix::mount::{MsFlags, mount};
    let none = None::<&str>;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
    mount(none, "/run", Some("tmpfs"), MsFlags::empty(), none).expect("a tmpfs");
}

/// This program where every user can run it.
fn program() -> &'static Path {
    static COPY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    &COPY
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
                .expect("an open folder");
            let copy = folder.path().join("program");
            fs::copy("/proc/self/exe", &copy).expect("a copy of this program");
            (folder, copy)
        })
        .1
}

/// Whether an ordinary user may create a user namespace here, found out by doing it.
fn userns_allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        let mut command = Command::new(program());
        command
            .arg("--list")
            .uid(NOBODY)
            .gid(NOBODY)
            .stdout(Stdio::null());
        // SAFETY: one system call.
        unsafe {
            command.pre_exec(|| Ok(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)?))
        };
        command.status().is_ok_and(|status| status.success())
    })
}
