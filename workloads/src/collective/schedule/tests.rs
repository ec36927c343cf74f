//! All ranks in one memory, stepped in random order over channels that hold one message each.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::collective::progress::Progress;

/// A rank: its memory, and per peer and direction what comes next.
struct Rank {
    program: Program,
    progress: Progress,
    memory: Vec<u64>,
    next: BTreeMap<(bool, usize), Vec<usize>>,
}

/// Sums wrap around; inputs are random, so a wrong sum does not pass by chance.
fn input(rank: usize, index: usize) -> u64 {
    let mixed = (rank as u64 * 1_000_003 + index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

fn expected(shape: &Shape, rank: usize) -> Vec<u64> {
    let n = shape.ranks();
    let part = shape.count / n;
    let sum = |index: usize| (0..n).fold(0u64, |sum, rank| sum.wrapping_add(input(rank, index)));
    match shape.collective {
        Collective::AllReduce => (0..shape.count).map(sum).collect(),
        Collective::ReduceScatter => (rank * part..(rank + 1) * part).map(sum).collect(),
        Collective::Broadcast => (0..shape.count)
            .map(|index| input(shape.root, index))
            .collect(),
        Collective::AllGather => (0..shape.count)
            .map(|index| input(index / part, index % part))
            .collect(),
        Collective::AllToAll => (0..shape.count)
            .map(|index| input(index / part, rank * part + index % part))
            .collect(),
        Collective::SendRecv => (0..shape.count)
            .map(|index| input((rank + n - 1) % n, index))
            .collect(),
        Collective::Pairs if rank < n.div_ceil(2) => Vec::new(),
        Collective::Pairs => (0..shape.count)
            .map(|index| input(rank - n.div_ceil(2), index))
            .collect(),
    }
}

impl Rank {
    fn new(shape: &Shape, rank: usize) -> Self {
        let program = shape.program(rank).unwrap();
        let mut memory = vec![u64::MAX; program.layout.len()];
        for (offset, index) in program.layout.input.clone().enumerate() {
            memory[index] = input(rank, offset);
        }
        let mut next: BTreeMap<(bool, usize), Vec<usize>> = BTreeMap::new();
        for (index, operation) in program.operations.iter().enumerate().rev() {
            match operation.action {
                Action::Send { to, .. } => next.entry((true, to)).or_default().push(index),
                Action::Receive { from, .. } => next.entry((false, from)).or_default().push(index),
                Action::Copy { .. } => next.entry((true, usize::MAX)).or_default().push(index),
                Action::Pause { .. } => unreachable!("no collective pauses"),
            }
        }
        Self {
            progress: Progress::new(&program.operations),
            program,
            memory,
            next,
        }
    }
}

/// Runs the schedule with one message of buffer per ordered pair; says which rank's output is wrong, or who is stuck.
fn simulate(shape: &Shape, seed: u64) -> Result<(), String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut ranks: Vec<Rank> = (0..shape.ranks())
        .map(|rank| Rank::new(shape, rank))
        .collect();
    let mut channels: BTreeMap<(usize, usize), Vec<u64>> = BTreeMap::new();
    let mut lanes: Vec<(usize, (bool, usize))> = ranks
        .iter()
        .enumerate()
        .flat_map(|(rank, state)| state.next.keys().map(move |&key| (rank, key)))
        .collect();
    while !lanes.is_empty() {
        let start = rng.random_range(0..lanes.len());
        let turn = (0..lanes.len())
            .map(|offset| (start + offset) % lanes.len())
            .find(|&lane| {
                let (rank, key) = lanes[lane];
                let state = &ranks[rank];
                let operation = *state.next[&key].last().expect("empty lanes are removed");
                state.progress.is_ready(operation)
                    && match state.program.operations[operation].action {
                        Action::Send { to, .. } => !channels.contains_key(&(rank, to)),
                        Action::Receive { from, .. } => channels.contains_key(&(from, rank)),
                        Action::Copy { .. } | Action::Pause { .. } => true,
                    }
            });
        let Some(lane) = turn else {
            return Err(format!("stuck: {lanes:?}"));
        };
        let (rank, key) = lanes[lane];
        let state = &mut ranks[rank];
        let queue = state.next.get_mut(&key).unwrap();
        let operation = queue.pop().unwrap();
        if queue.is_empty() {
            lanes.swap_remove(lane);
        }
        match state.program.operations[operation].action.clone() {
            Action::Send { to, from } => {
                channels.insert((rank, to), state.memory[from].to_vec());
            }
            Action::Receive { from, into, apply } => {
                let mut message = channels.remove(&(from, rank)).unwrap();
                if let Apply::ReduceWith(with) = apply {
                    assert_eq!(with.len(), message.len(), "{shape:?}");
                    for (received, with) in message.iter_mut().zip(&state.memory[with]) {
                        *received = received.wrapping_add(*with);
                    }
                }
                state.memory[into].copy_from_slice(&message);
            }
            Action::Copy { from, into } => state.memory.copy_within(from, into.start),
            Action::Pause { .. } => {}
        }
        state.progress.finish(operation);
    }
    if let Some(pair) = channels.keys().next() {
        return Err(format!("a message of {pair:?} was never received"));
    }
    for (rank, state) in ranks.iter().enumerate() {
        if !state.progress.is_complete() {
            return Err(format!("rank {rank} did not finish"));
        }
        if state.memory[state.program.layout.output.clone()] != expected(shape, rank) {
            return Err(format!("rank {rank} has a wrong output"));
        }
    }
    Ok(())
}

/// Every collective with every algorithm it has.
fn pairs() -> impl Iterator<Item = (Collective, Algorithm)> {
    Collective::ALL.into_iter().flat_map(|collective| {
        collective
            .algorithms()
            .iter()
            .map(move |&algorithm| (collective, algorithm))
    })
}

fn count_for(collective: Collective, ranks: usize, count: usize) -> usize {
    match collective {
        Collective::AllGather | Collective::ReduceScatter | Collective::AllToAll => count * ranks,
        _ => count,
    }
}

#[test]
fn every_collective_is_right_for_any_ranks_counts_chunks_and_placement() {
    for (collective, algorithm) in pairs() {
        for ranks in (1..=9).chain([16]) {
            for count in [1, 7, 16, 101] {
                for chunk in [1, 4, 1000] {
                    for placement in [Placement::OutOfPlace, Placement::InPlace] {
                        let shape = Shape {
                            collective,
                            algorithm,
                            sites: (0..ranks).map(|rank| rank * 3 / ranks).collect(),
                            count: count_for(collective, ranks, count),
                            chunk,
                            root: count % ranks,
                            placement,
                        };
                        if let Err(reason) = simulate(&shape, count as u64) {
                            panic!("{shape:?}: {reason}");
                        }
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_interleaving_changes_a_result_or_gets_stuck(
        pair in proptest::sample::select(pairs().collect::<Vec<_>>()),
        sites in proptest::collection::vec(0usize..4, 1..13),
        count in 1usize..60,
        chunk in 1usize..20,
        root in 0usize..12,
        in_place in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (collective, algorithm) = pair;
        let shape = Shape {
            collective,
            algorithm,
            count: count_for(collective, sites.len(), count),
            chunk,
            root: root % sites.len(),
            placement: if in_place { Placement::InPlace } else { Placement::OutOfPlace },
            sites,
        };
        prop_assert_eq!(simulate(&shape, seed), Ok(()));
    }
}

#[test]
fn a_root_that_is_no_rank_is_refused() {
    let shape = Shape {
        collective: Collective::Broadcast,
        algorithm: Algorithm::Tree,
        sites: vec![0; 3],
        count: 5,
        chunk: 2,
        root: 3,
        placement: Placement::InPlace,
    };
    assert_eq!(
        shape.program(0).unwrap_err().to_string(),
        "root 3 is not one of the 3 ranks; they count from 0"
    );
}

#[test]
fn a_chunk_goes_on_before_the_rest_of_its_block_has_come() {
    let shape = Shape {
        collective: Collective::AllReduce,
        algorithm: Algorithm::Ring,
        sites: vec![0; 3],
        count: 30,
        chunk: 2,
        root: 0,
        placement: Placement::OutOfPlace,
    };
    let program = shape.program(0).unwrap();
    for operation in &program.operations {
        if let Action::Send { from, .. } = &operation.action {
            let receives = operation.after.iter().filter(|&&earlier| {
                matches!(program.operations[earlier].action, Action::Receive { .. })
            });
            assert!(
                receives.count() <= 1,
                "the send of {from:?} waits for several chunks"
            );
        }
    }
}
