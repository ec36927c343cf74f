//! How longhaul gets onto a machine that has none: a script for its shell, and what that answers. Pure.
//!
//! ssh hands a command to the user's shell there, whatever that is; so the script is one word in single quotes for `/bin/sh`, and
//! nothing from a file stands in it but a digest. All of it goes over one connection, which is then that of the process it starts:
//! the script says whether longhaul lies in the user's cache there, is sent it if not, and becomes it.

/// Begins every line of the script's own: a shell may print others before.
const LINE: &str = "longhaul-bootstrap:";

/// The script's exit code if it could not write what it was sent: no shell's own, and no signal's.
pub(super) const CANNOT_WRITE: i32 = 98;

/// What the script says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// `uname -m`.
    pub(super) architecture: String,
    /// Whether longhaul of that digest lies there.
    pub(super) presence: Presence,
}

/// Whether a file lies on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    Missing,
}

/// The command for the login shell that ends as longhaul's `part` on the other machine.
pub(super) fn command(digest: &str, part: &str) -> String {
    format!(
        r#"exec /bin/sh -c 'd="${{XDG_CACHE_HOME:-$HOME/.cache}}/longhaul/{digest}"; f="$d/longhaul"
if [ -x "$f" ]; then has=there; else has=missing; fi
echo "{LINE} $has $(uname -m)"
read -r answer size || exit 0
case "$answer" in
start) ;;
copy)
umask 077
n="$d/new.$$"
mkdir -p "$d" && head -c "$size" >"$n" && [ "$(wc -c <"$n")" -eq "$size" ] && chmod 700 "$n" && mv -f "$n" "$f" || {{ rm -f "$n"; exit {CANNOT_WRITE}; }} ;;
*) exit 0 ;;
esac
exec "$f" {part}'"#
    )
}

/// The command for the login shell that starts longhaul's `part` where [`command`] has been.
pub(super) fn further(digest: &str, part: &str) -> String {
    format!(
        r#"exec /bin/sh -c 'exec "${{XDG_CACHE_HOME:-$HOME/.cache}}/longhaul/{digest}/longhaul" {part}'"#
    )
}

/// The greeting in a line; `None` if it is something else.
pub(super) fn greeting(line: &str) -> Option<Greeting> {
    let mut words = line.trim().strip_prefix(LINE)?.split_whitespace();
    let presence = match words.next()? {
        "there" => Presence::There,
        "missing" => Presence::Missing,
        _ => return None,
    };
    Some(Greeting {
        presence,
        architecture: words.next()?.to_owned(),
    })
}

/// What the script is told if longhaul lies there.
pub(super) const START: &str = "start\n";

/// What it is told before `size` bytes of longhaul.
pub(super) fn copy(size: usize) -> String {
    format!("copy {size}\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Output, Stdio};

    use super::*;

    /// What the script does in a home of its own, by the shell that `ssh` would give it to.
    fn run(home: &std::path::Path, shell: &str, input: &[u8]) -> Output {
        let mut child = Command::new(shell)
            .args(["-c", &command("0123abcd", "__part")])
            .env_clear()
            .envs([("HOME", home.to_str().unwrap()), ("PATH", "/usr/bin:/bin")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    #[test]
    fn what_is_missing_is_copied_once_and_then_there() {
        let home = tempfile::tempdir().unwrap();
        let program = "#!/bin/sh\necho \"ran $1\"\ncat\n";
        let input = format!("{}{program}and the rest", copy(program.len()));
        let first = run(home.path(), "sh", input.as_bytes());
        let text = String::from_utf8(first.stdout).unwrap();
        let (line, rest) = text.split_once('\n').unwrap();
        assert_eq!(greeting(line).unwrap().presence, Presence::Missing);
        assert_eq!(rest, "ran __part\nand the rest", "{:?}", first.stderr);
        let file = home.path().join(".cache/longhaul/0123abcd/longhaul");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o700
        );

        let second = run(home.path(), "bash", format!("{START}more").as_bytes());
        let text = String::from_utf8(second.stdout).unwrap();
        let (line, rest) = text.split_once('\n').unwrap();
        assert_eq!(greeting(line).unwrap().presence, Presence::There);
        assert_eq!(rest, "ran __part\nmore");
    }

    #[test]
    fn what_was_cut_off_on_its_way_is_not_there() {
        let home = tempfile::tempdir().unwrap();
        let cut = run(home.path(), "sh", b"copy 100\nabc");
        assert_eq!(cut.status.code(), Some(CANNOT_WRITE));
        let folder = home.path().join(".cache/longhaul/0123abcd");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        assert_eq!(run(home.path(), "sh", b"").status.code(), Some(0));
    }

    #[test]
    fn what_a_shell_prints_before_is_no_greeting() {
        assert_eq!(greeting("Welcome to east-0"), None);
        assert_eq!(greeting("longhaul-bootstrap: there"), None);
        assert!(greeting("longhaul-bootstrap: there x86_64\r").is_some());
    }
}
