//! `--asked`: what the way between two namespaces should be like, in a link's own words.

use std::collections::BTreeSet;

use longhaul_emulator::fidelity::Quantity;
use longhaul_emulator::fidelity::between::Asked;
use longhaul_topologies::{Document, InputError, validate};

use crate::exit::Exit;
use crate::failure::Failure;

/// A link between two sites that only stand for the namespaces.
const LINK: &str = "name: asked\nsites: [{name: a}, {name: b}]\nlinks: [{between: [a, b]}]\n";

/// What links have and a single way has not.
const OF_LINKS: [&str; 4] = ["between", "lanes", "spread", "schedule"];

/// What `texts` ask for; nothing if there are none. Only what they name is judged.
pub fn parse(texts: &[String]) -> Result<Asked, Failure> {
    let settings: Vec<&str> = texts.iter().flat_map(|text| split(text)).collect();
    if settings.is_empty() {
        return Ok(Asked::nothing());
    }
    let mut document = Document::from_text("--asked", LINK)?;
    let mut judged = [BTreeSet::new(), BTreeSet::new()];
    let (mut delayed, mut derived) = (false, false);
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Failure::with_help(
                Exit::Usage,
                format!("--asked {setting}: no value"),
                "write --asked KEY=VALUE,KEY=VALUE, as in --asked delay=40ms,loss=1%",
            ));
        };
        let (key, value) = (key.trim(), value.trim());
        let (ways, name) = match key.split_once('.') {
            Some(("forward", name)) => (&[0][..], name),
            Some(("reverse", name)) => (&[1][..], name),
            _ => (&[0, 1][..], key),
        };
        let name = name.split('.').next().unwrap_or(name);
        if OF_LINKS.contains(&name) {
            return Err(Failure::with_help(
                Exit::Usage,
                format!(
                    "--asked {setting}: a link has `{name}`, the way between two namespaces has not"
                ),
                "ask for its delay, jitter, rate, loss, duplication, corruption, reordering, queue or state",
            ));
        }
        for &way in ways {
            judged[way].extend(quantities(name));
        }
        delayed |= matches!(name, "delay" | "rtt");
        derived |= matches!(name, "jitter" | "queue");
        let set = document.set(&format!("links.0.{key}"), value);
        set.map_err(|error| named(&error))?;
    }
    if !delayed {
        // A link has to have one. It is not judged; but what is derived from it must not be made up.
        if derived {
            return Err(Failure::with_help(
                Exit::Usage,
                "--asked: a jitter or a queue without a delay",
                "say the one-way delay too, as in --asked delay=40ms,jitter=1ms",
            ));
        }
        document
            .set("links.0.delay", "0ms")
            .map_err(|error| named(&error))?;
    }
    let mut topology = validate::topology(&document).map_err(|error| named(&error))?;
    let lane = topology.links.remove(0).lanes.remove(0);
    Ok(Asked { lane, judged })
}

/// At commas that stand in no bracket.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

/// What a setting of a link is measured by.
fn quantities(setting: &str) -> BTreeSet<Quantity> {
    match setting {
        "delay" | "rtt" => [Quantity::Delay].into(),
        "jitter" => [Quantity::Jitter, Quantity::Shape, Quantity::Reordered].into(),
        "rate" => [Quantity::Rate].into(),
        "loss" => [Quantity::Loss].into(),
        "duplication" => [Quantity::Duplication].into(),
        "corruption" => [Quantity::Corruption].into(),
        "reordering" => [Quantity::Reordered, Quantity::Extent].into(),
        "queue" => [Quantity::Queue, Quantity::Marks].into(),
        "state" => Asked::everything(),
        // The description's own check names it.
        _ => BTreeSet::new(),
    }
}

/// The error without the document that nobody wrote.
fn named(error: &InputError) -> Failure {
    let message = match error.setting() {
        None => format!("--asked: {}", error.message),
        Some(setting) => {
            let key = setting.key.trim_start_matches("links.0.");
            format!("--asked {key}={}: {}", setting.value, error.message)
        }
    };
    let message = message.replace("links.0.", "");
    match &error.help {
        Some(help) => Failure::with_help(Exit::Usage, message, help),
        None => Failure::new_usage(&message),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(text: &str) -> Asked {
        parse(&[text.to_owned()]).unwrap_or_else(|failure| panic!("{}", failure.render()))
    }

    #[test]
    fn only_what_is_named_is_judged_and_each_way_can_differ() {
        let asked = asked("delay=40ms, rate=100Mbit,reverse.loss=1%");
        assert_eq!(asked.judged[0], [Quantity::Delay, Quantity::Rate].into());
        assert!(asked.judged[1].contains(&Quantity::Loss));
        assert_eq!(asked.lane.forward.delay, Duration::from_millis(40));
        assert_ne!(asked.lane.forward.loss, asked.lane.reverse.loss);
    }

    #[test]
    fn a_way_that_is_down_needs_no_delay_and_what_only_links_have_is_refused() {
        assert!(!asked("state=down").judged[0].is_empty());
        for text in [
            "lanes=2",
            "lanes=[{delay: 9ms}]",
            "between=[a, b]",
            "delay=1ms,spread=1ms",
        ] {
            let refused = parse(&[text.to_owned()]).unwrap_err().render();
            assert!(
                refused.contains("the way between two namespaces has not"),
                "{refused}"
            );
        }
    }

    #[test]
    fn commas_within_brackets_belong_to_a_value() {
        let asked = asked("delay=40ms,jitter={deviation: 5ms, distribution: uniform}");
        let jitter = asked.lane.forward.jitter.unwrap();
        assert_eq!(jitter.deviation, Duration::from_millis(5));
        assert!(parse(&[]).unwrap().judged[0].is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_option() {
        for (text, message) in [
            ("delay", "--asked delay: no value"),
            ("delay=40", "--asked delay=40: "),
            ("colour=red", "--asked colour=red: unknown field `colour`"),
            ("jitter=1ms", "--asked: a jitter or a queue without a delay"),
        ] {
            let failure = parse(&[text.to_owned()]).unwrap_err();
            let rendered = failure.render();
            assert!(rendered.contains(message), "{text}: {rendered}");
            assert_eq!(failure.exit(), Exit::Usage);
        }
    }
}
