//! Scenes played to their end, and what is seen from outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::stage::{As, Stage, children_of, exit_code, namespaces_of};

/// A stage on which nothing of a test that went before can be in the way, for root and for an ordinary user.
pub fn stages() -> impl Iterator<Item = Stage> {
    [As::Root, As::Nobody]
        .into_iter()
        .filter_map(Stage::for_user)
}

/// Plays a scene to its end.
fn play(stage: &Stage, scene: &str, arguments: &[&str]) -> Output {
    stage
        .scene(scene, arguments)
        .output()
        .expect("a scene that starts")
}

/// Plays a scene that has to succeed; what it printed.
pub fn succeed(stage: &Stage, scene: &str, arguments: &[&str]) -> String {
    let output = play(stage, scene, arguments);
    assert!(output.status.success(), "{scene} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Plays a scene that has to fail with `code`; its complaint.
pub fn fail(stage: &Stage, scene: &str, arguments: &[&str], code: i32) -> String {
    let output = play(stage, scene, arguments);
    assert_eq!(
        exit_code(output.status),
        code,
        "{scene} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stderr).expect("text")
}

/// What `status` says of a lab.
pub fn status_of(stage: &Stage, lab: &str) -> Option<Value> {
    let labs: Vec<Value> = serde_json::from_str(&succeed(stage, "status", &[])).expect("JSON");
    labs.into_iter().find(|status| status["name"] == lab)
}

/// The processes of a lab (front, init, lab process) and their namespaces.
pub fn tree_of(stage: &Stage, lab: &str) -> ([i32; 3], BTreeSet<PathBuf>) {
    let status = status_of(stage, lab).expect("a lab that is up");
    let front = status["record"]["pid"].as_i64().expect("a pid") as i32;
    let [init] = children_of(front)[..] else {
        panic!("the front has one child")
    };
    let [process] = children_of(init)[..] else {
        panic!("init has one child")
    };
    ([front, init, process], namespaces_of(process))
}

/// Whether a process is no more, or waits for its parent only.
pub fn has_ended(pid: &i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        let state = stat.rsplit(')').next().map(str::trim_start);
        state.is_some_and(|state| state.starts_with(['Z', 'X']))
    })
}

/// The names that a lab has in /run/netns.
pub fn netns_names(lab: &str) -> Vec<PathBuf> {
    let names =
        ["left-0", "left-gw"].map(|node| Path::new("/run/netns").join(format!("lh-{lab}-{node}")));
    names.into_iter().filter(|path| path.exists()).collect()
}
