//! `hardware controllers`: the congestion controls in NICs' firmware, and what their parameters are and may be.

use std::time::Duration;

use longhaul_emulator::hardware::controller::{Controller, Parameter, called};
use longhaul_emulator::hardware::inventory::Nic;
use longhaul_emulator::hardware::machine::Machine;
use longhaul_emulator::hardware::place::{Access, AccessError, Place, Value};
use serde::Serialize;
use serde_json::json;

use super::{meant, tree};
use crate::args::HardwareControllersArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::Output;

/// The driver of the NICs that have any.
const DRIVER: &str = "mlx5_core";

/// A congestion control as it is now.
#[derive(Debug, Serialize)]
struct Shown {
    nic: String,
    #[serde(flatten)]
    controller: Controller,
    is_enabled: bool,
    parameters: Vec<ShownParameter>,
}

/// A parameter of it as it is now.
#[derive(Debug, Serialize)]
struct ShownParameter {
    #[serde(flatten)]
    parameter: Parameter,
    value: String,
}

/// Shows them.
pub fn run(args: &HardwareControllersArgs, output: Output) -> Result<Exit, Failure> {
    let tree = tree(&args.tree)?;
    let mut nics = meant(&tree, args.nic.as_ref())?;
    // One that is named may have any driver: the tool knows best.
    nics.retain(|nic| args.nic.is_some() || nic.driver.as_deref() == Some(DRIVER));
    // Nothing is applied, so nothing is waited for.
    let mut machine = Machine::new(tree, Duration::ZERO);
    let mut all = Vec::new();
    for nic in &nics {
        all.extend(of(nic, &mut machine)?);
    }
    output.either(&json!({ "controllers": all }), || match nics.is_empty() {
        true => format!("no NIC here has NVIDIA's driver, {DRIVER}"),
        false => table(&all, output.width()),
    });
    Ok(Exit::Fine)
}

fn of(nic: &Nic, machine: &mut Machine) -> Result<Vec<Shown>, Failure> {
    let name = nic.names().next().unwrap_or_default().to_owned();
    let Some(pci) = &nic.pci else {
        let message = format!("{name} has no PCI address, by which its firmware is asked");
        return Err(Failure::new_usage(&message));
    };
    let controllers = machine.controllers(pci)?;
    let all = controllers.into_iter().map(|controller| {
        let slot = controller.slot;
        let parameters = machine.parameters(pci, slot)?.into_iter();
        let parameters = parameters.map(|parameter| {
            let place = Place::ControllerParameter {
                pci: pci.clone(),
                slot,
                index: parameter.index,
            };
            let value = machine.read(&place)?.to_string();
            Ok(ShownParameter { parameter, value })
        });
        let parameters = parameters.collect::<Result<_, AccessError>>()?;
        let state = Place::Controller {
            pci: pci.clone(),
            slot,
        };
        Ok(Shown {
            nic: name.clone(),
            controller,
            is_enabled: machine.read(&state)? != Value::Text("0".to_owned()),
            parameters,
        })
    });
    Ok(all.collect::<Result<_, AccessError>>()?)
}

fn table(all: &[Shown], width: usize) -> String {
    if all.is_empty() {
        return "the firmware has no congestion controls that can be chosen".to_owned();
    }
    let mut table = Listing::new(&["NIC", "controller", "parameter", "is", "default", "takes"]);
    for shown in all {
        let Controller { slot, name, .. } = &shown.controller;
        let controller = called(u16::from(*slot), name.as_deref());
        let state = match shown.is_enabled {
            true => "enabled",
            false => "disabled",
        };
        let dash = || "-".to_owned();
        table.row([
            shown.nic.clone(),
            controller.clone(),
            dash(),
            state.to_owned(),
            dash(),
            "enabled, disabled".to_owned(),
        ]);
        for ShownParameter { parameter, value } in &shown.parameters {
            table.row([
                shown.nic.clone(),
                controller.clone(),
                called(parameter.index, parameter.name.as_deref()),
                value.clone(),
                parameter.default.to_string(),
                match parameter.is_writable {
                    true => format!("{} to {}", parameter.least, parameter.most),
                    false => "only read".to_owned(),
                },
            ]);
        }
    }
    table.render(3..5, width)
}
