//! A report of one result or several: one HTML file that opens offline, on a phone, in the dark and on paper.
//!
//! - `headline`: what was run, on what, and whether to trust it.
//! - `links`: the map, and each link's description beside what it measured.
//! - `results`: nccl-tests' columns.
//! - `charts`: every chart as inline SVG, drawn twice: for a page and for a phone.
//! - `changes`: what happened to the links.
//! - `heat`: use, queues and marks of every lane over time.
//! - `fidelity`, `environment`: asked against measured; where it ran and how to repeat it.
//!
//! Every text of a result is escaped by the template crate. The page allows no request and no script but its own, by its digest
//! (Content Security Policy Level 3, section 8.3), so that a text that slipped through could still do nothing. Nothing but the result is
//! told: no path, no name of the machine that makes the report.

mod changes;
mod charts;
mod environment;
mod fidelity;
mod headline;
mod heat;
mod links;
mod results;

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::folder::{FolderError, Opened, io_error};
use crate::side_by_side;
use crate::theme::{self, Theme};

/// The file's name in a run's folder.
pub const REPORT_FILE: &str = "report.html";

const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");

/// Writes the report of `results` into `file`, over an older one.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If there is no result.
pub fn write(results: &[Opened], file: &Path) -> Result<(), FolderError> {
    fs::write(file, render(results)).map_err(io_error("write", file))
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

/// A verdict in a word, with a sign that does not need colour.
fn verdict(is_good: bool, good: &str, bad: &str) -> Markup {
    html! {
        @if is_good { span.good { "✓ " (good) } } @else { span.bad { "✗ " (bad) } }
    }
}

