//! One request, one answer: a connection each, so that nothing of an earlier one can be in the way.

use std::fmt::Write;
use std::io::ErrorKind;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::rt::{Read, Write as HyperWrite};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use longhaul_topologies::hardware::{NvueLogin, SwitchUrl};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::NvueError;

/// Where NVUE's tree begins ("NVUE API" in the documentation of Cumulus Linux).
const BASE: &str = "/nvue_v1";
/// How long a switch may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of an answer is read: the configuration of a switch with all its ports is some 100 kB.
const LONGEST_ANSWER: usize = 16 << 20;
/// How much of an answer that was not expected is shown.
const SHOWN: usize = 300;

/// Where a switch is, and what proves who asks.
pub(super) struct Endpoint {
    pub(super) url: SwitchUrl,
    pub(super) user: String,
    credentials: HeaderValue,
    tls: Option<TlsConnector>,
}

/// What a switch answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Endpoint {
    pub(super) fn new(login: &NvueLogin, password: &str, tls: Option<TlsConnector>) -> Self {
        // RFC 7617.
        let pair = BASE64_STANDARD.encode(format!("{}:{password}", login.user));
        let mut credentials =
            HeaderValue::try_from(format!("Basic {pair}")).expect("base64 fits into a header");
        // Hyper's own logs leave it out then.
        credentials.set_sensitive(true);
        Endpoint {
            url: login.url.clone(),
            user: login.user.clone(),
            credentials,
            tls,
        }
    }

    /// Sends a request and reads its whole answer.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, NvueError> {
        match tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(unreachable(format!(
                "no answer within {} s",
                PATIENCE.as_secs()
            ))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, NvueError> {
        let url = &self.url;
        let stream = TcpStream::connect((url.host(), url.port())).await;
        let stream = stream.map_err(unreachable)?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header(HOST, url.authority())
            .header(AUTHORIZATION, &self.credentials)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(unreachable)?;
        let Some(tls) = &self.tls else {
            return send(TokioIo::new(stream), request).await;
        };
        let name = ServerName::try_from(url.host().to_owned()).map_err(unreachable)?;
        let stream = tls.connect(name, stream).await;
        // What rustls refuses is invalid data; all else is the network.
        let stream = stream.map_err(|error| match error.kind() {
            ErrorKind::InvalidData => NvueError::Untrusted {
                reason: error.to_string(),
            },
            _ => unreachable(error),
        })?;
        send(TokioIo::new(stream), request).await
    }
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, NvueError>
where
    S: Read + HyperWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await.map_err(unreachable)?;
    // It ends with the sender; what it fails from, the sender says.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(unreachable)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
        .collect()
        .await
        .map(Collected::to_bytes)
        .map_err(unreachable)?;
    Ok(Answer {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreachable(reason: impl ToString) -> NvueError {
    NvueError::Unreachable {
        reason: reason.to_string(),
    }
}

/// A revision's number as a part of a path: some have a slash in them.
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

/// As much of an answer as fits into an error.
pub(super) fn beginning(body: &str) -> String {
    body.trim().chars().take(SHOWN).collect()
}
