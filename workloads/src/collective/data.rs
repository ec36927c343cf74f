//! Inputs that every operator reduces exactly in every type, and the check of outputs.
//!
//! An element is a function of (seed, iteration, rank, index), periodic in the index. The period is prime, so data that
//! lands a chunk too far is wrong. What outputs must be follows from the inputs' definition alone, once per period.
//!
//! Exactness, in any order of reduction and for any number of ranks: at every index at most `CONTRIBUTORS` (32) ranks
//! contribute to a sum or product, the others hold the operator's identity. Sums stay within 32 × 7 = 224, which bf16
//! (8 significant bits, integers up to 256) holds exactly; products are ± powers of two up to 2³², which floats hold exactly and
//! integers wrap alike in any order. Minima and maxima are exact anyway. So outputs are compared for equality.

use std::ops::Range;

use half::bf16;

use super::reduce::{Element, apply};
use super::schedule::{Layout, Shape};
use super::{Collective, DataType, ReduceOp};

/// Elements after which the data repeats: a prime, so that no chunk or block is a multiple of it by design.
const PERIOD: usize = 4093;

/// How many ranks contribute to a sum or product at any index.
const CONTRIBUTORS: usize = 32;

/// What memory holds before an operation has written it: neither a sum nor a power of two that data gives in any type.
const POISON: u8 = 0x5A;

/// The data of one iteration.
#[derive(Clone, Copy, Debug)]
pub struct Dataset {
    /// Element type.
    pub data_type: DataType,
    /// What the data must be exact under; ignored where nothing is reduced.
    pub op: ReduceOp,
    /// Decides the data, with the iteration.
    pub seed: u64,
    /// See `seed`.
    pub iteration: u64,
}

/// A stretch of a rank's output, and whose data it is made of.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    /// Elements of the output.
    output: Range<usize>,
    /// Whose input; the reduction over all ranks if absent.
    source: Option<usize>,
    /// The first element's index in that input.
    index: usize,
}

impl Dataset {
    /// Fills a rank's memory: its input with data, all else with poison.
    ///
    /// # Panics
    /// If `memory` is not as long as the layout says.
    pub fn fill(&self, shape: &Shape, layout: &Layout, rank: usize, memory: &mut [u8]) {
        match self.data_type {
            DataType::F32 => self.fill_as::<f32>(shape, layout, rank, memory),
            DataType::F64 => self.fill_as::<f64>(shape, layout, rank, memory),
            DataType::Bf16 => self.fill_as::<bf16>(shape, layout, rank, memory),
            DataType::I32 => self.fill_as::<i32>(shape, layout, rank, memory),
            DataType::I64 => self.fill_as::<i64>(shape, layout, rank, memory),
        }
    }

    /// How many elements of a rank's output are not what they must be.
    ///
    /// # Panics
    /// As [`Dataset::fill`].
    pub fn count_wrong(&self, shape: &Shape, layout: &Layout, rank: usize, memory: &[u8]) -> u64 {
        match self.data_type {
            DataType::F32 => self.count_wrong_as::<f32>(shape, layout, rank, memory),
            DataType::F64 => self.count_wrong_as::<f64>(shape, layout, rank, memory),
            DataType::Bf16 => self.count_wrong_as::<bf16>(shape, layout, rank, memory),
            DataType::I32 => self.count_wrong_as::<i32>(shape, layout, rank, memory),
            DataType::I64 => self.count_wrong_as::<i64>(shape, layout, rank, memory),
        }
    }

    fn fill_as<T: Element>(&self, shape: &Shape, layout: &Layout, rank: usize, memory: &mut [u8]) {
        memory.fill(POISON);
        let memory: &mut [T] = bytemuck::cast_slice_mut(memory);
        let input = &mut memory[layout.input.clone()];
        let pattern: Vec<T> = self.pattern(shape, rank, input.len());
        for period in input.chunks_mut(PERIOD) {
            period.copy_from_slice(&pattern[..period.len()]);
        }
    }

    fn count_wrong_as<T: Element>(
        &self,
        shape: &Shape,
        layout: &Layout,
        rank: usize,
        memory: &[u8],
    ) -> u64 {
        let memory: &[T] = bytemuck::cast_slice(memory);
        let output = &memory[layout.output.clone()];
        let mut wrong = 0;
        for stretch in stretches(shape, rank) {
            let pattern: Vec<T> = match stretch.source {
                Some(source) => self.pattern(shape, source, PERIOD),
                None => self.reduced(shape),
            };
            let mut index = stretch.index % PERIOD;
            let mut rest = &output[stretch.output];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(PERIOD - index));
                wrong += now
                    .iter()
                    .zip(&pattern[index..])
                    .filter(|(is, should)| is != should)
                    .count() as u64;
                (rest, index) = (later, 0);
            }
        }
        wrong
    }

    /// The first `len` elements of a rank's input, at most a period.
    fn pattern<T: Element>(&self, shape: &Shape, rank: usize, len: usize) -> Vec<T> {
        (0..len.min(PERIOD))
            .map(|index| T::from_small(self.value(shape, rank, index)))
            .collect()
    }

    /// A period of the reduction of all inputs.
    fn reduced<T: Element>(&self, shape: &Shape) -> Vec<T> {
        let mut result: Vec<T> = self.pattern(shape, 0, PERIOD);
        for rank in 1..shape.ranks() {
            for (index, result) in result.iter_mut().enumerate() {
                *result = apply(
                    self.op,
                    *result,
                    T::from_small(self.value(shape, rank, index)),
                );
            }
        }
        result
    }

    fn value(&self, shape: &Shape, rank: usize, index: usize) -> i16 {
        let key = mix(self.seed ^ mix(self.iteration ^ mix(rank as u64)));
        let random = mix(key ^ index as u64);
        let contributes = (rank + index).is_multiple_of(shape.ranks().div_ceil(CONTRIBUTORS));
        match (shape.collective.reduces(), self.op) {
            (true, ReduceOp::Sum) if contributes => 1 + (random % 7) as i16,
            (true, ReduceOp::Sum) => 0,
            (true, ReduceOp::Prod) if contributes => [1, -1, 2, -2][(random % 4) as usize],
            (true, ReduceOp::Prod) => 1,
            (true, ReduceOp::Min | ReduceOp::Max) | (false, _) => (random % 511) as i16 - 255,
        }
    }
}

/// What a rank's output is made of.
fn stretches(shape: &Shape, rank: usize) -> Vec<Stretch> {
    let ranks = shape.ranks();
    let part = shape.count / ranks;
    let whole = |source, index| {
        vec![Stretch {
            output: 0..shape.count,
            source,
            index,
        }]
    };
    let per_rank = |index: usize| {
        (0..ranks)
            .map(|source| Stretch {
                output: source * part..(source + 1) * part,
                source: Some(source),
                index,
            })
            .collect()
    };
    match shape.collective {
        Collective::AllReduce => whole(None, 0),
        Collective::ReduceScatter => vec![Stretch {
            output: 0..part,
            source: None,
            index: rank * part,
        }],
        Collective::Broadcast => whole(Some(shape.root), 0),
        Collective::SendRecv => whole(Some((rank + ranks - 1) % ranks), 0),
        Collective::Pairs => match Collective::source_in_pairs(ranks, rank) {
            Some(source) => whole(Some(source), 0),
            None => Vec::new(),
        },
        Collective::AllGather => per_rank(0),
        Collective::AllToAll => per_rank(rank * part),
    }
}

/// What SplitMix64's state grows by from one number to the next.
pub(crate) const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's next number (Steele, Lea, Flood 2014): of different ones, different ones.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(GAMMA);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use longhaul_reports::result::Placement;

    use super::*;
    use crate::collective::Algorithm;

    fn shape(collective: Collective, ranks: usize, count: usize) -> Shape {
        Shape {
            collective,
            algorithm: Algorithm::default_for(collective),
            sites: vec![0; ranks],
            count,
            chunk: 1000,
            root: 0,
            placement: Placement::OutOfPlace,
        }
    }

    fn dataset(data_type: DataType, op: ReduceOp) -> Dataset {
        Dataset {
            data_type,
            op,
            seed: 7,
            iteration: 3,
        }
    }

    #[test]
    fn any_order_of_reduction_gives_the_same_in_every_type_up_to_1024_ranks() {
        fn check<T: Element + std::fmt::Debug>(data_type: DataType) {
            for op in ReduceOp::ALL {
                for ranks in [2, 33, 64, 1024] {
                    let shape = shape(Collective::AllReduce, ranks, 97);
                    let data = dataset(data_type, op);
                    for index in 0..97 {
                        let value = |rank| T::from_small(data.value(&shape, rank, index));
                        let forward = (0..ranks).map(value).reduce(|a, b| apply(op, a, b));
                        let backward = (0..ranks).rev().map(value).reduce(|a, b| apply(op, a, b));
                        let mut tree: Vec<T> = (0..ranks).map(value).collect();
                        while tree.len() > 1 {
                            tree = tree
                                .chunks(2)
                                .map(|pair| {
                                    pair.iter().copied().reduce(|a, b| apply(op, a, b)).unwrap()
                                })
                                .collect();
                        }
                        assert_eq!(forward, backward, "{data_type} {op} {ranks} ranks");
                        assert_eq!(forward, Some(tree[0]), "{data_type} {op} {ranks} ranks");
                    }
                }
            }
        }
        check::<f32>(DataType::F32);
        check::<f64>(DataType::F64);
        check::<bf16>(DataType::Bf16);
        check::<i32>(DataType::I32);
        check::<i64>(DataType::I64);
    }

    #[test]
    fn sums_are_the_integers_they_stand_for() {
        let shape = shape(Collective::AllReduce, 1024, 97);
        let data = dataset(DataType::Bf16, ReduceOp::Sum);
        let reduced: Vec<bf16> = data.reduced(&shape);
        for (index, reduced) in reduced.iter().enumerate() {
            let exact: i32 = (0..1024)
                .map(|rank| i32::from(data.value(&shape, rank, index)))
                .sum();
            assert_eq!(reduced.to_f32(), exact as f32);
        }
    }

    #[test]
    fn every_element_that_was_not_written_is_wrong() {
        for collective in Collective::ALL {
            for data_type in DataType::ALL {
                for op in ReduceOp::ALL {
                    let shape = shape(collective, 3, 30_000);
                    let layout = shape.program(1).unwrap().layout;
                    let mut memory = vec![0u64; layout.len()];
                    let memory = &mut bytemuck::cast_slice_mut(&mut memory)
                        [..layout.len() * data_type.bytes()];
                    let data = dataset(data_type, op);
                    data.fill(&shape, &layout, 1, memory);
                    assert_eq!(
                        data.count_wrong(&shape, &layout, 1, memory),
                        layout.output.len() as u64
                    );
                }
            }
        }
    }

    #[test]
    fn data_of_another_iteration_or_a_chunk_further_on_is_mostly_wrong() {
        let shape = shape(Collective::SendRecv, 2, 20_000);
        let layout = shape.program(0).unwrap().layout;
        let data = dataset(DataType::F32, ReduceOp::Sum);
        let mut memory = vec![0f32; layout.len()];
        let sent: Vec<f32> = (0..21_000)
            .map(|index| data.value(&shape, 1, index % PERIOD).into())
            .collect();
        let mut wrong = |data: Dataset, from: usize| {
            memory[layout.output.clone()].copy_from_slice(&sent[from..from + 20_000]);
            data.count_wrong(&shape, &layout, 0, bytemuck::cast_slice(&memory))
        };
        assert_eq!(wrong(data, 0), 0);
        assert!(wrong(data, 1000) > 19_000);
        assert!(
            wrong(
                Dataset {
                    iteration: 4,
                    ..data
                },
                0
            ) > 19_000
        );
    }
}
