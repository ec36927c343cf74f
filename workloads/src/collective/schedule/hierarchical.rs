//! All-reduce by site: reduce-scatter inside each site, an all-reduce across sites for every shard, all-gather inside.
//!
//! The array has as many shards as the largest site has hosts. In a smaller site a host owns several neighbouring
//! shards, so that each shard has exactly one owner per site and sites may differ in size. The owners of a shard form a
//! ring of one rank per site. Inside a site, work goes in the order in which that ring needs (and later delivers) its
//! parts, so that the WAN is busy from the first part on and all three phases overlap.

use std::collections::BTreeMap;
use std::ops::Range;

use super::builder::Builder;
use super::layout::{Layout, at};
use super::part;
use super::ring::Ring;

/// Any sites; ranks of one site need not be neighbours in rank order.
pub(super) fn all_reduce(sites: &[usize], rank: usize, layout: &Layout, builder: &mut Builder) {
    let grouping = Grouping::new(sites);
    let site = grouping.site_of(rank);
    let local = &grouping.members[site];
    let index = local
        .iter()
        .position(|&member| member == rank)
        .expect("the rank is in its site");
    let inside = Ring::new(index, local.len(), |index| local[index]);

    let whole = 0..layout.input.len();
    let shard = |shard: usize| part(&whole, shard, grouping.shards);
    let input = |range: &Range<usize>| at(&layout.input, range);
    let output = |range: &Range<usize>| at(&layout.output, range);
    let reduced_inside = |range: &Range<usize>| {
        if local.len() > 1 {
            output(range)
        } else {
            input(range)
        }
    };
    // Of every shard that a local member owns, the part that `of_site` is the first to send across.
    let parts = |owner: usize, of_site: usize| -> Vec<Range<usize>> {
        grouping
            .owned(site, owner)
            .map(|owned| part(&shard(owned), of_site, grouping.members.len()))
            .collect()
    };
    let across: Vec<(usize, Ring)> = grouping
        .owned(site, index)
        .map(|owned| {
            (
                owned,
                Ring::new(site, grouping.members.len(), |site| {
                    grouping.owner(site, owned)
                }),
            )
        })
        .collect();
    let steps = grouping.members.len() - 1;
    let back = |steps: usize| (site + grouping.members.len() - steps) % grouping.members.len();

    for of_site in (1..=steps + 1).map(back) {
        inside.reduce_scatter(|owner| parts(owner, of_site), input, output, builder);
    }
    for step in 0..steps {
        for (owned, ring) in &across {
            let parts = |index: usize| vec![part(&shard(*owned), index, ring.len)];
            ring.reduce_step(step, parts, reduced_inside, output, builder);
        }
    }
    for step in 0..steps {
        for (owned, ring) in &across {
            let parts = |index: usize| vec![part(&shard(*owned), index, ring.len)];
            ring.gather_step(step, parts, output, builder);
        }
    }
    for of_site in (0..=steps).map(back) {
        inside.all_gather(|owner| parts(owner, of_site), output, builder);
    }
}

/// Who is where, and who owns which shard.
struct Grouping {
    /// The ranks of each site, ascending.
    members: Vec<Vec<usize>>,
    /// How many shards there are: the ranks of the largest site.
    shards: usize,
}

impl Grouping {
    fn new(sites: &[usize]) -> Self {
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (rank, &site) in sites.iter().enumerate() {
            members.entry(site).or_default().push(rank);
        }
        let members: Vec<Vec<usize>> = members.into_values().collect();
        let shards = members.iter().map(Vec::len).max().unwrap_or(1);
        Self { members, shards }
    }

    /// The position of the rank's site among the sites that have ranks.
    fn site_of(&self, rank: usize) -> usize {
        self.members
            .iter()
            .position(|ranks| ranks.contains(&rank))
            .expect("every rank has a site")
    }

    /// Which rank of `site` owns `shard`.
    fn owner(&self, site: usize, shard: usize) -> usize {
        self.members[site][self.owner_index(site, shard)]
    }

    /// The shards that the `index`-th rank of `site` owns.
    fn owned(&self, site: usize, index: usize) -> impl Iterator<Item = usize> {
        (0..self.shards).filter(move |&shard| self.owner_index(site, shard) == index)
    }

    fn owner_index(&self, site: usize, shard: usize) -> usize {
        shard * self.members[site].len() / self.shards
    }
}
