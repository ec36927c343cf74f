//! A topology definition of containerlab's (containerlab.dev/manual/topo-def-file).
//!
//! Nodes are of its kind `linux` and have no management network: that would be a second way between all of them. Its links know no
//! impairments, so those are `tc` commands that run in the gateways, as addresses and routes are `ip` commands.

use std::fmt::Write as _;

use super::{Layout, left_out};
use crate::Topology;

/// The whole file.
pub(super) fn text(topology: &Topology, layout: &Layout, image: &str) -> String {
    let mut text = head(topology);
    write(&mut text, topology, layout, image).expect("a String takes all");
    text
}

/// What a reader should know of the file, as comments.
fn head(topology: &Topology) -> String {
    // A description may have lines of its own, which would be no comment any more.
    let description: Vec<&str> = topology.description.split_whitespace().collect();
    let mut text = format!(
        "# {}: {}\n\
         # Written by `longhaul topologies export`. The image needs iproute2 and sysctl; the kernel needs sch_netem and sch_tbf.\n",
        topology.name,
        description.join(" ")
    );
    for left_out in left_out(topology) {
        text.push_str(&format!("# Not carried over: {left_out}\n"));
    }
    text
}

fn write(text: &mut String, topology: &Topology, layout: &Layout, image: &str) -> std::fmt::Result {
    writeln!(text, "name: {}", quoted(&topology.name))?;
    writeln!(text, "topology:\n  defaults:\n    kind: linux")?;
    writeln!(text, "    image: {}\n    network-mode: none", quoted(image))?;
    writeln!(text, "  nodes:")?;
    for node in &layout.nodes {
        writeln!(text, "    {}:\n      exec:", quoted(&node.name))?;
        for command in &node.commands {
            writeln!(text, "        - {}", quoted(command))?;
        }
    }
    writeln!(text, "  links:")?;
    for ends in &layout.wires {
        let [a, b] = ends
            .each_ref()
            .map(|end| quoted(&format!("{}:{}", end.node, end.interface)));
        writeln!(text, "    - endpoints: [{a}, {b}]")?;
    }
    Ok(())
}

/// As a double-quoted scalar of YAML, of which JSON's strings are a subset.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
