//! What the dead leave behind, and how it goes.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::playing::{fail, has_ended, netns_names, stages, status_of, succeed, tree_of};
use super::stage::{As, Outcome, Playing, Stage, namespaces_of, wait_until};

pub fn clean_removes_exactly_the_dead() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["alive"]);
        for victim in 0..3 {
            succeed(&stage, "up", &["dead"]);
            let (tree, namespaces) = tree_of(&stage, "dead");
            kill(Pid::from_raw(tree[victim]), Signal::SIGKILL)?;
            wait_until("its processes have ended", || {
                stage
                    .processes()
                    .iter()
                    .all(|&pid| namespaces_of(pid).is_disjoint(&namespaces))
            });
            // With any but the front killed, that gives the name back itself.
            let left = victim == 0;
            if left {
                wait_until("it is known to be dead", || {
                    status_of(&stage, "dead").is_some_and(|s| s["life"] == "dead")
                });
                assert!(
                    fail(&stage, "exec", &["dead", "left-0", "true"], 2).contains("longhaul clean")
                );
            } else {
                wait_until("it has gone", || status_of(&stage, "dead").is_none());
            }
            let cleaned: Value = serde_json::from_str(&succeed(&stage, "clean", &[]))?;
            let expected = if left {
                serde_json::json!(["dead"])
            } else {
                serde_json::json!([])
            };
            assert_eq!(cleaned["labs"], expected, "victim {victim}");
            assert!(!stage.runtime().join("dead").exists());
            assert_eq!(netns_names("dead"), Vec::<PathBuf>::new());
        }
        assert_eq!(
            status_of(&stage, "alive").expect("the living")["detail"]["nodes"][0]["name"],
            "left-0"
        );
        succeed(&stage, "down", &["alive"]);
    }
    Ok(())
}

pub fn the_name_of_a_dead_lab_is_free() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["again"]);
        let (tree, _) = tree_of(&stage, "again");
        kill(Pid::from_raw(tree[0]), Signal::SIGKILL)?;
        // Its environment is gone before its files are closed, and with them its hold on the name.
        wait_until("its processes have ended", || tree.iter().all(has_ended));
        succeed(&stage, "up", &["again"]);
        succeed(&stage, "exec", &["again", "left-0", "true"]);
        succeed(&stage, "down", &["again"]);
    }
    Ok(())
}

pub fn a_stopped_lab_is_killed() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    succeed(&stage, "up", &["stopped"]);
    let (tree, namespaces) = tree_of(&stage, "stopped");
    kill(Pid::from_raw(tree[2]), Signal::SIGSTOP)?;
    succeed(&stage, "down", &["stopped"]);
    stage.wait_until_empty(&namespaces);
    assert!(!stage.runtime().join("stopped").exists());
    Ok(())
}

pub fn an_up_killed_at_any_moment_leaves_nothing_that_clean_misses() -> Outcome {
    for stage in stages() {
        // From before the claim of the name until after the lab is up and named.
        for milliseconds in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256] {
            let mut playing = Playing::start(stage.scene("up-whole", &["moment"]));
            std::thread::sleep(Duration::from_millis(milliseconds));
            // Killed even if it has ended: a child that was not waited for keeps its id.
            kill(
                Pid::from_raw(playing.child.id().cast_signed()),
                Signal::SIGKILL,
            )?;
            playing.code();
            let is_up =
                || status_of(&stage, "moment").is_some_and(|status| status["detail"].is_object());
            wait_until("the lab is up or gone", || {
                stage.processes().is_empty() || is_up()
            });
            if !stage.processes().is_empty() {
                succeed(&stage, "down", &["moment"]);
            }
            succeed(&stage, "clean", &[]);
            wait_until("every process has ended", || stage.processes().is_empty());
            assert!(
                !stage.runtime().join("moment").exists(),
                "after {milliseconds} ms"
            );
            let names = std::fs::read_dir("/run/netns").map_or(0, Iterator::count);
            assert!(
                stage.user != As::Root || names == 0,
                "after {milliseconds} ms"
            );
        }
    }
    Ok(())
}

pub fn a_planted_runtime_folder_is_refused() -> Outcome {
    let Some(stage) = Stage::for_user(As::Nobody) else {
        return Ok(());
    };
    // Somebody else's folder.
    std::fs::create_dir(stage.runtime())?;
    assert!(fail(&stage, "up", &["planted"], 2).contains("belongs to another user"));
    // A link to a folder of the user's own.
    std::fs::remove_dir(stage.runtime())?;
    let own = stage.folder.path().join("own");
    std::fs::create_dir(&own)?;
    std::os::unix::fs::chown(&own, Some(65534), Some(65534))?;
    std::os::unix::fs::symlink(&own, stage.runtime())?;
    assert!(fail(&stage, "up", &["planted"], 2).contains("cannot use"));
    assert_eq!(std::fs::read_dir(own)?.count(), 0);
    Ok(())
}
