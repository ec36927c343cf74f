//! Reduction kernels: bytes of the result per second, on buffers that stay in cache as chunks do.

use divan::Bencher;
use divan::counter::BytesCount;
use longhaul_workloads::collective::reduce::{accumulate, combine};
use longhaul_workloads::collective::{DataType, ReduceOp};

const CHUNK_WORDS: usize = (128 << 10) / 8;

fn main() {
    divan::main();
}

/// One row.
struct Case(DataType, ReduceOp);

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

#[divan::bench(args = cases())]
fn into_itself(bencher: Bencher, case: &Case) {
    let mut into = vec![0u64; CHUNK_WORDS];
    let received = vec![0u64; CHUNK_WORDS];
    let Case(data_type, op) = *case;
    bencher
        .counter(BytesCount::new(CHUNK_WORDS * 8))
        .bench_local(|| {
            accumulate(
                data_type,
                op,
                bytemuck::cast_slice_mut(&mut into),
                bytemuck::cast_slice(&received),
            );
        });
}

#[divan::bench(args = cases())]
fn into_another(bencher: Bencher, case: &Case) {
    let mut into = vec![0u64; CHUNK_WORDS];
    let with = vec![0u64; CHUNK_WORDS];
    let received = vec![0u64; CHUNK_WORDS];
    let Case(data_type, op) = *case;
    bencher
        .counter(BytesCount::new(CHUNK_WORDS * 8))
        .bench_local(|| {
            let into = bytemuck::cast_slice_mut(&mut into);
            combine(
                data_type,
                op,
                into,
                bytemuck::cast_slice(&with),
                bytemuck::cast_slice(&received),
            );
        });
}

fn cases() -> Vec<Case> {
    DataType::ALL
        .into_iter()
        .flat_map(|data_type| ReduceOp::ALL.map(|op| Case(data_type, op)))
        .collect()
}
