//! Labs that come up, are asked and go down.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::playing::{fail, netns_names, stages, status_of, succeed, tree_of};
use super::stage::{As, Outcome, Playing, Stage, wait_until};

pub fn a_lab_stays_up_until_it_is_taken_down() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["stays"]);
        let status = status_of(&stage, "stays").expect("a lab that is up");
        assert_eq!(status["life"], "up", "{status}");
        assert_eq!(status["record"]["subject"], "stand-in", "{status}");
        assert_eq!(status["detail"]["engine"], "relay", "{status}");
        assert_eq!(status["detail"]["nodes"][0]["name"], "left-0", "{status}");
        let (tree, namespaces) = tree_of(&stage, "stays");
        // It has no terminal and is in nobody's session.
        assert_eq!(
            nix::unistd::getsid(Some(Pid::from_raw(tree[2])))?,
            nix::unistd::getsid(Some(Pid::from_raw(tree[0])))?
        );

        succeed(&stage, "down", &["stays"]);
        stage.wait_until_empty(&namespaces);
        assert!(!stage.runtime().join("stays").exists());
        assert_eq!(netns_names("stays"), Vec::<PathBuf>::new());
        assert!(fail(&stage, "down", &["stays"], 2).contains("no lab named stays is up"));
    }
    Ok(())
}

pub fn a_name_is_given_once() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["once"]);
        let complaint = fail(&stage, "up", &["once"], 2);
        assert!(complaint.contains("longhaul down once"), "{complaint}");
        assert_eq!(status_of(&stage, "once").expect("the first")["life"], "up");
        succeed(&stage, "down", &["once"]);
    }
    Ok(())
}

pub fn a_lab_that_cannot_come_up_says_why_and_leaves_nothing() -> Outcome {
    for stage in stages() {
        let complaint = fail(&stage, "up-in-vain", &["vain"], 2);
        assert!(
            complaint.contains("vain did not come up: the moon is in the way"),
            "{complaint}"
        );
        assert!(!stage.runtime().join("vain").exists());
        wait_until("its processes have ended", || stage.processes().is_empty());
    }
    Ok(())
}

pub fn a_keeper_that_dies_before_it_says_anything_is_quoted() -> Outcome {
    for stage in stages() {
        let told = fail(&stage, "up-panicking", &["moonless"], 2);
        assert!(told.contains("the moon fell down"), "{told}");
        assert!(!stage.runtime().join("moonless").exists());
    }
    Ok(())
}

pub fn a_run_is_registered_and_can_be_interrupted() -> Outcome {
    for stage in stages() {
        let mut playing = Playing::start(stage.scene("run", &[]));
        playing.line("ready");
        let name = format!("run-{}", playing.child.id());
        let status = status_of(&stage, &name).expect("the run");
        assert_eq!(
            (&status["life"], &status["record"]["subject"]),
            (&"up".into(), &"quickstart".into())
        );
        assert!(fail(&stage, "exec", &[&name, "left-0", "true"], 2).contains("is a run"));
        // Its desk answers, but there is no lab yet.
        assert_eq!(status["trouble"], Value::Null, "{status}");
        let complaint = fail(&stage, "link-set", &[&name, "a", "b", "loss=1%"], 2);
        assert!(
            complaint.contains("no workload runs at the moment"),
            "{complaint}"
        );
        succeed(&stage, "down", &[&name]);
        assert_eq!(playing.code(), 128 + Signal::SIGTERM as i32);
        assert!(status_of(&stage, &name).is_none());
    }
    Ok(())
}

pub fn ip_netns_sees_roots_labs() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    succeed(&stage, "up", &["named"]);
    let names = netns_names("named");
    assert_eq!(names.len(), 2, "{names:?}");
    let inside = succeed(
        &stage,
        "exec",
        &["named", "left-0", "readlink", "/proc/self/ns/net"],
    );
    let inode = std::fs::metadata(&names[0])?.ino();
    assert_eq!(inside.trim(), format!("net:[{inode}]"));
    // iproute2 where there is any.
    if let Ok(output) = Command::new("ip").args(["netns", "list"]).output() {
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("lh-named-left-gw"),
            "{output:?}"
        );
    }

    // A lab that lives keeps its names through `clean`; one whose folder has gone does not.
    succeed(&stage, "clean", &[]);
    assert_eq!(netns_names("named").len(), 2);
    let (tree, _) = tree_of(&stage, "named");
    kill(Pid::from_raw(tree[0]), Signal::SIGKILL)?;
    wait_until("its processes have ended", || stage.processes().is_empty());
    std::fs::remove_dir_all(stage.runtime().join("named"))?;
    let cleaned: Value = serde_json::from_str(&succeed(&stage, "clean", &[]))?;
    assert!(
        cleaned["namespaces"]
            .as_array()
            .is_some_and(|names| names.contains(&"lh-named-left-0".into())),
        "{cleaned}"
    );
    assert_eq!(netns_names("named"), Vec::<PathBuf>::new());
    Ok(())
}

pub fn a_whole_lab_carries_what_its_programs_send() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up-whole", &["whole"]);
        let me = stage.program().to_str().expect("a plain path").to_owned();
        let mut echo =
            Playing::start(stage.scene("exec", &["whole", "s1-0", &me, "--scene", "echo"]));
        echo.line("ready");
        let time = succeed(
            &stage,
            "exec",
            &["whole", "s0-1", &me, "--scene", "ask", "s1-0"],
        );
        let milliseconds: u64 = time.trim().parse().map_err(|_| time.clone())?;
        // 20 ms each way; the machine may be late, but not early.
        assert!((40..1000).contains(&milliseconds), "{time}");
        assert_eq!(echo.code(), 0);

        let status = status_of(&stage, "whole").expect("the lab");
        let channels = status["detail"]["channels"]
            .as_array()
            .expect("a list")
            .clone();
        assert_eq!(channels.len(), 2, "{status}");
        for channel in channels {
            assert_eq!(channel["delay"], "20ms", "{channel}");
            // The kernels' own multicast reports may come on top.
            assert!(
                channel["counters"]["packets"].as_u64() >= Some(1),
                "{channel}"
            );
        }
        links_are_set_by_hand(&stage)?;
        let (_, namespaces) = tree_of(&stage, "whole");
        succeed(&stage, "down", &["whole"]);
        stage.wait_until_empty(&namespaces);
    }
    Ok(())
}

/// On the lab `whole`.
fn links_are_set_by_hand(stage: &Stage) -> Outcome {
    let before = succeed(stage, "link-show", &["whole"]);
    for (settings, complaint) in [
        (
            ["s0", "s1", "delay=30ms", "lost=1%"],
            "test with lost=1%: unknown field `lost`",
        ),
        (
            ["s0", "s2", "delay=30ms", "loss=1%"],
            "there is no site `s2`",
        ),
    ] {
        let said = fail(stage, "link-set", &[&["whole"], &settings[..]].concat(), 2);
        assert!(said.contains(complaint), "{said}");
    }
    assert_eq!(
        succeed(stage, "link-show", &["whole"]),
        before,
        "nothing of it was done"
    );

    let set = succeed(
        stage,
        "link-set",
        &["whole", "s1", "s0", "delay=30ms", "state=down"],
    );
    let changes: Value = serde_json::from_str(&set)?;
    assert_eq!(changes.as_array().map(Vec::len), Some(2), "{changes}");
    assert_eq!(changes[0]["change"], "state up → down, delay 20ms → 30ms");
    let status = status_of(stage, "whole").expect("the lab");
    for channel in status["detail"]["channels"].as_array().expect("a list") {
        assert_eq!(channel["state"], "down", "{channel}");
        assert_eq!(channel["delay"], "30ms", "{channel}");
        assert_eq!(channel["differs"], "state up → down, delay 20ms → 30ms");
    }
    Ok(())
}
