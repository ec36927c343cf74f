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
                let [from, next] = link.ends(direction);
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
    costs[to.0] = Some((Duration::ZERO, 0));
    let mut open = BinaryHeap::from([Reverse(((Duration::ZERO, 0), to))]);
    while let Some(Reverse((cost, site))) = open.pop() {
        if costs[site.0] < Some(cost) {
            continue; // A better path to it was found since.
        }
        // Every link leads both ways, so the neighbours one can come from are those one can go to.
        for exit in &exits[site.0] {
            let towards = match exit.direction {
                Direction::Forward => Direction::Reverse,
                Direction::Reverse => Direction::Forward,
            };
            let delay = topology.links[exit.link.0].channel(towards).delay;
            let through = (cost.0 + delay, cost.1 + 1);
            if costs[exit.next.0].is_none_or(|known| through < known) {
                costs[exit.next.0] = Some(through);
                open.push(Reverse((through, exit.next)));
            }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::document::Document;
    use crate::validate;

    /// Sites `s0`, `s1`, … and links with these ends and delays (forward, reverse) in milliseconds.
    fn topology(sites: usize, links: &[(usize, usize, u64, u64)]) -> Topology {
        let mut text = "sites:\n".to_owned();
        text.extend((0..sites).map(|index| format!("  - name: s{index}\n")));
        text += "links:\n";
        text.extend(links.iter().map(|(a, b, forward, reverse)| {
            format!(
                "  - {{between: [s{a}, s{b}], forward: {{delay: {forward}ms}}, reverse: {{delay: {reverse}ms}}}}\n"
            )
        }));
        validate::topology(&Document::from_text("net.yaml", &text).unwrap()).unwrap()
    }

    fn links(path: &[(LinkId, Direction)]) -> Vec<usize> {
        path.iter().map(|(link, _)| link.0).collect()
    }

    #[test]
    fn a_detour_that_is_faster_wins() {
        let topology = topology(3, &[(0, 1, 50, 50), (0, 2, 20, 20), (2, 1, 20, 20)]);
        let routes = Routes::new(&topology);
        let path = routes.path(SiteId(1), SiteId(0));
        assert_eq!(
            path,
            [
                (LinkId(2), Direction::Reverse),
                (LinkId(1), Direction::Reverse)
            ]
        );
        assert_eq!(
            routes.delay(SiteId(1), SiteId(0)),
            Duration::from_millis(40)
        );
        assert_eq!(routes.next_hop(SiteId(1), SiteId(0)), Some(LinkId(2)));
    }

    #[test]
    fn each_direction_counts_its_own_delay() {
        let topology = topology(3, &[(0, 1, 50, 10), (0, 2, 20, 20), (2, 1, 20, 20)]);
        let routes = Routes::new(&topology);
        assert_eq!(links(&routes.path(SiteId(0), SiteId(1))), [1, 2]);
        assert_eq!(links(&routes.path(SiteId(1), SiteId(0))), [0]);
    }

    #[test]
    fn ties_go_to_fewer_links_then_to_the_lowest() {
        let fewer = topology(3, &[(0, 2, 20, 20), (2, 1, 20, 20), (0, 1, 40, 40)]);
        assert_eq!(links(&Routes::new(&fewer).path(SiteId(0), SiteId(1))), [2]);
        let square = topology(4, &[(0, 2, 5, 5), (0, 3, 5, 5), (3, 1, 5, 5), (2, 1, 5, 5)]);
        assert_eq!(
            links(&Routes::new(&square).path(SiteId(0), SiteId(1))),
            [0, 3]
        );
        assert_eq!(
            links(&Routes::new(&square).path(SiteId(1), SiteId(0))),
            [2, 1]
        );
    }

    #[test]
    fn a_site_is_at_itself() {
        let routes = Routes::new(&topology(2, &[(0, 1, 1, 1)]));
        assert_eq!(routes.next_hop(SiteId(1), SiteId(1)), None);
        assert_eq!(routes.path(SiteId(1), SiteId(1)), []);
        assert_eq!(routes.delay(SiteId(1), SiteId(1)), Duration::ZERO);
    }

    /// A ring, so that it is connected, and chords over it.
    fn networks() -> impl Strategy<Value = Topology> {
        (3usize..8).prop_flat_map(|sites| {
            let delays =
                proptest::collection::vec((0u64..5, 0u64..5, any::<bool>()), sites * sites);
            delays.prop_map(move |delays| {
                let mut links = Vec::new();
                for a in 0..sites {
                    for b in a + 1..sites {
                        let (forward, reverse, chord) = delays[a * sites + b];
                        if chord || b == a + 1 || (a == 0 && b == sites - 1) {
                            links.push((a, b, forward, reverse));
                        }
                    }
                }
                topology(sites, &links)
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn paths_arrive_and_none_is_shorter(topology in networks()) {
            let routes = Routes::new(&topology);
            let sites = topology.sites.len();
            // Floyd and Warshall, over (delay, hops).
            let mut best = vec![vec![(Duration::MAX, usize::MAX); sites]; sites];
            for (site, row) in best.iter_mut().enumerate() {
                row[site] = (Duration::ZERO, 0);
            }
            for link in &topology.links {
                best[link.a.0][link.b.0] = (link.channel(Direction::Forward).delay, 1);
                best[link.b.0][link.a.0] = (link.channel(Direction::Reverse).delay, 1);
            }
            for via in 0..sites {
                for from in 0..sites {
                    for to in 0..sites {
                        let (first, second) = (best[from][via], best[via][to]);
                        let sum = (first.0.saturating_add(second.0), first.1.saturating_add(second.1));
                        best[from][to] = best[from][to].min(sum);
                    }
                }
            }
            for (from, row) in best.iter().enumerate() {
                for (to, &least) in row.iter().enumerate() {
                    let path = routes.path(SiteId(from), SiteId(to));
                    let mut at = SiteId(from);
                    let mut delay = Duration::ZERO;
                    for &(link, direction) in &path {
                        let link = &topology.links[link.0];
                        let (leaves, arrives) = match direction {
                            Direction::Forward => (link.a, link.b),
                            Direction::Reverse => (link.b, link.a),
                        };
                        prop_assert_eq!(leaves, at);
                        at = arrives;
                        delay += link.channel(direction).delay;
                    }
                    prop_assert_eq!(at, SiteId(to));
                    prop_assert_eq!((delay, path.len()), least);
                    prop_assert_eq!(delay, routes.delay(SiteId(from), SiteId(to)));
                }
            }
        }
    }
}
