//! The judgement as a JUnit file.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{Finding, Judgement, Row, Ruling, change, word};
use crate::comparison::value;

/// A test case for the run, and one for each figure with a tolerance. What cannot be told or judged is skipped, so that a server shows
/// it as neither.
pub(super) fn junit(judgement: &Judgement) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(judgement.run.name.clone());
    suite.add_test_case(case("the run", &judgement.run.name, whole(judgement)));
    for row in judgement.rows.iter().filter(|row| row.tolerance.is_some()) {
        let status = match judgement.ruling.tells() {
            true => status(row),
            false => skipped("the run was not judged"),
        };
        suite.add_test_case(case(&row.pair.name(), &judgement.run.name, status));
    }
    let mut report = Report::new("longhaul gate");
    report.add_test_suite(suite);
    report.to_string()
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}

fn whole(judgement: &Judgement) -> TestCaseStatus {
    let kind = match judgement.ruling {
        Ruling::Wrong { .. } => NonSuccessKind::Failure,
        Ruling::Unfaithful { .. } => NonSuccessKind::Error,
        _ => return TestCaseStatus::success(),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(judgement.sentence());
    status
}

fn status(row: &Row) -> TestCaseStatus {
    match row.finding {
        Finding::Regressed | Finding::Missing => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let metric = row.pair.metric;
            status.set_message(format!(
                "{}: {} against {} in the baseline, {}",
                word(row.finding),
                value(&row.pair.after, metric),
                value(&row.pair.before, metric),
                change(row)
            ));
            status
        }
        Finding::Undecided { .. } | Finding::NotJudged | Finding::New => {
            skipped(&word(row.finding))
        }
        _ => TestCaseStatus::success(),
    }
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message.to_owned());
    status
}
