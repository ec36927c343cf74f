//! Who may ask a page of this machine for what. Pure, but for the token's file.
//!
//! The page is served to loopback alone, yet any site that a browser shows can send requests there. One that has its name resolve to
//! this machine (DNS rebinding) is told by the `Host` that it sends, one that posts from another page by its `Origin`.

use std::net::{IpAddr, SocketAddr};

use hyper::http::uri::Authority;
use subtle::ConstantTimeEq;

use crate::exit::Exit;
use crate::failure::Failure;

/// What whoever sets links has to know.
#[derive(Clone)]
pub struct Token(String);

/// A token of fewer bytes can be found by trying.
const SHORTEST: usize = 8;

/// `address`, if nobody but this machine can reach it.
///
/// # Errors
/// If others could.
pub fn loopback(address: SocketAddr) -> Result<SocketAddr, Failure> {
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(Failure::with_help(
        Exit::Usage,
        format!("--web {address}: others could reach it, and it has neither encryption nor users"),
        "take 127.0.0.1 or [::1], and `ssh -L 7878:127.0.0.1:7878 HOST` from elsewhere",
    ))
}

/// The token that was given, or that lies in the file after `@`.
///
/// # Errors
/// If the file cannot be read, or there is too little in it.
pub fn token(given: &str) -> Result<Token, Failure> {
    let token = match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Failure::with_help(
                Exit::Usage,
                format!("--token: cannot read {path}: {error}"),
                "name a file that holds nothing but the token",
            )
        })?,
        None => given.to_owned(),
    };
    let token = token.trim();
    if token.len() < SHORTEST {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("--token: fewer than {SHORTEST} bytes can be guessed"),
            "`openssl rand -hex 16 > token`, and --token @token",
        ));
    }
    Ok(Token(token.to_owned()))
}

impl Token {
    /// Whether `authorization`, a header's value, has it. Takes as long whatever is wrong in it, but for its length.
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        let given = authorization.and_then(|value| value.strip_prefix("Bearer "));
        given.is_some_and(|given| given.as_bytes().ct_eq(self.0.as_bytes()).into())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Whether a request that names `host` means this machine. Whatever port: it may come through a tunnel.
pub fn is_ours(host: Option<&str>) -> bool {
    let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a request comes from the page itself, or from no page at all (then it has no origin).
pub fn is_same_origin(origin: Option<&str>, host: Option<&str>) -> bool {
    match (origin, host) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_served() {
        for address in ["127.0.0.1:0", "127.3.2.1:80", "[::1]:7878"] {
            assert!(loopback(address.parse().unwrap()).is_ok(), "{address}");
        }
        for address in [
            "0.0.0.0:80",
            "[::]:80",
            "192.168.1.2:80",
            "[2001:db8::1]:80",
        ] {
            assert!(loopback(address.parse().unwrap()).is_err(), "{address}");
        }
    }

    #[test]
    fn a_name_that_resolves_here_is_not_ours() {
        for host in [
            "localhost",
            "LOCALHOST:7878",
            "127.0.0.1:7878",
            "[::1]:7878",
        ] {
            assert!(is_ours(Some(host)), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:7878",
            "127.0.0.1.evil.example",
            "evil@localhost",
            "10.0.0.1:7878",
            "",
        ] {
            assert!(!is_ours(Some(host)), "{host}");
        }
        assert!(!is_ours(None));
    }

    #[test]
    fn another_page_is_told_by_its_origin() {
        let host = Some("localhost:7878");
        assert!(is_same_origin(None, host));
        assert!(is_same_origin(Some("http://localhost:7878"), host));
        for origin in [
            "http://localhost:3000",
            "https://localhost:7878",
            "http://evil.example",
            "null",
        ] {
            assert!(!is_same_origin(Some(origin), host), "{origin}");
        }
    }

    #[test]
    fn the_token_is_the_whole_token() {
        let token = token("correct horse").unwrap();
        assert!(token.admits(Some("Bearer correct horse")));
        for given in [
            None,
            Some("correct horse"),
            Some("Bearer "),
            Some("Bearer correct hors"),
            Some("Bearer correct horses"),
        ] {
            assert!(!token.admits(given), "{given:?}");
        }
        assert_eq!(format!("{token:?}"), "Token", "it gets into no log");
    }

    #[test]
    fn a_token_from_a_file_has_no_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "correct horse\n").unwrap();
        let token = token(&format!("@{}", file.path().display())).unwrap();
        assert!(token.admits(Some("Bearer correct horse")));
        assert!(super::token("short").is_err());
        assert!(super::token("@/nowhere/token").is_err());
    }
}
