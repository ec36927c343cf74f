//! clabernetes' `Topology` (containerlab.dev/manual/clabernetes/configuration): containerlab's own file inside a custom resource.

use super::{Layout, containerlab};
use crate::Topology;

/// The whole file. No node is exposed as a service: a lab has no clients outside.
pub(super) fn text(topology: &Topology, layout: &Layout, image: &str) -> String {
    let definition = containerlab::text(topology, layout, image);
    let indented: String = definition
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    format!(
        "apiVersion: clabernetes.containerlab.dev/v1alpha1\n\
         kind: Topology\n\
         metadata:\n  name: {}\n\
         spec:\n  expose:\n    disableExpose: true\n  definition:\n    containerlab: |\n{indented}",
        topology.name
    )
}
