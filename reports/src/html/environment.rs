//! Where it ran, and how to repeat it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::format::{bytes, rate, time};
use crate::html::table;
use crate::result::{HostMachine, Machine, RunResult};

/// The machine, the lab, the clock and a physical lab's machines, as far as the result tells.
pub(super) fn section(result: &RunResult) -> Option<Markup> {
    let environment = &result.environment;
    let mut facts: Vec<(&str, String)> = vec![
        ("privilege", environment.privilege.clone()),
        ("links carried by", environment.links.clone()),
    ];
    if let Some(kernel) = &environment.lab_kernel {
        facts.push(("lab kernel", format!("{} ({})", kernel.version, kernel.key)));
    }
    let outside = result
        .run_details
        .as_ref()
        .and_then(|details| details.virtual_lab.as_ref());
    if let Some(lab) = outside {
        facts.extend(machine(&lab.machine));
        facts.push(("virtual time", time(lab.virtual_seconds * 1e6)));
        facts.push((
            "virtual seconds per wall second",
            format!("{:.2}", lab.virtual_seconds_per_wall_second),
        ));
        facts.push(("most memory", bytes(lab.peak_memory_bytes as f64)));
    } else {
        facts.extend(machine(&environment.machine));
    }
    let programs = environment.programs.iter();
    let programs: Vec<String> = programs
        .map(|(name, version)| format!("{name}: {version}"))
        .collect();
    facts.push(("programs", programs.join(" · ")));
    if let Some(details) = &result.run_details {
        facts.push(("started", to_the_second(&details.started)));
        if let Some(finished) = &details.finished {
            facts.push(("finished", to_the_second(finished)));
        }
    }
    facts.push((
        "schema of the result",
        format!("version {}", result.schema_version),
    ));
    facts.retain(|fact| !fact.1.is_empty());
    Some(html! {
        dl.facts { @for (term, fact) in &facts { div { dt { (term) } dd { (fact) } } } }
        @if !environment.hosts.is_empty() {
            h3 { "The lab's machines" }
            (hosts(&environment.hosts))
            p.muted { "Kernel, CPUs and memory above are those of the machine that the run was started on." }
        }
    })
}

/// A moment (RFC 3339, UTC) without its fraction, which the result has.
fn to_the_second(moment: &str) -> String {
    let seconds = moment.get(..19).unwrap_or(moment);
    format!("{} UTC", seconds.replace('T', " "))
}

/// A line for each machine of a physical lab.
fn hosts(hosts: &BTreeMap<String, HostMachine>) -> Markup {
    let row = |(name, host): (&String, &HostMachine)| {
        let interface = &host.interface;
        let told = |value: Option<String>| value.unwrap_or_default();
        let facts = machine(&host.machine).into_iter().map(|(_, fact)| fact);
        let of_interface = [
            interface.name.clone(),
            told(interface.driver.clone()),
            told(interface.speed_mbits.map(|speed| rate(speed as f64 * 1e6))),
            told(interface.mtu.map(|mtu| mtu.to_string())),
            interface
                .clock
                .clone()
                .unwrap_or_else(|| "kernel".to_owned()),
        ];
        std::iter::once(name.clone())
            .chain(facts)
            .chain(of_interface)
            .map(|cell| html! { (cell) })
            .collect()
    };
    let head = [
        "host",
        "kernel",
        "distribution",
        "CPUs",
        "memory",
        "interface",
        "driver",
        "speed",
        "MTU",
        "probes' clock",
    ];
    let rows: Vec<Vec<Markup>> = hosts.iter().map(row).collect();
    table(&head, &rows, usize::MAX)
}

fn machine(machine: &Machine) -> Vec<(&'static str, String)> {
    let count = match machine.cpus {
        0 => String::new(),
        cpus => format!("{cpus} × {}", machine.cpu),
    };
    let memory = match machine.memory_bytes {
        0 => String::new(),
        memory => bytes(memory as f64),
    };
    vec![
        (
            "kernel",
            format!("{} {}", machine.kernel, machine.architecture),
        ),
        ("distribution", machine.distribution.clone()),
        ("CPUs", count),
        ("memory", memory),
    ]
}

/// The command, and the experiment in full.
pub(super) fn again(result: &RunResult) -> Option<Markup> {
    let experiment = serde_json::to_string_pretty(&result.experiment).unwrap_or_default();
    Some(html! {
        @match &result.run_details {
            Some(details) => {
                pre.command tabindex="0" { code { (details.command) } }
                p.muted { "as it was typed, with longhaul " (result.longhaul_version) " and seed " (result.seed) }
            }
            None => p.muted { "The result does not tell its command: it is known only outside the virtual lab." },
        }
        @if !result.experiment.is_null() {
            details {
                summary { "The experiment with every default" }
                pre tabindex="0" { code { (experiment) } }
            }
        }
    })
}
