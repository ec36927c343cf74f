//! `experiments list|show|schema|traces|trace`.

use longhaul_workloads::experiment::{Experiment, PointPlan, catalogue, spec};
use serde_json::json;

use crate::args::{ExperimentsCommand, TRACE_RANKS};
use crate::commands::subject::Subject;
use crate::commands::traces;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::Output;

/// Runs `command`.
pub fn run(command: ExperimentsCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        ExperimentsCommand::List => list(output),
        ExperimentsCommand::Show { experiment, points } => {
            if let Some(refusal) = Subject::Experiment.refusal(&experiment) {
                return Err(refusal);
            }
            let source = catalogue::open(&experiment)
                .map_err(|error| Subject::Experiment.or_other(&experiment, error.into()))?;
            if points {
                return Ok(show_points(&source.load()?, output));
            }
            let text = source.text();
            output.either(&json!({ "yaml": text }), || text.trim_end().to_owned());
            Ok(Exit::Fine)
        }
        ExperimentsCommand::Schema => {
            let schema = spec::schema();
            output.either(&schema, || {
                serde_json::to_string_pretty(&schema).expect("a schema serialises")
            });
            Ok(Exit::Fine)
        }
        ExperimentsCommand::Traces => traces::list(TRACE_RANKS.into(), output),
        ExperimentsCommand::Trace { trace, ranks } => traces::show(&trace, ranks.into(), output),
    }
}

fn list(output: Output) -> Result<Exit, Failure> {
    let experiments = catalogue::entries()
        .iter()
        .map(|entry| Ok(catalogue::open(entry.name)?.load()?))
        .collect::<Result<Vec<_>, Failure>>()?;
    let rows: Vec<_> = experiments
        .iter()
        .map(|experiment| json!({ "name": experiment.name, "points": experiment.points.len(), "description": experiment.description }))
        .collect();
    output.either(&rows, || {
        let mut table = Listing::new(&["experiment", "points", "what it shows"]);
        for experiment in &experiments {
            table.row([
                experiment.name.clone(),
                experiment.points.len().to_string(),
                experiment.description.clone(),
            ]);
        }
        table.render(1..2, output.width())
    });
    Ok(Exit::Fine)
}

/// Every point by its number.
fn show_points(experiment: &Experiment, output: Output) -> Exit {
    let points = &experiment.points;
    let topology = |point: &PointPlan| &experiment.topologies[point.topology].name;
    let rows: Vec<_> = points
        .iter()
        .map(|point| {
            json!({
                "number": point.number,
                "topology": topology(point),
                "stack": point.stack.name,
                "repeat": point.repeat,
                "settings": point.settings,
                "seed": point.seed,
            })
        })
        .collect();
    output.either(&rows, || {
        let mut table = Listing::new(&["point", "topology", "stack", "repeat", "settings"]);
        for point in points {
            let settings = point.settings.iter();
            let settings: Vec<String> = settings
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            table.row([
                point.number.to_string(),
                topology(point).clone(),
                point.stack.name.clone(),
                point.repeat.to_string(),
                settings.join(" "),
            ]);
        }
        table.render(0..1, output.width())
    });
    Exit::Fine
}
