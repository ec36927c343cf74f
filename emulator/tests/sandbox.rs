//! A sandbox from outside: what its exit code is, what signals reach it, and that killing any of its processes ends all.

mod stage;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use longhaul_emulator::sandbox::{self, Privilege, Sandbox};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill, killpg, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, tcsetpgrp};
use stage::{
    As, Outcome, Playing, Stage, children_of, exit_code, namespaces_of, state_of, type_in,
    wait_until,
};

fn main() -> ExitCode {
    stage::main(
        &[
            ("exit", scene_exit),
            ("raise", scene_raise),
            ("at-exit", scene_at_exit),
            ("describe", scene_describe),
            ("stay", scene_stay),
            ("count-interrupts", scene_count_interrupts),
            ("masked-proc", scene_masked_proc),
            ("shell", scene_shell),
        ],
        &[
            (
                "the_lab_process_decides_the_exit_code",
                the_lab_process_decides_the_exit_code,
            ),
            (
                "a_death_by_signal_is_told_as_a_shell_does",
                a_death_by_signal_is_told_as_a_shell_does,
            ),
            (
                "the_front_acts_after_the_lab_has_gone",
                the_front_acts_after_the_lab_has_gone,
            ),
            (
                "a_user_is_root_inside_and_alone",
                a_user_is_root_inside_and_alone,
            ),
            (
                "root_can_have_a_rootless_sandbox",
                root_can_have_a_rootless_sandbox,
            ),
            ("killing_any_process_ends_all", killing_any_process_ends_all),
            (
                "killing_one_sandbox_leaves_another_alone",
                killing_one_sandbox_leaves_another_alone,
            ),
            (
                "ctrl_c_reaches_the_lab_process_once",
                ctrl_c_reaches_the_lab_process_once,
            ),
            (
                "a_signal_to_the_front_alone_is_passed_on",
                a_signal_to_the_front_alone_is_passed_on,
            ),
            (
                "ctrl_z_stops_the_lab_and_fg_continues_it",
                ctrl_z_stops_the_lab_and_fg_continues_it,
            ),
            (
                "a_masked_proc_is_no_hindrance",
                a_masked_proc_is_no_hindrance,
            ),
        ],
    )
}

// Scenes. Each exits 99 where it cannot do what it is for.

fn enter() -> Sandbox {
    sandbox::enter().unwrap_or_else(|error| {
        println!("error {error}");
        std::process::exit(99)
    })
}

fn scene_exit(arguments: &[String]) -> i32 {
    enter();
    arguments[0].parse().unwrap_or(99)
}

fn scene_raise(arguments: &[String]) -> i32 {
    enter();
    let _ = raise(arguments[0].parse().expect("a signal"));
    99
}

fn scene_at_exit(_: &[String]) -> i32 {
    let entered = sandbox::enter_with(Privilege::of_this_process(), || {
        println!("pid {}", std::process::id());
    });
    match entered {
        Ok(_) => 5,
        Err(_) => 99,
    }
}

/// What the lab process is, in one line.
fn scene_describe(arguments: &[String]) -> i32 {
    let privilege = match arguments.first().map(String::as_str) {
        Some("rootless") => Privilege::Rootless,
        _ => Privilege::of_this_process(),
    };
    let Ok(sandbox) = sandbox::enter_with(privilege, || ()) else {
        return 99;
    };
    let uid = nix::unistd::geteuid();
    let parent = nix::unistd::getppid();
    let files = std::fs::read_dir(&sandbox.folder).map(Iterator::count);
    let loopback = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
        socket.send_to(b"x", socket.local_addr()?)?;
        socket.recv(&mut [0])
    });
    let interfaces = nix::net::if_::if_nameindex().map(|list| list.iter().count());
    let parent = parent.as_raw();
    println!(
        "{:?} uid {uid} parent {parent} files {files:?} loopback {loopback:?} interfaces {interfaces:?}",
        sandbox.privilege
    );
    0
}

/// A lab process with a child; says when both are there.
fn scene_stay(_: &[String]) -> i32 {
    enter();
    let Ok(mut child) = Command::new("sleep").arg("1000").spawn() else {
        return 99;
    };
    println!("ready");
    let _ = child.wait();
    98
}

/// Exits with 10 + the number of interrupts that came.
fn scene_count_interrupts(_: &[String]) -> i32 {
    enter();
    let interrupt: SigSet = [Signal::SIGINT].into_iter().collect();
    let _ = interrupt.thread_block();
    println!("ready");
    let mut code = 10;
    let mut patience = Duration::from_secs(20);
    while interrupted_within(&interrupt, patience) {
        code += 1;
        // A second one would be passed on at once.
        patience = Duration::from_millis(300);
    }
    code
}

fn interrupted_within(set: &SigSet, patience: Duration) -> bool {
    let limit = nix::sys::time::TimeSpec::from_duration(patience);
    loop {
        // SAFETY: the set and the limit live through the call; no information is asked for.
        let signal =
            unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), limit.as_ref()) };
        // A stop interrupts the wait.
        if nix::errno::Errno::result(signal) != Err(nix::errno::Errno::EINTR) {
            return signal > 0;
        }
    }
}

/// A /proc as containers have it: parts of it are covered.
fn scene_masked_proc(_: &[String]) -> i32 {
    use std::os::unix::fs::FileTypeExt;
    let none = None::<&str>;
    let masked = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
        .and_then(|()| mount(Some("/dev/null"), MASKED, none, MsFlags::MS_BIND, none));
    if masked.is_err() || sandbox::enter_with(Privilege::Rootless, || ()).is_err() {
        return 99;
    }
    let masked = std::fs::metadata(MASKED).is_ok_and(|meta| meta.file_type().is_char_device());
    // Labs refuse by that.
    if masked && !sandbox::has_own_proc() {
        0
    } else {
        98
    }
}

/// Every kernel has it.
const MASKED: &str = "/proc/version";

/// A shell's job control, for one job: `fg` at once after each Ctrl-Z.
fn scene_shell(arguments: &[String]) -> i32 {
    use std::os::unix::process::CommandExt;
    let me = std::env::current_exe().expect("this program");
    let mut job = Command::new(me);
    job.arg("--scene").args(arguments).process_group(0);
    #[expect(
        clippy::zombie_processes,
        reason = "waitpid below, which also tells a stop"
    )]
    let job = job.spawn().expect("a job");
    let job = Pid::from_raw(job.id().cast_signed());
    let _ = tcsetpgrp(std::io::stdin(), job);
    loop {
        match waitpid(job, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Stopped(..)) => {
                // The whole tree below has to be stopped, not the front alone.
                let lab = children_of(children_of(job.as_raw())[0])[0];
                wait_until("the lab process is stopped", || state_of(lab) == Some('T'));
                println!("stopped");
                let _ = killpg(job, Signal::SIGCONT);
            }
            Ok(WaitStatus::Exited(_, code)) => return code,
            _ => return 99,
        }
    }
}

// Tests.

/// Front, init, lab process and its child, once the scene is ready.
fn tree_of(front: i32) -> [i32; 4] {
    let [init] = children_of(front)[..] else {
        panic!("the front has one child")
    };
    let [lab] = children_of(init)[..] else {
        panic!("init has one child")
    };
    let [child] = children_of(lab)[..] else {
        panic!("the lab process has one child")
    };
    [front, init, lab, child]
}

/// Starts `stay`; its processes and the namespaces they are in.
fn stay(stage: &Stage) -> (Playing, [i32; 4], BTreeSet<PathBuf>) {
    let mut playing = Playing::start(stage.scene("stay", &[]));
    playing.line("ready");
    let tree = tree_of(playing.child.id().cast_signed());
    let namespaces = namespaces_of(tree[2]);
    assert!(
        namespaces.len() >= 5,
        "the lab process is not alone: {namespaces:?}"
    );
    (playing, tree, namespaces)
}

fn the_lab_process_decides_the_exit_code() -> Outcome {
    for user in [As::Root, As::Nobody] {
        let Some(stage) = Stage::for_user(user) else {
            continue;
        };
        for code in [0, 1, 3, 130, 255] {
            let status = stage.scene("exit", &[&code.to_string()]).status()?;
            assert_eq!(exit_code(status), code, "{user:?}");
        }
    }
    Ok(())
}

fn a_death_by_signal_is_told_as_a_shell_does() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGABRT] {
        let status = stage.scene("raise", &[signal.as_str()]).status()?;
        assert_eq!(status.code(), Some(128 + signal as i32), "{signal}");
    }
    Ok(())
}

fn the_front_acts_after_the_lab_has_gone() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    let mut playing = Playing::start(stage.scene("at-exit", &[]));
    // In the user's PID namespace, and only there.
    assert_eq!(playing.line("pid "), playing.child.id().to_string());
    assert_eq!(playing.code(), 5);
    Ok(())
}

const ALONE: &str = "uid 0 parent 1 files Ok(0) loopback Ok(1) interfaces Ok(1)";

fn a_user_is_root_inside_and_alone() -> Outcome {
    let Some(stage) = Stage::for_user(As::Nobody) else {
        return Ok(());
    };
    assert_eq!(
        Playing::start(stage.scene("describe", &[])).line("Rootless "),
        ALONE
    );
    Ok(())
}

fn root_can_have_a_rootless_sandbox() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    assert_eq!(
        Playing::start(stage.scene("describe", &[])).line("Root "),
        ALONE
    );
    assert_eq!(
        Playing::start(stage.scene("describe", &["rootless"])).line("Rootless "),
        ALONE
    );
    Ok(())
}

fn killing_any_process_ends_all() -> Outcome {
    for user in [As::Root, As::Nobody] {
        let Some(stage) = Stage::for_user(user) else {
            continue;
        };
        for victim in 0..3 {
            let (mut playing, tree, namespaces) = stay(&stage);
            kill(Pid::from_raw(tree[victim]), Signal::SIGKILL)?;
            assert_eq!(playing.code(), 137, "{user:?}, victim {victim}");
            stage.wait_until_empty(&namespaces);
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let runtime = stage.runtime();
        assert!(
            !mounts.contains(runtime.to_str().expect("a plain path")),
            "{mounts}"
        );
    }
    Ok(())
}

fn killing_one_sandbox_leaves_another_alone() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    let (mut first, first_tree, _) = stay(&stage);
    let (_second, second_tree, second_namespaces) = stay(&stage);
    assert!(
        namespaces_of(first_tree[2]).is_disjoint(&second_namespaces),
        "they share a namespace"
    );
    kill(Pid::from_raw(first_tree[0]), Signal::SIGKILL)?;
    first.code();
    wait_until("the first has ended", || {
        stage.processes().len() == second_tree.len()
    });
    for pid in second_tree {
        assert!(
            matches!(state_of(pid), Some('S' | 'R')),
            "{pid} of the second has gone, too"
        );
    }
    Ok(())
}

fn ctrl_c_reaches_the_lab_process_once() -> Outcome {
    for user in [As::Root, As::Nobody] {
        let Some(stage) = Stage::for_user(user) else {
            continue;
        };
        let (mut playing, terminal) =
            Playing::start_on_terminal(stage.scene("count-interrupts", &[]));
        playing.line("ready");
        type_in(&terminal, "\x03");
        assert_eq!(playing.code(), 11, "{user:?}");
    }
    Ok(())
}

fn a_signal_to_the_front_alone_is_passed_on() -> Outcome {
    for user in [As::Root, As::Nobody] {
        let Some(stage) = Stage::for_user(user) else {
            continue;
        };
        let mut playing = Playing::start(stage.scene("count-interrupts", &[]));
        playing.line("ready");
        kill(
            Pid::from_raw(playing.child.id().cast_signed()),
            Signal::SIGINT,
        )?;
        assert_eq!(playing.code(), 11, "{user:?}");
        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            let (mut playing, tree, namespaces) = stay(&stage);
            kill(Pid::from_raw(tree[0]), signal)?;
            assert_eq!(playing.code(), 128 + signal as i32, "{user:?}");
            stage.wait_until_empty(&namespaces);
        }
    }
    Ok(())
}

fn ctrl_z_stops_the_lab_and_fg_continues_it() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    let (mut playing, terminal) =
        Playing::start_on_terminal(stage.scene("shell", &["count-interrupts"]));
    playing.line("ready");
    type_in(&terminal, "\x1a");
    playing.line("stopped");
    type_in(&terminal, "\x03");
    assert_eq!(playing.code(), 11);
    Ok(())
}

fn a_masked_proc_is_no_hindrance() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    let status = stage.scene("masked-proc", &[]).status()?;
    assert_eq!(exit_code(status), 0);
    Ok(())
}
