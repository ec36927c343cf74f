//! `hardware list`: which NICs there are.

use longhaul_emulator::hardware::inventory::{Nic, Way};
use serde_json::json;

use super::{nics, tree};
use crate::args::TreeArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::Output;

/// Lists them.
pub fn run(args: &TreeArgs, output: Output) -> Result<Exit, Failure> {
    let nics = nics(&tree(args)?);
    output.either(&json!({ "nics": nics }), || table(&nics, output.width()));
    Ok(Exit::Fine)
}

fn table(nics: &[Nic], width: usize) -> String {
    if nics.is_empty() {
        return "there are no NICs here: no interface has hardware behind it, and there is no RDMA device".to_owned();
    }
    let mut table = Listing::new(&[
        "RDMA",
        "interface",
        "state",
        "speed",
        "PCI",
        "NUMA",
        "what it is",
    ]);
    for nic in nics {
        table.row(row(nic));
    }
    table.render(3..4, width)
}

fn row(nic: &Nic) -> [String; 7] {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let joined = |texts: Vec<String>| dash((!texts.is_empty()).then(|| texts.join(" ")));
    let ports = || nic.rdma.iter().flat_map(|device| &device.ports);
    let interface = nic.interfaces.first();
    let own: Vec<String> = nic.interfaces.iter().map(|one| one.name.clone()).collect();
    // In brackets: a device in software borrows another NIC's interface.
    let borrowed = || ports().filter_map(|port| Some(format!("({})", port.interface.as_ref()?)));
    let state = interface.and_then(|one| one.state.clone());
    let state = state.or_else(|| Some(ports().next()?.state.as_ref()?.to_lowercase()));
    let speed = interface
        .and_then(|one| one.speed)
        .or_else(|| ports().next()?.rate.filter(|_| interface.is_none()));
    [
        joined(nic.rdma.iter().map(|device| device.name.clone()).collect()),
        joined(match own.is_empty() {
            true => borrowed().collect(),
            false => own,
        }),
        dash(state),
        dash(speed.map(|speed| speed.to_string())),
        dash(nic.pci.clone()),
        dash(nic.numa_node.map(|node| node.to_string())),
        description(nic),
    ]
}

/// The model, its firmware, its driver, its clock and its nearest GPU.
fn description(nic: &Nic) -> String {
    let mut parts = Vec::new();
    let model = nic.model.clone().unwrap_or_default();
    parts.push(match &nic.vendor {
        Some(vendor) => format!("{vendor} {model}"),
        None => model,
    });
    if let Some(running) = &nic.firmware.running {
        parts.push(match &nic.firmware.waiting {
            Some(waiting) => format!("firmware {running} ({waiting} after a restart)"),
            None => format!("firmware {running}"),
        });
    }
    if let Some(driver) = &nic.driver {
        parts.push(format!("driver {driver}"));
    }
    if let Some(clock) = nic.interfaces.iter().find_map(|one| one.clock.as_ref()) {
        parts.push(format!("stamps packets by {clock}"));
    }
    if let Some(nearest) = nic.gpus.first() {
        let way = match nearest.way {
            Way::Switch => "behind the same PCI switch",
            Way::Root => "behind the same PCI root",
            Way::Node => "at the same NUMA node",
            Way::System => "across the system",
        };
        parts.push(format!("GPU {} {way}", nearest.gpu));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}
