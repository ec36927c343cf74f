//! The judgement for a terminal or a log.

use super::{Finding, Judgement, Row, change, word};
use crate::comparison::{FIGURES, value};
use crate::listing::Listing;

/// What moved, how the figures were judged, the verdict.
pub(super) fn text(judgement: &Judgement, width: usize) -> String {
    let mut table = Listing::new(width);
    let mut header = vec!["stack", "of", "figure", "baseline", "now", "change"];
    if !judgement.is_exact() {
        header.push("95 % interval");
    }
    header.extend(["allowed", "finding"]);
    table.header(header);
    let rows = judgement.telling();
    for row in &rows {
        let pair = &row.pair;
        let mut cells = vec![
            pair.series.clone(),
            pair.of.clone(),
            pair.metric.name().to_owned(),
            value(&pair.before, pair.metric),
            value(&pair.after, pair.metric),
            change(row),
        ];
        if !judgement.is_exact() {
            cells.push(pair.interval());
        }
        let allowed = row.tolerance.map(|tolerance| tolerance.to_string());
        cells.push(allowed.unwrap_or_else(|| "—".to_owned()));
        cells.push(word(row.finding));
        table.row(cells);
    }
    let mut text = table.render(FIGURES);
    let count = |wanted: fn(&Row) -> bool| judgement.rows.iter().filter(|row| wanted(row)).count();
    let same = judgement.same();
    if same > 0 {
        text += &format!(
            "# {same} of {} figures are the same, to the bit\n",
            judgement.rows.len()
        );
    }
    let tells = judgement.ruling.tells();
    let left_out = count(Row::is_left_out);
    if left_out > 0 && tells {
        text += &format!(
            "# {left_out} are not judged although they have a tolerance: the baseline has a value that is not above 0, of which there is no share\n"
        );
    }
    let others = count(|row| row.finding == Finding::NotJudged) - left_out;
    if others > 0 && tells {
        text += &format!(
            "# {others} others moved that are not judged: --json has them, --tolerance METRIC=PERCENT judges them\n"
        );
    }
    let new = count(|row| row.finding == Finding::New);
    if new > 0 {
        text += &format!("# {new} are not in the baseline: save it again to have them judged\n");
    }
    for note in &judgement.notes {
        text += &format!("# note: {note}\n");
    }
    text + "\n" + &judgement.sentence()
}
