//! clabernetes' `Topology` (containerlab.dev/manual/clabernetes/configuration): containerlab's own file inside a custom resource.

use super::containerlab::quoted;
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
        quoted(&topology.name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, validate};

    #[test]
    fn a_name_that_yaml_has_another_meaning_for_stays_a_text() {
        for name in ["on", "null", "true", "y", "e1"] {
            let text = format!("{{name: \"{name}\", sites: [{{name: \"{name}\"}}]}}");
            let document = Document::from_text("lab", &text).unwrap();
            let topology = validate::topology(&document).unwrap();
            let layout = Layout {
                nodes: Vec::new(),
                wires: Vec::new(),
            };
            let written = super::text(&topology, &layout, "image");
            let metadata = format!("metadata:\n  name: \"{name}\"\n");
            assert!(written.contains(&metadata), "{written}");
        }
    }
}
