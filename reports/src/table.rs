//! Tables in nccl-tests' columns.

use crate::result::RunResult;

/// The results of every point: nccl-tests' columns (out-of-place, then in-place) and p50/p95/p99; one table per
/// combination of stack and settings, headed by it. As wide as `width` columns allow.
pub fn results(result: &RunResult, width: usize) -> String {
    let _ = (result, width);
    unimplemented!()
}

/// One-way delay and jitter between sites, per stack.
pub fn delays(result: &RunResult, width: usize) -> String {
    let _ = (result, width);
    unimplemented!()
}

/// The fidelity section: asked against measured.
pub fn fidelity(result: &RunResult, width: usize) -> String {
    let _ = (result, width);
    unimplemented!()
}
