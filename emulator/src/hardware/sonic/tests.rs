use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use longhaul_topologies::Document;
use longhaul_topologies::hardware::{self, Login, Settings, Timestamps};
use longhaul_topologies::units::ByteSize;

use super::played::{Fault, Played};
use super::*;
use crate::hardware::apply::{Applied, Stopped, apply};
use crate::hardware::controller::{Controller, Parameter};
use crate::hardware::journal::Journal;
use crate::hardware::place::{Access, AccessError, Place, Value as Set};
use crate::hardware::plan::{Plan, PlanError, Risk, plan};
use crate::hardware::restore::{Over, ReturnState, restore};

const WANTED: &str = "ecn: [{profile: AZURE_LOSSLESS, min: 150000, max: 1500000, probability: 10}]";

fn settings(wanted: &str) -> Settings {
    let text = format!(
        "switches: [{{name: leaf2, login: {{sonic: {{destination: admin@leaf2}}}}, {wanted}}}]"
    );
    let document = Document::from_text("hardware.yaml", &text).unwrap();
    hardware::settings(&document, Path::new("/lab")).unwrap()
}

/// The played switch as the only place there is.
struct Reach(Sonic<Played>);

impl Access for Reach {
    fn read(&mut self, place: &Place) -> Result<Set, AccessError> {
        let Place::Switch {
            name, login, paths, ..
        } = place
        else {
            panic!("{place}")
        };
        let config = self
            .0
            .config()
            .map_err(|error| AccessError::of_switch(name, login, error))?;
        let value = |path: &String| (path.clone(), at(&config, path).clone());
        Ok(Set::Config(paths.iter().map(value).collect()))
    }

    fn write(
        &mut self,
        place: &Place,
        value: &Set,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), AccessError> {
        let (Place::Switch { name, login, .. }, Set::Config(config)) = (place, value) else {
            panic!("{place}")
        };
        self.0
            .set(config, note)
            .map_err(|error| AccessError::of_switch(name, login, error))
    }

    fn can_stamp(&mut self, interface: &str, _: Timestamps) -> Result<bool, AccessError> {
        panic!("{interface}")
    }

    fn buffers_total(&mut self, interface: &str) -> Result<ByteSize, AccessError> {
        panic!("{interface}")
    }

    fn controllers(&mut self, pci: &str) -> Result<Vec<Controller>, AccessError> {
        panic!("{pci}")
    }

    fn parameters(&mut self, pci: &str, _: u8) -> Result<Vec<Parameter>, AccessError> {
        panic!("{pci}")
    }

    fn effective(&mut self, name: &str, login: &Login) -> Result<Value, AccessError> {
        self.0
            .config()
            .map_err(|error| AccessError::of_switch(name, login, error))
    }
}

struct Rig {
    played: Played,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new(fault: Fault) -> Self {
        Self {
            played: Played::new(fault),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn reach(&self) -> Reach {
        Reach(Sonic::new(self.played.clone(), BRIEF))
    }

    fn plan(&self, wanted: &str) -> Result<Plan, PlanError> {
        plan(&settings(wanted), &[], &mut self.reach())
    }

    fn apply(&self, plan: &Plan) -> Applied {
        let mut journal = Journal::begin(self.folder.path()).unwrap();
        let stop = AtomicBool::new(false);
        apply(plan, &mut self.reach(), &mut journal, &stop, &mut |_| {})
    }

    /// As a new process would.
    fn restore(&self) -> Vec<ReturnState> {
        let (mut journal, writes) = Journal::open(self.folder.path()).unwrap().unwrap();
        let (returns, unlogged) = restore(&writes, Over::Refuse, &mut self.reach(), &mut journal);
        assert!(unlogged.is_none(), "{unlogged:?}");
        returns.into_iter().map(|one| one.state).collect()
    }

    fn set(&self, fault: Fault) {
        self.played.0.borrow_mut().fault = fault;
    }

    fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.played.0.borrow_mut().commands)
    }

    fn checkpoints(&self) -> usize {
        self.played.0.borrow().checkpoints.len()
    }
}

fn stopped(applied: Applied) -> String {
    match applied.stopped {
        Some(Stopped::Access(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_patch_is_tried_applied_behind_a_checkpoint_and_put_back_by_another() {
    let rig = Rig::new(Fault::None);
    let before = rig.played.config();
    let plan = rig.plan(WANTED).unwrap();
    let step = &plan.steps[0];
    assert_eq!((step.place.how(), step.risk), ("SONiC patch", Risk::None));
    let changes: Vec<_> = step
        .changes
        .iter()
        .map(|change| (change.old.as_str(), change.new.as_str()))
        .collect();
    assert_eq!(
        changes,
        [("5", "10"), ("2000", "1500000"), ("1000", "150000")]
    );
    rig.commands();
    assert!(rig.apply(&plan).stopped.is_none());
    // A look before, and one after.
    let expected = [
        "read",
        "read",
        "dry run",
        "checkpoint",
        "apply",
        "delete-checkpoint",
        "read",
    ];
    assert_eq!(rig.commands(), expected);
    let profile = at(&rig.played.config(), "/WRED_PROFILE/AZURE_LOSSLESS").clone();
    assert_eq!(
        (
            &profile["green_min_threshold"],
            &profile["green_drop_probability"]
        ),
        (&json!("150000"), &json!("10"))
    );
    assert_eq!(rig.plan(WANTED).unwrap().steps, []);

    // What somebody else set since stays: a rollback would have undone it.
    rig.played.0.borrow_mut().config["DEVICE_METADATA"]["localhost"]["hostname"] = json!("leaf3");
    assert_eq!(rig.restore(), [ReturnState::Restored]);
    let mut expected = before;
    expected["DEVICE_METADATA"]["localhost"]["hostname"] = json!("leaf3");
    assert_eq!(rig.played.config(), expected);
    assert_eq!(rig.checkpoints(), 0);
}

#[test]
fn who_is_not_let_in_is_told_why() {
    for (fault, expected) in [
        (
            Fault::Stranger,
            "does not let this user in: admin@leaf2: Permission denied",
        ),
        (Fault::OtherKey, "cannot prove that it is the switch"),
        (
            Fault::Nobody,
            "cannot be reached: ssh: connect to host leaf2",
        ),
        (Fault::NoRoot, "log in as one who may `sudo`"),
        (Fault::NoSonic, "`sonic-cfggen` is not there"),
    ] {
        let told = Rig::new(fault).plan(WANTED).unwrap_err().to_string();
        assert!(
            told.starts_with("switch leaf2 (admin@leaf2): ") && told.contains(expected),
            "{told}"
        );
    }
}

#[test]
fn profiles_that_are_not_there_or_do_not_mark_are_told() {
    let rig = Rig::new(Fault::None);
    let with = |name: &str| {
        rig.plan(&WANTED.replace("AZURE_LOSSLESS", name))
            .unwrap_err()
            .to_string()
    };
    let told = with("OTHER");
    assert!(
        told.contains("there are: AZURE_LOSSLESS, AZURE_LOSSY"),
        "{told}"
    );
    assert!(with("AZURE_LOSSY").contains("does not mark, it drops (`ecn` is ecn_none)"));
    // A switch without the table.
    rig.played
        .0
        .borrow_mut()
        .config
        .as_object_mut()
        .unwrap()
        .remove("WRED_PROFILE");
    assert!(with("OTHER").contains("there are: none"));
}

/// Such as a field that this kind of switch does not let be changed.
#[test]
fn what_the_switch_refuses_is_not_begun() {
    let rig = Rig::new(Fault::None);
    let before = rig.played.config();
    let sonic = Sonic::new(rig.played.clone(), BRIEF);
    for (path, value) in [
        ("/WRED_PROFILE/AZURE_LOSSY/green_min_threshold", json!("2")),
        (
            "/WRED_PROFILE/AZURE_LOSSLESS/green_min_threshold",
            json!("2001"),
        ),
        ("/NO_TABLE/a/b", json!("1")),
        ("/WRED_PROFILE/AZURE_LOSSLESS/ecn", Value::Null),
    ] {
        let config = Config::from([(path.to_owned(), value)]);
        let told = sonic.set(&config, &mut |_| {}).unwrap_err();
        assert!(matches!(told, SonicError::Refused { .. }), "{path}: {told}");
        assert!(told.to_string().contains("Error: "), "{told}");
    }
    assert_eq!(rig.played.config(), before);
    let commands = rig.commands();
    assert!(
        commands
            .iter()
            .all(|command| command == "read" || command == "dry run"),
        "{commands:?}"
    );
}

#[test]
fn nothing_is_tried_without_a_checkpoint() {
    let rig = Rig::new(Fault::NoCheckpoint);
    let before = rig.played.config();
    let told = stopped(rig.apply(&rig.plan(WANTED).unwrap()));
    assert!(
        told.contains("No space left on device; nothing is set"),
        "{told}"
    );
    assert_eq!(rig.played.config(), before);
}

#[test]
fn a_patch_that_fails_half_way_is_taken_back() {
    let rig = Rig::new(Fault::HalfWay);
    let before = rig.played.config();
    let told = stopped(rig.apply(&rig.plan(WANTED).unwrap()));
    assert!(
        told.contains("still some parts not updated; it was taken back"),
        "{told}"
    );
    assert_eq!((rig.played.config(), rig.checkpoints()), (before, 0));
    assert_eq!(rig.restore(), [ReturnState::ThereAlready]);
}

#[test]
fn what_cannot_be_taken_back_or_was_not_seen_to_end_is_told_and_restored() {
    for (fault, expected) in [
        (Fault::HalfWayForGood, "so did taking it back: "),
        (
            Fault::Lost,
            "Broken pipe; some of it may be set, or be about to be",
        ),
    ] {
        let rig = Rig::new(fault);
        let before = rig.played.config();
        let told = stopped(rig.apply(&rig.plan(WANTED).unwrap()));
        assert!(
            told.contains(expected) && told.contains("its checkpoint longhaul-"),
            "{told}"
        );
        assert_ne!(rig.played.config(), before);
        // Nobody knows whether the switch is still at it.
        let rolled_back = rig.commands().iter().any(|command| command == "rollback");
        assert_eq!(rolled_back, fault == Fault::HalfWayForGood);
        let log = fs::read_to_string(rig.folder.path().join("open.jsonl")).unwrap();
        assert!(
            log.contains("checkpoint longhaul-") && log.contains("of admin@leaf2"),
            "{log}"
        );
        rig.set(Fault::None);
        assert_eq!(rig.restore(), [ReturnState::Restored]);
        assert_eq!(rig.played.config(), before);
    }
}

#[test]
fn a_patch_that_says_well_done_and_is_not_there_is_found_out() {
    let rig = Rig::new(Fault::Forgets);
    let applied = rig.apply(&rig.plan(WANTED).unwrap());
    assert!(
        matches!(applied.stopped, Some(Stopped::NotKept { .. })),
        "{applied:?}"
    );
}

/// Before any command, or in the middle of a patch.
#[test]
fn a_crash_anywhere_is_put_back() {
    let commands = 7;
    for crash_before in 0..=commands {
        let rig = Rig::new(Fault::None);
        let before = rig.played.config();
        let plan = rig.plan(WANTED).unwrap();
        rig.commands();
        rig.played.0.borrow_mut().crash_before = Some(crash_before);
        let ended = catch_unwind(AssertUnwindSafe(|| rig.apply(&plan)));
        assert_eq!(ended.is_ok(), crash_before == commands, "{crash_before}");
        rig.played.0.borrow_mut().crash_before = None;
        rig.restore();
        assert_eq!(rig.played.config(), before, "ended before {crash_before}");
    }
}

/// A shell has to take it as it is meant: the patch in a file that only this user may read, and that is gone afterwards.
#[test]
fn a_patch_is_a_file_for_as_long_as_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let program = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("sudo", "[ \"$1\" = -n ] || exit 9; shift; exec \"$@\"");
    program(
        "config",
        "echo \"$1 $3 $(stat -c %a \"$2\")\"; cat \"$2\"; exit 7",
    );
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let path = std::env::var("PATH").unwrap();
    for (command, expected) in [
        (PATCH.to_owned(), "apply-patch  600\n[1]"),
        (
            format!("{PATCH}{DRY_RUN}"),
            "apply-patch --dry-run 600\n[1]",
        ),
    ] {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command])
            .env("PATH", format!("{}:{path}", folder.path().display()));
        shell
            .env("TMPDIR", &temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"[1]").unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stdout), expected);
        assert_eq!(ended.status.code(), Some(7));
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    }
}
