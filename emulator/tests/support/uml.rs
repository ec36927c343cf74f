//! Runs a program inside a User-mode-Linux kernel: root, and every qdisc as a module, on any machine with Debian's
//! `user-mode-linux` package, root or not.
//!
//! The test's own binary is the guest's init: a test with `harness = false` calls [`init_if_guest`] first in `main` and
//! [`Guest::boot`] when it wants a guest. The guest sees the machine's files read-only, a /run and a /dev of its own, and
//! one folder in which to leave its results.

#![allow(dead_code, reason = "every test uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

mod registers;

/// The environment variable that tells the guest's init which folder its job lies in.
const JOB: &str = "LONGHAUL_UML_JOB";

/// Set for programs in a guest, to its name.
const GUEST: &str = "LONGHAUL_UML_GUEST";

/// Where the guest finds that folder.
const GUEST_JOB: &str = "/run/job";

/// Where Debian's package keeps the kernel's modules, in a folder named for its release.
const MODULES: &str = "/usr/lib/uml/modules";

/// Everything that labs use and Debian's kernel has as a module.
const WANTED: [&str; 16] = [
    "ipv6",
    "veth",
    "sch_netem",
    "sch_tbf",
    "sch_ingress",
    "sch_fq",
    "sch_fq_codel",
    "sch_red",
    "sch_codel",
    "sch_pie",
    "cls_matchall",
    "cls_u32",
    "act_mirred",
    "tcp_bbr",
    "tun",
    "inet_diag",
];

/// A guest to be.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// What programs in it find in [`name`].
    pub name: &'static str,
    /// Its memory, as the kernel takes it: `512M`.
    pub memory: &'static str,
    /// The modules it loads otherwise than the others, which it loads if it has them.
    pub modules: &'static [(&'static str, Module)],
    /// When to give it up.
    pub timeout: Duration,
}

/// How a guest loads a module.
#[derive(Clone, Copy, Debug)]
pub enum Module {
    /// Not at all.
    LeftOut,
    /// With these parameters.
    With(&'static str),
}

/// What a program in a guest did.
#[derive(Debug)]
pub struct Output {
    /// Its exit code; 128 + n for signal n.
    pub code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// A program to run in a guest.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Job {
    program: PathBuf,
    args: Vec<String>,
    environment: BTreeMap<String, String>,
    /// The parameters of modules; none for one that is left out.
    modules: BTreeMap<String, Option<String>>,
}

/// The kernel, if the machine has it.
///
/// # Errors
/// Why not; for `skipped: …`.
pub fn kernel() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("linux.uml"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| "no linux.uml (apt install user-mode-linux)".into())
}

/// The guest that this program runs in; `None` outside.
pub fn name() -> Option<String> {
    std::env::var(GUEST).ok()
}

impl Guest {
    /// Runs `program` in this guest, and waits for it.
    ///
    /// # Errors
    /// If the guest did not come up, panicked, or was not done in time; with the last it said.
    pub fn boot(&self, program: &Path, args: &[&str]) -> Result<Output, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let module = |&(name, module): &(&str, Module)| {
            let parameters = match module {
                Module::LeftOut => None,
                Module::With(parameters) => Some(parameters.to_owned()),
            };
            (name.to_owned(), parameters)
        };
        let job = Job {
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            environment: guest_environment(self.name),
            modules: self.modules.iter().map(module).collect(),
        };
        let text = serde_json::to_vec(&job).expect("a job is JSON");
        fs::write(folder.path().join("job.json"), text).map_err(|error| error.to_string())?;
        let console = run_kernel(folder.path(), self.memory, self.timeout)?;

        let read = |name: &str| fs::read_to_string(folder.path().join(name));
        let said = |what: &str| format!("the guest {what}; its console:\n{console}");
        let code = read("code").map_err(|_| said("ended before the program did"))?;
        Ok(Output {
            code: code.parse().map_err(|_| said("left no exit code"))?,
            stdout: read("stdout").map_err(|_| said("left no output"))?,
            stderr: read("stderr").map_err(|_| said("left no output"))?,
        })
    }
}

/// Runs the kernel until it powers off; returns its console.
fn run_kernel(job: &Path, memory: &str, timeout: Duration) -> Result<String, String> {
    let init = std::env::current_exe().map_err(|error| error.to_string())?;
    let console = job.join("console");
    let log = File::create(&console).map_err(|error| error.to_string())?;
    let errors = log.try_clone().map_err(|error| error.to_string())?;
    // The kernel makes itself a session, and its helpers outlive it: they end with it here, and all of them with the test,
    // however that ends.
    let to_the_last = r#""$@" & trap "kill -KILL -$! $!" TERM; wait $!; kill -KILL -$!"#;
    let mut command = Command::new("sh");
    command
        .args(["-c", to_the_last, "sh"])
        .arg(kernel()?)
        .arg(format!("mem={memory}"))
        .args([
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "con0=null,fd:1",
            "con=null",
            "quiet",
            "panic=-1",
        ])
        .arg(format!("init={}", init.display()))
        // Its pid file and control socket; else in ~/.uml, which not every user has.
        .arg(format!("uml_dir={}/", job.display()))
        .arg(format!("{JOB}={}", job.display()))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0);
    let hide = registers::are_wide();
    if hide {
        command.arg(format!("GLIBC_TUNABLES={}", registers::NARROW));
    }
    let before = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
        if hide { registers::hide_wide() } else { Ok(()) }
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(before) };
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot start linux.uml: {error}"))?;
    let deadline = Instant::now() + timeout;
    let timed_out = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(_) => break false,
            None if Instant::now() > deadline => break true,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    if timed_out {
        let shell = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let _ = nix::sys::signal::kill(shell, nix::sys::signal::Signal::SIGTERM);
        let _ = child.wait();
    }
    let console = fs::read(console)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    if timed_out {
        return Err(format!(
            "the guest was not done within {timeout:?}; its console:\n{console}"
        ));
    }
    Ok(console)
}

/// If this process is a guest's init: does the job and powers the guest off. Else returns at once.
pub fn init_if_guest() {
    if std::process::id() != 1 || std::env::var_os(JOB).is_none() {
        return;
    }
    if let Err(error) = run_job() {
        println!("init: {error}");
    }
    nix::unistd::sync();
    // SAFETY: takes a number and touches no memory of ours.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    panic!("cannot power off: {}", io::Error::last_os_error());
}

fn run_job() -> io::Result<()> {
    let at = |step: &str| {
        let step = step.to_owned();
        move |error: io::Error| io::Error::new(error.kind(), format!("cannot {step}: {error}"))
    };
    let mounted = |kind: &str, target: &str, data: Option<&str>| {
        match mount(Some(kind), target, Some(kind), MsFlags::empty(), data) {
            // The kernel mounts /dev itself where it is built to.
            Ok(()) | Err(Errno::EBUSY) => Ok(()),
            Err(errno) => Err(at(&format!("mount {target}"))(errno.into())),
        }
    };
    mounted("proc", "/proc", None)?;
    mounted("sysfs", "/sys", None)?;
    mounted("tmpfs", "/run", None)?;
    mounted("devtmpfs", "/dev", None)?;
    for folder in ["/run/tmp", "/dev/shm", "/dev/pts", GUEST_JOB] {
        fs::create_dir_all(folder).map_err(at(&format!("create {folder}")))?;
    }
    mounted("tmpfs", "/dev/shm", None)?;
    mounted("devpts", "/dev/pts", None)?;
    let job = std::env::var(JOB).map_err(io::Error::other)?;
    mounted("hostfs", GUEST_JOB, Some(&job))?;

    let job = Path::new(GUEST_JOB);
    let text = fs::read(job.join("job.json")).map_err(at("read the job"))?;
    let Job {
        program,
        args,
        environment,
        modules,
    } = serde_json::from_slice(&text)?;
    load_modules(&modules).map_err(at("load modules"))?;
    let status = Command::new(&program)
        .args(args)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(File::create(job.join("stdout"))?)
        .stderr(File::create(job.join("stderr"))?)
        .status()
        .map_err(at(&format!("run {}", program.display())))?;
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1);
    fs::write(job.join("code"), code.to_string())
}

/// Loads what is [`WANTED`] and there, each module after those it needs; those in `changed` with their parameters or not at all.
fn load_modules(changed: &BTreeMap<String, Option<String>>) -> io::Result<()> {
    let release = nix::sys::utsname::uname()?
        .release()
        .to_string_lossy()
        .into_owned();
    let folder = Path::new(MODULES).join(release);
    let Ok(text) = fs::read_to_string(folder.join("modules.dep")) else {
        return Ok(());
    };
    let needs: BTreeMap<&str, Vec<&str>> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(module, needs)| (module, needs.split_whitespace().collect()))
        .collect();
    let mut loaded = BTreeSet::new();
    for wanted in WANTED {
        let parameters = match changed.get(wanted) {
            Some(None) => continue,
            Some(Some(parameters)) => parameters,
            None => "",
        };
        let file = format!("/{wanted}.ko");
        let Some((module, needs)) = needs.iter().find(|(module, _)| module.ends_with(&file)) else {
            continue;
        };
        // modules.dep lists what a module needs from the last to the first to load.
        for needed in needs.iter().rev() {
            if loaded.insert(*needed) {
                load_module(&folder.join(needed), "")?;
            }
        }
        if loaded.insert(*module) {
            load_module(&folder.join(module), parameters)?;
        }
    }
    Ok(())
}

fn load_module(path: &Path, parameters: &str) -> io::Result<()> {
    let file = File::open(path)?;
    let parameters = CString::new(parameters)?;
    // SAFETY: the descriptor is open and the parameters are a C string; the kernel checks the rest.
    let result = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            file.as_raw_fd(),
            parameters.as_ptr(),
            0,
        )
    };
    match Errno::result(result) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(io::Error::new(
            io::Error::from(errno).kind(),
            format!("{}: {errno}", path.display()),
        )),
    }
}

fn guest_environment(name: &str) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", "/run"),
        ("TMPDIR", "/run/tmp"),
        ("XDG_RUNTIME_DIR", "/run/tmp"),
        ("LANG", "C.UTF-8"),
        (GUEST, name),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    if registers::are_wide() {
        environment.insert("GLIBC_TUNABLES".into(), registers::NARROW.into());
    }
    environment
}
