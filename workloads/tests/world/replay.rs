//! Traces.

use std::time::Duration;

use libtest_mimic::Failed;
use longhaul_workloads::message::{PathChoice, Paths};
use longhaul_workloads::replay::part::Part;
use longhaul_workloads::replay::source::TraceSource;
use longhaul_workloads::replay::terms::Terms;

use super::support::{
    LOOPBACK, PATIENCE, all_reduce, block_on, expect_right, options, queue_pairs, start,
};

/// Four ranks of two stages: every kind of node, element types by turns, orders that differ between ranks.
const TRACE: &str = "
name: stages
groups: {first: [0, 1], second: [3, 2], across: [1, 2]}
nodes:
  - {name: f0, compute: 2ms, group: first}
  - {send: 300004, from: 0, to: 2}
  - {send: 100, from: 1, to: 3, data_type: bf16}
  - {name: f1, compute: 1ms, group: second}
  - {send: 200000, from: 2, to: 0, data_type: f64}
  - {name: sums, all_reduce: 1000004, group: second, data_type: bf16, after: []}
  - {reduce_scatter: 65544, group: across, op: max, data_type: i64}
  - {all_gather: 65544, group: across, after: []}
  - {broadcast: 70000, root: 3}
  - {all_to_all: 80000, data_type: i32}
  - {send_recv: 5000, group: second}
  - {all_reduce: 300000, op: min, after: []}
";

/// The parts of all ranks of a trace in a file of `text`.
fn parts(text: &str, ranks: usize) -> Result<Vec<Part>, Failed> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("trace.yaml"), text)?;
    let source = TraceSource::open("trace.yaml", folder.path())?;
    let trace = source.trace(ranks)?;
    let terms = Terms::default();
    Ok((0..ranks).map(|rank| trace.part(rank, &terms, 1)).collect())
}

pub fn a_trace_is_played_with_its_groups_and_transfers() -> Result<(), Failed> {
    let paths = Paths {
        choice: PathChoice::Spray,
        count: 2,
    };
    for transport in [options(3), queue_pairs(paths)] {
        block_on(async {
            let mut world = start(&[0, 0, 1, 1], LOOPBACK, transport).await?;
            expect_right(&mut world, &all_reduce(1_000)).await?;
            let parts = parts(TRACE, 4)?;
            let steps: Vec<usize> = parts.iter().map(|part| part.steps.len()).collect();
            world.learn(parts).await;
            for iteration in 0..3 {
                let step = world.replay(iteration, PATIENCE).await?;
                assert_eq!(step.iteration.wrong, 0);
                let played: Vec<usize> = step.spans.iter().map(Vec::len).collect();
                assert_eq!(played, steps);
            }
            // A world that has played a trace is one like any other.
            expect_right(&mut world, &all_reduce(1_000)).await?;
            assert_eq!(world.replay(9, PATIENCE).await?.iteration.wrong, 0);
            world.stop().await;
            Ok(())
        })?;
    }
    Ok(())
}

pub fn computing_hides_communication_that_does_not_wait_for_it() -> Result<(), Failed> {
    let text = "
name: overlap
nodes:
  - {name: first, compute: 20ms}
  - {all_reduce: 4KiB, after: [first]}
  - {compute: 300ms, after: [first]}
";
    for transport in [options(1), queue_pairs(Paths::default())] {
        block_on(async {
            let mut world = start(&[0, 1], LOOPBACK, transport).await?;
            world.learn(parts(text, 2)?).await;
            world.replay(0, PATIENCE).await?;
            let step = world.replay(1, PATIENCE).await?;
            // However busy the machine is, nothing is shorter than what it waits for, and the sums do not wait for the end.
            assert!(step.iteration.time >= Duration::from_millis(320));
            for spans in &step.spans {
                let [first, sum, rest] = spans[..] else {
                    return Err("three nodes".into());
                };
                assert_eq!(rest.began_ns, first.ended_ns);
                assert_eq!(rest.ended_ns - rest.began_ns, 300_000_000);
                assert!(sum.began_ns >= first.ended_ns && sum.ended_ns < rest.ended_ns);
            }
            world.stop().await;
            Ok(())
        })?;
    }
    Ok(())
}
