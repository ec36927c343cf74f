//! The judgement as GitHub's workflow commands ("Workflow commands for GitHub Actions", section "Setting an error message").

use super::{Finding, Judgement, Ruling, change, word};
use crate::comparison::value;

/// GitHub shows ten errors and ten warnings of a step; the rest is in the table.
const MOST: usize = 9;

pub(super) fn annotations(judgement: &Judgement) -> Vec<String> {
    let whole = match judgement.ruling {
        Ruling::Passed => "notice",
        Ruling::Regressed { .. } | Ruling::Wrong { .. } => "error",
        Ruling::Undecided { .. } | Ruling::Unfaithful { .. } => "warning",
    };
    let judged = matches!(
        judgement.ruling,
        Ruling::Passed | Ruling::Regressed { .. } | Ruling::Undecided { .. }
    );
    let rows = judgement.rows.iter().filter(|_| judged).filter_map(|row| {
        let level = match row.finding {
            Finding::Regressed | Finding::Missing => "error",
            Finding::Undecided { .. } => "warning",
            _ => return None,
        };
        let metric = row.pair.metric;
        let message = format!(
            "{}: {} → {} ({}), {}",
            row.pair.name(),
            value(&row.pair.before, metric),
            value(&row.pair.after, metric),
            change(row),
            word(row.finding)
        );
        Some(command(level, &judgement.run.name, &message))
    });
    std::iter::once(command(whole, &judgement.run.name, &judgement.sentence()))
        .chain(rows.take(MOST))
        .collect()
}

/// A command; what would end it or its property early is escaped as the runner's toolkit does.
fn command(level: &str, experiment: &str, message: &str) -> String {
    let data = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let title = data(experiment).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title=longhaul gate {title}::{}", data(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_or_a_message_ends_a_command() {
        assert_eq!(
            command("error", "a:b,c", "5 %\n::error::x"),
            "::error title=longhaul gate a%3Ab%2Cc::5 %25%0A::error::x"
        );
    }
}
