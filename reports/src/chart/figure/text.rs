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
}
