//! Several results as one, so that every chart that compares series compares those of different results.

use crate::folder::{Opened, ResultFolder};
use crate::result::Outcome;
use crate::timeaxis::TimeAxis;

/// The setting that says which result a point is of.
pub(crate) const SETTING: &str = "result";

/// What each result is called: its experiment's name, numbered where several have the same. Never where it lies: that is the reader's
/// own affair.
pub(crate) fn names(results: &[Opened]) -> Vec<String> {
    let name = |opened: &Opened| opened.folder.result.name.clone();
    let names = results.iter().enumerate().map(|(index, opened)| {
        let alike = |other: &&Opened| name(other) == name(opened);
        let (all, before) = (
            results.iter().filter(alike).count(),
            results[..index].iter().filter(alike).count(),
        );
        match all {
            1 => name(opened),
            _ => format!("{} #{}", name(opened), before + 1),
        }
    });
    names.collect()
}

/// All points one after the other, each with its result as a setting; a lone result is as it was.
///
/// # Panics
/// If there is no result.
pub fn combine(results: &[Opened]) -> ResultFolder {
    let (first, rest) = results.split_first().expect("at least one result");
    if rest.is_empty() {
        return first.folder.clone();
    }
    let names = names(results);
    let mut axis = TimeAxis::new(&first.folder);
    axis.whole.result.name = names.join(" · ");
    let result = &mut axis.whole.result;
    for other in rest.iter().map(|opened| &opened.folder.result) {
        if other.experiment["topology"] != result.experiment["topology"] {
            result.experiment = serde_json::Value::Null;
        }
        if other.environment.links != result.environment.links {
            result.environment.links = "mixed".to_owned();
        }
        if other.outcome != Outcome::Finished {
            result.outcome = other.outcome.clone();
        }
    }
    let mut index = 0;
    for (opened, name) in results.iter().zip(names) {
        axis.append(&opened.folder, |point| {
            point.index = index;
            index += 1;
            point.settings.insert(SETTING.to_owned(), name.clone());
        });
    }
    axis.whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};
    use crate::series::Series;

    fn opened(stacks: &'static [&'static str]) -> Opened {
        let (result, telemetry) = example::run(&Shape {
            stacks,
            seconds: 1.0,
            ..Shape::default()
        });
        Opened::from(ResultFolder { result, telemetry })
    }

    #[test]
    fn results_become_series_that_say_whose_they_are() {
        let all = combine(&[opened(&["cubic", "bbr"]), opened(&["cubic"])]);
        let labels: Vec<String> = Series::of(&all.result)
            .into_iter()
            .map(|s| s.label)
            .collect();
        assert_eq!(
            labels,
            [
                "cubic, result quickstart #1",
                "bbr, result quickstart #1",
                "cubic, result quickstart #2"
            ]
        );
        let last = &all.result.points[2];
        assert!(last.began_s > all.result.points[1].ended_s);
        let own: Vec<_> = all.telemetry.iter().filter(|row| row.point == 2).collect();
        assert!(!own.is_empty());
        assert!(
            own.iter()
                .all(|row| (last.began_s..=last.ended_s).contains(&row.time_s))
        );
    }

    #[test]
    fn a_lone_result_stays_as_it_is() {
        let one = opened(&["cubic"]);
        assert_eq!(
            combine(std::slice::from_ref(&one)).result,
            one.folder.result
        );
    }
}
