//! Plan, apply and restore on a ConnectX-7 in files, with what its driver does beside.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use longhaul_topologies::Document;
use longhaul_topologies::hardware::{self, Login, Parameter, Settings, Timestamps};
use longhaul_topologies::units::ByteSize;
use proptest::prelude::*;

use super::apply::{StepState, Stopped, apply};
use super::controller::{Controller, Parameter as FirmwareParameter};
use super::firmware::Boot;
use super::fixture;
use super::inventory::inventory;
use super::journal::{Journal, JournalError};
use super::machine::Machine;
use super::place::{Access, AccessError, NONE, Place, UNSET, Value};
use super::plan::{Plan, PlanError, Risk, plan};
use super::restore::{Over, Return, ReturnState, look, restore};
use super::tree::Tree;

const CONNECTX7: &str = include_str!("fixtures/connectx7.tree");
const CC: &str = "/sys/kernel/debug/mlx5/0000:19:00.0/cc_params";

/// Everything that a NIC can be set to, all different from what it is.
const EVERYTHING: &str = "
nics:
  - name: mlx5_0
    roce: v1
    type_of_service: 106
    traffic_class: 106
    trust: dscp
    dscp: {26: 5}
    trust_order: [dscp, pcp]
    timestamps: all
    buffers: [{size: 192KiB}, {size: 64KiB, priorities: [3, 5]}]
    pfc: [3, 5]
    ecn: [0, 1, 2, 3, 4, 5, 6]
    congestion: {rp_time_reset: 1ms, rp_ai_rate: 50Mbit, np_cnp_prio: 6, rtt_resp_dscp: 46, np_cnp_dscp: 46}
    retransmission: {adaptive: enabled, slow_restart: disabled}
    firmware: {legacy_dcqcn: enabled, adaptive_routing: enabled}
    controllers: {ZTR_RTTCC: {state: enabled, parameters: {alpha: 6553, 2: 1}}}
";

/// One setting of each kind of place.
const SOME: &str = "
nics:
  - name: mlx5_0
    traffic_class: 106
    trust: dscp
    trust_order: [dscp]
    timestamps: all
    buffers: [{size: 256KiB}]
    pfc: [3]
    congestion: {np_cnp_prio: 6}
    retransmission: {adaptive: enabled}
    controllers: {0: {state: enabled}}
";

/// A machine in files, and what lies on no file: PFC and a register.
struct Rig {
    folder: tempfile::TempDir,
    /// What netlink and the vendor's tool would show.
    beside: BTreeMap<String, String>,
    /// What the firmware runs with, if that is not what it will.
    running: Option<String>,
}

/// What ends `apply` as a power cut would.
struct Crash;

/// The rig's NICs as the driver has them: some writes change more than they say.
struct Driver<'a> {
    rig: &'a mut Rig,
    machine: Machine,
    /// How many reads and writes there were.
    calls: usize,
    /// Before which of them all ends.
    crash_before: Option<usize>,
    /// From which of them on the disk is full.
    full_from: Option<usize>,
    /// A place that takes writes and keeps its value.
    deaf: Option<&'static str>,
    /// A place that cannot be read the first time.
    dark: Option<&'static str>,
}

impl Rig {
    fn new() -> Self {
        // In memory where there is such a folder: every line of a journal waits for the disk.
        let memory = Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir());
        let folder = tempfile::tempdir_in(memory.unwrap_or_else(std::env::temp_dir)).unwrap();
        fixture::lay(&folder.path().join("root"), CONNECTX7);
        Rig {
            folder,
            beside: BTreeMap::new(),
            running: None,
        }
    }

    fn tree(&self) -> Tree {
        Tree::at(&self.folder.path().join("root"))
    }

    fn journals(&self) -> PathBuf {
        self.folder.path().join("journals")
    }

    fn driver(&mut self) -> Driver<'_> {
        Driver {
            machine: Machine::new(self.tree(), Duration::from_secs(1)),
            rig: self,
            calls: 0,
            crash_before: None,
            full_from: None,
            deaf: None,
            dark: None,
        }
    }

    fn plan(&mut self, settings: &Settings) -> Plan {
        let nics = inventory(&self.tree());
        plan(settings, &nics, &mut self.driver()).unwrap()
    }

    /// That everything is as it was `before`; if not, only what differs is shown.
    #[track_caller]
    fn is_as(&self, before: &BTreeMap<String, String>, when: &str) {
        let now = self.state();
        let differs = |(path, text): &(&String, &String)| before.get(*path) != Some(*text);
        let differing: Vec<_> = now.iter().filter(differs).collect();
        assert!(
            differing.is_empty() && now.len() == before.len(),
            "{when}: {differing:?}"
        );
    }

    /// Every file and its text, and what lies beside.
    fn state(&self) -> BTreeMap<String, String> {
        let mut state = self.beside.clone();
        let mut folders = vec![self.folder.path().join("root")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if entry.file_type().unwrap().is_file() {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    state.insert(entry.path().display().to_string(), text);
                }
            }
        }
        state
    }

    fn apply(&mut self, settings: &Settings) {
        let plan = self.plan(settings);
        let mut journal = Journal::begin(&self.journals()).unwrap();
        let applied = run(&plan, &mut self.driver(), &mut journal);
        assert!(applied.stopped.is_none(), "{:?}", applied.stopped);
    }

    /// Restores as a new process would; whether all is back.
    fn restore(&mut self, over: Over) -> Vec<ReturnState> {
        let (mut journal, writes) = Journal::open(&self.journals()).unwrap().unwrap();
        let (returns, unlogged) = restore(&writes, over, &mut self.driver(), &mut journal);
        assert!(unlogged.is_none(), "{unlogged:?}");
        returns.into_iter().map(|one| one.state).collect()
    }
}

fn run(plan: &Plan, driver: &mut Driver<'_>, journal: &mut Journal) -> super::apply::Applied {
    apply(plan, driver, journal, &AtomicBool::new(false), &mut |_| {})
}

/// What lies on no file.
fn is_beside(place: &Place) -> bool {
    !matches!(
        place,
        Place::Attribute { .. } | Place::TrafficClass { .. } | Place::Switch { .. }
    )
}

impl Driver<'_> {
    fn call(&mut self) {
        if self.crash_before == Some(self.calls) {
            // Without the panic's message.
            resume_unwind(Box::new(Crash));
        }
        if self.full_from == Some(self.calls) {
            fill(&self.rig.journals().join("open.jsonl"));
        }
        self.calls += 1;
    }
}

impl Access for Driver<'_> {
    fn read(&mut self, place: &Place) -> Result<Value, AccessError> {
        self.call();
        let place_name = place.to_string();
        if self
            .dark
            .take_if(|dark| place_name.ends_with(*dark))
            .is_some()
        {
            return Err(AccessError::Failed {
                place: place_name,
                reason: "try again".to_owned(),
            });
        }
        if let (
            Place::Firmware {
                boot: Boot::Last, ..
            },
            Some(running),
        ) = (place, &self.rig.running)
        {
            return Ok(Value::Text(running.clone()));
        }
        match place {
            _ if is_beside(place) => {
                let key = place.to_string();
                let default = match place {
                    Place::Pfc { .. } | Place::Dscp { .. } | Place::TrustOrder { .. } => NONE,
                    Place::Timestamps { .. } => "on ptpv2-event",
                    Place::Buffers { .. } => "192KiB:0,1,2,3,4,5,6,7",
                    _ if key.contains("slow_restart") => "1",
                    _ => "0",
                };
                let value = self.rig.beside.entry(key).or_insert_with(|| default.into());
                Ok(Value::Text(value.clone()))
            }
            _ => self.machine.read(place),
        }
    }

    fn write(
        &mut self,
        place: &Place,
        value: &Value,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), AccessError> {
        self.call();
        let Value::Text(text) = value else {
            panic!("{value}")
        };
        if self
            .deaf
            .is_some_and(|deaf| place.to_string().ends_with(deaf))
        {
            return Ok(());
        }
        match place {
            _ if is_beside(place) => {
                self.rig.beside.insert(place.to_string(), text.clone());
            }
            Place::TrafficClass { path } => {
                let shown = match text.as_str() {
                    UNSET => String::new(),
                    number => format!("Global tclass={number}"),
                };
                self.rig.tree().write(path, &shown).unwrap();
            }
            _ => self.machine.write(place, value, note)?,
        }
        let parameter = Parameter::ALL
            .iter()
            .find(|parameter| place.to_string() == format!("{CC}/{}", parameter.name()));
        if let Some((other, forced)) = parameter.and_then(|parameter| parameter.written_with()) {
            let other = format!("{CC}/{}", other.name());
            self.rig.tree().write(other, &forced.to_string()).unwrap();
        }
        Ok(())
    }

    fn can_stamp(&mut self, interface: &str, _: Timestamps) -> Result<bool, AccessError> {
        Ok(interface == "enp25s0f0np0")
    }

    fn buffers_total(&mut self, _: &str) -> Result<ByteSize, AccessError> {
        Ok(ByteSize::from_bytes(256 << 10))
    }

    fn controllers(&mut self, _: &str) -> Result<Vec<Controller>, AccessError> {
        let named = |slot, name: &str| Controller {
            slot,
            number: 1,
            name: Some(name.to_owned()),
        };
        Ok(vec![named(0, "ZTR_RTTCC"), named(15, "DCQCN")])
    }

    fn parameters(&mut self, _: &str, slot: u8) -> Result<Vec<FirmwareParameter>, AccessError> {
        let named = |index, name: Option<&str>, is_writable| FirmwareParameter {
            index,
            name: name.map(str::to_owned),
            default: 0,
            least: 0,
            most: 65536,
            is_writable,
        };
        Ok(match slot {
            0 => vec![
                named(0, Some("BW_G"), false),
                named(1, Some("ALPHA"), true),
                named(2, None, true),
            ],
            _ => Vec::new(),
        })
    }

    fn effective(&mut self, _: &str, _: &Login) -> Result<serde_json::Value, AccessError> {
        unreachable!("there are only NICs here")
    }
}

fn settings(text: &str) -> Settings {
    hardware::settings(
        &Document::from_text("hardware.yaml", text).unwrap(),
        Path::new(""),
    )
    .unwrap()
}

fn of_nic(text: &str) -> Settings {
    settings(&format!("nics: [{{name: mlx5_0, {text}}}]"))
}

#[test]
fn a_plan_shows_what_differs_and_nothing_else() {
    let mut rig = Rig::new();
    let wanted = of_nic("roce: v2, congestion: {rp_time_reset: 300us, rp_ai_rate: 10Mbit}");
    let plan = rig.plan(&wanted);
    let [step] = &plan.steps[..] else {
        panic!("{plan:#?}")
    };
    let change = &step.changes[0];
    let shown = [&change.setting, &change.old, &change.new];
    assert_eq!(shown, ["congestion.rp_ai_rate", "5Mbit", "10Mbit"]);
    assert_eq!(step.place.how(), "debugfs");
}

#[test]
fn a_plan_writes_nothing() {
    let mut rig = Rig::new();
    let before = rig.state();
    rig.plan(&settings(EVERYTHING));
    let after = rig.state();
    assert!(before.iter().all(|(path, text)| after[path] == *text));
}

#[test]
fn what_a_write_does_beside_is_in_the_plan() {
    let mut rig = Rig::new();
    let plan = rig.plan(&of_nic("congestion: {np_cnp_prio: 6}, pfc: [3]"));
    let shown: Vec<_> = plan
        .steps
        .iter()
        .flat_map(|step| &step.changes)
        .map(|change| format!("{} {} {}", change.setting, change.old, change.new))
        .collect();
    let expected = [
        "pfc none 3",
        "congestion.np_cnp_prio 0 6",
        "congestion.np_cnp_prio_mode 1 0",
    ];
    assert_eq!(shown, expected);
    assert_eq!(plan.steps[0].risk, Risk::LinkToggles);
}

#[test]
fn trust_is_shown_as_the_map_that_makes_it() {
    let mut rig = Rig::new();
    let shown = |plan: &Plan| {
        let change = &plan.steps[0].changes[0];
        format!("{} {} {}", change.setting, change.old, change.new)
    };
    let wanted = of_nic("trust: dscp, dscp: {26: 5}");
    let plan = rig.plan(&wanted);
    let expected =
        "trust none 0-7:0,8-15:1,16-23:2,24-25:3,26:5,27-31:3,32-39:4,40-47:5,48-55:6,56-63:7";
    assert_eq!(shown(&plan), expected);
    assert_eq!(plan.steps[0].place.how(), "dcb netlink");
    rig.apply(&wanted);
    assert!(shown(&rig.plan(&of_nic("trust: pcp"))).ends_with(" none"));
}

/// What pauses has its room first; when it is put back, last.
#[test]
fn buffers_are_divided_before_anything_pauses_on_them() {
    let mut rig = Rig::new();
    let wanted = of_nic("pfc: [3], buffers: [{size: 192KiB}, {size: 64KiB, priorities: [3]}]");
    let plan = rig.plan(&wanted);
    let settings: Vec<_> = plan
        .steps
        .iter()
        .map(|step| step.changes[0].clone())
        .collect();
    assert_eq!(settings[0].setting, "buffers");
    assert_eq!(settings[0].old, "192KiB:0,1,2,3,4,5,6,7");
    assert_eq!(settings[0].new, "192KiB:0,1,2,4,5,6,7 64KiB:3");
    assert_eq!(settings[1].setting, "pfc");
    assert_eq!(plan.steps[0].risk, Risk::StaysDivided);
}

#[test]
fn what_is_stamped_is_told_by_ethtools_names_and_what_cannot_be_is_refused() {
    let mut rig = Rig::new();
    let plan_of = rig.plan(&of_nic("timestamps: all"));
    let change = &plan_of.steps[0].changes[0];
    assert_eq!(
        [&change.old, &change.new].map(String::as_str),
        ["on ptpv2-event", "on all"]
    );
    assert_eq!(plan_of.steps[0].place.how(), "SIOCSHWTSTAMP");
    let nics = inventory(&rig.tree());
    let wanted = settings("nics: [{name: mlx5_1, timestamps: all}]");
    let told = plan(&wanted, &nics, &mut rig.driver()).unwrap_err();
    assert_eq!(
        told.to_string(),
        "mlx5_1: its NIC cannot stamp all packets, but perhaps those that it sends (`timestamps: sent`): `ethtool -T enp25s0f1np1` shows which it can"
    );
}

#[test]
fn buffers_that_the_port_has_no_room_for_are_told_before_they_are_sent() {
    let mut rig = Rig::new();
    let nics = inventory(&rig.tree());
    let wanted = of_nic("buffers: [{size: 192KiB}, {size: 65537}]");
    let told = plan(&wanted, &nics, &mut rig.driver()).unwrap_err();
    assert_eq!(
        told.to_string(),
        "mlx5_0: `buffers` are 262145B together, and its port has 256KiB"
    );
}

/// The kernel takes entry by entry: what is there of a map that was cut off goes, too.
#[test]
fn a_map_that_was_cut_off_is_put_back() {
    let mut rig = Rig::new();
    let wanted = of_nic("trust: dscp");
    let plan = rig.plan(&wanted);
    let before = rig.state();
    let folder = rig.journals();
    let mut driver = rig.driver();
    driver.crash_before = Some(2);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut journal = Journal::begin(&folder).unwrap();
        run(&plan, &mut driver, &mut journal).done
    }));
    assert!(ended.is_err());
    let place = plan.steps[0].place.to_string();
    rig.beside.insert(place, "0-7:0,8-11:1".to_owned());
    assert_eq!(rig.restore(Over::Refuse), [ReturnState::Restored]);
    rig.is_as(&before, "cut off");
}

#[test]
fn applied_settings_are_no_longer_in_the_plan_and_come_back() {
    let mut rig = Rig::new();
    rig.plan(&settings(EVERYTHING));
    let before = rig.state();
    rig.apply(&settings(EVERYTHING));
    assert_eq!(rig.plan(&settings(EVERYTHING)).steps, []);
    assert_ne!(rig.state(), before);
    let states = rig.restore(Over::Refuse);
    assert!(
        states.iter().all(|state| *state == ReturnState::Restored),
        "{states:?}"
    );
    rig.is_as(&before, "restored");
    // As often as it takes.
    assert_eq!(rig.restore(Over::Refuse), []);
}

/// Whatever is set and wherever it ends, the journal brings the machine back as it was.
fn comes_back(wanted: &Settings, crash_before: usize) {
    let mut rig = Rig::new();
    let plan = rig.plan(wanted);
    let before = rig.state();
    let folder = rig.journals();
    let mut driver = rig.driver();
    driver.crash_before = Some(crash_before);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut journal = Journal::begin(&folder).unwrap();
        run(&plan, &mut driver, &mut journal).done
    }));
    if let Ok(done) = ended {
        assert_eq!(done, plan.steps.len());
    }
    rig.restore(Over::Refuse);
    rig.is_as(&before, &format!("ended before {crash_before}"));
}

#[test]
fn a_crash_before_any_read_or_write_is_put_back() {
    // Of a step: a look, a write, a look.
    let calls = |wanted| 3 * Rig::new().plan(wanted).steps.len();
    let some = settings(SOME);
    for crash_before in 0..=calls(&some) {
        comes_back(&some, crash_before);
    }
    let everything = settings(EVERYTHING);
    for crash_before in (0..=calls(&everything)).step_by(8) {
        comes_back(&everything, crash_before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_parameters_come_back_after_any_crash(
        chosen in proptest::collection::btree_map(0..Parameter::ALL.len(), any::<u32>(), 1..8),
        crash_before in 0_usize..24,
    ) {
        let all: Vec<String> = chosen
            .into_iter()
            .map(|(index, seed)| (Parameter::ALL[index], seed))
            .filter(|(parameter, _)| !matches!(parameter, Parameter::CnpPriorityMode | Parameter::RttDscpValid))
            .map(|(parameter, seed)| {
                let values = [10, 11, 1, 0, seed];
                let number = values.into_iter().rev().find(|number| parameter.read(&parameter.show(*number)).is_ok());
                format!("{}: {}", parameter.name(), parameter.show(number.unwrap()))
            })
            .collect();
        if !all.is_empty() {
            comes_back(&of_nic(&format!("congestion: {{{}}}", all.join(", "))), crash_before);
        }
    }
}

#[test]
fn a_crash_while_putting_back_is_put_back_by_the_next() {
    let wanted = settings(SOME);
    // Of a step: a look at it all first, then a look, a write, a look, and the same for what is changed along.
    for crash_before in 0..25 {
        let mut rig = Rig::new();
        rig.plan(&wanted);
        let before = rig.state();
        rig.apply(&wanted);
        let folder = rig.journals();
        let mut driver = rig.driver();
        driver.crash_before = Some(crash_before);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let (mut journal, writes) = Journal::open(&folder).unwrap().unwrap();
            restore(&writes, Over::Refuse, &mut driver, &mut journal);
        }));
        rig.restore(Over::Refuse);
        rig.is_as(&before, &format!("ended before {crash_before}"));
    }
}

/// Whatever this process has open as `path` takes no more, as on a full disk.
fn fill(path: &Path) {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let link = entry.unwrap().path();
        if fs::read_link(&link).is_ok_and(|open| open == path) {
            let number = link.file_name().unwrap().to_str().unwrap();
            // SAFETY: the number stays open; what it stands for is the journal's alone, which does nothing but write to it.
            unsafe { libc::dup2(full.as_raw_fd(), number.parse().unwrap()) };
        }
    }
}

#[test]
fn what_was_written_on_a_full_disk_is_known_and_comes_back() {
    let wanted = settings(SOME);
    for full_from in 0..12 {
        let mut rig = Rig::new();
        let plan = rig.plan(&wanted);
        let before = rig.state();
        let mut journal = Journal::begin(&rig.journals()).unwrap();
        let mut driver = rig.driver();
        driver.full_from = Some(full_from);
        let applied = run(&plan, &mut driver, &mut journal);
        drop(journal);
        // Of a step: a look, a write, a look.
        let was_tried = applied.state(full_from / 3) == StepState::Failed;
        assert_eq!(was_tried, !full_from.is_multiple_of(3), "{applied:?}");
        assert_eq!(applied.done, full_from / 3);
        rig.restore(Over::Refuse);
        rig.is_as(&before, &format!("full from {full_from} on"));
    }
}

#[test]
fn a_full_disk_keeps_nothing_from_being_put_back() {
    let wanted = settings(SOME);
    let mut rig = Rig::new();
    rig.plan(&wanted);
    let before = rig.state();
    rig.apply(&wanted);
    let (mut journal, writes) = Journal::open(&rig.journals()).unwrap().unwrap();
    let mut driver = rig.driver();
    driver.full_from = Some(0);
    let (returns, unlogged) = restore(&writes, Over::Refuse, &mut driver, &mut journal);
    assert!(unlogged.unwrap().to_string().contains("No space left"));
    let is_back = |one: &Return| one.state == ReturnState::Restored;
    assert!(returns.iter().all(is_back), "{returns:?}");
    rig.is_as(&before, "with a full disk");
    drop(journal);
    let again = rig.restore(Over::Refuse);
    assert!(
        again
            .iter()
            .all(|state| *state == ReturnState::ThereAlready)
    );
}

#[test]
fn a_line_that_is_cut_off_was_never_acted_on() {
    let mut rig = Rig::new();
    let wanted = of_nic("congestion: {rp_ai_rate: 10Mbit}");
    let before = rig.state();
    rig.apply(&wanted);
    let open = rig.journals().join("open.jsonl");
    let text = fs::read_to_string(&open).unwrap();
    for cut in [0, 1, 20, 40] {
        fs::write(&open, &text[..text.len() - cut]).unwrap();
        rig.restore(Over::Refuse);
        rig.is_as(&before, &format!("{cut} bytes cut off"));
    }
}

#[test]
fn what_does_not_take_stops_the_rest_and_is_told() {
    let mut rig = Rig::new();
    let plan = rig.plan(&of_nic(
        "congestion: {rp_time_reset: 1us, rp_ai_rate: 10Mbit, rp_hai_rate: 60Mbit}",
    ));
    let mut journal = Journal::begin(&rig.journals()).unwrap();
    let mut driver = rig.driver();
    driver.deaf = Some("rp_ai_rate");
    let applied = run(&plan, &mut driver, &mut journal);
    let states: Vec<StepState> = (0..3).map(|index| applied.state(index)).collect();
    assert_eq!(
        states,
        [StepState::Done, StepState::Failed, StepState::NotTried]
    );
    let told = applied.stopped.unwrap().to_string();
    assert!(told.ends_with("rp_ai_rate took 10 and reads 5"), "{told}");
}

#[test]
fn a_setting_that_moved_since_the_plan_is_not_written_over() {
    let mut rig = Rig::new();
    let plan = rig.plan(&of_nic("congestion: {rp_ai_rate: 10Mbit}"));
    rig.tree().write(format!("{CC}/rp_ai_rate"), "7").unwrap();
    let before = rig.state();
    let mut journal = Journal::begin(&rig.journals()).unwrap();
    let applied = run(&plan, &mut rig.driver(), &mut journal);
    assert!(matches!(applied.stopped, Some(Stopped::Moved { .. })));
    assert_eq!(applied.state(0), StepState::NotTried);
    assert_eq!(rig.state(), before);
}

#[test]
fn what_somebody_else_set_since_is_only_written_over_when_asked() {
    let mut rig = Rig::new();
    let before = rig.state();
    rig.apply(&of_nic(
        "congestion: {rp_ai_rate: 10Mbit, rp_hai_rate: 60Mbit}",
    ));
    rig.tree().write(format!("{CC}/rp_ai_rate"), "7").unwrap();
    let moved = rig.state();
    let states = rig.restore(Over::Refuse);
    assert!(states.contains(&ReturnState::Moved), "{states:?}");
    assert_eq!(rig.state(), moved);
    rig.restore(Over::Write);
    assert_eq!(rig.state(), before);
}

#[test]
fn what_somebody_else_set_stays_where_it_could_not_be_read_at_first() {
    let mut rig = Rig::new();
    rig.apply(&of_nic(
        "congestion: {rp_ai_rate: 10Mbit, rp_hai_rate: 60Mbit}",
    ));
    rig.tree().write(format!("{CC}/rp_ai_rate"), "7").unwrap();
    let (mut journal, writes) = Journal::open(&rig.journals()).unwrap().unwrap();
    let mut driver = rig.driver();
    driver.dark = Some("rp_ai_rate");
    let (returns, _) = restore(&writes, Over::Refuse, &mut driver, &mut journal);
    let failed = |one: &&Return| matches!(one.state, ReturnState::Failed(_));
    let failed: Vec<&Return> = returns.iter().filter(failed).collect();
    assert_eq!(failed.len(), 1, "{returns:?}");
    assert_eq!(
        failed[0].state,
        ReturnState::Failed("somebody else has set it since".to_owned())
    );
    let left = rig.tree().read(format!("{CC}/rp_ai_rate")).unwrap();
    assert_eq!(left.trim(), "7");
}

#[test]
fn a_second_apply_is_refused_with_the_way_out() {
    let mut rig = Rig::new();
    rig.apply(&of_nic("congestion: {rp_ai_rate: 10Mbit}"));
    let refused = Journal::begin(&rig.journals()).unwrap_err();
    assert!(matches!(refused, JournalError::Open { .. }));
    let told = refused.to_string();
    assert!(told.contains("hardware restore"), "{told}");
    assert!(Journal::must_be_closed(&rig.journals()).is_err());
}

#[test]
fn two_at_once_are_refused() {
    let mut rig = Rig::new();
    rig.apply(&of_nic("congestion: {rp_ai_rate: 10Mbit}"));
    let _first = Journal::open(&rig.journals()).unwrap().unwrap();
    let second = Journal::open(&rig.journals()).unwrap_err();
    assert!(matches!(second, JournalError::Busy { .. }), "{second}");
}

#[test]
fn a_closed_journal_stays_as_a_log() {
    let mut rig = Rig::new();
    rig.apply(&of_nic("congestion: {rp_ai_rate: 10Mbit}"));
    let (journal, writes) = Journal::open(&rig.journals()).unwrap().unwrap();
    let returns = look(&writes, &mut rig.driver());
    assert_eq!(returns[0].state, ReturnState::ToWrite);
    let log = journal.close().unwrap();
    let text = fs::read_to_string(log).unwrap();
    assert_eq!(text.matches("\"entry\":\"write\"").count(), 1, "{text}");
    assert!(Journal::open(&rig.journals()).unwrap().is_none());
}

#[test]
fn a_line_that_is_none_of_longhauls_is_told_by_its_number_and_the_others_are_put_back() {
    let mut rig = Rig::new();
    let before = rig.state();
    rig.apply(&of_nic("congestion: {rp_ai_rate: 10Mbit}"));
    let path = rig.journals().join("open.jsonl");
    let journal = fs::read_to_string(&path).unwrap();
    let (first, others) = journal.split_once('\n').unwrap();
    fs::write(&path, format!("{first}\n{{\"entry\":\n{others}")).unwrap();
    let (journal, writes) = Journal::open(&rig.journals()).unwrap().unwrap();
    assert_eq!(writes.len(), 1);
    let told = journal.check().unwrap_err().to_string();
    assert!(
        told.contains("open.jsonl:2") && told.contains("--keep"),
        "{told}"
    );
    drop(journal);
    rig.restore(Over::Refuse);
    assert_eq!(rig.state(), before);
}

#[test]
fn what_a_crash_left_behind_the_last_whole_line_keeps_nothing_from_being_put_back() {
    let mut rig = Rig::new();
    let before = rig.state();
    rig.apply(&of_nic("congestion: {rp_ai_rate: 10Mbit}"));
    let path = rig.journals().join("open.jsonl");
    let mut journal = fs::read(&path).unwrap();
    // Blocks that were never written, or are another file's.
    journal.extend([b'{', 0, 0xff, 0xfe]);
    fs::write(&path, journal).unwrap();
    rig.restore(Over::Refuse);
    assert_eq!(rig.state(), before);
}

#[test]
fn an_interrupted_apply_tries_no_more() {
    let mut rig = Rig::new();
    let plan = rig.plan(&settings(EVERYTHING));
    let mut journal = Journal::begin(&rig.journals()).unwrap();
    let stop = AtomicBool::new(false);
    let mut driver = rig.driver();
    let applied = apply(&plan, &mut driver, &mut journal, &stop, &mut |_| {
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(applied.done, 1);
    assert!(matches!(applied.stopped, Some(Stopped::Interrupted)));
}

/// A journal is a file, and a file can say anything.
#[test]
fn only_files_of_the_kernels_are_written() {
    let mut rig = Rig::new();
    rig.tree().write("/sys/kernel/config/x", "").unwrap_err();
    fs::write(rig.tree().below("/secret"), "old").unwrap();
    let mut driver = rig.driver();
    for path in ["/secret", "/sys/../secret", "secret"] {
        let place = Place::Attribute { path: path.into() };
        let written = driver
            .machine
            .write(&place, &Value::Text("new".into()), &mut |_| {});
        let told = written.unwrap_err().to_string();
        assert!(told.contains("no file of the kernel's"), "{told}");
    }
    assert_eq!(rig.tree().text("/secret").as_deref(), Some("old"));
}

/// Each says what brings what is missing.
#[test]
fn what_a_nic_lacks_is_told_with_the_way_out() {
    let rig = Rig::new();
    let nics = inventory(&rig.tree());
    let mut machine = Machine::new(rig.tree(), Duration::from_secs(1));
    for (text, expected) in [
        ("nics: [{name: mlx5_1, traffic_class: 1}]", "DOCA-OFED"),
        ("nics: [{name: mlx5_1, ecn: [3]}]", "DOCA-OFED"),
        ("nics: [{name: mlx5_7, roce: v2}]", "there are: mlx5_0"),
        (
            "nics: [{name: mlx5_0, pfc: [3]}]",
            "copy of a machine's files",
        ),
        (
            "nics: [{name: mlx5_0, buffers: [{size: 1}]}]",
            "buffers of enp25s0f0np0 is not there: a copy of a machine's files",
        ),
        (
            "nics: [{name: mlx5_0, trust_order: []}]",
            "order of trust of enp25s0f0np0 is not there: a copy of a machine's files",
        ),
        (
            "nics: [{name: mlx5_0, timestamps: all}]",
            "stamping of enp25s0f0np0 is not there: a copy of a machine's files",
        ),
        (
            "nics: [{name: mlx5_0}, {name: enp25s0f0np0}]",
            "the same NIC",
        ),
    ] {
        let told = plan(&settings(text), &nics, &mut machine).unwrap_err();
        assert!(told.to_string().contains(expected), "{told}");
    }
    fs::remove_dir_all(rig.tree().below("/sys/kernel/config")).unwrap();
    fs::remove_dir_all(rig.tree().below("/sys/kernel/debug")).unwrap();
    for (text, expected) in [
        ("roce: v2", "mkdir /sys/kernel/config/rdma_cm/mlx5_0)"),
        ("congestion: {np_cnp_dscp: 1}", "mount -t debugfs"),
    ] {
        let told = plan(&of_nic(text), &nics, &mut machine).unwrap_err();
        assert!(told.to_string().contains(expected), "{told}");
    }
}

/// The register ignores in silence what it does not take, so it is not sent.
#[test]
fn what_the_firmware_has_not_or_does_not_take_is_told_before_it_is_sent() {
    let mut rig = Rig::new();
    let nics = inventory(&rig.tree());
    let mut driver = rig.driver();
    for (controllers, expected) in [
        ("SWIFT: {state: enabled}", "ZTR_RTTCC (0), DCQCN (15)"),
        ("1: {state: enabled}", "no congestion control 1"),
        ("0: {parameters: {BETA: 1}}", "BW_G (0), ALPHA (1), 2"),
        ("15: {parameters: {0: 1}}", "it has: none"),
        ("0: {parameters: {BW_G: 1}}", "it can only be read"),
        ("0: {parameters: {ALPHA: 65537}}", "it takes 0 to 65536"),
        ("0: {parameters: {ALPHA: 1, 1: 2}}", "the same parameter"),
        (
            "0: {state: enabled}, ztr_rttcc: {state: disabled}",
            "the same congestion control",
        ),
    ] {
        let wanted = of_nic(&format!("controllers: {{{controllers}}}"));
        let told = plan(&wanted, &nics, &mut driver).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn parameters_are_set_before_the_controller_is_used() {
    let mut rig = Rig::new();
    let plan = rig.plan(&of_nic(
        "controllers: {0: {state: enabled, parameters: {ALPHA: 3}}}",
    ));
    let settings: Vec<_> = plan
        .steps
        .iter()
        .map(|step| step.changes[0].setting.as_str())
        .collect();
    let expected = ["controllers.ZTR_RTTCC.ALPHA", "controllers.ZTR_RTTCC.state"];
    assert_eq!(settings, expected);
}

#[test]
fn what_counts_only_after_a_reset_is_told_until_then() {
    let mut rig = Rig::new();
    let wanted = of_nic("firmware: {programmable_congestion_control: enabled}");
    let planned = rig.plan(&wanted);
    assert_eq!(planned.steps[0].risk, Risk::AtReset);
    assert_eq!(planned.waiting, []);
    let Place::Firmware { pci, name, .. } = planned.steps[0].place.clone() else {
        panic!("{planned:?}")
    };
    rig.apply(&wanted);
    let last = Place::Firmware {
        pci,
        name,
        boot: Boot::Last,
    };
    // What the rig has once holds for both starts.
    rig.running = Some("0".to_owned());
    let planned = rig.plan(&wanted);
    assert_eq!(planned.steps, []);
    let [change] = &planned.waiting[..] else {
        panic!("{planned:?}")
    };
    assert_eq!((change.old.as_str(), change.new.as_str()), ("0", "1"));
    let mut driver = rig.driver();
    let value = Value::Text("1".to_owned());
    let refused = driver.machine.write(&last, &value, &mut |_| {});
    assert!(refused.unwrap_err().to_string().contains("no value of it"));
}

#[test]
fn a_nic_without_the_part_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    fixture::lay(folder.path(), include_str!("fixtures/soft-roce.tree"));
    let tree = Tree::at(Path::new(folder.path()));
    let nics = inventory(&tree);
    let mut machine = Machine::new(tree, Duration::from_secs(1));
    for text in [
        "nics: [{name: rxe0, congestion: {np_cnp_dscp: 1}}]",
        "nics: [{name: eth0, roce: v2}]",
    ] {
        let told = plan(&settings(text), &nics, &mut machine).unwrap_err();
        assert!(matches!(told, PlanError::NoPart { .. }), "{told}");
    }
}
