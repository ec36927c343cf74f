//! From the file format to the model: every check of meaning.

mod channel;
mod link;
mod loss;
mod queue;
mod schedule;
mod site;
mod traces;

use std::path::Path;

use petgraph::unionfind::UnionFind;
use serde_json::Value;

use crate::document::{Document, DocumentPath, InputError};
use crate::model::{Link, Topology};
use crate::spec::TopologySpec;

/// The address plan's room: 10.s.0.0/16 for site `s`, from 1, with its last addresses spare.
const MOST_SITES: usize = 250;
/// The address plan's room: a /31 for each lane out of 172.16.0.0/12.
const MOST_LANES: usize = 1 << 19;
const DEFAULT_MTU: u32 = 1500;
/// Below it a link carries no IPv6 (RFC 8200, section 5), which every lab has.
const LEAST_MTU: u32 = 1280;
/// The usual jumbo frame.
const MOST_MTU: u32 = 9000;
const LONGEST_NAME: usize = 60;

/// Reads and checks the topology that `document` describes.
///
/// # Errors
/// The first thing that is wrong, with its place and what would be right.
pub fn topology(document: &Document) -> Result<Topology, InputError> {
    of_spec(document, document.parse()?)
}

/// Checks a topology that was written out in full, however long that is (files have limits). There are no lines for errors to point at
/// but the name of the whole.
///
/// # Errors
/// The first thing that is wrong.
pub fn written_out(name: &str, spec: TopologySpec) -> Result<Topology, InputError> {
    of_spec(&Document::from_value(name, Value::Null), spec)
}

/// The same for what `document` came down to, whose sites and links stand in it where a topology's would.
pub(crate) fn of_spec(document: &Document, spec: TopologySpec) -> Result<Topology, InputError> {
    let root = DocumentPath::root();
    let mtu = mtu(document, spec.mtu)?;
    let sites = site::sites(document, &spec)?;
    let links = link::links(document, &spec, &sites, mtu)?;
    let topology = Topology {
        name: name(document, spec.name.as_deref())?,
        description: spec.description.unwrap_or_default(),
        sites,
        links,
        mtu,
    };
    let groups = groups(&topology);
    if let [_, second, ..] = &groups[..] {
        let list: Vec<String> = groups.iter().map(|group| group.join(", ")).collect();
        let place = topology
            .sites
            .iter()
            .position(|site| site.name == second[0]);
        let path = place.map_or(root.clone(), |index| root.key("sites").index(index));
        return Err(document
            .error(
                &path,
                format!("no links join these groups of sites: {}", list.join(" | ")),
            )
            .with_help(format!(
                "add a link such as `between: [{}, {}]`",
                groups[0][0], second[0]
            )));
    }
    Ok(topology)
}

fn mtu(document: &Document, mtu: Option<u32>) -> Result<u32, InputError> {
    let mtu = mtu.unwrap_or(DEFAULT_MTU);
    let path = DocumentPath::root().key("mtu");
    match mtu {
        ..LEAST_MTU => Err(document
            .error(&path, format!("an MTU of {mtu} is too small"))
            .with_help(format!(
                "every lab has IPv6, which needs at least {LEAST_MTU}"
            ))),
        LEAST_MTU..=MOST_MTU => Ok(mtu),
        _ => Err(document.error(
            &path,
            format!("an MTU of {mtu} is too large: at most {MOST_MTU}"),
        )),
    }
}

/// The file's own name for the topology, or the name of the file.
fn name(document: &Document, name: Option<&str>) -> Result<String, InputError> {
    let path = DocumentPath::root().key("name");
    match name {
        Some(name) => match fault_of_name(name, LONGEST_NAME) {
            None => Ok(name.to_owned()),
            Some(fault) => Err(document.error(&path, fault)),
        },
        None => {
            let stem = Path::new(document.name())
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            match fault_of_name(&stem, LONGEST_NAME) {
                None => Ok(stem.into_owned()),
                Some(_) => Err(document
                    .error(&DocumentPath::root(), "the topology has no name")
                    .with_help(
                        "add a line `name: my-topology`: the file's own name cannot be one",
                    )),
            }
        }
    }
}

/// What is wrong with `name` as part of a host name (RFC 952, lower case), if anything.
pub(crate) fn fault_of_name(name: &str, longest: usize) -> Option<String> {
    fault_in_name(name, longest).map(|fault| format!("the name `{}` {fault}", name.escape_debug()))
}

/// The same without the name: `is empty`.
pub fn fault_in_name(name: &str, longest: usize) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    Some(if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > longest {
        format!("is longer than {longest} characters")
    } else if let Some(wrong) = name.chars().find(|&c| !allowed(c)) {
        format!(
            "has `{}` in it: write lower-case letters, digits and dashes",
            wrong.escape_debug()
        )
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "does not begin with a letter".to_owned()
    } else if name.ends_with('-') {
        "ends in a dash".to_owned()
    } else {
        return None;
    })
}

/// The names of the sites, those that links join together in one group, in the file's order.
fn groups(topology: &Topology) -> Vec<Vec<&str>> {
    let mut union = UnionFind::new(topology.sites.len());
    for Link { a, b, .. } in &topology.links {
        union.union(a.0, b.0);
    }
    let labels = union.into_labeling();
    let mut first_of_group: Vec<usize> = Vec::new();
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for (site, label) in topology.sites.iter().zip(labels) {
        match first_of_group.iter().position(|&known| known == label) {
            Some(group) => groups[group].push(&site.name),
            None => {
                first_of_group.push(label);
                groups.push(vec![&site.name]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests;
