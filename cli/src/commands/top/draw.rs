//! The view on a terminal. Pure: into whatever buffer there is, of whatever size.

use std::collections::BTreeMap;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Cell, Gauge, Paragraph, Row, Table, TableState, Wrap};

use super::keys::{Desk, Prompt, Said};
use super::view::{LaneView, View, bits, bytes, sparkline};

const KEYS: &str =
    "↑↓ choose a lane · s set its link · S set that lane and direction alone · q quit";

/// Draws `view`, and what the user is doing.
pub fn draw(frame: &mut Frame<'_>, view: &View, desk: &Desk) {
    let foot = foot(view, desk);
    let foot_height = u16::try_from(foot.lines.len()).unwrap_or(1).max(1);
    let sites_height = u16::try_from(view.sites.len())
        .unwrap_or(u16::MAX)
        .saturating_add(3);
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if view.run.is_some() { 3 } else { 0 }),
        // A lane or two can be seen before anything else gets room.
        Constraint::Min(4),
        Constraint::Max(sites_height),
        Constraint::Length(foot_height),
    ]);
    let [head_area, run_area, lanes_area, sites_area, foot_area] = areas.areas(frame.area());
    head(frame, head_area, view);
    run(frame, run_area, view);
    lanes(frame, lanes_area, view, desk);
    sites(frame, sites_area, view);
    frame.render_widget(Paragraph::new(foot).wrap(Wrap { trim: false }), foot_area);
}

fn head(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let line = Line::from(vec![
        Span::from(" longhaul top ").reversed(),
        Span::from(format!(" {} ", view.name)).bold(),
        Span::from(view.what.as_str()),
        Span::from(format!(" · clock {:.1} s", view.at_s)).dim(),
    ]);
    frame.render_widget(line, area);
}

fn run(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let Some(run) = &view.run else { return };
    let mut title = format!(" point {} of {}: {} ", run.point, run.points, run.title);
    if run.wrong > 0 {
        title.push_str(&format!("· {} elements were wrong ", run.wrong));
    }
    let mut label = match run.iterations {
        0 => "programs run".to_owned(),
        all => format!("{} of {all} iterations", run.done),
    };
    if let Some(last) = run.last {
        let time = last.time_us / 1e3;
        label.push_str(&format!(", {} in {time:.1} ms", bytes(last.size_bytes)));
        if let Some(rate) = last.bus_bandwidth_bps {
            label.push_str(&format!(", {} bus bandwidth", bits(rate)));
        }
    }
    let share = run.done as f64 / run.iterations.max(1) as f64;
    let gauge = Gauge::default()
        .block(Block::bordered().title(title))
        .gauge_style(Style::new().fg(Color::Blue).bg(Color::Reset))
        .use_unicode(true)
        .ratio(share.clamp(0.0, 1.0))
        .label(label);
    frame.render_widget(gauge, area);
}

fn lanes(frame: &mut Frame<'_>, area: Rect, view: &View, desk: &Desk) {
    const HEADS: [&str; 9] = [
        "link", "state", "rate", "of", "queue", "delay", "marks/s", "drops/s", "lost/s",
    ];
    let mut parallel: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for lane in &view.lanes {
        *parallel.entry((&lane.from, &lane.to)).or_default() += 1;
    }
    let titles: Vec<String> = view
        .lanes
        .iter()
        .map(|lane| lane.title(parallel[&(lane.from.as_str(), lane.to.as_str())]))
        .collect();
    let widest = titles.iter().map(|title| title.chars().count()).max();
    let link = u16::try_from(widest.unwrap_or(0).clamp(6, 40)).unwrap_or(40);
    let fixed = [link, 6, 11, 11, 9, 10, 7, 7, 7];
    let taken: u16 = fixed.iter().map(|width| width + 1).sum();
    let left = usize::from(area.width.saturating_sub(2 + 2 + taken));
    let rows = view.lanes.iter().zip(&titles).map(|(lane, title)| {
        let mut cells = cells(lane, title);
        let most = lane
            .limit_bps
            .map_or_else(|| peak(lane), |limit| limit as f64);
        let rates = lane.history.iter().map(|moment| moment.bits);
        let bars = sparkline(rates, most, left);
        cells.push(Cell::from(bars).style(Style::new().fg(Color::Cyan)));
        Row::new(cells)
    });
    let widths = fixed.into_iter().map(Constraint::Length);
    let widths = widths.chain([Constraint::Fill(1)]);
    let heads = HEADS.into_iter().chain(["rate over time"]);
    let table = Table::new(rows, widths)
        .header(Row::new(heads).style(Style::new().add_modifier(Modifier::BOLD)))
        .block(Block::bordered().title(" links "))
        .highlight_symbol("› ")
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let chosen = desk.chosen.min(view.lanes.len().saturating_sub(1));
    let mut state = TableState::default().with_selected((!view.lanes.is_empty()).then_some(chosen));
    frame.render_stateful_widget(table, area, &mut state);
}

fn cells(lane: &LaneView, title: &str) -> Vec<Cell<'static>> {
    let count = |count: f64| match count {
        0.0 => Cell::from("0").dim(),
        few if few < 9.95 => Cell::from(format!("{few:.1}")).fg(Color::Yellow),
        many => Cell::from(format!("{many:.0}")).fg(Color::Yellow),
    };
    let none = || Cell::from("–").dim();
    let state = match lane.is_up {
        true => Cell::from("up"),
        false => Cell::from("down").fg(Color::Red),
    };
    let delay = match lane.has_changed {
        // As in `status`: it is not what it came up with.
        true => Cell::from(format!("{}*", lane.delay)).fg(Color::Magenta),
        false => Cell::from(lane.delay.clone()),
    };
    vec![
        Cell::from(title.to_owned()),
        state,
        lane.rates
            .map_or_else(none, |rates| Cell::from(bits(rates.bits))),
        lane.limit_bps.map_or_else(
            || Cell::from("unlimited"),
            |limit| Cell::from(bits(limit as f64)),
        ),
        Cell::from(bytes(lane.queue_bytes)),
        delay,
        lane.rates.map_or_else(none, |rates| count(rates.marks)),
        lane.rates.map_or_else(none, |rates| count(rates.drops)),
        lane.rates.map_or_else(none, |rates| count(rates.losses)),
    ]
}

/// The whole of a bar where a lane has no limit.
fn peak(lane: &LaneView) -> f64 {
    let rates = lane.history.iter().map(|moment| moment.bits);
    rates.fold(0.0, f64::max)
}

fn sites(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let rate = |rate: Option<f64>| rate.map_or_else(|| "–".to_owned(), bits);
    let rows = view.sites.iter().map(|site| {
        Row::new([
            site.name.clone(),
            site.hosts.to_string(),
            rate(site.sends),
            rate(site.receives),
        ])
    });
    let widths = [20, 6, 12, 12].map(Constraint::Length);
    let heads = Row::new(["site", "hosts", "sends", "receives"]);
    let table = Table::new(rows, widths)
        .header(heads.style(Style::new().add_modifier(Modifier::BOLD)))
        .block(Block::bordered().title(" sites "));
    frame.render_widget(table, area);
}

/// The last lines: what is being typed, what came of it, what there is to say.
fn foot<'a>(view: &'a View, desk: &'a Desk) -> Text<'a> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    if let Some(note) = &view.note {
        lines.extend(note.lines().map(|line| Line::from(line).fg(Color::Yellow)));
    }
    match &desk.said {
        Some(Said::Asked) => lines.push(Line::from("asking the lab …").dim()),
        Some(Said::Done(text)) => {
            lines.extend(text.lines().map(|line| Line::from(line).fg(Color::Green)));
        }
        Some(Said::Refused(text)) => {
            lines.extend(text.lines().map(|line| Line::from(line).fg(Color::Red)));
        }
        None => {}
    }
    lines.push(match &desk.prompt {
        Some(Prompt { target, text }) => {
            let of = match target.lane {
                Some(lane) => format!("set {} > {} lane {lane}", target.link.from, target.link.to),
                None => format!("set {} – {}, both ways", target.link.from, target.link.to),
            };
            Line::from(vec![
                Span::from(of).bold(),
                Span::from(": "),
                Span::from(text.as_str()),
                Span::from("█"),
            ])
        }
        None => Line::from(KEYS).dim(),
    });
    Text::from(lines)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::keys::Target;
    use super::super::view::tests::view;
    use super::*;

    fn drawn(view: &View, desk: &Desk, width: u16, height: u16) -> TestBackend {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view, desk)).unwrap();
        terminal.backend().clone()
    }

    #[test]
    fn a_run_is_drawn_with_its_course_links_and_sites() {
        insta::assert_snapshot!(drawn(&view(12), &Desk::default(), 120, 18));
    }

    #[test]
    fn what_is_typed_and_refused_is_at_the_foot() {
        let mut view = view(2);
        view.run = None;
        view.lanes[1].is_up = false;
        view.lanes[1].has_changed = true;
        let desk = Desk {
            chosen: 1,
            prompt: Some(Prompt {
                target: Target {
                    link: longhaul_topologies::adjust::Named {
                        from: "west".into(),
                        to: "east".into(),
                    },
                    lane: None,
                },
                text: "delay=30".into(),
            }),
            said: Some(Said::Refused("`fast` is not a rate\nwrite 10Mbit".into())),
        };
        insta::assert_snapshot!(drawn(&view, &desk, 100, 16));
    }

    #[test]
    fn no_terminal_is_too_small() {
        // Each view at every third size: to draw takes milliseconds.
        let views = [view(0), view(1), view(200)];
        for width in 0..40 {
            for height in 0..16 {
                let view = &views[(width + height) % views.len()];
                drawn(view, &Desk::default(), width as u16, height as u16);
            }
        }
    }
}
