//! `kernel build` and `kernel info`, with a source that is none: as much of one as longhaul itself looks at, so that a build takes a
//! moment. The real one is built by `ci/test`.

mod host;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use host::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const PATCH: &str = include_str!("../../emulator/kernel/virtual-time.patch");

/// What stands for the compilation: a kernel that tells its version.
const COMPILES: &str = r"
linux:
	@echo '  CC      init/main.o'
	@printf '#!/bin/sh\necho 6.99.1\n' >linux && chmod +x linux
";

/// A user with a cache and a folder.
struct User(tempfile::TempDir);

/// How a command ended, and what it printed.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A command in the background.
struct Running {
    child: Child,
    output: [PathBuf; 2],
}

impl User {
    /// `None`, with the reason printed, if this machine cannot build kernels.
    fn new() -> Option<Self> {
        let user = User(tempfile::tempdir().unwrap());
        let answer = user.longhaul(&["kernel", "info", "--json"]);
        let info: Value = serde_json::from_str(&answer.stdout).unwrap();
        let missing = info["missing"].as_array();
        let missing: Vec<&str> = match missing {
            Some(missing) => missing.iter().filter_map(Value::as_str).collect(),
            None => vec!["x86-64"],
        };
        match missing[..] {
            [] | ["a kernel source"] => Some(user),
            _ => {
                println!("skipped: needs {}", missing.join(", "));
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("LONGHAUL_KERNEL")
            .stdin(Stdio::null());
        command
    }

    fn longhaul(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let number = fs::read_dir(self.0.path()).unwrap().count();
        let output = ["stdout", "stderr"].map(|name| self.path(&format!("{name}-{number}")));
        let [stdout, stderr] = output.each_ref().map(|path| File::create(path).unwrap());
        let mut command = self.command(arguments);
        let child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        Running { child, output }
    }

    /// An unpacked source that longhaul's patch fits, whose Makefile compiles by `linux`.
    fn tree(&self, linux: &str) -> PathBuf {
        let tree = self.path("tree");
        let write = |path: &str, text: &str| {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for path in ["Kconfig", "kernel/fork.c"] {
            write(path, "");
        }
        for (path, text) in before_the_patch() {
            write(path, &text);
        }
        let makefile =
            "kernelversion:\n\t@echo 6.99.1\nallnoconfig:\n\t@cp $(KCONFIG_ALLCONFIG) .config\n";
        write("Makefile", &format!("{makefile}{linux}"));
        tree
    }

    /// Builds from that tree.
    fn build(&self) -> Ended {
        self.longhaul(&["kernel", "build", "--no-install", "--source", "tree"])
    }

    fn info(&self) -> Value {
        let answer = self.longhaul(&["kernel", "info", "--json"]);
        serde_json::from_str(&answer.stdout).unwrap()
    }

    /// What is in the cache, whatever it is called.
    fn kept(&self) -> Vec<String> {
        let folder = fs::read_dir(self.path("cache/longhaul/kernels"));
        let mut names: Vec<String> = folder
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Running {
    fn stderr(&self) -> String {
        fs::read_to_string(&self.output[1]).unwrap()
    }

    /// Waits until it has said that.
    fn says(&mut self, text: &str) {
        wait_until(text, || self.stderr().contains(text));
    }

    fn end(mut self) -> Ended {
        let mut status = None;
        wait_until("the command ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let [stdout, stderr] = self.output.map(|path| fs::read_to_string(path).unwrap());
        let code = status.unwrap().code().expect("no signal ended it");
        Ended {
            code,
            stdout,
            stderr,
        }
    }
}

/// The files that the patch changes, as far as it shows what they were.
fn before_the_patch() -> Vec<(&'static str, String)> {
    let mut files: Vec<(&str, String)> = Vec::new();
    for line in PATCH.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            files.push((path, String::new()));
        } else if !line.starts_with("+++")
            && let Some((_, text)) = files.last_mut()
        {
            match line.split_at_checked(1) {
                Some((" " | "-", rest)) => text.push_str(&format!("{rest}\n")),
                // Between two hunks, there is something else.
                Some(("@", _)) => text.push_str(&"/* more */\n".repeat(5)),
                _ => {}
            }
        }
    }
    files
}

#[test]
fn a_kernel_is_built_once_kept_and_used() {
    let Some(user) = User::new() else { return };
    assert_eq!(user.longhaul(&["kernel", "info"]).code, 3);
    user.tree(COMPILES);
    let built = user.build();
    assert_eq!(built.code, 0, "{built:?}");
    assert!(
        built.stdout.contains("Linux 6.99.1") && built.stdout.contains("built in"),
        "{built:?}"
    );
    let steps = [
        "reading",
        "unpacking",
        "patching",
        "configuring",
        "compiling",
        "keeping",
    ];
    let said: Vec<&str> = built
        .stderr
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(said, steps);

    let info = user.info();
    let kernel = &info["kernels"][0];
    assert_eq!(
        (&kernel["current"], &kernel["in_use"]),
        (&true.into(), &true.into())
    );
    assert_eq!(info["in_use"]["key"], kernel["key"]);
    let path = Path::new(info["in_use"]["path"].as_str().unwrap());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(user.kept(), [".lock", kernel["key"].as_str().unwrap()]);

    let again = user.build();
    assert!(
        again.code == 0 && again.stdout.contains("there already"),
        "{again:?}"
    );
    assert!(!user.path("tree/.config").exists(), "the tree was built in");
}

#[test]
fn another_source_makes_another_kernel_and_the_newest_is_used() {
    let Some(user) = User::new() else { return };
    user.tree(COMPILES);
    assert_eq!(user.build().code, 0);
    let first = user.info()["in_use"]["key"].clone();
    let older = COMPILES.replace("6.99.1", "6.98");
    let makefile = fs::read_to_string(user.tree(&older).join("Makefile")).unwrap();
    fs::write(
        user.path("tree/Makefile"),
        makefile.replace("echo 6.99.1", "echo 6.98"),
    )
    .unwrap();
    let built = user.build();
    assert!(
        built
            .stdout
            .contains("virtual labs boot another: Linux 6.99.1"),
        "{built:?}"
    );
    let info = user.info();
    assert_eq!(info["kernels"].as_array().unwrap().len(), 2);
    assert_eq!(info["in_use"]["key"], first);
}

#[test]
fn a_build_that_fails_leaves_its_log_and_nothing_else() {
    let Some(user) = User::new() else { return };
    user.tree("\nlinux:\n\t@echo 'init/main.c:1: error: no' >&2; exit 1\n");
    let failed = user.build();
    assert_eq!(failed.code, 3);
    let log = user.path("cache/longhaul/kernels/failed.log");
    for text in [
        "compiling the kernel failed",
        "init/main.c:1: error: no",
        log.to_str().unwrap(),
    ] {
        assert!(failed.stderr.contains(text), "{text}: {failed:?}");
    }
    assert!(fs::read_to_string(log).unwrap().contains("patching file"));
    assert_eq!(user.kept(), [".lock", "failed.log"]);

    user.tree(COMPILES);
    assert_eq!(user.build().code, 0);
    assert!(!user.kept().contains(&"failed.log".into()));
}

#[test]
fn an_interrupted_build_takes_its_processes_with_it_and_leaves_nothing() {
    let Some(user) = User::new() else { return };
    let pid = user.path("pid");
    user.tree(&format!(
        "\nlinux:\n\t@echo $$$$ >{} && exec sleep 600\n",
        pid.display()
    ));
    let running = user.start(&["kernel", "build", "--no-install", "--source", "tree"]);
    let compiler = || fs::read_to_string(&pid).ok()?.trim().parse::<i32>().ok();
    wait_until("it compiles", || compiler().is_some());
    kill(
        Pid::from_raw(running.child.id().cast_signed()),
        Signal::SIGINT,
    )
    .unwrap();
    let ended = running.end();
    assert_eq!(ended.code, 130, "{ended:?}");
    let stat = format!("/proc/{}/stat", compiler().unwrap());
    // Nobody may have reaped it yet.
    wait_until("the compiler is gone", || {
        fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    });
    assert_eq!(user.kept(), [".lock"]);
}

#[test]
fn the_second_of_two_builds_waits_and_finds_it_done() {
    let Some(user) = User::new() else { return };
    let go = user.path("go");
    let waits = format!("\tuntil [ -e {} ]; do sleep 0.01; done\n", go.display());
    user.tree(&COMPILES.replace("linux:\n", &format!("linux:\n{waits}")));
    let arguments = ["kernel", "build", "--no-install", "--source", "tree"];
    let mut first = user.start(&arguments);
    first.says("compiling");
    let mut second = user.start(&arguments);
    second.says("waiting for another build");
    fs::write(go, "").unwrap();
    let (first, second) = (first.end(), second.end());
    assert!(
        first.code == 0 && first.stdout.contains("built in"),
        "{first:?}"
    );
    assert!(
        second.code == 0 && second.stdout.contains("there already"),
        "{second:?}"
    );
}

#[test]
fn a_source_that_cannot_be_built_from_is_a_usage_error_that_says_why() {
    let Some(user) = User::new() else { return };
    fs::create_dir(user.path("empty")).unwrap();
    fs::write(user.path("broken.tar.xz"), "no archive").unwrap();
    let refused = |source: &str, reason: &str| {
        let ended = user.longhaul(&["kernel", "build", "--no-install", "--source", source]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(reason), "{reason}: {ended:?}");
    };
    refused("nowhere", "No such file");
    refused("empty", "does not hold a Linux source");
    refused("broken.tar.xz", "not whole");

    let tree = user.tree(COMPILES);
    fs::create_dir_all(tree.join("include/generated")).unwrap();
    refused("tree", "make mrproper");
    fs::remove_dir(tree.join("include/generated")).unwrap();
    let patched = Command::new("patch")
        .args(["-s", "-p1", "-d", "tree", "-i"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../emulator/kernel/virtual-time.patch"))
        .current_dir(user.0.path())
        .status();
    assert!(patched.unwrap().success());
    refused("tree", "has longhaul's patch already");
    assert_eq!(user.kept(), [".lock"]);
}

#[test]
fn a_source_that_is_too_different_is_named_with_what_does_not_fit() {
    let Some(user) = User::new() else { return };
    let tree = user.tree(COMPILES);
    fs::write(tree.join("arch/um/kernel/time.c"), "/* rewritten */\n").unwrap();
    let unpatched = user.build();
    assert_eq!(unpatched.code, 3);
    for text in [
        "does not fit Linux 6.99.1",
        "arch/um/kernel/time.c (hunk 1)",
        "--source",
    ] {
        assert!(unpatched.stderr.contains(text), "{text}: {unpatched:?}");
    }

    let tree = user.tree(COMPILES);
    let makefile = fs::read_to_string(tree.join("Makefile")).unwrap();
    let drops = makefile.replace(
        "@cp $(KCONFIG_ALLCONFIG) .config",
        "@grep -v VETH $(KCONFIG_ALLCONFIG) >.config",
    );
    fs::write(tree.join("Makefile"), drops).unwrap();
    let unconfigured = user.build();
    assert_eq!(unconfigured.code, 3);
    assert!(
        unconfigured.stderr.contains("leaves out CONFIG_VETH=y"),
        "{unconfigured:?}"
    );
}

#[test]
fn a_cache_that_cannot_be_written_is_named_with_the_way_out() {
    let Some(user) = User::new() else { return };
    user.tree(COMPILES);
    // Not even root makes a folder in a file.
    fs::write(user.path("cache"), "").unwrap();
    let ended = user.build();
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("XDG_CACHE_HOME"), "{ended:?}");
    assert_eq!(ended.stderr.matches("os error").count(), 1, "{ended:?}");
}

#[test]
fn a_machine_without_compilers_is_told_everything_that_it_lacks_at_once() {
    let Some(user) = User::new() else { return };
    fs::create_dir(user.path("bin")).unwrap();
    // To read a tarball takes no program: what it would be unpacked and built with is missing.
    fs::write(user.path("linux.tar.xz"), "").unwrap();
    let mut command = user.command(&[
        "kernel",
        "build",
        "--no-install",
        "--source",
        "linux.tar.xz",
    ]);
    let output = command.env("PATH", user.path("bin")).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains(
            "needs gcc, ld, make, flex, bison, bc, patch, tar, xz, the C library's headers, which"
        ),
        "{stderr}"
    );
}

#[test]
fn what_is_missing_is_installed_where_that_is_allowed() {
    let Some(user) = User::new() else { return };
    if !nix::unistd::geteuid().is_root() || !Path::new("/etc/debian_version").exists() {
        println!("skipped: needs root on Debian or Ubuntu");
        return;
    }
    user.tree(COMPILES);
    // Every program of this machine but one, and a package manager that gets it.
    let bin = user.path("bin");
    fs::create_dir(&bin).unwrap();
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap()) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !["flex", "apt-get"].contains(&&*entry.file_name().to_string_lossy()) {
                let _ = symlink(entry.path(), bin.join(entry.file_name()));
            }
        }
    }
    let apt = "#!/bin/sh\necho \"$@\" >>asked\n[ $1 = update ] || ln -s /bin/true bin/flex\n";
    fs::write(user.path("script"), apt).unwrap();
    fs::set_permissions(user.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    let copied = Command::new("cp")
        .arg(user.path("script"))
        .arg(bin.join("apt-get"))
        .status();
    assert!(copied.unwrap().success());

    let build = |arguments: &[&str]| {
        let arguments = [&["kernel", "build", "--source", "tree"], arguments].concat();
        let output = user.command(&arguments).env("PATH", &bin).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, stderr) = build(&["--no-install"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("needs flex, which this machine lacks: sudo apt install flex"),
        "{stderr}"
    );
    assert!(!user.path("asked").exists());

    let (code, stderr) = build(&[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("installing flex\n"), "{stderr}");
    let asked = fs::read_to_string(user.path("asked")).unwrap();
    assert_eq!(
        asked,
        "update\ninstall --yes --no-install-recommends flex\n"
    );
}
