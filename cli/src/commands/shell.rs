//! Text for a shell.

use longhaul_topologies::document::is_secret;

/// The command that was typed, with its arguments quoted where a shell would need it. Of a variable that is a secret (`--env
/// NAME=VALUE`) the name alone: results are shown around, and so the command takes the value from whoever repeats it.
pub fn command_line() -> String {
    told(std::env::args().skip(1))
}

fn told(arguments: impl Iterator<Item = String>) -> String {
    let mut words = vec!["longhaul".to_owned()];
    let mut is_variable = false;
    for argument in arguments {
        let word = match argument.strip_prefix("--env=") {
            Some(variable) => format!("--env={}", without_secret(variable)),
            None if is_variable => without_secret(&argument).to_owned(),
            None => argument.clone(),
        };
        is_variable = argument == "--env";
        words.push(quoted(&word));
    }
    words.join(" ")
}

fn without_secret(variable: &str) -> &str {
    match variable.split_once('=') {
        Some((name, _)) if is_secret(name) => name,
        _ => variable,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_as_it_was_typed_but_for_secrets() {
        let typed = [
            "run",
            "my experiment.yaml",
            "--env",
            "HF_TOKEN=abc",
            "--env=my_api_key=def",
            "--env",
            "NCCL_DEBUG=INFO",
            "TOKEN=kept",
        ];
        assert_eq!(
            told(typed.iter().map(|word| (*word).to_owned())),
            "longhaul run 'my experiment.yaml' --env HF_TOKEN --env=my_api_key --env NCCL_DEBUG=INFO TOKEN=kept"
        );
    }
}
