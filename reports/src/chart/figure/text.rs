//! Text made to fit its room.

use crate::theme::text_width;

/// The text, cut to fit `width` with an ellipsis.
pub(crate) fn shorten(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut short: Vec<char> = text.chars().collect();
    while short.pop().is_some() {
        let candidate = short.iter().collect::<String>() + "…";
        if text_width(&candidate, size) <= width {
            return candidate;
        }
    }
    String::new()
}

/// The label of an axis, its name cut before its unit is: `exposed comm… (s)`.
pub(super) fn shorten_label(label: &str, size: f64, width: f64) -> String {
    let (name, unit) = split_unit(label);
    let name = shorten(name, size, width - text_width(unit, size));
    shorten(&(name + unit), size, width)
}

/// A label's name, and its unit as it stands behind it: ` (ms)`, or nothing.
pub(super) fn split_unit(label: &str) -> (&str, &str) {
    let unit = label.rfind(" (").filter(|_| label.ends_with(')'));
    label.split_at(unit.unwrap_or(label.len()))
}

/// Lines of at most `width`, broken between words.
pub(super) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shorten(word, size, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::BODY;

    #[test]
    fn texts_are_cut_to_their_room() {
        let text = "a rather long name of a series with many settings";
        assert!(text_width(&shorten(text, BODY, 120.0), BODY) <= 120.0);
        assert!(
            wrap(text, BODY, 120.0)
                .iter()
                .all(|line| text_width(line, BODY) <= 120.0)
        );
        assert_eq!(wrap(text, BODY, 120.0).join(" "), text);
    }

    #[test]
    fn a_label_keeps_its_unit() {
        let label = "exposed communication (s)";
        let short = shorten_label(label, BODY, 120.0);
        assert!(
            short.ends_with("… (s)") && text_width(&short, BODY) <= 120.0,
            "{short}"
        );
        assert_eq!(shorten_label(label, BODY, 400.0), label);
        assert_eq!(shorten_label("a count", BODY, 400.0), "a count");
        assert_eq!(shorten_label(label, BODY, 1.0), "");
    }
}
