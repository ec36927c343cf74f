//! What a schedule asks of the network, whatever carries it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::DataType;
use super::schedule::{Action, Program};

/// Payload bytes that each ordered pair of ranks (from, to) exchanges; pairs that do not talk are absent.
pub fn wire_bytes(programs: &[Program], data_type: DataType) -> BTreeMap<(usize, usize), u64> {
    let mut bytes = BTreeMap::new();
    for (rank, program) in programs.iter().enumerate() {
        for operation in &program.operations {
            if let Action::Send { to, from } = &operation.action {
                *bytes.entry((rank, *to)).or_default() += (from.len() * data_type.bytes()) as u64;
            }
        }
    }
    bytes
}

/// The longest chain of messages that wait for one another, each taking `delay(from, to)`: no execution of the schedule
/// can be faster. With a delay of one unit it is the number of sequential steps.
pub fn longest_chain(programs: &[Program], delay: impl Fn(usize, usize) -> Duration) -> Duration {
    // Per rank and operation the earliest finish, found in any order that dependencies and messages allow.
    let mut finish: Vec<Vec<Duration>> = programs
        .iter()
        .map(|program| Vec::with_capacity(program.operations.len()))
        .collect();
    let mut in_flight: BTreeMap<(usize, usize), VecDeque<Duration>> = BTreeMap::new();
    loop {
        let mut advanced = false;
        for (rank, program) in programs.iter().enumerate() {
            while let Some(operation) = program.operations.get(finish[rank].len()) {
                let mut at = operation
                    .after
                    .iter()
                    .map(|&earlier| finish[rank][earlier])
                    .max()
                    .unwrap_or_default();
                match &operation.action {
                    Action::Send { to, .. } => {
                        in_flight
                            .entry((rank, *to))
                            .or_default()
                            .push_back(at + delay(rank, *to));
                    }
                    Action::Receive { from, .. } => {
                        let Some(arrival) = in_flight.entry((*from, rank)).or_default().pop_front()
                        else {
                            break;
                        };
                        at = at.max(arrival);
                    }
                    Action::Copy { .. } => {}
                    Action::Pause { lasts } => at += *lasts,
                }
                finish[rank].push(at);
                advanced = true;
            }
        }
        if !advanced {
            return finish.into_iter().flatten().max().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_reports::result::Placement;

    use super::*;
    use crate::collective::schedule::Shape;
    use crate::collective::{Algorithm, Collective};

    fn programs(
        collective: Collective,
        algorithm: Algorithm,
        sites: &[usize],
        count: usize,
    ) -> Vec<Program> {
        let sites = sites.to_vec();
        let shape = Shape {
            collective,
            algorithm,
            sites,
            count,
            chunk: 5,
            root: 0,
            placement: Placement::OutOfPlace,
        };
        shape.programs().unwrap()
    }

    fn steps(programs: &[Program]) -> u128 {
        longest_chain(programs, |_, _| Duration::from_nanos(1)).as_nanos()
    }

    #[test]
    fn a_ring_all_reduce_sends_two_parts_less_one_to_the_next_rank_only() {
        let programs = programs(Collective::AllReduce, Algorithm::Ring, &[0; 4], 400);
        let bytes = wire_bytes(&programs, DataType::F32);
        assert_eq!(bytes.len(), 4);
        for rank in 0..4 {
            assert_eq!(bytes[&(rank, (rank + 1) % 4)], 2 * 3 * 100 * 4);
        }
        assert_eq!(steps(&programs), 6);
    }

    #[test]
    fn halving_and_doubling_take_two_log_n_steps() {
        let programs = programs(
            Collective::AllReduce,
            Algorithm::HalvingDoubling,
            &[0; 8],
            800,
        );
        assert_eq!(steps(&programs), 6);
    }

    #[test]
    fn all_to_all_takes_one_step() {
        let programs = programs(Collective::AllToAll, Algorithm::Direct, &[0; 5], 500);
        assert_eq!(steps(&programs), 1);
        assert_eq!(wire_bytes(&programs, DataType::I64).len(), 20);
    }

    #[test]
    fn the_hierarchical_all_reduce_crosses_two_sites_with_half_of_what_the_ring_does_in_two_steps()
    {
        let sites = [0, 0, 0, 1, 1, 1];
        let across = |algorithm| -> u64 {
            wire_bytes(
                &programs(Collective::AllReduce, algorithm, &sites, 600),
                DataType::F32,
            )
            .iter()
            .filter(|((from, to), _)| sites[*from] == 0 && sites[*to] == 1)
            .map(|(_, bytes)| bytes)
            .sum()
        };
        assert_eq!(across(Algorithm::Hierarchical), 600 * 4);
        assert_eq!(across(Algorithm::Ring), 2 * 5 * 100 * 4);

        let wan_only =
            |from: usize, to: usize| Duration::from_nanos(u64::from(sites[from] != sites[to]));
        let hierarchical = programs(Collective::AllReduce, Algorithm::Hierarchical, &sites, 600);
        assert_eq!(
            longest_chain(&hierarchical, wan_only),
            Duration::from_nanos(2)
        );
    }
}
