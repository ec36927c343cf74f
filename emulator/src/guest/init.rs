//! The guest's first process: makes it a machine, starts the command in it, and switches it off when that has ended; or
//! serves sessions.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::agent::Agent;
use super::job::{End, JOB, Job, Shared, Work};
use super::notice::NOTICE;
use super::root;
use crate::capability::total_memory;

/// How often, in virtual time, init looks for a signal from the host.
const LOOK: Duration = Duration::from_millis(100);

/// Whether this process runs in a guest.
pub fn is_guest() -> bool {
    progress_file().is_some()
}

/// Tells a program in a guest where to tell of its progress: a file that it appends lines to.
const PROGRESS: &str = "LONGHAUL_GUEST_PROGRESS";

/// Where to tell of progress; `None` outside of a guest.
pub fn progress_file() -> Option<PathBuf> {
    std::env::var_os(PROGRESS).map(PathBuf::from)
}

/// Tells it what kernel that is: its version and its key.
const KERNEL: &str = "LONGHAUL_GUEST_KERNEL";

/// The version and the key of the lab kernel that this process runs on; `None` outside of a guest.
pub fn lab_kernel() -> Option<(String, String)> {
    let text = std::env::var(KERNEL).ok()?;
    let (version, key) = text.split_once(' ')?;
    Some((version.to_owned(), key.to_owned()))
}

/// What every program in a guest finds in its environment, whatever the host has in its own.
const ENVIRONMENT: [(&str, &str); 9] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("SHELL", "/bin/sh"),
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC"),
    ("TMPDIR", "/tmp"),
    (
        // A page that is touched for the first time costs a dozen microseconds here: memory that was given back is kept.
        "GLIBC_TUNABLES",
        "glibc.malloc.mmap_threshold=1099511627776:glibc.malloc.trim_threshold=1099511627776",
    ),
];

/// What a machine of one's own allows and a host has for its other users.
const SYSCTLS: [(&str, &str); 10] = [
    // Programs may ask for buffers as large as they like.
    ("net/core/rmem_max", "2147483647"),
    ("net/core/wmem_max", "2147483647"),
    // What arrives in one instant is one burst, however long: no packet may be lost where a machine with more time would not.
    ("net/core/netdev_max_backlog", "10000000"),
    ("net/core/netdev_budget", "1000000"),
    // Ranks keep many connections.
    ("net/core/somaxconn", "65535"),
    ("net/ipv4/tcp_max_syn_backlog", "65535"),
    ("fs/nr_open", "1048576"),
    ("kernel/pid_max", "4194304"),
    // One that is out of memory ends with a word, rather than to end something else.
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "1"),
];

/// The body of the guest's init: does the job, switches the machine off.
///
/// # Panics
/// If it cannot be switched off; the kernel then panics, too, and so ends.
pub fn main() -> ! {
    let mut shared = std::env::var_os(JOB).map(|folder| Shared(folder.into()));
    let end = shared.as_mut().map_or_else(
        || End::Failed("this is the init of a lab kernel, and no command".into()),
        |shared| work(shared).unwrap_or_else(|error| End::Failed(error.to_string())),
    );
    if let Some(shared) = shared {
        let text = serde_json::to_vec(&end).expect("it is plain");
        if let Err(error) = fs::write(shared.ended(), text) {
            eprintln!("init: cannot tell how it ended: {error}");
        }
    }
    if std::process::id() != 1 {
        std::process::exit(2);
    }
    nix::unistd::sync();
    // SAFETY: takes a number and touches no memory of ours.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    panic!("cannot power off: {}", io::Error::last_os_error());
}

/// Does the job, which lies where the host has it at first, and where the guest's root has it from then on.
fn work(shared: &mut Shared) -> io::Result<End> {
    let job: Job = serde_json::from_slice(&fs::read(shared.job())?)?;
    *shared = root::enter(&job.mounts, shared)?;
    nix::unistd::sethostname("longhaul")?;
    for (path, value) in SYSCTLS {
        let path = Path::new("/proc/sys").join(path);
        // Not every kernel has each, or allows as much: 6.1 has small tables in User-mode Linux (CONFIG_BASE_SMALL).
        if path.exists()
            && let Err(error) = fs::write(&path, value)
            && error.kind() != io::ErrorKind::InvalidInput
        {
            let what = format!("{}: {error}", path.display());
            return Err(io::Error::new(error.kind(), what));
        }
    }
    give_tcp_all_memory()?;
    setrlimit(Resource::RLIMIT_NOFILE, 1 << 20, 1 << 20)?;
    setrlimit(
        Resource::RLIMIT_MEMLOCK,
        libc::RLIM_INFINITY,
        libc::RLIM_INFINITY,
    )?;
    fs::create_dir_all(&job.folder)?;

    let mut environment: Vec<(OsString, OsString)> = ENVIRONMENT
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let kernel = format!("{} {}", job.kernel.version, job.kernel.key);
    environment.push((KERNEL.into(), kernel.into()));
    environment.push((PROGRESS.into(), shared.progress().into()));
    environment.extend(job.environment);
    let arguments = match job.work {
        Work::Command(arguments) => arguments,
        Work::Sessions => {
            return Agent::new(shared.clone(), job.executable, environment).serve();
        }
    };
    environment.push((NOTICE.into(), shared.notice().into()));
    let append = |path: PathBuf| OpenOptions::new().append(true).open(path);
    let child = Command::new(&job.executable)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(&job.folder)
        .stdin(Stdio::null())
        .stdout(append(shared.stdout())?)
        .stderr(append(shared.stderr())?)
        .process_group(0)
        .spawn()
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{}: {error}", job.executable.display()),
            )
        })?;
    let child = Pid::from_raw(child.id().cast_signed());
    let signals = shared.signals();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || pass_signals_on(&signals, child))?;
    wait_for(child)
}

/// Sends the command the signals for which the host leaves a file. A folder is read anew each time, where a file's content would
/// be remembered; and looking costs the lab nothing and tells it nothing, so it does the same in every run.
fn pass_signals_on(folder: &Path, child: Pid) {
    let mut sent = std::collections::BTreeSet::new();
    loop {
        std::thread::sleep(LOOK);
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        for name in names.map(|entry| entry.file_name()) {
            let number = name.to_str().and_then(|name| name.parse::<i32>().ok());
            if let Some(signal) = number.and_then(|number| Signal::try_from(number).ok())
                && sent.insert(number)
            {
                // One that has ended needs none.
                let _ = kill(child, signal);
            }
        }
    }
}

/// Waits for the child, and for whatever else ends: orphans are init's.
fn wait_for(child: Pid) -> io::Result<End> {
    loop {
        let code = match waitpid(None, None)? {
            WaitStatus::Exited(pid, code) if pid == child => code,
            WaitStatus::Signaled(pid, signal, _) if pid == child => 128 + signal as i32,
            _ => continue,
        };
        return Ok(End::Code(u8::try_from(code).unwrap_or(u8::MAX)));
    }
}

/// By default the sockets of a machine may take a tenth of its memory (`tcp_init_mem`): a lab's are what it is there for.
fn give_tcp_all_memory() -> io::Result<()> {
    let total = total_memory().ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))?;
    let pages = total.bytes() / 4096;
    for file in ["tcp_mem", "udp_mem"] {
        fs::write(
            format!("/proc/sys/net/ipv4/{file}"),
            format!("{pages} {pages} {pages}"),
        )?;
    }
    Ok(())
}
