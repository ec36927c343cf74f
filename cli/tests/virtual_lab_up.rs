//! Virtual labs that stay up, through the command line: what is done in them repeats to the byte, their time stands still in
//! between, and they leave nothing behind.
//!
//! They need the lab kernel, which `ci/test` builds; without it every test here says so and is skipped.

mod host;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use host::{children_of, has_lab_kernel, wait_until};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const LONGHAUL: &str = env!("CARGO_BIN_EXE_longhaul");

/// Random in what its link does.
const TOPOLOGY: &str = "
name: pair
sites: [{name: a, hosts: 1}, {name: b, hosts: 1}]
links: [{between: [a, b], rate: 100Mbit, delay: 12345us, jitter: 1ms, loss: 1%}]
";

/// The command, and a runtime folder of its own; its labs go down when it is dropped.
struct Longhaul {
    folder: tempfile::TempDir,
}

impl Longhaul {
    /// `None`, having said why, where there is no lab kernel.
    fn new() -> Option<Self> {
        if !has_lab_kernel() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pair.yaml"), TOPOLOGY).unwrap();
        Some(Longhaul { folder })
    }

    /// With a lab `n`.
    fn with_lab(options: &[&str]) -> Option<Self> {
        let longhaul = Self::new()?;
        longhaul.up("n", options);
        Some(longhaul)
    }

    fn up(&self, name: &str, options: &[&str]) {
        let arguments = ["up", "pair.yaml", "--lab", "virtual", "--name", name];
        let said = self.succeed(&[&arguments[..], options].concat());
        assert!(said.starts_with(&format!("{name} is up")), "{said}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(LONGHAUL);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("LONGHAUL_RUNTIME_DIR", self.path("runtime"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(
            done.status.success(),
            "{arguments:?}: {}",
            text(&done.stderr)
        );
        text(&done.stdout)
    }

    /// What a line of shell prints in host a-0 of the lab `n`.
    fn shell(&self, line: &str) -> String {
        self.succeed(&["exec", "--name", "n", "a-0", "--", "sh", "-c", line])
    }

    /// A program in a-0, in the background.
    fn start(&self, pace: &str, program: &[&str]) -> Child {
        let arguments = [&["exec", "--pace", pace, "a-0", "--"][..], program].concat();
        let mut command = self.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// What `status` knows of all labs.
    fn labs(&self) -> Vec<Value> {
        let listed = self.succeed(&["--json", "status"]);
        serde_json::from_str(&listed).unwrap()
    }

    fn keeper(&self) -> i32 {
        let pid = &self.labs()[0]["record"]["pid"];
        i32::try_from(pid.as_i64().unwrap()).unwrap()
    }

    /// Living processes whose working folder is that of the kernel of the lab `n`.
    fn processes(&self) -> usize {
        let folder = self.path("runtime").join("n");
        let processes = fs::read_dir("/proc").unwrap();
        processes
            .filter_map(|entry| fs::read_link(entry.ok()?.path().join("cwd")).ok())
            .filter(|cwd| cwd.starts_with(&folder))
            .count()
    }

    /// What is killed takes a moment to be gone.
    fn wait_for_its_kernels_end(&self) {
        wait_until("the kernel of `n` is gone", || self.processes() == 0);
    }

    /// Removes what is left of labs whose keepers go, which may take them a moment.
    fn clean(&self) {
        wait_until("the keeper is gone", || {
            self.succeed(&["clean"]);
            self.left().is_empty()
        });
    }

    /// Moves the folder away that the lab `n` shares with its kernel.
    fn cut_off(&self) {
        let lab = self.path("runtime").join("n");
        fs::rename(lab.join("guest"), lab.join("elsewhere")).unwrap();
    }

    /// What is in the runtime folder.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("runtime")).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect()
    }
}

impl Drop for Longhaul {
    fn drop(&mut self) {
        for lab in self.left() {
            let _ = self.command(&["down", &lab]).output();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

/// utime and stime of proc_pid_stat(5).
fn computed(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_script_gives_the_same_bytes_whatever_time_passes_between_its_commands() {
    let script = |pause: Duration, links: &str, seed: &str| {
        let longhaul = Longhaul::with_lab(&["--links", links, "--seed", seed])?;
        let mut seen = vec![longhaul.shell("ping -c 3 b-0")];
        std::thread::sleep(pause);
        seen.push(longhaul.shell("cat /proc/uptime; od -An -tx1 -N8 /dev/urandom"));
        let mut piped = longhaul.command(&["exec", "b-0", "--", "sh", "-c", "md5sum; date +%N"]);
        let mut piped = piped
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = piped.stdin.take().unwrap();
        for _ in 0..20 {
            stdin.write_all(&[7; 12_345]).unwrap();
            std::thread::sleep(pause / 20);
        }
        drop(stdin);
        seen.push(text(&piped.wait_with_output().unwrap().stdout));
        seen.push(longhaul.succeed(&["link", "set", "a", "b", "delay=50ms"]));
        std::thread::sleep(pause);
        seen.push(longhaul.shell("ping -c 3 b-0; date +%N"));
        seen.push(longhaul.succeed(&["link", "show"]));
        let status: Value =
            serde_json::from_str(&longhaul.succeed(&["--json", "status", "n"])).unwrap();
        seen.push(status["detail"].to_string());
        longhaul.succeed(&["down", "n"]);
        Some(seen)
    };
    for links in ["netem", "relay"] {
        let Some(first) = script(Duration::ZERO, links, "1") else {
            return;
        };
        assert!(first[0].contains("3 received"), "{}", first[0]);
        let again = script(Duration::from_millis(700), links, "1").unwrap();
        assert_eq!(again, first, "{links}");
        let other = script(Duration::ZERO, links, "2").unwrap();
        assert_ne!(other, first, "{links}: the seed changes nothing");
    }
}

#[test]
fn time_stands_still_while_nothing_happens_and_nothing_computes() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let passed = || {
        longhaul.labs()[0]["virtual"]["virtual_seconds"]
            .as_f64()
            .unwrap()
    };
    let keeper = longhaul.keeper();
    let [kernel, ..] = children_of(keeper)[..] else {
        panic!("the keeper has no kernel");
    };
    longhaul.shell("sleep 100");
    let before = passed();
    assert!(before > 100.0, "{before}");
    let cpu = || computed(keeper) + computed(kernel);
    // On a busy machine the last of what went before may be done late.
    wait_until("nothing computes", || {
        let before = cpu();
        std::thread::sleep(Duration::from_millis(1500));
        cpu() == before
    });
    assert_eq!(passed().to_bits(), before.to_bits());
}

#[test]
fn a_program_ends_as_it_would_here() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let code = |host: &str, program: &[&str]| {
        let arguments = [&["exec", host, "--"][..], program].concat();
        let done = longhaul.run(&arguments);
        (done.status.code().unwrap(), text(&done.stderr))
    };
    assert_eq!(code("a-0", &["sh", "-c", "exit 7"]).0, 7);
    assert_eq!(code("a-0", &["sh", "-c", "kill -9 $$"]).0, 137);
    let (missing, said) = code("a-0", &["no-such-program"]);
    assert_eq!(missing, 127);
    assert!(said.contains("no-such-program"), "{said}");
    let (nowhere, said) = code("nowhere", &["true"]);
    assert_eq!(nowhere, 2);
    assert!(
        said.contains("has no host `nowhere`: there are: `a-0`"),
        "{said}"
    );
    let both = longhaul.run(&["exec", "a-0", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(
        (text(&both.stdout), text(&both.stderr)),
        ("out\n".into(), "err\n".into())
    );
}

#[test]
fn a_megabyte_crosses_both_ways_as_it_is() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let mut bytes = vec![0; 1_000_003];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    let mut cat = longhaul.command(&["exec", "a-0", "--", "cat"]);
    let mut cat = cat
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = cat.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let done = cat.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(done.status.success());
    assert!(
        done.stdout == bytes,
        "{} bytes came back",
        done.stdout.len()
    );

    // One that reads nothing is not waited for, nor is one that nobody reads.
    fs::write(longhaul.path("bytes"), &bytes).unwrap();
    let mut deaf = longhaul.command(&["exec", "a-0", "--", "true"]);
    let from = File::open(longhaul.path("bytes")).unwrap();
    assert!(deaf.stdin(from).status().unwrap().success());
    let mut endless = longhaul.start("auto", &["yes"]);
    let mut some = [0; 2];
    endless
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut some)
        .unwrap();
    assert_eq!(endless.wait().unwrap().code(), Some(141));
}

#[test]
fn signals_reach_the_program_and_a_caller_that_is_killed_takes_it_along() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let trap = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 1; done";
    let mut trapped = longhaul.start("wall", &["sh", "-c", trap]);
    let mut stdout = trapped.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();
    signal(&trapped, Signal::SIGINT);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(
        (rest.as_str(), trapped.wait().unwrap().code()),
        ("caught\n", Some(3))
    );

    let mut killed = longhaul.start("wall", &["sh", "-c", "echo ready; sleep 4321"]);
    killed
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    signal(&killed, Signal::SIGKILL);
    killed.wait().unwrap();
    wait_until("its session has ended", || {
        longhaul.labs()[0]["virtual"]["sessions"] == 0
    });
    let running = longhaul.shell("ps ax");
    assert!(!running.contains("4321"), "{running}");
}

#[test]
fn a_shell_has_a_terminal_of_the_callers_size_and_time_goes_as_on_the_wall() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let size = Winsize {
        ws_row: 33,
        ws_col: 101,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pair = openpty(Some(&size), None).unwrap();
    let end = |fd: &std::os::fd::OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut command = longhaul.command(&["exec", "a-0", "--", "bash", "--norc"]);
    command
        .env("TERM", "dumb")
        .stdin(end(&pair.slave))
        .stdout(end(&pair.slave))
        .stderr(end(&pair.slave));
    let take_the_terminal = || {
        nix::unistd::setsid()?;
        // SAFETY: takes two numbers.
        nix::errno::Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(take_the_terminal) };
    let mut shell = command.spawn().unwrap();
    drop((command, pair.slave));
    let mut terminal = File::from(pair.master);
    let mut keys = terminal.try_clone().unwrap();
    let mut seen = Vec::new();
    let mut until = |what: &str| {
        let mut chunk = [0; 4096];
        while !text(&seen).contains(what) {
            let length = terminal.read(&mut chunk).unwrap_or_default();
            assert!(length > 0, "no {what} in {}", text(&seen));
            seen.extend_from_slice(&chunk[..length]);
        }
        std::mem::take(&mut seen)
    };
    keys.write_all(b"stty size; echo $TERM-$((20+22))\n")
        .unwrap();
    let said = text(&until("dumb-42"));
    assert!(said.contains("33 101"), "{said}");

    let smaller = Winsize {
        ws_row: 20,
        ws_col: 60,
        ..size
    };
    // SAFETY: the descriptor is a terminal's, and the size lives as long as the call.
    unsafe { libc::ioctl(keys.as_raw_fd(), libc::TIOCSWINSZ, &raw const smaller) };
    wait_until("the size is passed on", || {
        keys.write_all(b"stty size; echo si$((1+1))ed\n").unwrap();
        text(&until("si2ed")).contains("20 60")
    });

    let began = Instant::now();
    keys.write_all(b"sleep 1; echo sle$((1+1))pt\n").unwrap();
    until("sle2pt");
    assert!(
        began.elapsed() >= Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );

    // Ctrl-C ends what runs, and not the shell.
    keys.write_all(b"echo re$((1+1))dy; sleep 5000\n").unwrap();
    until("re2dy");
    keys.write_all(b"\x03").unwrap();
    keys.write_all(b"exit 5\n").unwrap();
    assert_eq!(shell.wait().unwrap().code(), Some(5));
}

#[test]
fn pace_changes_how_long_it_takes_and_nothing_else() {
    let run = |pace: &str| {
        let longhaul = Longhaul::with_lab(&[])?;
        let began = Instant::now();
        let seen = longhaul.succeed(&[
            "exec", "--pace", pace, "a-0", "--", "ping", "-c", "3", "b-0",
        ]);
        Some((seen, began.elapsed()))
    };
    let Some((free, _)) = run("free") else {
        return;
    };
    let (wall, took) = run("wall").unwrap();
    assert_eq!(wall, free);
    assert!(took >= Duration::from_millis(1900), "{took:?}");
}

#[test]
fn links_are_measured_and_set_from_outside() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let rtt = || {
        let line = longhaul.shell("ping -c 5 b-0 | tail -1");
        line.split('/').nth(4).unwrap().parse::<f64>().unwrap()
    };
    assert!((24.0..27.0).contains(&rtt()), "{} ms", rtt());
    longhaul.succeed(&["link", "set", "a", "b", "delay=50ms"]);
    assert!((99.0..102.0).contains(&rtt()), "{} ms", rtt());
    let shown = longhaul.succeed(&["link", "show", "a", "b"]);
    assert!(shown.contains("delay 12.345ms → 50ms"), "{shown}");
    let refused = longhaul.run(&["link", "set", "a", "b", "delay=fast"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    let verified = longhaul.succeed(&["verify", "--name", "n", "--duration", "1s", "--json"]);
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["verification"]["faithful"], true);
    let listed = longhaul.succeed(&["status", "n"]);
    for expected in ["virtual", "its time stands still", "b-gw", "50ms"] {
        assert!(listed.contains(expected), "{expected}: {listed}");
    }
}

#[test]
fn a_program_that_spins_is_ended_and_the_lab_lives_on() {
    let Some(longhaul) = Longhaul::with_lab(&["--patience", "3s"]) else {
        return;
    };
    let spin = ["exec", "a-0", "--", "sh", "-c", "while :; do :; done"];
    let done = longhaul.run(&spin);
    assert_eq!(done.status.code(), Some(139), "{}", text(&done.stderr));
    let said = text(&done.stderr);
    assert!(said.contains("no virtual time passed while"), "{said}");
    assert!(longhaul.shell("ping -c 2 b-0").contains("2 received"));
}

#[test]
fn down_takes_a_session_along_and_leaves_nothing() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let taken = longhaul.run(&["up", "pair.yaml", "--lab", "virtual", "--name", "n"]);
    assert_eq!(taken.status.code(), Some(2));
    let busy = longhaul.start("wall", &["sleep", "4321"]);
    wait_until("it runs", || longhaul.labs()[0]["virtual"]["sessions"] == 1);
    longhaul.succeed(&["down", "n"]);
    let busy = busy.wait_with_output().unwrap();
    assert_eq!(busy.status.code(), Some(1));
    assert!(
        text(&busy.stderr).contains("the lab was taken down"),
        "{}",
        text(&busy.stderr)
    );
    assert!(longhaul.left().is_empty(), "{:?}", longhaul.left());
    longhaul.wait_for_its_kernels_end();
}

/// A guest keeps its labs where root's are kept on the host, and must not take the host's for its own.
#[test]
fn a_lab_comes_up_where_roots_labs_are_kept() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: not root, whose labs are in /run/longhaul");
        return;
    }
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let name = format!("roots-{}", std::process::id());
    let run = |arguments: &[&str]| {
        let mut command = longhaul.command(arguments);
        command.env_remove("LONGHAUL_RUNTIME_DIR").output().unwrap()
    };
    let up = run(&["up", "pair.yaml", "--lab", "virtual", "--name", &name]);
    let said = run(&["exec", "--name", &name, "a-0", "--", "hostname"]);
    let down = run(&["down", &name]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    assert_eq!(text(&said.stdout), "a-0\n", "{}", text(&said.stderr));
    assert!(down.status.success(), "{}", text(&down.stderr));
}

#[test]
fn a_lab_that_does_not_come_up_leaves_nothing() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    // netem has no such thing, which only the lab's own kernel can tell.
    let topology = TOPOLOGY.replace("loss: 1%", "loss: 1%, queue: {discipline: dualpi2}");
    fs::write(longhaul.path("odd.yaml"), topology).unwrap();
    let up = ["up", "odd.yaml", "--lab", "virtual", "--links", "netem"];
    let done = longhaul.run(&up);
    assert!(!done.status.success());
    assert!(!done.stderr.is_empty());
    assert!(longhaul.left().is_empty(), "{:?}", longhaul.left());
}

#[test]
fn a_lab_that_dies_says_what_from_and_is_cleaned_away() {
    let Some(longhaul) = Longhaul::with_lab(&["--memory", "300MiB"]) else {
        return;
    };
    let hungry = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1G", "count=1"];
    let done = longhaul.run(&[&["exec", "a-0", "--"][..], &hungry].concat());
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    assert!(
        text(&done.stderr).contains("ran out of its 300MiB of memory"),
        "{}",
        text(&done.stderr)
    );
    longhaul.wait_for_its_kernels_end();
    let later = longhaul.run(&["exec", "--name", "n", "a-0", "--", "true"]);
    assert_eq!(later.status.code(), Some(2));
    assert!(
        text(&later.stderr).contains("ran out of its 300MiB"),
        "{}",
        text(&later.stderr)
    );
    assert!(longhaul.succeed(&["status"]).contains("dead: "));
    longhaul.succeed(&["clean"]);
    assert!(longhaul.left().is_empty(), "{:?}", longhaul.left());
}

#[test]
fn a_keeper_that_is_killed_leaves_nothing_that_clean_does_not_remove() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let busy = longhaul.start("wall", &["sleep", "4321"]);
    wait_until("it runs", || longhaul.labs()[0]["virtual"]["sessions"] == 1);
    kill(Pid::from_raw(longhaul.keeper()), Signal::SIGKILL).unwrap();
    let busy = busy.wait_with_output().unwrap();
    assert_eq!(busy.status.code(), Some(1));
    assert!(
        text(&busy.stderr).contains("longhaul clean"),
        "{}",
        text(&busy.stderr)
    );
    longhaul.wait_for_its_kernels_end();
    longhaul.clean();
    longhaul.up("n", &[]);
}

#[test]
fn a_lab_whose_kernel_is_cut_off_ends_and_says_so() {
    let Some(longhaul) = Longhaul::with_lab(&[]) else {
        return;
    };
    let busy = longhaul.start("wall", &["sleep", "4321"]);
    wait_until("it runs", || longhaul.labs()[0]["virtual"]["sessions"] == 1);
    longhaul.cut_off();
    let busy = busy.wait_with_output().unwrap();
    assert_eq!(busy.status.code(), Some(1));
    let said = text(&busy.stderr);
    assert!(said.contains("runtime/n/guest is gone"), "{said}");
    assert!(longhaul.succeed(&["status"]).contains("is gone"));
    longhaul.wait_for_its_kernels_end();
    longhaul.clean();

    longhaul.up("n", &[]);
    longhaul.cut_off();
    wait_until("one in which nothing runs dies, too", || {
        text(&longhaul.run(&["status"]).stdout).contains("dead: ")
    });
    longhaul.wait_for_its_kernels_end();
    longhaul.clean();

    let mut up = longhaul.command(&["up", "pair.yaml", "--lab", "virtual", "--name", "n"]);
    let up = up.stderr(Stdio::piped()).stdout(Stdio::null());
    let up = up.spawn().unwrap();
    // What a kernel makes in its folder first (`umid`).
    let booting = longhaul.path("runtime").join("n").join("guest/guest");
    wait_until("it boots", || booting.exists());
    longhaul.cut_off();
    let up = up.wait_with_output().unwrap();
    let said = text(&up.stderr);
    assert!(!up.status.success(), "{said}");
    assert!(said.contains("runtime/n/guest is gone"), "{said}");
    longhaul.wait_for_its_kernels_end();
    longhaul.clean();
}

#[test]
fn two_labs_side_by_side_do_not_know_of_each_other() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    longhaul.up("one", &[]);
    longhaul.up("two", &["--seed", "2"]);
    let unnamed = longhaul.run(&["exec", "a-0", "--", "true"]);
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(
        text(&unnamed.stderr).contains("one, two"),
        "{}",
        text(&unnamed.stderr)
    );
    let ping = |lab: &str| {
        longhaul.succeed(&["exec", "--name", lab, "a-0", "--", "ping", "-c", "2", "b-0"])
    };
    let (one, two) = (ping("one"), ping("two"));
    assert!(one.contains("2 received") && two.contains("2 received"));
    assert_ne!(one, two);
    longhaul.succeed(&["down", "one"]);
    assert_eq!(longhaul.left(), ["two"]);
    assert!(
        longhaul
            .succeed(&["exec", "a-0", "--", "hostname"])
            .contains("a-0")
    );
}
