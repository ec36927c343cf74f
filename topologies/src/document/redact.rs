//! What an excerpt does not show: somebody may have written a secret where none belongs, and errors end up in logs.

/// Words in the names of what is secret, in lower case.
const SECRET: [&str; 8] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "api_key",
    "private_key",
];

/// Whether the value of what is called `key`, in a file or the environment, is not to be shown.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    SECRET.iter().any(|word| key.contains(word))
}

/// `text` with asterisks for the values of keys that look like secrets, byte for byte, so that places in it stay what they are.
///
/// Goes by lines and not by the grammar, as what has errors may not be YAML: rather too much is hidden than too little. What is a mapping
/// (`{env: NAME}`) stays, as it says where the secret is.
pub(super) fn redacted(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let colons = text.match_indices(':').map(|(at, _)| at);
    let secrets = colons.filter(|&colon| is_secret(key_before(text, colon)));
    let values = secrets.map(|colon| value_behind(text, colon));
    for (from, to) in values.chain(users(text)) {
        for byte in &mut bytes[from..to] {
            if !byte.is_ascii_whitespace() {
                *byte = b'*';
            }
        }
    }
    // Whole characters became asterisks, each of its bytes one.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Who logs in, and by what, in each URL that says so.
fn users(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.match_indices("://").filter_map(|(at, slashes)| {
        let from = at + slashes.len();
        let ends_host = |c: char| c.is_whitespace() || "/\"',}".contains(c);
        let host = text[from..].split(ends_host).next()?;
        Some((from, from + host.rfind('@')?))
    })
}

/// The key whose colon is at `colon`; nothing if what is there is none.
fn key_before(text: &str, colon: usize) -> &str {
    let begins_value = |c: char| c.is_whitespace() || "{[\"'|>".contains(c);
    let is_quoted = text[..colon].ends_with(['"', '\'']);
    match text[colon + 1..].chars().next() {
        Some(c) if !begins_value(c) && !is_quoted => "",
        _ => {
            let before = text[..colon].trim_end_matches([' ', '"', '\'']);
            let ends = |c: char| c.is_whitespace() || "{[,\"'".contains(c);
            let key = before.rsplit(ends).next().unwrap_or(before);
            key.trim_start_matches('-')
        }
    }
}

/// Where the value behind the colon begins and ends; empty if it is a mapping.
fn value_behind(text: &str, colon: usize) -> (usize, usize) {
    let line = text[..colon].rfind('\n').map_or(0, |end| end + 1);
    let line_end = text[colon..]
        .find('\n')
        .map_or(text.len(), |end| colon + end);
    let value = &text[colon + 1..line_end];
    let from = colon + 1 + (value.len() - value.trim_start().len());
    let value = &text[from..line_end];
    match value.chars().next() {
        Some('{') => (from, from),
        Some(quote @ ('"' | '\'')) => {
            let from = from + 1;
            (from, from + quoted(&text[from..], quote))
        }
        // Within braces a value ends at the next comma, or with them.
        Some(_) if text[line..colon].contains('{') => {
            let end = value.find(", ").unwrap_or(value.len());
            (from, from + value[..end].trim_end_matches('}').len())
        }
        _ => {
            let column = text[line..colon].trim_end().len() - key_before(text, colon).len();
            (from, line_end + further_lines(&text[line_end..], column))
        }
    }
}

/// How much of `text` is before the quote that ends it: none that is escaped by a backslash or doubled.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let escapes = match characters.peek() {
            Some((_, next)) if quote == '\'' => character == quote && *next == quote,
            _ => character == '\\' && quote == '"',
        };
        if escapes {
            characters.next();
        } else if character == quote {
            return at;
        }
    }
    text.len()
}

/// How much of `rest`, which begins at a line's end, belongs to a value whose key stands at `column`: lines that are further in and are no
/// keys of their own.
fn further_lines(rest: &str, column: usize) -> usize {
    let is_part = |line: &&str| {
        let indent = line.len() - line.trim_start().len();
        line.trim().is_empty() || (indent > column && !line.contains(": "))
    };
    let lines = rest.split_inclusive('\n');
    let first = rest.len().min(1);
    first
        + lines
            .skip(1)
            .take_while(is_part)
            .map(str::len)
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_hidden_and_all_else_stays_where_it_is() {
        for (text, expected) in [
            ("password: hunter2\nuser: u", "password: *******\nuser: u"),
            (
                "{user: u, password: hunter2, url: x}",
                "{user: u, password: *******, url: x}",
            ),
            (
                r#"{"token": "a, b", "x": 1}"#,
                r#"{"token": "** *", "x": 1}"#,
            ),
            (r#"secret: "a\"b" # c"#, r#"secret: "****" # c"#),
            ("secret: 'a''b' # c", "secret: '****' # c"),
            // A space of two bytes.
            ("\u{a0}secret: ab", "\u{a0}secret: **"),
            ("{a: {secret: a,b}}", "{a: {secret: ***}}"),
            ("- api-key: 12\n  user: u", "- api-key: **\n  user: u"),
            (
                "a:\n  secret: |\n    one\n    two\n  b: 1",
                "a:\n  secret: *\n    ***\n    ***\n  b: 1",
            ),
            (
                "Leaf_Password: grün # x\nb: 1",
                "Leaf_Password: ***** * *\nb: 1",
            ),
            ("password: {env: NAME}\nb: 1", "password: {env: NAME}\nb: 1"),
            (
                "password:\n  env: NAME\nb: 1",
                "password:\n  env: NAME\nb: 1",
            ),
            (
                "url: https://password:8765\n",
                "url: https://password:8765\n",
            ),
            (
                "url: https://ops:hunter2@leaf:8765/x@y",
                "url: https://***********@leaf:8765/x@y",
            ),
            ("name: password\nb: 1", "name: password\nb: 1"),
        ] {
            assert_eq!(redacted(text), expected);
            assert_eq!(redacted(text).len(), text.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_its_length(text in "(password|token|a|:| |\n|\\{|,|\"|'|ü|-){0,30}") {
            proptest::prop_assert_eq!(redacted(&text).len(), text.len());
        }
    }
}
