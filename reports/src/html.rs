//! A report of one result or several: one HTML file that opens offline, on a phone, in the dark and on paper.
//!
//! - `headline`: what was run, on what, and whether to trust it.
//! - `links`: the map, and each link's description beside what it measured.
//! - `results`: nccl-tests' columns.
//! - `charts`: every chart as inline SVG, drawn twice: for a page and for a phone.
//! - `flows`: connections and queue pairs, and how evenly they shared links.
//! - `nics`: what NICs counted.
//! - `changes`: what happened to the links.
//! - `heat`: use, queues and marks of every lane over time.
//! - `differences`: of several results, what their experiments differ in.
//! - `fidelity`, `environment`: asked against measured; where it ran and how to repeat it.
//!
//! Every text of a result is escaped by the template crate. The page allows no request and no script but its own, by its digest
//! (Content Security Policy Level 3, section 8.3), so that a text that slipped through could still do nothing. Nothing but the result is
//! told: no path, no name of the machine that makes the report.

mod changes;
mod charts;
mod differences;
mod environment;
mod fidelity;
mod flows;
mod headline;
mod heat;
mod links;
mod nics;
mod results;

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::file;
use crate::folder::{FolderError, Opened, io_error};
use crate::side_by_side;
use crate::theme::{self, Theme};

/// The file's name in a run's folder.
pub const REPORT_FILE: &str = "report.html";

const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");

/// Writes the report of `results` into the file at `path`, over an older one.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If there is no result.
pub fn write(results: &[Opened], path: &Path) -> Result<(), FolderError> {
    file::replace(path, render(results).as_bytes()).map_err(io_error("write", path))
}

/// The report of `results`; of several, first what they have in common and how they compare.
///
/// # Panics
/// If there is no result.
pub fn render(results: &[Opened]) -> String {
    let names = side_by_side::names(results);
    let title = format!("{} · longhaul", names.join(", "));
    let body = match results {
        [only] => result(only, &names[0], ""),
        _ => several(results, &names),
    };
    page(&title, &body).into_string()
}

fn page(title: &str, body: &Markup) -> Markup {
    let digest = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; font-src data:; img-src data:; base-uri 'none'; form-action 'none'"
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // An icon of its own, so that no browser asks for one.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(style())) }
            }
            body {
                main { (body) }
                div #tip hidden {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The style sheet with the themes' colours and the charts' font, whose widths they were laid out by.
fn style() -> String {
    format!(
        "@font-face{{font-family:\"{}\";src:url(data:font/ttf;base64,{})}}:root{{{}}}@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}{STYLE}",
        theme::FONT_FACE,
        BASE64_STANDARD.encode(theme::FONT),
        Theme::Light.variables(),
        Theme::Dark.variables()
    )
}

/// All there is to say of one result; `prefix` keeps its anchors apart from those of others.
fn result(opened: &Opened, name: &str, prefix: &str) -> Markup {
    let folder = &opened.folder;
    let result = &folder.result;
    let sections = [
        ("links", "Links", links::section(folder)),
        ("results", "Results", results::section(result)),
        ("flows", "Flows", flows::section(result)),
        ("nics", "NICs", nics::section(result)),
        ("charts", "Charts", charts::section(folder)),
        ("changes", "Changes and faults", changes::section(result)),
        ("heat", "Links over time", heat::section(folder)),
        ("fidelity", "Fidelity", fidelity::section(result)),
        ("environment", "Environment", environment::section(result)),
        ("again", "Run it again", environment::again(result)),
    ];
    let there = sections.iter().filter(|section| section.2.is_some());
    html! {
        article {
            (headline::headline(opened, name))
            nav {
                @for (id, title, _) in there.clone() {
                    a href={ "#" (prefix) (id) } { (title) }
                }
            }
            @for (id, title, content) in there {
                section id={ (prefix) (id) } {
                    h2 { (title) }
                    @if let Some(content) = content { (content) }
                }
            }
        }
    }
}

fn several(results: &[Opened], names: &[String]) -> Markup {
    let combined = side_by_side::combine(results);
    html! {
        article {
            h1 { (results.len()) " results side by side" }
            nav {
                @for (index, name) in names.iter().enumerate() {
                    a href={ "#r" (index + 1) } { (name) }
                }
            }
            section { (headline::side_by_side(results, names)) }
            @if let Some(table) = differences::section(results, names) {
                section id="differences" { h2 { "What the experiments differ in" } (table) }
            }
            @if let Some(table) = results::comparison(&combined.result) {
                section id="comparison" { h2 { "Bus bandwidth" } (table) }
            }
            @if let Some(charts) = charts::comparing(&combined) {
                section id="comparing" { h2 { "Charts" } (charts) }
            }
        }
        @for (index, (opened, name)) in results.iter().zip(names).enumerate() {
            div.one id={ "r" (index + 1) } {
                (result(opened, name, &format!("r{}-", index + 1)))
            }
        }
    }
}

/// A table in a box of its own, which scrolls where the page is too narrow for it.
fn table(head: &[&str], rows: &[Vec<Markup>], figures_from: usize) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table {
                thead { tr {
                    @for (index, title) in head.iter().enumerate() {
                        th.figure[index >= figures_from] scope="col" { (title) }
                    }
                } }
                tbody {
                    @for row in rows { tr {
                        @for (index, cell) in row.iter().enumerate() {
                            td.figure[index >= figures_from] { (cell) }
                        }
                    } }
                }
            }
        }
    }
}

/// The same without the columns that are empty in every row.
fn sparse_table(head: &[&str], rows: &[Vec<Markup>], figures_from: usize) -> Markup {
    let is_told = |column: &usize| rows.iter().any(|row| !row[*column].0.is_empty());
    let told: Vec<usize> = (0..head.len()).filter(is_told).collect();
    let head: Vec<&str> = told.iter().map(|&column| head[column]).collect();
    let of_row = |row: &Vec<Markup>| told.iter().map(|&column| row[column].clone()).collect();
    let rows: Vec<Vec<Markup>> = rows.iter().map(of_row).collect();
    let figures_from = told.partition_point(|&column| column < figures_from);
    table(&head, &rows, figures_from)
}

/// A verdict in a word, with a sign that does not need colour.
fn verdict(is_good: bool, good: &str, bad: &str) -> Markup {
    html! {
        @if is_good { span.good { "✓ " (good) } } @else { span.bad { "✗ " (bad) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Shape};
    use crate::folder::ResultFolder;
    use crate::result::{HostMachine, NetworkInterface};

    fn opened(change: impl FnOnce(&mut ResultFolder)) -> Opened {
        let (result, telemetry) = example::run(&Shape {
            changes: 3,
            seconds: 2.0,
            ..Shape::default()
        });
        let mut folder = ResultFolder { result, telemetry };
        change(&mut folder);
        Opened::from(folder)
    }

    #[test]
    fn a_column_that_is_empty_in_every_row_is_left_out() {
        let row = |texts: [&str; 3]| texts.map(|text| html! { (text) }).to_vec();
        let rows = [row(["a", "", "1"]), row(["b", "", ""])];
        let table = sparse_table(&["name", "nothing", "number"], &rows, 2).into_string();
        assert!(!table.contains("nothing"), "{table}");
        assert_eq!(table.matches("class=\"figure\"").count(), 3, "{table}");
    }

    #[test]
    fn a_report_has_every_section_that_there_is_something_to_say_in() {
        let report = render(&[opened(|_| {})]);
        for id in [
            "links",
            "results",
            "flows",
            "nics",
            "charts",
            "changes",
            "heat",
            "fidelity",
            "environment",
            "again",
        ] {
            assert!(report.contains(&format!("<section id=\"{id}\">")), "{id}");
            assert!(report.contains(&format!("href=\"#{id}\"")), "{id}");
        }
        assert!(report.contains("longhaul run quickstart --seed 1"));
        let empty = render(&[opened(|folder| {
            folder.result.points.clear();
            folder.telemetry.clear();
        })]);
        assert!(!empty.contains("id=\"charts\"") && empty.contains("nothing was measured"));
    }

    #[test]
    fn no_text_of_a_result_becomes_markup() {
        const BAD: &str = "</script></style><img src=x onerror=alert(1)>\"'&";
        let bad = || BAD.to_owned();
        let report = render(&[opened(|folder| {
            let result = &mut folder.result;
            result.name = bad();
            result.description = bad();
            result.environment.links = bad();
            result.environment.machine.cpu = bad();
            let mut host = machine();
            host.machine.cpu = bad();
            host.interface.driver = Some(bad());
            result.environment.hosts.insert(bad(), host);
            result.experiment = serde_json::json!({ "topology": { "name": BAD }, BAD: BAD });
            result.run_details.as_mut().unwrap().command = bad();
            for point in &mut result.points {
                point.stack = bad();
                point.settings.insert(bad(), bad());
                point.fidelity.findings = vec![bad()];
                point.fidelity.notes = vec![bad()];
                point.fidelity.checks[0].channel = bad();
                point.timeline[0].change = bad();
                point.nics[0].host = bad();
                point.nics[0].counter = bad();
                point.bound.as_mut().unwrap().reason = bad();
            }
            for row in &mut folder.telemetry {
                row.name = row.name.replace("dublin", BAD);
            }
        })]);
        assert!(!report.contains("<img"), "a text became markup");
        assert_eq!(report.matches("</script>").count(), 1);
        assert_eq!(report.matches("</style>").count(), 1);
        assert!(report.contains("&lt;img src=x onerror=alert(1)&gt;&quot;"));
    }

    /// A machine of a physical lab.
    fn machine() -> HostMachine {
        HostMachine {
            machine: example::virtual_environment().machine,
            interface: NetworkInterface {
                name: "ens1f0np0".into(),
                driver: Some("mlx5_core".into()),
                speed_mbits: Some(400_000),
                mtu: None,
                clock: Some("ptp0".into()),
            },
        }
    }

    /// What stands in the cells of a row of a table.
    fn text_of_cells(row: &str) -> Vec<&str> {
        let cells = row.split("<td").skip(1);
        cells
            .filter_map(|cell| Some(cell.split_once('>')?.1.split_once("</td>")?.0))
            .collect()
    }

    #[test]
    fn the_machines_of_a_physical_lab_are_told_with_what_their_data_go_by() {
        const HEAD: &str = "The lab's machines";
        assert!(!render(&[opened(|_| {})]).contains(HEAD));
        let report = render(&[opened(|folder| {
            let hosts = ["east-0", "west-0"].map(|name| (name.to_owned(), machine()));
            folder.result.environment.hosts = hosts.into();
        })]);
        assert!(report.contains(HEAD));
        let cells = [
            "6.12.94 x86_64",
            "",
            "1 × UML",
            "1 GiB",
            "ens1f0np0",
            "mlx5_core",
            "400 Gbit/s",
            "",
            "ptp0",
        ];
        for host in ["east-0", "west-0"] {
            let row = report.split("<tr>").find(|row| row.contains(host));
            let row = row.unwrap_or_else(|| panic!("{host} is not there"));
            assert_eq!(text_of_cells(row)[1..], cells, "{row}");
        }
    }

    #[test]
    fn a_report_asks_for_nothing_from_outside() {
        let report = render(&[opened(|_| {}), opened(|_| {})]);
        assert!(report.contains("default-src 'none'"));
        for outside in ["src=\"http", "href=\"http", "url(http", "@import", "file:"] {
            assert!(!report.contains(outside), "{outside}");
        }
        let digest = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
        assert!(
            report.contains(&format!("&#39;sha256-{digest}&#39;"))
                || report.contains(&format!("'sha256-{digest}'"))
        );
    }

    #[test]
    fn results_stand_side_by_side_under_names_of_their_own() {
        let report = render(&[opened(|_| {}), opened(|folder| folder.result.seed = 9)]);
        assert!(report.contains("2 results side by side"));
        for text in [
            "quickstart #1",
            "quickstart #2",
            "id=\"r2-links\"",
            "cubic, result quickstart #2",
        ] {
            assert!(report.contains(text), "{text}");
        }
        let mut ids: Vec<&str> = report
            .split("id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "an anchor is there twice");
    }
}
