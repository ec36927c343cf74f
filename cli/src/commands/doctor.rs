//! `doctor`: what this machine can do, what is missing and how to get it.

use std::fmt::Write;

use longhaul_emulator::capability::{self, Capability, State};
use longhaul_emulator::sandbox::{self, Privilege};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Looks at the machine from outside, then tries out inside a sandbox what can only be tried.
pub fn run(output: Output) -> Result<Exit, Failure> {
    let privilege = Privilege::of_this_process();
    let mut capabilities = capability::host_capabilities();
    let entered = sandbox::enter();
    capabilities.push(capability::sandbox_capability(entered.as_ref()));
    if entered.is_ok() {
        capabilities.extend(capability::lab_capabilities(privilege));
    }
    if privilege == Privilege::Root {
        capabilities = capabilities.into_iter().map(Capability::for_root).collect();
    }
    let labs = entered.is_ok() && sandbox::has_own_proc();
    output.either(
        &json!({ "labs": labs, "capabilities": capabilities }),
        || describe(&capabilities, labs),
    );
    Ok(if labs { Exit::Fine } else { Exit::Lacking })
}

fn describe(capabilities: &[Capability], labs: bool) -> String {
    let mut text = String::new();
    let width = capabilities
        .iter()
        .map(|capability| capability.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut line = |mark: &str, name: &str, rest: &str| {
        let _ = writeln!(text, "{mark} {name:width$}  {rest}");
    };
    for Capability {
        name,
        state,
        needed_for,
    } in capabilities
    {
        match state {
            State::Present(detail) => line("✓", name, detail),
            State::Unknown(reason) => line("?", name, &format!("cannot tell: {reason}")),
            State::Missing { reason, remedy } => {
                line(
                    "✗",
                    name,
                    &format!("{reason}; it is needed for {needed_for}"),
                );
                for remedy in remedy.iter().flat_map(|remedy| remedy.lines()) {
                    line(" ", "", &format!("  {remedy}"));
                }
            }
        }
    }
    text.push_str(if labs {
        "\nlabs work here: try `longhaul run quickstart`"
    } else {
        "\nlabs do not work here yet: see `labs` above"
    });
    text
}
