//! Shortest paths between sites.

use crate::model::{LinkId, SiteId, Topology};

/// Next hops from every site to every other: `next_hop[from][to]` is the first link of the path with the
/// least one-way delay (ties: fewest links, then the lowest link index). `None` on the diagonal.
#[derive(Clone, Debug)]
pub struct Routes {
    next_hop: Vec<Vec<Option<LinkId>>>,
}

impl Routes {
    /// Dijkstra from every site, in the direction of travel.
    pub fn new(topology: &Topology) -> Self {
        let _ = topology;
        unimplemented!()
    }

    /// The link on which traffic from `from` to `to` leaves `from`; `None` if they are the same site.
    pub fn next_hop(&self, from: SiteId, to: SiteId) -> Option<LinkId> {
        self.next_hop[from.0][to.0]
    }
}
