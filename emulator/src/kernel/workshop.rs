//! The steps that make a kernel out of a source.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tokio::process::Command;

use super::cache::{Bench, EXECUTABLE, Record};
use super::process::{Ending, Log, isolate, run, run_fed};
use super::source::{Form, Source, check_tree};
use super::{Event, KernelError, LabKernel, Observer, Step, options, recipe, version_of};

/// A build that goes on: where, and what it has said. When this is dropped, what was built is gone.
pub(super) struct Workshop<'a> {
    /// Where the source is unpacked to and built.
    tree: PathBuf,
    log: Log,
    bench: Bench,
    observer: &'a mut dyn Observer,
}

impl<'a> Workshop<'a> {
    pub(super) fn open(bench: Bench, observer: &'a mut dyn Observer) -> Result<Self, KernelError> {
        let folder = bench.clear()?;
        let tree = folder.join("tree");
        std::fs::create_dir(&tree).map_err(KernelError::cache("create", &tree))?;
        Ok(Workshop {
            log: Log::create(folder.join("log"))?,
            tree,
            bench,
            observer,
        })
    }

    pub(super) async fn unpack(&mut self, source: &Source, bytes: u64) -> Result<(), KernelError> {
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
    pub(super) async fn version(&mut self) -> Result<String, KernelError> {
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

    pub(super) async fn patch(
        &mut self,
        source: &Source,
        version: &str,
    ) -> Result<(), KernelError> {
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
    pub(super) async fn configure(&mut self, version: &str) -> Result<Vec<String>, KernelError> {
        self.observer.event(Event::Step(Step::Configure));
        let fragment = self.write("options.config", recipe::OPTIONS)?;
        let mut command = self.make();
        command
            .env("KCONFIG_ALLCONFIG", &fragment)
            .arg("allnoconfig");
        let status = run(command, Ending::Kill, &mut self.log, |_| {}).await?;
        self.expect(status, "configuring the kernel")?;
        let path = self.tree.join(".config");
        let config = std::fs::read_to_string(&path).map_err(KernelError::cache("read", &path))?;
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
    pub(super) async fn compile(
        &mut self,
        jobs: NonZeroUsize,
        expected: u64,
    ) -> Result<u64, KernelError> {
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
    pub(super) async fn compiler(&mut self) -> Result<String, KernelError> {
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

    pub(super) fn keep(self, key: &str, record: Record) -> Result<LabKernel, KernelError> {
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
        std::fs::write(&path, text).map_err(KernelError::cache("write", &path))?;
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
