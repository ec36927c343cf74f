//! A small run for this crate's tests.

use std::collections::BTreeMap;

use longhaul_reports::result::{
    Computing, Environment, FidelitySection, LabKernel, LabKind, Machine, Outcome, Placement,
    Point, RunResult, SCHEMA_VERSION, Summary, Workload,
};

/// A run of one stack and one size whose repeats took these milliseconds.
pub(crate) fn run(lab: LabKind, times_ms: &[f64]) -> RunResult {
    let is_virtual = lab == LabKind::Virtual;
    RunResult {
        schema_version: SCHEMA_VERSION,
        longhaul_version: "0.1.0".to_owned(),
        name: "example".to_owned(),
        description: String::new(),
        run_details: None,
        outcome: Outcome::Finished,
        seed: 1,
        experiment: serde_json::json!({"name": "example", "repeats": times_ms.len()}),
        environment: Environment {
            lab,
            computing: if is_virtual {
                Computing::Free
            } else {
                Computing::Real
            },
            lab_kernel: is_virtual.then(|| LabKernel {
                version: "6.12.94".to_owned(),
                key: "3f2a9c".to_owned(),
            }),
            links: "netem".to_owned(),
            privilege: "root".to_owned(),
            machine: Machine::default(),
            programs: BTreeMap::new(),
            hosts: BTreeMap::new(),
        },
        part: None,
        points: times_ms
            .iter()
            .enumerate()
            .map(|(repeat, &time_ms)| point(repeat, time_ms * 1e3))
            .collect(),
    }
}

fn point(repeat: usize, time_us: f64) -> Point {
    let (size_bytes, busbw) = (1 << 20, f64::from(1 << 20) / time_us / 1e3);
    Point {
        index: repeat,
        stack: "cubic".to_owned(),
        settings: BTreeMap::new(),
        repeat,
        began_s: 0.0,
        ended_s: 1.0,
        schedule_began_s: None,
        fidelity: FidelitySection {
            faithful: true,
            ..FidelitySection::default()
        },
        workload: Workload::Command {
            command: vec!["true".to_owned()],
        },
        bound: None,
        samples: Vec::new(),
        summaries: vec![Summary {
            size_bytes,
            count: size_bytes / 4,
            placement: Placement::InPlace,
            iterations: 5,
            time_us,
            algbw_gbps: busbw,
            busbw_gbps: busbw,
            p50_us: time_us,
            p95_us: time_us,
            p99_us: time_us,
            stdev_us: 0.0,
            wrong: 0,
            bound_share: None,
        }],
        delays: Vec::new(),
        channels: Vec::new(),
        timeline: Vec::new(),
        flows: Vec::new(),
        shares: Vec::new(),
        nics: Vec::new(),
        captures: Vec::new(),
        commands: Vec::new(),
        measures: Vec::new(),
    }
}
