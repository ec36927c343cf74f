//! Tables in nccl-tests' columns.
//!
//! Every table comes in several layouts, the richest first; the first that fits the width is used, so that no
//! cell is ever wrapped. Plain text: no colours.

mod delays;
mod fidelity;
mod grid;
mod measures;
mod results;
mod verification;

use crate::result::RunResult;
use crate::series::{Series, SettingNames};
use crate::table::grid::{Align, Grid};
use crate::verification::Verification;

/// The results of every point: nccl-tests' columns (out-of-place, then in-place) and p50/p95/p99; one table per
/// combination of stack and settings, headed by it, repeats pooled; what external programs measured. As wide as `width` columns allow.
pub fn results(result: &RunResult, width: usize) -> String {
    let tables = [
        results::tables(result, width),
        measures::table(result, width),
    ];
    let filled = tables.into_iter().filter(|table| !table.is_empty());
    filled.collect::<Vec<_>>().join("\n")
}

/// Bus bandwidth of every combination of stack and settings side by side, per size, each with its ratio to the
/// first; empty if there are fewer than two to compare.
pub fn comparison(result: &RunResult, width: usize) -> String {
    results::comparison(result, width)
}

/// One-way delay and jitter between sites, per stack and settings; empty if no probe was sent.
pub fn delays(result: &RunResult, width: usize) -> String {
    delays::tables(result, width)
}

/// The fidelity section: asked against measured.
pub fn fidelity(result: &RunResult, width: usize) -> String {
    fidelity::table(result, width)
}

/// What `verify` found, channel by channel, and its verdict.
pub fn verification(found: &Verification, width: usize) -> String {
    verification::table(found, width)
}

/// The columns that say which series a row belongs to: its stack, and every swept setting.
fn series_columns(grid: &mut Grid, names: &SettingNames<'_>, rows: &[&Series<'_>]) {
    let stacks = rows.iter().map(|series| series.stack.to_owned());
    grid.column("stack", Align::Left, stacks);
    for (full, short) in names.iter() {
        let values = rows.iter().map(|series| series.settings.get(full).cloned());
        grid.column(short, Align::Left, values.map(Option::unwrap_or_default));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};
    use crate::result::CommandOutcome;
    use crate::result::Workload;

    /// The same text at every width, one after another, each under its width.
    fn at_widths(table: impl Fn(usize) -> String) -> String {
        [80, 120, 200]
            .map(|width| format!("=== {width} columns\n{}", table(width)))
            .join("\n")
    }

    fn two_by_two() -> RunResult {
        let sizes = &[256 << 10, 16 << 20];
        example::run(&Shape {
            sizes,
            seconds: 2.0,
            ..Shape::default()
        })
        .0
    }

    fn twelve_series() -> RunResult {
        let stacks = &["cubic", "bbr", "reno", "dctcp"];
        let sweep = ("algorithm", &["ring", "tree", "hierarchical"][..]);
        example::run(&Shape {
            stacks,
            sweep,
            repeats: 2,
            seconds: 0.5,
            ..Shape::default()
        })
        .0
    }

    #[test]
    fn results_speak_nccl_tests_columns() {
        insta::assert_snapshot!(at_widths(|width| results(&two_by_two(), width)));
    }

    #[test]
    fn comparison_sets_every_series_against_the_first() {
        insta::assert_snapshot!(at_widths(|width| comparison(&twelve_series(), width)));
    }

    #[test]
    fn delays_are_told_per_path() {
        insta::assert_snapshot!(at_widths(|width| delays(&two_by_two(), width)));
    }

    #[test]
    fn delays_of_a_sweep_are_told_in_one_table() {
        let run = example::run(&Shape {
            sweep: ("links.0.queue", &["0.1bdp", "1bdp"]),
            sites: &["virginia", "dublin"],
            seconds: 2.0,
            ..Shape::default()
        })
        .0;
        insta::assert_snapshot!(at_widths(|width| delays(&run, width)));
    }

    #[test]
    fn few_checks_are_all_shown() {
        insta::assert_snapshot!(at_widths(|width| fidelity(&two_by_two(), width)));
    }

    #[test]
    fn of_many_checks_the_worst_are_shown() {
        let mut run = twelve_series();
        run.points[3].fidelity.faithful = false;
        run.points[3].fidelity.findings =
            vec!["one-way delay of virginia>dublin was 3.2 ms off".into()];
        run.points[3].fidelity.checks[4].measured *= 1.2;
        run.points[3].fidelity.checks[4].within = false;
        insta::assert_snapshot!(at_widths(|width| fidelity(&run, width)));
    }

    #[test]
    fn notes_stand_under_the_checks_with_the_points_they_are_about() {
        let mut run = two_by_two();
        for point in &mut run.points {
            point.fidelity.notes = vec!["not measured: the loss of a>b".into()];
        }
        run.points[1].fidelity.notes.push("late".into());
        let text = fidelity(&run, 80);
        assert!(
            text.ends_with("\n# note: late (point 1)\n# note: not measured: the loss of a>b\n"),
            "{text}"
        );
    }

    #[test]
    fn virtual_time_is_told_with_its_kernel() {
        let mut run = two_by_two();
        assert!(!fidelity(&run, 120).contains("# Time:"));
        run.environment = example::virtual_environment();
        let line = "\n# Time: virtual on lab kernel 6.12.94 (3f2a9c): computing is free, so times are the network's alone\n";
        let text = fidelity(&run, 120);
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn wrong_elements_fail_the_footer() {
        let mut run = two_by_two();
        run.points.truncate(1);
        run.points[0].summaries[0].wrong = 3;
        assert!(results(&run, 120).contains("# Out of bounds values : 3 FAILED"));
    }

    #[test]
    fn commands_are_told_by_their_exit_codes() {
        let mut run = two_by_two();
        run.points.truncate(1);
        run.points[0].workload = Workload::Command {
            command: vec!["iperf3".into(), "-c".into(), "dublin-0".into()],
        };
        run.points[0].commands = vec![CommandOutcome {
            host: "virginia-0".into(),
            exit_code: 0,
            log: "logs/virginia-0.txt".into(),
            output: None,
        }];
        insta::assert_snapshot!(results(&run, 80));
    }

    #[test]
    fn what_programs_measured_is_told_figure_by_figure() {
        let (run, _) = example::programs();
        insta::assert_snapshot!(results(&run, 100));
    }

    #[test]
    fn nothing_passes_the_width() {
        for run in [two_by_two(), twelve_series(), example::programs().0] {
            for width in [80, 100, 120, 160, 200] {
                for text in [
                    results(&run, width),
                    comparison(&run, width),
                    delays(&run, width),
                    fidelity(&run, width),
                ] {
                    assert!(grid::line_width(&text) <= width, "{width}:\n{text}");
                }
            }
        }
    }

    #[test]
    fn runs_without_points_have_tables_without_rows() {
        let (mut run, _) = example::run(&Shape::default());
        run.points.clear();
        assert_eq!(
            (results(&run, 80), comparison(&run, 80), delays(&run, 80)),
            Default::default()
        );
        assert!(fidelity(&run, 80).contains("nothing was measured"));
    }
}
