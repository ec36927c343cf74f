//! A lab kernel built, step by step.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::process::Command;

use super::cache::{Bench, Cache, EXECUTABLE, Record};
use super::process::{Ending, Log, isolate, run, run_fed};
use super::source::{Form, Source, check_tree};
use super::{KernelError, LabKernel, architecture, options, recipe, tools, version_of};

/// How many files a build compiles, archives and links if no earlier one tells: 1228 with Linux 6.12.
const USUAL_OBJECTS: u64 = 1228;

/// How often a build that waits for another looks whether that has ended.
const PATIENCE: Duration = Duration::from_millis(200);

/// What is to be built.
#[derive(Clone, Debug)]
pub struct Order {
    /// An unpacked source, which is left as it is, or a tarball; none for the newest that the distribution has put on this
    /// machine.
    pub source: Option<PathBuf>,
    /// Whether packages that are missing are installed, which takes root on Debian or Ubuntu.
    pub install: Install,
    /// How many compilers may run at once.
    pub jobs: NonZeroUsize,
}

/// Whether packages that are missing may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// They may.
    Allowed,
    /// They may not: what is missing is an error.
    Forbidden,
}

/// A kernel that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Built {
    /// It.
    pub kernel: LabKernel,
    /// How it came to be.
    pub how: How,
}

/// How a kernel that was asked for came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It was built.
    Built,
    /// It was there already.
    Found,
}

/// Watches a build.
pub trait Observer {
    /// Something has happened.
    fn event(&mut self, event: Event<'_>);
}

/// What happens while a kernel is built.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Packages are installed.
    Installing(&'a [String]),
    /// Another process builds a kernel; this one waits for it to end.
    Waiting,
    /// A step begins.
    Step(Step<'a>),
    /// This much of the step is done; never more than all.
    Progress {
        /// Bytes read, files compiled.
        done: u64,
        /// Of about so many.
        of: u64,
    },
}

/// The steps of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The source is read: what it is decides whether there is such a kernel already.
    Read(&'a Path),
    /// The source is unpacked.
    Unpack(&'a Path),
    /// The patch is applied.
    Patch,
    /// The options are set.
    Configure,
    /// It is compiled.
    Compile,
    /// It is kept.
    Keep,
}

/// A build that goes on: where, and what it has said. When this is dropped, what was built is gone.
struct Workshop<'a> {
    /// Where the source is unpacked to and built.
    tree: PathBuf,
    log: Log,
    bench: Bench,
    observer: &'a mut dyn Observer,
}

/// What a source's bytes tell before they are unpacked.
struct Identity {
    /// The key of the kernel that it makes.
    key: String,
    /// How many there are.
    bytes: u64,
}

/// Builds a lab kernel and keeps it in the user's cache, or finds that it is there. Dropping the future ends all programs that
/// it has started and leaves nothing behind.
///
/// # Errors
/// If something is missing, or a step fails: the log of it is kept, and nothing else.
pub async fn build(order: &Order, observer: &mut dyn Observer) -> Result<Built, KernelError> {
    architecture()?;
    let cache = Cache::of_this_user()?;
    let mut source = match &order.source {
        Some(path) => Some(Source::named(path)?),
        None => packaged(),
    };
    let identity = match &source {
        Some(source) => Some(identify(source, observer).await?),
        None => None,
    };
    let kept = match &identity {
        Some(identity) => cache.kernel(&identity.key),
        // A machine that has only the cache, such as a CI runner's, needs no source.
        None => cache.in_use(),
    };
    if let Some(kept) = kept {
        return Ok(found(kept.kernel));
    }
    let bench = claim(&cache, observer).await?;
    provide(&bench, &mut source, order.install, observer).await?;
    let source = source.ok_or_else(|| tools::lacking(&tools::missing(None)))?;
    let Identity { key, bytes } = match identity {
        Some(identity) => identity,
        None => identify(&source, observer).await?,
    };
    // Another process may have built it meanwhile.
    if let Some(kept) = cache.kernel(&key) {
        return Ok(found(kept.kernel));
    }
    let expected = cache
        .kept()
        .first()
        .map_or(USUAL_OBJECTS, |kept| kept.record.objects);

    let mut workshop = Workshop::open(bench, observer)?;
    workshop.unpack(&source, bytes).await?;
    let version = workshop.version().await?;
    workshop.patch(&source, &version).await?;
    let unknown_options = workshop.configure(&version).await?;
    let objects = workshop.compile(order.jobs, expected).await?;
    let compiler = workshop.compiler().await?;
    let record = Record {
        version,
        recipe: recipe::recipe(),
        source: source.path,
        longhaul: env!("CARGO_PKG_VERSION").to_owned(),
        compiler,
        built: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        bytes: 0,
        objects,
        unknown_options,
    };
    let kernel = workshop.keep(&key, record)?;
    Ok(Built {
        kernel,
        how: How::Built,
    })
}

fn found(kernel: LabKernel) -> Built {
    Built {
        kernel,
        how: How::Found,
    }
}

fn packaged() -> Option<Source> {
    Source::packaged(Path::new("/")).into_iter().next()
}

async fn identify(source: &Source, observer: &mut dyn Observer) -> Result<Identity, KernelError> {
    observer.event(Event::Step(Step::Read(&source.path)));
    let (digest, bytes) = source.digest().await?;
    Ok(Identity {
        key: recipe::key(&digest),
        bytes,
    })
}

/// Waits for its turn to build.
async fn claim(cache: &Cache, observer: &mut dyn Observer) -> Result<Bench, KernelError> {
    let mut waits = false;
    loop {
        if let Some(bench) = cache.claim()? {
            return Ok(bench);
        }
        if !waits {
            observer.event(Event::Waiting);
            waits = true;
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

/// Sees to it that everything is there that a build from `source` needs, a source included.
async fn provide(
    bench: &Bench,
    source: &mut Option<Source>,
    install: Install,
    observer: &mut dyn Observer,
) -> Result<(), KernelError> {
    let missing = tools::missing(source.as_ref());
    if missing.is_empty() {
        return Ok(());
    }
    let installation = match install {
        Install::Allowed => tools::installation(&missing),
        Install::Forbidden => None,
    };
    let Some((packages, commands)) = installation else {
        return Err(tools::lacking(&missing));
    };
    observer.event(Event::Installing(&packages));
    let mut log = Log::create(bench.failure_log())?;
    for command in commands {
        let status = run(command, Ending::Interrupt, &mut log, |_| {}).await?;
        if !status.success() {
            return Err(KernelError::Failed {
                step: format!("installing {}", packages.join(" ")),
                tail: log.tail(),
                log: bench.failure_log(),
            });
        }
    }
    let _ = std::fs::remove_file(bench.failure_log());
    if source.is_none() {
        *source = packaged();
    }
    match tools::missing(source.as_ref()) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(tools::lacking(&missing)),
    }
}

impl<'a> Workshop<'a> {
    fn open(bench: Bench, observer: &'a mut dyn Observer) -> Result<Self, KernelError> {
        let folder = bench.clear()?;
        let tree = folder.join("tree");
        std::fs::create_dir(&tree).map_err(cache_error("create", &tree))?;
        Ok(Workshop {
            log: Log::create(folder.join("log"))?,
            tree,
            bench,
            observer,
        })
    }

    async fn unpack(&mut self, source: &Source, bytes: u64) -> Result<(), KernelError> {
        self.observer.event(Event::Step(Step::Unpack(&source.path)));
        let stream = source.open().await?;
        let command = source.unpacking(&self.tree);
        let observer = &mut *self.observer;
        let on_read = |done: u64| {
            observer.event(Event::Progress {
                done: done.min(bytes),
                of: bytes,
            });
        };
        let log = &mut self.log;
        let status = run_fed(command, Ending::Kill, log, Some(stream), |_| {}, on_read).await?;
        match source.form {
            Form::Tarball(_) if !status.success() => {
                let said = self.log.tail();
                Err(source.wrong(format!("it is not whole, or no tarball:\n{said}")))
            }
            _ => {
                self.expect(status, "unpacking the source")?;
                check_tree(&self.tree).map_err(|problem| source.wrong(problem))
            }
        }
    }

    /// The source's version, by its own Makefile.
    async fn version(&mut self) -> Result<String, KernelError> {
        let mut command = self.make();
        command.args(["--silent", "kernelversion"]);
        let mut version = String::new();
        let status = run(command, Ending::Kill, &mut self.log, |line| {
            line.trim().clone_into(&mut version);
        });
        let status = status.await?;
        self.expect(status, "asking the source for its version")?;
        Ok(version)
    }

    async fn patch(&mut self, source: &Source, version: &str) -> Result<(), KernelError> {
        self.observer.event(Event::Step(Step::Patch));
        let patch = self.write("virtual-time.patch", recipe::PATCH)?;
        let applied = self.patched(&patch, &["--forward"]).await?;
        if applied.success() {
            return Ok(());
        }
        let failed = failed_hunks(&self.log.text());
        if self
            .patched(&patch, &["--reverse", "--dry-run"])
            .await?
            .success()
        {
            let problem = "it has longhaul's patch already: undo that (`patch -p1 -R`), or name the tarball it came from";
            return Err(source.wrong(problem.into()));
        }
        Err(KernelError::Patch {
            version: version.to_owned(),
            failed,
        })
    }

    async fn patched(&mut self, patch: &Path, options: &[&str]) -> Result<ExitStatus, KernelError> {
        let mut command = Command::new("patch");
        isolate(&mut command);
        command
            .args([
                "--strip=1",
                "--batch",
                "--no-backup-if-mismatch",
                "--reject-file=-",
            ])
            .args(options)
            .arg("--directory")
            .arg(&self.tree)
            .arg("--input")
            .arg(patch);
        run(command, Ending::Kill, &mut self.log, |_| {}).await
    }

    /// Sets the options; those that the source is too old for.
    async fn configure(&mut self, version: &str) -> Result<Vec<String>, KernelError> {
        self.observer.event(Event::Step(Step::Configure));
        let fragment = self.write("options.config", recipe::OPTIONS)?;
        let mut command = self.make();
        command
            .env("KCONFIG_ALLCONFIG", &fragment)
            .arg("allnoconfig");
        let status = run(command, Ending::Kill, &mut self.log, |_| {}).await?;
        self.expect(status, "configuring the kernel")?;
        let path = self.tree.join(".config");
        let config = std::fs::read_to_string(&path).map_err(cache_error("read", &path))?;
        let outcome = options::check(recipe::OPTIONS, &config);
        if outcome.lost.is_empty() {
            Ok(outcome.unknown)
        } else {
            Err(KernelError::Options {
                version: version.to_owned(),
                options: outcome.lost,
            })
        }
    }

    /// Compiles; how many files that were.
    async fn compile(&mut self, jobs: NonZeroUsize, expected: u64) -> Result<u64, KernelError> {
        self.observer.event(Event::Step(Step::Compile));
        let mut command = self.make();
        command.arg(format!("--jobs={jobs}")).arg(EXECUTABLE);
        let observer = &mut *self.observer;
        let mut done = 0;
        let on_line = |line: &str| {
            if is_object(line) {
                done += 1;
                // Where there are more than expected, there is always one more to come.
                let of = expected.max(done + 1);
                observer.event(Event::Progress { done, of });
            }
        };
        let status = run(command, Ending::Kill, &mut self.log, on_line).await?;
        self.expect(status, "compiling the kernel")?;
        Ok(done)
    }

    /// What the compiler says it is.
    async fn compiler(&mut self) -> Result<String, KernelError> {
        let mut command = Command::new("gcc");
        isolate(&mut command);
        command.arg("--version");
        let mut name = None;
        run(command, Ending::Kill, &mut self.log, |line| {
            name.get_or_insert_with(|| line.to_owned());
        })
        .await?;
        Ok(name.unwrap_or_default())
    }

    fn keep(self, key: &str, record: Record) -> Result<LabKernel, KernelError> {
        self.observer.event(Event::Step(Step::Keep));
        let executable = self.tree.join(EXECUTABLE);
        // A kernel that cannot be started here is none.
        if let Err(reason) = version_of(&executable) {
            return Err(self.failure(&format!("starting the kernel ({reason})")));
        }
        Ok(self.bench.keep(&executable, key, record)?.kernel)
    }

    fn make(&self) -> Command {
        let mut command = Command::new("make");
        isolate(&mut command);
        command.arg("--directory").arg(&self.tree).arg("ARCH=um");
        command
    }

    /// Writes a file beside the tree.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, KernelError> {
        let path = self.tree.with_file_name(name);
        std::fs::write(&path, text).map_err(cache_error("write", &path))?;
        Ok(path)
    }

    fn expect(&self, status: ExitStatus, step: &str) -> Result<(), KernelError> {
        if status.success() {
            Ok(())
        } else {
            Err(self.failure(step))
        }
    }

    fn failure(&self, step: &str) -> KernelError {
        KernelError::Failed {
            step: step.to_owned(),
            tail: self.log.tail(),
            log: self.log.keep_as(&self.bench.failure_log()),
        }
    }
}

fn cache_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KernelError {
    let path = path.to_owned();
    move |source| KernelError::Cache {
        action,
        path,
        source,
    }
}

/// Whether kbuild tells with this line that it made a file: `  CC      init/main.o`.
fn is_object(line: &str) -> bool {
    line.strip_prefix("  ")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// What of a patch did not apply: `arch/um/kernel/time.c (hunk 2)`, by what `patch` says.
fn failed_hunks(said: &str) -> String {
    let mut file = "";
    let mut failed = Vec::new();
    for line in said.lines() {
        if let Some(name) = line.strip_prefix("patching file ") {
            file = name;
        } else if line.starts_with("can't find file to patch") {
            failed.push("a file of it is not there".to_owned());
        } else if let Some(rest) = line.strip_prefix("Hunk #")
            && let Some((hunk, _)) = rest.split_once(" FAILED")
        {
            failed.push(format!("{file} (hunk {hunk})"));
        }
    }
    if failed.is_empty() {
        said.lines().last().unwrap_or_default().to_owned()
    } else {
        failed.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hunk_that_does_not_apply_is_named_with_its_file() {
        let said = "patching file arch/um/Kconfig\nHunk #1 succeeded at 80 with fuzz 2.\n\
                    patching file arch/um/kernel/time.c\nHunk #1 succeeded at 37.\nHunk #4 FAILED at 863.\n\
                    1 out of 4 hunks FAILED\ncan't find file to patch at input line 60\n";
        let expected = "arch/um/kernel/time.c (hunk 4), a file of it is not there";
        assert_eq!(failed_hunks(said), expected);
        assert_eq!(failed_hunks("patch: out of memory"), "patch: out of memory");
    }

    #[test]
    fn kbuild_lines_are_counted_and_nothing_else() {
        for line in [
            "  CC      init/main.o",
            "  AR      lib/built-in.a",
            "  LINK linux",
        ] {
            assert!(is_object(line), "{line}");
        }
        for line in [
            "make[1]: Entering directory '/x'",
            "    note: here",
            "init/main.c:1: error",
            "",
        ] {
            assert!(!is_object(line), "{line}");
        }
    }
}
