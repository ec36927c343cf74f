//! Whole traces played by all ranks in one memory and one made-up time: in any order that messages and pauses allow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::figures::StepFigures;
use super::score::{Score, Span};
use super::source::TraceSource;
use super::terms::{Compute, Terms};
use super::trace::{Activity, Node, Trace};
use crate::collective::pauses::Pauses;
use crate::collective::progress::Progress;
use crate::collective::reduce::{accumulate, combine};
use crate::collective::schedule::{Action, Apply};
use crate::collective::{Algorithm, Collective, DataType, ReduceOp};

const CHUNK: u64 = 64;

/// One rank, with what is next for each of its peers.
struct Rank {
    score: Score,
    progress: Progress,
    pauses: Pauses,
    memory: Vec<u64>,
    /// Per direction (true: sends) and peer.
    next: BTreeMap<(bool, usize), VecDeque<usize>>,
}

impl Rank {
    fn new(trace: &Trace, rank: usize, terms: &Terms) -> Self {
        let sites: Vec<usize> = (0..trace.ranks).map(|rank| rank % 2).collect();
        let part = trace.part(rank, terms, 7);
        let score = Score::new(&part, rank, &sites, CHUNK).unwrap();
        let mut memory = vec![0_u64; score.bytes().div_ceil(8)];
        score.fill(
            3,
            &mut bytemuck::cast_slice_mut(&mut memory)[..score.bytes()],
        );
        let mut next: BTreeMap<(bool, usize), VecDeque<usize>> = BTreeMap::new();
        for (index, operation) in score.operations().iter().enumerate() {
            match operation.action {
                Action::Send { to, .. } => next.entry((true, to)).or_default().push_back(index),
                Action::Receive { from, .. } => {
                    next.entry((false, from)).or_default().push_back(index);
                }
                Action::Copy { .. } | Action::Pause { .. } => {}
            }
        }
        Self {
            progress: Progress::new(score.operations()),
            pauses: Pauses::default(),
            score,
            memory,
            next,
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.memory)[..self.score.bytes()]
    }

    /// Elements of an operation as bytes, as the transport counts them.
    fn scaled(&self, operation: usize, range: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let size = self.score.arithmetic()[operation].0.bytes();
        range.start * size..range.end * size
    }

    /// Sends the next message to `to`, if it may go.
    fn send(&mut self, to: usize) -> Option<Vec<u8>> {
        let queue = self.next.get_mut(&(true, to))?;
        let operation = *queue
            .front()
            .filter(|&&next| self.progress.is_ready(next))?;
        queue.pop_front();
        let Action::Send { from, .. } = &self.score.operations()[operation].action else {
            unreachable!("queued as a send")
        };
        let range = self.scaled(operation, from);
        self.progress.finish(operation);
        Some(self.bytes()[range].to_vec())
    }

    /// Whether the next message of `from` would be taken.
    fn takes(&self, from: usize) -> bool {
        let next = self.next.get(&(false, from)).and_then(VecDeque::front);
        next.is_some_and(|&next| self.progress.is_ready(next))
    }

    fn receive(&mut self, from: usize, message: &[u8]) {
        let queue = self.next.get_mut(&(false, from)).unwrap();
        let operation = queue.pop_front().unwrap();
        let (data_type, op) = self.score.arithmetic()[operation];
        let Action::Receive { into, apply, .. } = self.score.operations()[operation].action.clone()
        else {
            unreachable!("queued as a receive")
        };
        let into = self.scaled(operation, &into);
        assert_eq!(into.len(), message.len());
        match apply {
            Apply::Store => self.bytes()[into].copy_from_slice(message),
            Apply::ReduceWith(with) => {
                let with = self.scaled(operation, &with);
                // Whole words, so that elements are aligned.
                let mut held = vec![0_u64; with.len().div_ceil(8)];
                let held = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut held)[..with.len()];
                held.copy_from_slice(&self.bytes()[with.clone()]);
                let mut other = vec![0_u64; message.len().div_ceil(8)];
                let other = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut other)[..message.len()];
                other.copy_from_slice(message);
                if with == into {
                    accumulate(data_type, op, &mut self.bytes()[into], other);
                } else {
                    combine(data_type, op, &mut self.bytes()[into], held, other);
                }
            }
        }
        self.progress.finish(operation);
    }

    fn copy(&mut self) -> bool {
        let Some(operation) = self.progress.next_copy() else {
            return false;
        };
        let Action::Copy { from, into } = self.score.operations()[operation].action.clone() else {
            unreachable!("told as a copy")
        };
        let (from, into) = (self.scaled(operation, &from), self.scaled(operation, &into));
        self.bytes().copy_within(from, into.start);
        self.progress.finish(operation);
        true
    }
}

/// What playing a trace gave.
#[derive(Debug)]
struct Played {
    wrong: u64,
    lasted: u64,
    spans: Vec<Vec<Span>>,
}

/// Plays `trace` with channels that hold one message each and take no time, in an order that `seed` decides.
fn play(trace: &Trace, terms: &Terms, seed: u64) -> Result<Played, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut ranks: Vec<Rank> = (0..trace.ranks)
        .map(|rank| Rank::new(trace, rank, terms))
        .collect();
    let mut channels: BTreeMap<(usize, usize), Vec<u8>> = BTreeMap::new();
    let mut now = 0;
    loop {
        let mut moved = false;
        for rank in &mut ranks {
            moved |= rank
                .pauses
                .advance(now, rank.score.operations(), &mut rank.progress);
        }
        // Whoever comes first may send, receive or copy.
        let first = rng.random_range(0..trace.ranks);
        for offset in 0..trace.ranks {
            let rank = (first + offset) % trace.ranks;
            moved |= ranks[rank].copy();
            for peer in 0..trace.ranks {
                if !channels.contains_key(&(rank, peer))
                    && let Some(message) = ranks[rank].send(peer)
                {
                    channels.insert((rank, peer), message);
                    moved = true;
                }
                if channels.contains_key(&(peer, rank)) && ranks[rank].takes(peer) {
                    let message = channels.remove(&(peer, rank)).unwrap();
                    ranks[rank].receive(peer, &message);
                    moved = true;
                }
            }
        }
        if ranks.iter().all(|rank| rank.progress.is_complete()) {
            break;
        }
        if !moved {
            let next = ranks.iter().filter_map(|rank| rank.pauses.next(now));
            match next.min() {
                Some(wait) => now += wait.as_nanos() as u64,
                None => return Err(format!("stuck at {now}")),
            }
        }
    }
    if let Some(pair) = channels.keys().next() {
        return Err(format!("a message of {pair:?} was never received"));
    }
    let mut played = Played {
        wrong: 0,
        lasted: now,
        spans: Vec::new(),
    };
    for rank in ranks {
        let pauses = rank.pauses.into_ended();
        let memory = &bytemuck::cast_slice(&rank.memory)[..rank.score.bytes()];
        played.wrong += rank.score.count_wrong(3, memory);
        played.spans.push(rank.score.spans(&pauses));
    }
    Ok(played)
}

/// The times on a rank of the nodes that it takes part in.
fn times(spans: &[Span]) -> BTreeMap<usize, (u64, u64)> {
    let times = spans.iter();
    times
        .map(|span| (span.node, (span.began_ns, span.ended_ns)))
        .collect()
}

/// Checks that every rank did each of its nodes once, and none before what it waits for.
fn check(trace: &Trace, played: &Played) {
    for (rank, spans) in played.spans.iter().enumerate() {
        let times = times(spans);
        let mine: BTreeSet<usize> = (0..trace.nodes().len())
            .filter(|&node| trace.nodes()[node].ranks.contains(&rank))
            .collect();
        assert_eq!(spans.len(), mine.len());
        assert_eq!(times.keys().copied().collect::<BTreeSet<_>>(), mine);
        for node in mine {
            for earlier in trace.nodes()[node].after_on(rank) {
                assert!(
                    times[earlier].1 <= times[&node].0,
                    "rank {rank}: {node} began before {earlier} had ended"
                );
            }
        }
    }
}

fn compute(rank: usize, micros: u64, stream: u32, after: &[usize]) -> Node {
    Node {
        name: String::new(),
        activity: Activity::Compute {
            lasts: Duration::from_micros(micros),
            stream,
        },
        ranks: vec![rank],
        after: vec![after.to_vec()],
    }
}

/// Any node of a trace of `ranks` ranks that may come after `earlier` others.
fn node(ranks: usize, nodes: Vec<Node>) -> impl Strategy<Value = Vec<Node>> {
    let all: Vec<usize> = (0..ranks).collect();
    let subset = proptest::sample::subsequence(all, 1..=ranks).prop_shuffle();
    let kind = 0..Collective::ALL.len() + 2;
    let picks = proptest::collection::vec(any::<proptest::sample::Index>(), 0..3);
    (subset, kind, 1..5_u64, any::<usize>(), picks).prop_map(
        move |(mut members, kind, size, choice, picks)| {
            let data_type = DataType::ALL[choice % DataType::ALL.len()];
            let op = ReduceOp::ALL[choice % ReduceOp::ALL.len()];
            let size_bytes = size * 8 * 24 * members.len() as u64;
            let activity = match Collective::ALL.get(kind) {
                Some(&collective) => Activity::Collective {
                    collective,
                    data_type,
                    op,
                    root: choice % members.len(),
                    size_bytes,
                },
                None if kind == Collective::ALL.len() && members.len() > 1 => {
                    members.truncate(2);
                    Activity::Transfer {
                        data_type,
                        size_bytes,
                    }
                }
                None => Activity::Compute {
                    lasts: Duration::from_micros(size * 10),
                    stream: (choice % 2) as u32,
                },
            };
            let mut nodes = nodes.clone();
            let waits = |rank: &usize| {
                let picked = picks.iter().filter(|_| !nodes.is_empty());
                let picked = picked.map(|pick| pick.index(nodes.len()));
                picked
                    .filter(|&earlier| nodes[earlier].ranks.contains(rank))
                    .collect()
            };
            let after = members.iter().map(waits).collect();
            nodes.push(Node {
                name: String::new(),
                activity,
                ranks: members,
                after,
            });
            nodes
        },
    )
}

/// Any trace of up to five ranks.
fn traces() -> impl Strategy<Value = Trace> {
    (2..6_usize, 1..14_usize, any::<u64>()).prop_flat_map(|(ranks, count, keys)| {
        let grown = (0..count).fold(Just(Vec::new()).boxed(), |nodes, _| {
            nodes.prop_flat_map(move |nodes| node(ranks, nodes)).boxed()
        });
        grown.prop_map(move |nodes| {
            // Any order of what does not depend on each other.
            let keys: Vec<u64> = (0..nodes.len() as u64)
                .map(|index| (index + 1).wrapping_mul(keys | 1) >> 7)
                .collect();
            let named = ("any".to_owned(), String::new());
            Trace::new(named, ranks, nodes, &keys).unwrap()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_trace_is_played_to_its_end_with_right_data_and_its_dependencies_held(
        trace in traces(),
        seed in any::<u64>(),
        hierarchical in any::<bool>(),
    ) {
        let mut terms = Terms::default();
        if hierarchical {
            terms.algorithms.insert(Collective::AllReduce, Algorithm::Hierarchical);
        }
        let played = play(&trace, &terms, seed).map_err(TestCaseError::fail)?;
        prop_assert_eq!(played.wrong, 0);
        check(&trace, &played);
        // Nothing but computing takes time here, and so no step is shorter.
        let least = trace.compute_time(&terms).as_nanos() as u64;
        prop_assert!(played.lasted >= least, "{} < {}", played.lasted, least);
    }
}

#[test]
fn every_trace_of_the_catalogue_is_read_and_computes_as_long_as_its_file_says() {
    let expected = [
        // Forward, the output's backward, eight times three layers.
        ("gpt-data-parallel", 172_176 + 27_025 + 8 * 39_667),
        // Without a network, the second half is never idle but for the first forward and the last backward pass.
        ("gpt-pipeline", 19_833 + 8 * (23_212 + 46_423) + 39_667),
        ("mixtral-experts", 4 * (1_378 + 11_563 + 23_127 + 2_755)),
    ];
    for (name, micros) in expected {
        let source = TraceSource::open(name, std::path::Path::new(".")).unwrap();
        let trace = source.trace(4).unwrap();
        assert_eq!((trace.name.as_str(), trace.ranks), (name, 4));
        let terms = Terms::default();
        assert_eq!(
            trace.compute_time(&terms),
            Duration::from_micros(micros),
            "{name}"
        );
        let none = Terms {
            compute: Compute::None,
            ..Terms::default()
        };
        assert_eq!(trace.compute_time(&none), Duration::ZERO);
    }
}

#[test]
fn computing_beside_communication_is_not_in_its_way() {
    // The all-reduce of what was computed first runs while the second computes.
    let all_reduce = Node {
        name: String::new(),
        activity: Activity::Collective {
            collective: Collective::AllReduce,
            data_type: DataType::F32,
            op: ReduceOp::Sum,
            root: 0,
            size_bytes: 4096,
        },
        ranks: vec![0, 1],
        after: vec![vec![0], vec![1]],
    };
    let nodes = vec![
        compute(0, 100, 0, &[]),
        compute(1, 100, 0, &[]),
        all_reduce,
        compute(0, 50, 0, &[0]),
        compute(1, 30, 1, &[]),
    ];
    let named = ("overlap".to_owned(), String::new());
    let trace = Trace::new(named, 2, nodes, &[0, 1, 2, 3, 4]).unwrap();
    let played = play(&trace, &Terms::default(), 1).unwrap();
    let zero = times(&played.spans[0]);
    assert_eq!(
        (zero[&0], zero[&2], zero[&3]),
        ((0, 100_000), (100_000, 100_000), (100_000, 150_000))
    );
    let one = times(&played.spans[1]);
    assert_eq!(one[&4], (0, 30_000), "another stream does not wait");
    let step = Duration::from_micros(170);
    let figures = StepFigures::new(&trace, step, &played.spans);
    assert_eq!(figures.compute, Duration::from_micros(150));
    assert_eq!(figures.exposed, Duration::from_micros(20));
    assert_eq!(
        figures.communication.keys().copied().collect::<Vec<_>>(),
        ["all_reduce"]
    );
}

#[test]
fn the_time_of_a_collective_counts_from_when_its_last_rank_was_ready() {
    let span = |node, began_ns, ended_ns| Span {
        node,
        began_ns,
        ended_ns,
    };
    let nodes = vec![Node {
        name: String::new(),
        activity: Activity::Transfer {
            data_type: DataType::F32,
            size_bytes: 8,
        },
        ranks: vec![0, 1],
        after: vec![Vec::new(); 2],
    }];
    let trace = Trace::new((String::new(), String::new()), 2, nodes, &[0]).unwrap();
    // The receiver waits from the beginning; the sender has something to send after 70.
    let spans = [vec![span(0, 70, 75)], vec![span(0, 0, 100)]];
    let figures = StepFigures::new(&trace, Duration::from_nanos(100), &spans);
    assert_eq!(figures.communication["send"], Duration::from_nanos(30));
    assert_eq!(figures.exposed, Duration::from_nanos(100));
}

#[test]
fn computing_is_scaled_and_left_out() {
    let lasts = Duration::from_micros(100);
    let scaled =
        [Compute::AsTraced, Compute::None, Compute::Scale(2.5)].map(|one| one.scaled(lasts));
    assert_eq!(scaled.map(|one| one.as_micros()), [100, 0, 250]);
    assert!(!Compute::Scale(-1.0).is_valid() && !Compute::Scale(f64::NAN).is_valid());
}

/// Gradients and activations of the catalogue's traces, from the shapes that the papers give.
#[test]
fn sizes_of_the_catalogue_follow_from_the_models_shapes() {
    const SCALE: u64 = 64;
    const BF16: u64 = 2;
    /// Parameters of `count` transformer layers of width `d`: attention 4d² + 4d, MLP 8d² + 5d, norms 4d.
    fn layers(count: u64, d: u64) -> u64 {
        count * ((4 * d * d + 4 * d) + (8 * d * d + 5 * d) + 4 * d)
    }
    /// What is done to a parameter and token, in microseconds on an A100 at 40 %.
    fn micros(operations: u64, parameters: u64, tokens: u64) -> u64 {
        let rate = 312e12 * 0.4;
        ((operations * parameters * tokens) as f64 / rate * 1e6).round() as u64
    }
    let trace = |name| {
        let source = TraceSource::open(name, std::path::Path::new(".")).unwrap();
        source.trace(4).unwrap()
    };
    let size = |trace: &Trace, name: &str| {
        let node = trace.nodes().iter().find(|node| node.name == name);
        node.unwrap_or_else(|| panic!("{name}"))
            .activity
            .size_bytes()
    };
    let lasts = |trace: &Trace, name: &str| {
        let node = trace.nodes().iter().find(|node| node.name == name).unwrap();
        match node.activity {
            Activity::Compute { lasts, .. } => lasts.as_micros() as u64,
            _ => panic!("{name} does not compute"),
        }
    };
    let bytes = |parameters: u64| parameters * BF16 / SCALE;

    // GPT-3 XL: 24 layers, d = 2048, 2048 positions, 50257 tokens.
    let (d, vocabulary, positions) = (2048, 50257 * 2048, 2048 * 2048);
    let whole = layers(24, d) + vocabulary + positions + 2 * d;
    assert_eq!(whole, 1_315_723_264);
    let data = trace("gpt-data-parallel");
    assert_eq!(size(&data, "bucket-22-24"), bytes(layers(3, d)));
    assert_eq!(
        size(&data, "bucket-embeddings"),
        bytes(vocabulary + positions + 2 * d)
    );
    let carried = data.carried()["all_reduce"];
    assert_eq!((carried.count, carried.bytes), (9, bytes(whole)));
    assert_eq!(lasts(&data, "backward-1-3"), micros(4, layers(3, d), 8192));
    assert_eq!(lasts(&data, "backward-output"), micros(4, vocabulary, 8192));
    assert_eq!(
        lasts(&data, "forward"),
        8 * micros(2, layers(3, d), 8192) + micros(2, vocabulary, 8192)
    );

    let pipeline = trace("gpt-pipeline");
    assert_eq!(
        size(&pipeline, "gradients-first"),
        bytes(layers(12, d) + vocabulary + positions)
    );
    assert_eq!(
        size(&pipeline, "gradients-second"),
        bytes(layers(12, d) + vocabulary + 2 * d)
    );
    assert_eq!(size(&pipeline, "a1-0"), bytes(2048 * d));
    let carried = pipeline.carried();
    assert_eq!(
        (carried["send"].count, carried["send"].bytes),
        (32, 32 * bytes(2048 * d))
    );
    let embedding = carried["all_reduce"].bytes
        - size(&pipeline, "gradients-first")
        - size(&pipeline, "gradients-second");
    assert_eq!(embedding, 2 * bytes(vocabulary));
    let second = layers(12, d) + vocabulary;
    assert_eq!(lasts(&pipeline, "f0-1"), micros(2, layers(12, d), 2048));
    assert_eq!(lasts(&pipeline, "b1-8"), micros(4, second, 2048));

    // Mixtral 8x7B: d = 4096, hidden 14336, 8 experts of which 2, 8 heads of 128 for keys and values.
    let (d, hidden) = (4096, 14336);
    let attention = 2 * d * d + 2 * d * 8 * 128;
    let (gate, norms, expert) = (8 * d, 2 * d, 3 * d * hidden);
    let experts = trace("mixtral-experts").carried();
    let tokens = bytes(2048 * 2 * d);
    assert_eq!(
        (experts["all_to_all"].count, experts["all_to_all"].bytes),
        (16, 16 * tokens)
    );
    assert_eq!(
        experts["all_reduce"].bytes,
        bytes(4 * (attention + gate + norms))
    );
    assert_eq!(micros(2, attention + gate, 2048), 1_378);
    assert_eq!(micros(4, 2 * expert, 2048), 23_127);
}
