//! Readings pushed to an OpenTelemetry collector, by OTLP/HTTP with JSON. What does not arrive is not sent again: the next reading's
//! counters hold it.

use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use longhaul_emulator::keeper::LabName;
use longhaul_emulator::metrics::otlp::{self, Span};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::serve::State;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// How long a collector may take for one request (the protocol's default timeout of exporters).
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of an answer is read, to say what was wrong.
const LONGEST_ANSWER: usize = 64 << 10;
/// The port of a URL that names none (RFC 9110).
const HTTP: u16 = 80;
/// Where collectors take OTLP/gRPC unless they are told otherwise (the protocol's default port).
const GRPC: u16 = 4317;
/// What goes to other paths of the protocol than metrics.
const OTHER_PATHS: [&str; 3] = ["/v1/traces", "/v1/logs", "/v1development/profiles"];

/// Where to push.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    /// As it was given.
    url: String,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Collector {
    /// From `http://HOST:PORT`, with or without the path of metrics.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            Failure::with_help(
                Exit::Usage,
                format!("--otlp {url}: {why}"),
                "write http://HOST:PORT of a collector, as in http://127.0.0.1:4318",
            )
        };
        let uri: Uri = url.parse().map_err(|_| refuse("no URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(refuse("TLS is the business of a collector on this machine"));
            }
            Some("grpc" | "grpcs") => {
                return Err(refuse("longhaul speaks OTLP over HTTP, not over gRPC"));
            }
            _ => return Err(refuse("not an http URL")),
        }
        if uri.query().is_some() {
            return Err(refuse("no query goes there"));
        }
        let authority = uri.authority().ok_or_else(|| refuse("no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("no user or password goes there"));
        }
        // The specification has the path of metrics appended to a base address.
        let base = uri.path().trim_end_matches('/');
        if OTHER_PATHS.iter().any(|other| base.ends_with(other)) {
            return Err(refuse("longhaul has metrics only"));
        }
        let path = match base.strip_suffix(otlp::PATH) {
            Some(_) => base.to_owned(),
            None => format!("{base}{}", otlp::PATH),
        };
        let host = authority.host();
        Ok(Collector {
            url: url.to_owned(),
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: authority.port_u16().unwrap_or(HTTP),
            authority: authority.as_str().to_owned(),
            path,
        })
    }

    /// Pushes one request; what went wrong, in words.
    async fn push(&self, body: Vec<u8>) -> Result<(), String> {
        let pushed = tokio::time::timeout(PATIENCE, self.send(body)).await;
        pushed.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    async fn send(&self, body: Vec<u8>) -> Result<(), String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        // It ends with the sender; what it fails from, the sender says.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, otlp::CONTENT_TYPE)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| match self.port {
            GRPC => format!("{error}; {GRPC} is the port for gRPC: name the one for HTTP, which is 4318 as a rule"),
            _ => error.to_string(),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return Err(format!(
                "{status}: it takes no JSON; an OpenTelemetry collector between the two does, and passes it on"
            ));
        }
        let text = Limited::new(answer.into_body(), LONGEST_ANSWER)
            .collect()
            .await;
        let text = text.map(Collected::to_bytes).unwrap_or_default();
        Err(format!(
            "{status}: {}",
            String::from_utf8_lossy(&text).trim()
        ))
    }
}

/// Pushes every state that comes, for ever. Tells once that the collector does not answer, and once that it does again.
pub async fn push_all(
    collector: &Collector,
    lab: &LabName,
    started: u64,
    mut states: watch::Receiver<State>,
    output: Output,
) {
    let started = UNIX_EPOCH + Duration::from_secs(started);
    let mut is_failing = false;
    loop {
        let body = {
            let state = states.borrow_and_update();
            let span = Span {
                started,
                at: state.at,
            };
            (!state.measured.is_empty())
                .then(|| otlp::request(lab.as_str(), span, &state.measured).to_string())
        };
        if let Some(body) = body {
            let pushed = collector.push(body.into_bytes()).await;
            match (&pushed, is_failing) {
                (Err(why), false) => output.aside(format!(
                    "{} does not take the telemetry: {why}; longhaul goes on trying",
                    collector.url
                )),
                (Ok(()), true) => output.aside(format!("{} takes it again", collector.url)),
                _ => {}
            }
            is_failing = pushed.is_err();
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// Starts a longhaul of its own beside the run `name` that pushes what it reads of it, until that ends. The run itself is cut off from
/// every network but its lab's.
///
/// # Errors
/// If there is no process for it.
pub fn beside(name: &LabName, collector: &Collector) -> Result<(), Failure> {
    let start = || {
        Command::new(std::env::current_exe()?)
            .args(["top", name.as_str(), "--otlp", &collector.url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
    };
    start()
        .map(drop)
        .map_err(|error| Failure::new(Exit::Lacking, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_metrics_is_added_once() {
        for url in [
            "http://127.0.0.1:4318",
            "http://127.0.0.1:4318/",
            "http://127.0.0.1:4318/v1/metrics",
        ] {
            let collector = Collector::parse(url).unwrap();
            assert_eq!(collector.path, "/v1/metrics", "{url}");
            assert_eq!(
                (collector.host.as_str(), collector.port),
                ("127.0.0.1", 4318)
            );
        }
        let behind = Collector::parse("http://[::1]/otlp").unwrap();
        assert_eq!(
            (behind.path.as_str(), behind.port),
            ("/otlp/v1/metrics", 80)
        );
        assert_eq!(behind.host, "::1");
    }

    #[test]
    fn what_is_no_plain_http_url_is_refused_with_one_that_is() {
        for url in [
            "127.0.0.1:4318",
            "https://a",
            "ftp://a",
            "http://u:p@a",
            "",
            "http://",
            "grpc://127.0.0.1:4317",
            "http://127.0.0.1:4318/v1/traces",
            "http://127.0.0.1:4318/?key=1",
        ] {
            let refused = Collector::parse(url).unwrap_err().plain();
            assert!(
                refused.contains("http://127.0.0.1:4318"),
                "{url}: {refused}"
            );
        }
    }
}
