//! `hardware counters`: what NICs count, once or again and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use longhaul_emulator::hardware::counters::{Counter, growth, read};
use longhaul_emulator::hardware::inventory::Nic;
use longhaul_emulator::hardware::tree::Tree;
use longhaul_emulator::metrics::Number;
use serde_json::{Value, json};

use super::{meant, tree};
use crate::args::HardwareCountersArgs;
use crate::commands::interrupt::interrupted;
use crate::commands::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::{Output, count};

/// As `top` has it.
const SHORTEST: Duration = Duration::from_millis(100);
/// The same.
const LONGEST: Duration = Duration::from_secs(600);

/// Shows them.
pub fn run(args: &HardwareCountersArgs, output: Output) -> Result<Exit, Failure> {
    let tree = tree(&args.tree)?;
    let meant = meant(&tree, args.nic.as_ref())?;
    match args.watch {
        None => {
            let counters = read(&tree, &meant);
            output.either(&json!({ "counters": document(&counters) }), || {
                table(&counters, output.width())
            });
            Ok(Exit::Fine)
        }
        Some(period) if (SHORTEST..=LONGEST).contains(&period.duration()) => {
            watch(&tree, &meant, period.duration(), output)
        }
        Some(period) => Err(Failure::with_help(
            Exit::Usage,
            format!("--watch {period}: out of bounds"),
            "write a time from 100ms to 10min",
        )),
    }
}

/// Shows what has been counted between readings, until Ctrl-C.
fn watch(tree: &Tree, nics: &[Nic], period: Duration, output: Output) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let interrupt = interrupted().map_err(|error| Failure::new(Exit::Lacking, &error))?;
        let readings = async {
            let mut last = (Instant::now(), read(tree, nics));
            loop {
                tokio::time::sleep(period).await;
                let now = (Instant::now(), read(tree, nics));
                let elapsed = now.0 - last.0;
                let grown = growth(&last.1, &now.1);
                output.either(
                    &json!({ "seconds": elapsed.as_secs_f64(), "grown": document(&grown) }),
                    || rates(&grown, elapsed, output.width()),
                );
                last = now;
            }
        };
        tokio::select! {
            () = readings => {}
            () = interrupt => {}
        }
        Ok(Exit::Interrupted)
    })
}

fn document(counters: &[Counter]) -> Vec<Value> {
    let entries = counters.iter().map(|counter| {
        let measured = &counter.measured;
        let attributes: BTreeMap<&str, &str> = measured
            .attributes()
            .map(|(attribute, value)| (attribute.name(), value))
            .collect();
        json!({
            "nic": counter.nic,
            "port": counter.port,
            "counter": counter.name,
            "value": measured.value,
            "unit": measured.metric.unit.ucum(),
            "metric": measured.metric.name,
            "attributes": attributes,
        })
    });
    entries.collect()
}

fn table(counters: &[Counter], width: usize) -> String {
    if counters.is_empty() {
        return "nothing here counts: no NIC has an RDMA device, or a driver with counters"
            .to_owned();
    }
    let (zero, some): (Vec<_>, Vec<_>) = counters
        .iter()
        .partition(|counter| counter.measured.value.is_zero());
    let mut table = Listing::new(&["NIC", "port", "counter", "value", "unit"]);
    for counter in some {
        table.row(row(counter, text(counter.measured.value)));
    }
    let zero = count(zero.len(), "counter");
    format!(
        "{}\n\n{zero} at 0; --json shows all",
        table.render(3..4, width)
    )
}

fn rates(grown: &[Counter], elapsed: Duration, width: usize) -> String {
    if grown.is_empty() {
        return format!("nothing was counted in {:.1} s\n", elapsed.as_secs_f64());
    }
    let mut table = Listing::new(&["NIC", "port", "counter", "a second", "unit"]);
    for counter in grown {
        let rate = counter.measured.value.real() / elapsed.as_secs_f64();
        table.row(row(counter, format!("{rate:.1}")));
    }
    table.render(3..4, width) + "\n"
}

fn row(counter: &Counter, value: String) -> [String; 5] {
    [
        counter.nic.clone(),
        counter
            .port
            .map_or_else(|| "-".to_owned(), |port| port.to_string()),
        counter.name.clone(),
        value,
        counter.measured.metric.unit.ucum(),
    ]
}

fn text(value: Number) -> String {
    match value {
        Number::Count(count) => count.to_string(),
        Number::Real(real) => real.to_string(),
    }
}
