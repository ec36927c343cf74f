//! The lab kernel as a process.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhaul_topologies::units::ByteSize;
use nix::sys::personality::{self, Persona};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, setpgid};

use super::GuestError;
use super::bond::Bond;
use super::clock::{Clock, Gate, Open};
use super::cpu::Cpu;
use super::job::{EPOCH, GuestSpec, JOB, Job, Mount, Shared, Work};
use super::memory;
use super::reception::Reception;
use crate::process_group;

/// How long a kernel may take until its clock runs, which is among the first things that it does: less than a second, but the
/// machine may be busy. One that dies meanwhile is not waited for.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);

/// Folders of programs, their libraries and the data of both.
const PROGRAMS: [&str; 17] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/etc/alternatives",
    "/etc/iproute2",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/protocols",
    "/etc/services",
    "/etc/openmpi",
    "/etc/mpich",
];

/// A kernel that is up. Dropping it kills it and all that runs in it.
#[derive(Debug)]
pub struct Guest {
    pub(super) kernel: Child,
    pub(super) shared: Shared,
    pub(super) bond: Bond,
    pub(super) clock: Clock,
    pub(super) booted: Instant,
    pub(super) memory: ByteSize,
    pub(super) memory_place: PathBuf,
    /// Its own as long as it is there.
    _cpu: Cpu,
}

impl Guest {
    /// Boots a kernel; what it shares with the host lies in `folder`, which is made.
    ///
    /// Must be called from the thread that waits for it: a kernel does not outlive the thread that started it.
    ///
    /// # Errors
    /// If the folder cannot be used, there is no place for its memory, or it does not come up.
    pub fn boot(spec: &GuestSpec, folder: &Path) -> Result<Self, GuestError> {
        let work = Work::Command(spec.arguments.clone());
        Self::boot_for(work, spec, Shared(folder.to_owned()), Open)
    }

    /// As [`boot`](Self::boot), for one that stays and does what comes in at the `reception`; the spec's arguments do not
    /// matter. Its time stands still while there is nothing.
    ///
    /// # Errors
    /// As [`boot`](Self::boot).
    pub fn boot_for_sessions(
        spec: &GuestSpec,
        folder: &Path,
        reception: &Reception,
    ) -> Result<Self, GuestError> {
        let shared = Shared(folder.to_owned());
        let gate = reception.gate(&shared);
        Self::boot_for(Work::Sessions, spec, shared, gate)
    }

    fn boot_for(
        work: Work,
        spec: &GuestSpec,
        shared: Shared,
        gate: impl Gate + 'static,
    ) -> Result<Self, GuestError> {
        let memory_place = memory::place(spec.memory)?;
        let failed = |step: &'static str| move |source: io::Error| GuestError::step(step, source);
        DirBuilder::new()
            .mode(0o700)
            .create(shared.path())
            .map_err(failed("make a folder for the lab kernel"))?;
        let bond = Bond::watch(shared.path()).map_err(failed(
            "watch the folder that it shares with the lab kernel",
        ))?;
        let job = job(work, spec).map_err(failed("find this program's own files"))?;
        let text =
            serde_json::to_vec(&job).map_err(|error| failed("write its job")(error.into()))?;
        fs::write(shared.job(), text).map_err(failed("write the lab kernel's job"))?;
        for file in [shared.stdout(), shared.stderr(), shared.progress()] {
            File::create(file).map_err(failed("make the files that the lab kernel writes to"))?;
        }
        fs::create_dir(shared.signals()).map_err(failed("make a folder for signals"))?;
        fs::create_dir(shared.sessions()).map_err(failed("make a folder for sessions"))?;
        let listener =
            UnixListener::bind(shared.clock()).map_err(failed("make the lab kernel's clock"))?;
        let cpu = Cpu::claim().map_err(failed("find a CPU for the lab kernel"))?;
        let booted = Instant::now();
        let kernel = start(spec, &job, &shared, &memory_place, &cpu).map_err(|error| {
            GuestError::step(format!("start {}", spec.kernel.path.display()), error)
        })?;
        let mut kernel = Unattended(Some(kernel));
        let connection = kernel.accept(&listener, &shared)?;
        let clock =
            Clock::start(connection, gate).map_err(failed("start the lab kernel's clock"))?;
        Ok(Guest {
            kernel: kernel.0.take().expect("nobody has taken it"),
            shared,
            bond,
            clock,
            booted,
            memory: spec.memory,
            memory_place,
            _cpu: cpu,
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        kill(&mut self.kernel);
    }
}

/// A kernel that nobody has taken charge of yet.
struct Unattended(Option<Child>);

impl Unattended {
    /// The connection of the kernel to the controller of its clock.
    fn accept(
        &mut self,
        listener: &UnixListener,
        shared: &Shared,
    ) -> Result<UnixStream, GuestError> {
        let failed = |source| GuestError::step("wait for the lab kernel's clock", source);
        listener.set_nonblocking(true).map_err(failed)?;
        let kernel = self.0.as_mut().expect("nobody has taken it");
        let deadline = Instant::now() + BOOT_PATIENCE;
        loop {
            match listener.accept() {
                Ok((connection, _)) => {
                    connection.set_nonblocking(false).map_err(failed)?;
                    return Ok(connection);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(error)),
            }
            let has_ended = process_group::has_ended(kernel).map_err(failed)?;
            if has_ended || Instant::now() > deadline {
                return Err(GuestError::NoBoot {
                    said: super::watch::last_words(shared),
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Unattended {
    fn drop(&mut self) {
        if let Some(kernel) = &mut self.0 {
            kill(kernel);
        }
    }
}

/// Ends the kernel and everything in it: each of the guest's programs is a process of its group, and may be left of one that is dead.
pub(super) fn kill(kernel: &mut Child) {
    // It has been started and is waited for here alone.
    let _ = process_group::end(kernel);
}

/// What the guest's init is to do.
fn job(work: Work, spec: &GuestSpec) -> io::Result<Job> {
    let executable = fs::read_link("/proc/self/exe")?;
    let mut mounts: Vec<Mount> = own_files(&executable)?
        .into_iter()
        .map(Mount::read_only)
        .collect();
    if spec.programs {
        let there = PROGRAMS.iter().map(Path::new).filter(|path| path.exists());
        mounts.extend(there.map(Mount::read_only));
    }
    mounts.extend(spec.mounts.iter().cloned());
    Ok(Job {
        executable,
        work,
        environment: spec.environment.clone().into_iter().collect(),
        folder: spec.folder.clone(),
        mounts: in_order(&mounts),
        kernel: spec.kernel.clone(),
    })
}

/// What lies in another comes after it, or would be covered by it. All else stays as it is: what things are called must decide nothing
/// of what the guest does, and the order of its mounts does.
fn in_order(mounts: &[Mount]) -> Vec<Mount> {
    let depth = |one: &Mount| {
        let is_around =
            |other: &&Mount| one.path != other.path && one.path.starts_with(&other.path);
        mounts.iter().filter(is_around).count()
    };
    let mut ordered = mounts.to_vec();
    ordered.sort_by_key(depth);
    ordered
}

/// This executable, the libraries that it has loaded, and what loads them.
fn own_files(executable: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut files: BTreeSet<PathBuf> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .filter(|path| path.is_file())
        .collect();
    // The loader asks for a library by its soname, which may be a link to the file that it maps.
    let sonames: Vec<PathBuf> = files.iter().flat_map(|file| links_to(file)).collect();
    files.extend(sonames);
    files.insert(executable.to_owned());
    // The names by which executables ask for it (System V ABI, x86-64; musl).
    for loader in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"] {
        if Path::new(loader).exists() {
            files.insert(loader.into());
        }
    }
    Ok(files)
}

/// The links beside `file` that lead to it.
fn links_to(file: &Path) -> Vec<PathBuf> {
    let beside = file.parent().and_then(|folder| fs::read_dir(folder).ok());
    let beside = beside.into_iter().flatten().flatten();
    beside
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .map(|entry| entry.path())
        .filter(|link| fs::canonicalize(link).is_ok_and(|target| target == file))
        .collect()
}

/// Starts the kernel, with nothing of this process's environment.
fn start(
    spec: &GuestSpec,
    job: &Job,
    shared: &Shared,
    memory_place: &Path,
    cpu: &Cpu,
) -> io::Result<Child> {
    let console = File::create(shared.console())?;
    let mut command = Command::new(&spec.kernel.path);
    command
        .current_dir(shared.path())
        .env_clear()
        .env("TMPDIR", memory_place)
        .args([
            &format!("mem={}K", spec.memory.bytes() / 1024),
            // Not on a block device, of which there are none.
            "root=none",
            "rootfstype=hostfs",
            "rootflags=/",
            "rw",
            "con=null",
            "con0=null,fd:1",
            "ssl=null",
            // Its pid file; relative, as the socket below: the kernel's command line is the same in every folder.
            "uml_dir=./",
            "umid=guest",
            "time-travel=ext:1:clock",
            &format!("time-travel-start={}", EPOCH * 1_000_000_000),
            &format!("random.seed={}", spec.seed),
            "norandmaps",
            "panic=-1",
            "quiet",
        ])
        .arg(parameter("init", &job.executable)?)
        .arg(parameter(JOB, shared.path())?)
        .args(["--", "__guest"])
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console);
    let parent = std::process::id();
    let stay = cpu.keeper();
    let before = move || {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        SigSet::empty().thread_set_mask()?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if nix::unistd::getppid().as_raw().cast_unsigned() != parent {
            // It died in between.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Where things lie in the kernel must not differ from one run to the next.
        personality::set(personality::get()? | Persona::ADDR_NO_RANDOMIZE)?;
        stay()
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(before) };
    command.spawn()
}

/// A path on the kernel's command line, where a blank would end it but within double quotes (`next_arg` in its lib/cmdline.c). There is no way
/// to write such a quote itself.
fn parameter(name: &str, path: &Path) -> io::Result<String> {
    let Some(path) = path.to_str().filter(|path| !path.contains('"')) else {
        let path = path.display();
        let message = format!(
            "its command line cannot hold the path {path}: it has a double quote in it or is no UTF-8; rename the folder, or for the \
             runtime folder set LONGHAUL_RUNTIME_DIR to another"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, message));
    };
    Ok(match path.contains(char::is_whitespace) {
        true => format!("{name}=\"{path}\""),
        false => format!("{name}={path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_is_one_parameter_and_one_with_quotes_is_refused_by_name() {
        let of = |path: &str| parameter("init", Path::new(path));
        assert_eq!(of("/usr/bin/longhaul").unwrap(), "init=/usr/bin/longhaul");
        assert_eq!(of("/my labs/a,b").unwrap(), "init=\"/my labs/a,b\"");
        let refused = of("/my \"labs\"").unwrap_err().to_string();
        assert!(refused.contains("/my \"labs\"") && refused.contains("LONGHAUL_RUNTIME_DIR"));
    }

    #[test]
    fn mounts_keep_their_order_whatever_they_are_called_and_those_within_others_come_after_them() {
        let ordered = |paths: &[&str]| -> Vec<PathBuf> {
            let mounts: Vec<Mount> = paths.iter().map(|path| Mount::read_only(*path)).collect();
            in_order(&mounts).into_iter().map(|one| one.path).collect()
        };
        let paths = |paths: &[&str]| -> Vec<PathBuf> { paths.iter().map(PathBuf::from).collect() };
        for out in ["/work/a", "/work/z"] {
            let wanted = paths(&["/lib", "/work/dice.yaml", out]);
            assert_eq!(ordered(&["/lib", "/work/dice.yaml", out]), wanted);
        }
        assert_eq!(
            ordered(&["/usr/lib/x", "/b/c/d", "/b", "/usr", "/b/c"]),
            paths(&["/b", "/usr", "/usr/lib/x", "/b/c", "/b/c/d"])
        );
        // A beginning of a name is no folder.
        assert_eq!(ordered(&["/bin", "/b"]), paths(&["/bin", "/b"]));
    }
}
