//! Programs in the hosts of a lab that is up.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::playing::{fail, stages, status_of, succeed};
use super::stage::{Outcome, Playing, Stage, exit_code, type_in, wait_until};

pub fn a_program_runs_inside_the_host() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["inside"]);
        let shell = |script: &str| {
            let mut command = stage.scene("exec", &["inside", "left-0", "sh", "-c", script]);
            command
                .env("GREETING", "hello there")
                .current_dir("/usr")
                .output()
                .expect("a scene that starts")
        };
        let output = shell("cat /proc/sys/kernel/hostname; echo $GREETING; pwd; id -u; exit 42");
        assert_eq!(exit_code(output.status), 42, "{output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "left-0\nhello there\n/usr\n0\n"
        );
        assert_eq!(exit_code(shell("kill -TERM $$").status), 143);
        // Its interfaces are the node's: a new namespace has `lo` alone.
        let interfaces = String::from_utf8(shell("cat /proc/self/net/dev").stdout)?;
        assert_eq!(interfaces.matches(':').count(), 1, "{interfaces}");

        let complaint = fail(&stage, "exec", &["inside", "right-0", "true"], 2);
        assert!(
            complaint.contains("no host `right-0`: there are: `left-0`, `left-gw`"),
            "{complaint}"
        );
        succeed(&stage, "down", &["inside"]);
    }
    Ok(())
}

pub fn a_program_that_cannot_be_started_is_told_from_one_that_fails() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["starts"]);
        let complaint = fail(
            &stage,
            "exec",
            &["starts", "left-0", "no-such-program"],
            127,
        );
        assert!(
            complaint.contains("cannot run no-such-program"),
            "{complaint}"
        );
        fail(&stage, "exec", &["starts", "left-0", "/etc/passwd"], 126);
        assert_eq!(
            fail(
                &stage,
                "exec",
                &["starts", "left-0", "sh", "-c", "exit 127"],
                127
            ),
            ""
        );
        succeed(&stage, "down", &["starts"]);
    }
    Ok(())
}

pub fn a_program_has_the_terminal() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["terminal"]);
        let script =
            "test -t 0 && test -t 1 && stty -echo && echo ready && read line && echo got $line";
        let scene = stage.scene("exec", &["terminal", "left-0", "sh", "-c", script]);
        let (mut playing, terminal) = Playing::start_on_terminal(scene);
        playing.line("ready");
        type_in(&terminal, "words\n");
        assert_eq!(playing.line("got"), "words");
        assert_eq!(playing.code(), 0);
        succeed(&stage, "down", &["terminal"]);
    }
    Ok(())
}

pub fn ctrl_c_ends_the_program_and_not_the_lab() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["interrupt"]);
        let scene = stage.scene(
            "exec",
            &[
                "interrupt",
                "left-0",
                "sh",
                "-c",
                "echo ready; exec sleep 1000",
            ],
        );
        let (mut playing, terminal) = Playing::start_on_terminal(scene);
        playing.line("ready");
        type_in(&terminal, "\x03");
        assert_eq!(playing.code(), 130);
        assert_eq!(
            status_of(&stage, "interrupt").expect("the lab")["life"],
            "up"
        );
        succeed(&stage, "down", &["interrupt"]);
    }
    Ok(())
}

/// How many there are once those that brought it up have gone, too: the same number for a while.
fn processes_of_a_lab_that_is_up(stage: &Stage) -> usize {
    let mut last = (stage.processes().len(), Instant::now());
    wait_until("the processes are settled", || {
        let count = stage.processes().len();
        if count != last.0 {
            last = (count, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(200)
    });
    last.0
}

pub fn a_killed_exec_takes_its_program_along() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["orphans"]);
        let before = processes_of_a_lab_that_is_up(&stage);
        let mut playing = Playing::start(stage.scene(
            "exec",
            &[
                "orphans",
                "left-0",
                "sh",
                "-c",
                "echo ready; exec sleep 1000",
            ],
        ));
        playing.line("ready");
        wait_until("the program and its exec are seen", || {
            stage.processes().len() == before + 2
        });
        kill(
            Pid::from_raw(playing.child.id().cast_signed()),
            Signal::SIGKILL,
        )?;
        playing.code();
        wait_until("the program has ended", || {
            stage.processes().len() == before
        });
        succeed(&stage, "down", &["orphans"]);
    }
    Ok(())
}
