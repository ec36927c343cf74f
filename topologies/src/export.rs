//! A topology for another engine: the same sites and links where a lab outgrows one machine. Pure: text comes out.
//!
//! - [`egress`]: what a direction of a lane is to `tc`.
//! - `containerlab`: a topology definition of containerlab's; through it, `kubernetes`: clabernetes' custom resource around that.
//! - [`left_out`]: what does not come along, in words.
//!
//! Nodes, addresses and routes are the lab plan's, which lies above this crate: it hands over a [`Layout`].

mod containerlab;
pub mod egress;
mod kubernetes;
mod left_out;

use crate::Topology;

pub use left_out::left_out;

/// An engine that takes topologies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A topology definition of containerlab's.
    Containerlab,
    /// A custom resource of clabernetes', which runs containerlab's topologies on Kubernetes.
    Kubernetes,
}

/// The nodes of a topology and the wires between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Hosts and gateways.
    pub nodes: Vec<Node>,
    /// Point-to-point links: hosts' ports and lanes.
    pub wires: Vec<[End; 2]>,
}

/// A container to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, which is its host name, too.
    pub name: String,
    /// What is run in it once it is wired, in this order. Each is one program with its arguments, which are quoted where a shell
    /// would need it; no shell sees them.
    pub commands: Vec<String>,
}

/// One end of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The node's name.
    pub node: String,
    /// The interface inside it.
    pub interface: String,
}

impl Format {
    /// Every format and its name.
    pub const ALL: [(&str, Self); 2] = [
        ("containerlab", Format::Containerlab),
        ("kubernetes", Format::Kubernetes),
    ];

    /// `topology`, laid out as `layout`, every node a container of `image`.
    pub fn text(self, topology: &Topology, layout: &Layout, image: &str) -> String {
        match self {
            Format::Containerlab => containerlab::text(topology, layout, image),
            Format::Kubernetes => kubernetes::text(topology, layout, image),
        }
    }
}
