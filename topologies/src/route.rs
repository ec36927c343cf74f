//! Shortest paths between sites.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::model::{Direction, LinkId, SiteId, Topology};

/// For every site and every other the path with the least one-way delay (ties: fewest links, then the lowest
/// link index at each step). Following the next hop from site to site follows that path.
#[derive(Clone, Debug)]
pub struct Routes {
    /// `steps[from][to]`; `None` on the diagonal.
    steps: Vec<Vec<Option<Step>>>,
}

/// The first link of a path, and what the whole path costs.
#[derive(Clone, Copy, Debug)]
struct Step {
    link: LinkId,
    direction: Direction,
    /// Where the link leads.
    next: SiteId,
    delay: Duration,
}

/// What paths are compared by.
type Cost = (Duration, usize);

/// A link as one leaves a site on it.
#[derive(Clone, Copy)]
struct Exit {
    link: LinkId,
    direction: Direction,
    next: SiteId,
    delay: Duration,
}

impl Routes {
    /// Dijkstra towards every site, in the direction of travel.
    pub fn new(topology: &Topology) -> Self {
        let sites = topology.sites.len();
        let mut exits = vec![Vec::new(); sites];
        for (index, link) in topology.links.iter().enumerate() {
            for direction in Direction::BOTH {
                let (from, next) = match direction {
                    Direction::Forward => (link.a, link.b),
                    Direction::Reverse => (link.b, link.a),
                };
                let delay = link.channel(direction).delay;
                exits[from.0].push(Exit {
                    link: LinkId(index),
                    direction,
                    next,
                    delay,
                });
            }
        }
        let mut steps = vec![vec![None; sites]; sites];
        for to in (0..sites).map(SiteId) {
            let costs = costs_towards(to, topology, &exits);
            for from in (0..sites).map(SiteId).filter(|&from| from != to) {
                steps[from.0][to.0] = first_step(&exits[from.0], &costs, costs[from.0]);
            }
        }
        Routes { steps }
    }

    /// The link on which traffic from `from` to `to` leaves `from`; `None` if they are the same site.
    pub fn next_hop(&self, from: SiteId, to: SiteId) -> Option<LinkId> {
        self.steps[from.0][to.0].map(|step| step.link)
    }

    /// The links from `from` to `to` in order of travel; none if they are the same site.
    pub fn path(&self, from: SiteId, to: SiteId) -> Vec<(LinkId, Direction)> {
        let mut at = from;
        std::iter::from_fn(|| {
            let step = self.steps[at.0][to.0]?;
            at = step.next;
            Some((step.link, step.direction))
        })
        .collect()
    }

    /// The one-way delay of the path from `from` to `to`.
    pub fn delay(&self, from: SiteId, to: SiteId) -> Duration {
        self.steps[from.0][to.0].map_or(Duration::ZERO, |step| step.delay)
    }
}

/// What the path from every site to `to` costs; `None` where there is none.
fn costs_towards(to: SiteId, topology: &Topology, exits: &[Vec<Exit>]) -> Vec<Option<Cost>> {
    let mut costs: Vec<Option<Cost>> = vec![None; topology.sites.len()];
    let mut open = BinaryHeap::from([Reverse(((Duration::ZERO, 0), to))]);
    while let Some(Reverse((cost, site))) = open.pop() {
        if costs[site.0].is_some() {
            continue;
        }
        costs[site.0] = Some(cost);
        // Every link leads both ways, so the neighbours one can come from are those one can go to.
        for exit in exits[site.0]
            .iter()
            .filter(|exit| costs[exit.next.0].is_none())
        {
            let towards = match exit.direction {
                Direction::Forward => Direction::Reverse,
                Direction::Reverse => Direction::Forward,
            };
            let delay = topology.links[exit.link.0].channel(towards).delay;
            open.push(Reverse(((cost.0 + delay, cost.1 + 1), exit.next)));
        }
    }
    costs
}

/// The first exit in link order from which the rest costs what the best path does.
fn first_step(exits: &[Exit], costs: &[Option<Cost>], best: Option<Cost>) -> Option<Step> {
    let best = best?;
    exits
        .iter()
        .find(|exit| {
            costs[exit.next.0].is_some_and(|(delay, hops)| (exit.delay + delay, hops + 1) == best)
        })
        .map(
            |&Exit {
                 link,
                 direction,
                 next,
                 ..
             }| Step {
                link,
                direction,
                next,
                delay: best.0,
            },
        )
}
