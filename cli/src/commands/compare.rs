//! `compare`: the figures of two runs side by side, without a verdict.

use longhaul_ci::comparison;
use longhaul_ci::figures;
use longhaul_ci::likeness::Likeness;
use longhaul_reports::folder::ResultFolder;
use longhaul_reports::result::LabKind;
use serde_json::json;

use crate::args::CompareArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Compares; that the runs are unlike is said, and no error.
pub fn run(args: &CompareArgs, output: Output) -> Result<Exit, Failure> {
    let (first, second) = (
        ResultFolder::open(&args.first)?.result,
        ResultFolder::open(&args.second)?.result,
    );
    let (like, other) = (Likeness::of(&first), Likeness::of(&second));
    let mut notes = like.unlike(&other);
    notes.extend(like.notes(&other));
    for (run, path) in [(&first, &args.first), (&second, &args.second)] {
        let off = run.points.iter().any(|point| !point.fidelity.faithful);
        if off {
            notes.push(format!(
                "{} was not faithful: do not trust its figures",
                path.display()
            ));
        }
    }
    // Figures are exact only if both sides' are.
    let lab = match (like.lab, other.lab) {
        (LabKind::Virtual, other) => other,
        (lab, _) => lab,
    };
    let pairs = comparison::pairs(&figures::of(&first), &figures::of(&second), lab);
    output.either(
        &json!({ "first": args.first, "second": args.second, "notes": notes, "figures": pairs }),
        || {
            let mut text = comparison::text(&pairs, output.width());
            for note in &notes {
                text += &format!("# note: {note}\n");
            }
            text.trim_end().to_owned()
        },
    );
    Ok(Exit::Fine)
}
