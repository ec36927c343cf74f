//! The page: requests in, responses out. HTTP itself is hyper's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use longhaul_emulator::metrics::prometheus;
use longhaul_topologies::adjust::Named;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;

use super::guard::{self, Token};
use super::keys::{Target, adjustment};
use super::serve::State;
use super::source::Source;

/// The page, its style and its script.
const PAGE: &str = include_str!("page.html");

/// How long a client may take over the head of its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many clients are served at a time: some pages and scrapers, and no more threads of trouble.
const MOST_CLIENTS: usize = 64;
/// The longest change: settings of a link fit many times.
const LONGEST_CHANGE: usize = 16 << 10;
/// After this long without an accepted client, as the machine has no descriptor left, it is tried again.
const RETRY: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What is served.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    source: Source,
    token: Option<Token>,
    states: Receiver<State>,
    /// Allows the page's own script and style, and nothing from anywhere else.
    policy: HeaderValue,
}

/// A change of a link, as the page asks for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    from: String,
    to: String,
    /// This lane, from `from` to `to`; without, the whole link.
    lane: Option<usize>,
    /// `delay=30ms loss=1%`.
    settings: String,
}

/// Serves every client that comes.
pub async fn accept(listener: TcpListener, site: Site) {
    let room = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        let Ok(here) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let site = site.clone();
        tokio::spawn(async move {
            let _here = here;
            let answer = service_fn(move |request| {
                let site = site.clone();
                async move { Ok::<_, Infallible>(site.answer(request).await) }
            });
            // A client that is gone or talks nonsense has nobody to hear of it.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(client), answer)
                .await;
        });
    }
}

impl Site {
    pub fn new(source: Source, token: Option<Token>, states: Receiver<State>) -> Self {
        Site(Arc::new(Inner {
            source,
            token,
            states,
            policy: policy(),
        }))
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let host = text(&request, header::HOST);
        if !guard::is_ours(host) {
            return self.refuse(
                StatusCode::MISDIRECTED_REQUEST,
                "this page is served to this machine alone: ask for it as localhost or 127.0.0.1",
            );
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => self.whole(StatusCode::OK, "text/html; charset=utf-8", PAGE),
            (&Method::GET, "/events") => self.events(),
            (&Method::GET, "/metrics") => {
                let measured = self.0.states.borrow().measured.clone();
                let text = prometheus::render(self.0.source.name().as_str(), measured);
                self.whole(StatusCode::OK, prometheus::CONTENT_TYPE, text)
            }
            (&Method::POST, "/link") => self.set(request).await,
            (_, "/" | "/events" | "/metrics" | "/link") => {
                self.refuse(StatusCode::METHOD_NOT_ALLOWED, "not this way")
            }
            _ => self.refuse(
                StatusCode::NOT_FOUND,
                "there are /, /events, /metrics and /link",
            ),
        }
    }

    /// The view as it is, and again whenever it changes.
    fn events(&self) -> Response<Body> {
        let mut states = self.0.states.clone();
        states.mark_changed();
        let control = self.0.token.is_some();
        let events = stream::unfold(states, move |mut states| async move {
            states.changed().await.ok()?;
            let event = {
                let state = states.borrow_and_update();
                let told = json!({ "view": state.view, "gone": state.gone, "control": control });
                format!("data: {told}\n\n")
            };
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), states))
        });
        let body = StreamBody::new(events).boxed_unsync();
        self.respond(StatusCode::OK, "text/event-stream", body)
    }

    /// Sets a link, for who knows the token.
    async fn set(&self, request: Request<Incoming>) -> Response<Body> {
        let Some(token) = &self.0.token else {
            return self.refuse(
                StatusCode::FORBIDDEN,
                "links cannot be set from here: start `longhaul top --web` with --token",
            );
        };
        if !guard::is_same_origin(text(&request, header::ORIGIN), text(&request, header::HOST)) {
            return self.refuse(StatusCode::FORBIDDEN, "that comes from another page");
        }
        if !token.admits(text(&request, header::AUTHORIZATION)) {
            return self.refuse(StatusCode::UNAUTHORIZED, "that is not the token");
        }
        let Ok(body) = Limited::new(request.into_body(), LONGEST_CHANGE)
            .collect()
            .await
        else {
            return self.refuse(StatusCode::PAYLOAD_TOO_LARGE, "no change is that long");
        };
        let change: Change = match serde_json::from_slice(&body.to_bytes()) {
            Ok(change) => change,
            Err(error) => return self.refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let target = Target {
            link: Named {
                from: change.from,
                to: change.to,
            },
            lane: change.lane,
        };
        let adjustment = match adjustment(&target, &change.settings) {
            Ok(adjustment) => adjustment,
            Err(why) => return self.refuse(StatusCode::UNPROCESSABLE_ENTITY, &why),
        };
        let source = self.0.source.clone();
        let adjusted = tokio::task::spawn_blocking(move || source.adjust(&adjustment)).await;
        match adjusted {
            Ok(Ok(changes)) => {
                let body = json!({ "changes": changes }).to_string();
                self.whole(StatusCode::OK, "application/json", body)
            }
            Ok(Err(why)) => self.refuse(StatusCode::UNPROCESSABLE_ENTITY, &why),
            Err(_) => self.refuse(StatusCode::INTERNAL_SERVER_ERROR, "the change failed"),
        }
    }

    fn refuse(&self, status: StatusCode, why: &str) -> Response<Body> {
        self.whole(
            status,
            "application/json",
            json!({ "error": why }).to_string(),
        )
    }

    fn whole(
        &self,
        status: StatusCode,
        kind: &'static str,
        body: impl Into<Bytes>,
    ) -> Response<Body> {
        self.respond(status, kind, Full::new(body.into()).boxed_unsync())
    }

    fn respond(&self, status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
        const FIXED: [(HeaderName, &str); 5] = [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ];
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.0.policy.clone());
        for (name, value) in FIXED {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// A header's value, if it is text.
fn text(request: &Request<Incoming>, name: HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// A Content-Security-Policy that knows the page's script and style by their hashes.
fn policy() -> HeaderValue {
    let hash = |tag: &str| {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let inside = PAGE
            .split_once(&open)
            .and_then(|(_, rest)| rest.split_once(&close));
        let (inside, _) = inside.expect("the page has one of each");
        BASE64_STANDARD.encode(Sha256::digest(inside))
    };
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    );
    HeaderValue::from_str(&policy).expect("no line ends in it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere() {
        for word in [
            "http://",
            "https://",
            "src=",
            "@import",
            "url(",
            "eval(",
            "innerHTML",
        ] {
            // The name space of SVG is a name, and no address.
            let page = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn the_policy_is_of_the_script_and_style_that_are_in_the_page() {
        let policy = policy();
        let policy = policy.to_str().unwrap();
        assert_eq!(policy.matches("sha256-").count(), 2, "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
