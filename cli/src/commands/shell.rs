//! Text for a shell.

/// The command that was typed, with its arguments quoted where a shell would need it.
pub fn command_line() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("longhaul".to_owned())
        .chain(arguments.map(|argument| quoted(&argument)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// One word to any POSIX shell, quoted if it has to be.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
