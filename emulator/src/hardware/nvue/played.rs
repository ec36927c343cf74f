//! A switch with NVUE's interface, played for tests: stricter than a real one may be, in that all that the documentation of Cumulus Linux
//! does not show is refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// The one that it takes.
pub const USER: &str = "longhaul";
/// The same.
pub const PASSWORD: &str = "correct horse";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The password that the switch came with was never changed.
    DefaultPassword,
    /// Somebody else applies a revision of their own between the client's two steps.
    Conflict,
    /// The revision is found to be wrong when it is applied.
    Invalid,
    /// The revision is never done.
    Endless,
    /// The connection ends after the order to apply.
    HangsUp,
    /// It takes the revision and keeps what it had.
    Forgets,
    /// What stands before it answers for it while it is busy, once.
    Stumbles,
}

/// How it knows what is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// `enable: on`.
    UpTo514,
    /// `state: enabled`.
    From515,
}

/// A switch that answers for as long as this is kept.
pub struct Played {
    /// Where.
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    _end: oneshot::Sender<()>,
}

struct Inner {
    fault: Fault,
    age: Age,
    /// What is set; and how often that has changed.
    applied: Value,
    generation: usize,
    revisions: BTreeMap<String, Revision>,
    requests: Vec<String>,
}

struct Revision {
    base: usize,
    config: Value,
    filled: bool,
    state: &'static str,
    /// How often it is looked at before it is done.
    looks: usize,
}

type Reply = (StatusCode, Value);

impl Played {
    /// A switch on which `applied` is set.
    pub fn start(applied: Value, age: Age, fault: Fault) -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            fault,
            age,
            applied,
            generation: 0,
            revisions: BTreeMap::new(),
            requests: Vec::new(),
        }));
        let (end, ended) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let shared = inner.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let serving = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        let shared = shared.clone();
                        let service = service_fn(move |request| answer(shared.clone(), request));
                        tokio::spawn(
                            http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                        );
                    }
                };
                tokio::select! {
                    () = serving => {}
                    _ = ended => {}
                }
            });
        });
        Played {
            address: told.recv().unwrap(),
            inner,
            _end: end,
        }
    }

    /// What is set, less what is empty and counts for nothing.
    pub fn applied(&self) -> Value {
        let mut applied = self.inner.lock().unwrap().applied.clone();
        prune(&mut applied, "");
        applied
    }

    /// Every request: `GET /revision/1`.
    pub fn requests(&self) -> Vec<String> {
        self.inner.lock().unwrap().requests.clone()
    }

    /// Lets a revision that is under way come nearer to its end, as time does.
    pub fn look(&self, revision: &str) {
        self.inner.lock().unwrap().look(revision);
    }

    /// Lets something else go wrong from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.inner.lock().unwrap().fault = fault;
    }
}

async fn answer(
    shared: Arc<Mutex<Inner>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map_err(std::io::Error::other)?
        .to_bytes();
    let mut inner = shared.lock().unwrap();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let path = path.strip_prefix("/nvue_v1").unwrap_or("?");
    inner.requests.push(format!("{} {path}", head.method));
    let pair = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let header = head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let is_json = head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json");
    let (status, value) = if header != Some(format!("Basic {pair}").as_bytes()) {
        (StatusCode::UNAUTHORIZED, json!({"message": "unauthorized"}))
    } else if inner.fault == Fault::DefaultPassword {
        (StatusCode::FORBIDDEN, json!({"message": "forbidden"}))
    } else if head.method == Method::PATCH && !is_json {
        bad("a PATCH has JSON")
    } else {
        inner.route(&head.method, path, &body)
    };
    if status == StatusCode::OK && value == json!("hang up") {
        return Err(std::io::ErrorKind::ConnectionReset.into());
    }
    let response = Response::builder()
        .status(status)
        .body(Full::new(Bytes::from(value.to_string())));
    response.map_err(std::io::Error::other)
}

fn bad(why: &str) -> Reply {
    (StatusCode::BAD_REQUEST, json!({"message": why}))
}

fn ok(value: Value) -> Reply {
    (StatusCode::OK, value)
}

impl Inner {
    fn route(&mut self, method: &Method, path: &str, body: &[u8]) -> Reply {
        let body = serde_json::from_slice::<Value>(body).ok();
        if let Some(number) = path.strip_prefix("/revision/") {
            return match (method, body) {
                (&Method::GET, _) => self.look(number),
                (&Method::PATCH, Some(order)) => self.order(number, &order),
                _ => bad("no such thing to do with a revision"),
            };
        }
        match (method.as_str(), path, body) {
            ("GET", "/?rev=applied&filled=false", _) => ok(self.applied.clone()),
            ("GET", "/?rev=applied", _) => ok(self.filled()),
            ("POST", "/revision", None) => self.make(),
            ("PATCH", path, Some(patch)) if path.starts_with("/?rev=") => {
                self.fill(&path["/?rev=".len()..], &patch)
            }
            _ => (StatusCode::NOT_FOUND, json!({"message": "not found"})),
        }
    }

    fn filled(&self) -> Value {
        let off = match self.age {
            Age::UpTo514 => json!({"enable": "off"}),
            Age::From515 => json!({"state": "disabled"}),
        };
        let mut filled = json!({"router": {"adaptive-routing": off}, "qos": {"roce": off}});
        merge(&mut filled, &self.applied);
        filled
    }

    fn make(&mut self) -> Reply {
        let number = (self.revisions.len() + 1).to_string();
        let revision = Revision {
            base: self.generation,
            config: self.applied.clone(),
            filled: false,
            state: "pending",
            looks: 0,
        };
        self.revisions.insert(number.clone(), revision);
        ok(json!({number: {"state": "pending", "transition": {"issue": {}, "progress": ""}}}))
    }

    fn fill(&mut self, number: &str, patch: &Value) -> Reply {
        let key = match self.age {
            Age::UpTo514 => "enable",
            Age::From515 => "state",
        };
        if let Some(path) = unknown(patch, "", key) {
            return bad(&format!("no such setting: {path}"));
        }
        match self.revisions.get_mut(number) {
            Some(revision) if revision.state == "pending" => {
                merge(&mut revision.config, patch);
                revision.filled = true;
                ok(patch.clone())
            }
            Some(_) => bad("the revision is not pending any more"),
            None => (
                StatusCode::NOT_FOUND,
                json!({"message": "no such revision"}),
            ),
        }
    }

    fn order(&mut self, number: &str, order: &Value) -> Reply {
        if self.fault == Fault::Conflict {
            self.generation += 1;
        }
        let generation = self.generation;
        let Some(revision) = self.revisions.get_mut(number) else {
            return (
                StatusCode::NOT_FOUND,
                json!({"message": "no such revision"}),
            );
        };
        if order["state"] != "apply" || revision.state != "pending" {
            return bad("a pending revision is applied, once");
        }
        if !revision.filled {
            return bad("there is nothing in this revision");
        }
        if revision.base != generation {
            let message = json!({"message": "another revision was applied since"});
            return (StatusCode::CONFLICT, message);
        }
        revision.state = match order["auto-prompt"]["ays"] == "ays_yes" {
            true => "apply",
            false => "ays_fail",
        };
        revision.looks = 1;
        if self.fault == Fault::HangsUp {
            self.finish(number);
            return ok(json!("hang up"));
        }
        ok(json!({"state": "apply", "transition": {"issue": {}, "progress": ""}}))
    }

    fn look(&mut self, number: &str) -> Reply {
        if self.fault == Fault::Stumbles {
            self.fault = Fault::None;
            return (StatusCode::BAD_GATEWAY, json!({}));
        }
        let fault = self.fault;
        let Some(revision) = self.revisions.get_mut(number) else {
            return (
                StatusCode::NOT_FOUND,
                json!({"message": "no such revision"}),
            );
        };
        let mut issue = json!({});
        if revision.state == "apply" && fault == Fault::Invalid {
            revision.state = "invalid";
        }
        if revision.state == "invalid" {
            issue = json!({"0": {"code": "config_invalid", "severity": "error",
                "message": "Config invalid at qos.roce.mode: not on this switch.\n"}});
        }
        if revision.state == "apply" && fault != Fault::Endless {
            match revision.looks {
                0 => self.finish(number),
                _ => revision.looks -= 1,
            }
        }
        let state = self.revisions[number].state;
        ok(json!({"state": state, "transition": {"issue": issue, "progress": ""}}))
    }

    fn finish(&mut self, number: &str) {
        let revision = self.revisions.get_mut(number).unwrap();
        revision.state = "applied";
        if self.fault != Fault::Forgets {
            self.applied = revision.config.clone();
        }
        self.generation += 1;
    }
}

/// Lays `patch` over `config`; `null` unsets.
fn merge(config: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *config = patch.clone();
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                config.as_object_mut().map(|config| config.remove(key));
            }
            _ => merge(&mut config[key], value),
        }
    }
}

/// Leaves out what is empty, but for an empty `qos roce`: that switches RoCE on ("RoCE lossless (with PFC and ECN)").
fn prune(config: &mut Value, path: &str) {
    if let Some(inner) = config.as_object_mut() {
        inner.retain(|key, value| {
            let path = format!("{path}/{key}");
            prune(value, &path);
            *value != json!({}) || path == "/qos/roce"
        });
    }
}

/// The first setting of a patch that there is none of.
fn unknown(patch: &Value, path: &str, key: &str) -> Option<String> {
    const PORTS: [&str; 2] = ["swp1", "swp2"];
    // A whole is unset by its name alone.
    if patch.is_null() {
        return None;
    }
    let Value::Object(inner) = patch else {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let known = match parts[..] {
            ["qos", "roce", "mode"] => true,
            ["qos", "roce", last] | ["router", "adaptive-routing", last] => last == key,
            ["interface", port, "router", "adaptive-routing", last] => {
                PORTS.contains(&port) && last == key
            }
            [
                "qos",
                "congestion-control",
                "default-global",
                "traffic-class",
                class,
                last,
            ] => {
                class.parse::<u8>().is_ok_and(|class| class < 8)
                    && ["ecn", "min-threshold", "max-threshold", "probability"].contains(&last)
            }
            _ => false,
        };
        return (!known).then(|| path.to_owned());
    };
    let mut inner = inner.iter();
    inner.find_map(|(name, value)| unknown(value, &format!("{path}/{name}"), key))
}
