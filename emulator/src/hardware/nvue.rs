//! Switches with Cumulus Linux, by NVUE's REST interface.
//!
//! A change is a revision: made by POST /revision, filled by PATCH /?rev=N, applied by PATCH /revision/N, done when that reads `applied`
//! (documentation of Cumulus Linux, "NVUE API"). A switch takes all of a revision or nothing. The configuration that it starts with is
//! left alone: a reboot brings the old one back.

mod http;
#[cfg(test)]
#[allow(dead_code, reason = "the tests of the command line use the rest")]
mod played;
mod settings;
mod tls;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use longhaul_topologies::hardware::{NvueLogin, PasswordSource};
use serde_json::{Value, json};

use self::http::{Answer, Endpoint};
use super::place::Config;
use super::switch::View;

pub use settings::wanted;

/// How often a revision is looked at while it is applied, or more often with little patience; NVIDIA's own example does it as often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A switch, as whom it is logged in to.
pub struct Nvue {
    endpoint: Endpoint,
    runtime: tokio::runtime::Runtime,
    patience: Duration,
}

/// Why a switch did not do it.
#[derive(Debug, thiserror::Error)]
pub enum NvueError {
    /// The password is not where it should be.
    #[error("there is no password in {place}: {reason}")]
    Password {
        /// Where it should be.
        place: String,
        /// Why it is not.
        reason: String,
    },
    /// The file of certificates is none.
    #[error("{} holds no certificates: {reason}", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nobody answers.
    #[error("it cannot be reached: {reason}")]
    Unreachable {
        /// What happened.
        reason: String,
    },
    /// It is not the switch, or cannot prove it.
    #[error(
        "it cannot prove that it is the switch: {reason}; the switch's own certificate is /etc/ssl/certs/cumulus.pem on it: copy that over \
         and name it as `certificate`"
    )]
    Untrusted {
        /// What is wrong with its certificate.
        reason: String,
    },
    /// 401.
    #[error("it does not know {user} or takes another password (401)")]
    Unauthorized {
        /// As whom.
        user: String,
    },
    /// 403.
    #[error(
        "it lets {user} do nothing (403): so it does until the password that the user cumulus came with is changed, and with users outside \
         the group nvapply"
    )]
    Forbidden {
        /// As whom.
        user: String,
    },
    /// 404.
    #[error("it has no {path} (404): is NVUE's interface there, and Cumulus Linux 5.1 or later?")]
    NotFound {
        /// What was asked for.
        path: String,
    },
    /// 409.
    #[error(
        "somebody else changes it: revision {revision} is refused as conflicting (409); nothing of it is set; look at the plan again"
    )]
    Conflict {
        /// Of which revision.
        revision: String,
    },
    /// The switch checked the revision and refuses it.
    #[error("revision {revision} is refused ({state}): {issues}; nothing of it is set")]
    Refused {
        /// Which revision.
        revision: String,
        /// What it reads.
        state: String,
        /// What the switch says.
        issues: String,
    },
    /// It was begun and nobody knows how it ended.
    #[error(
        "it was told to apply revision {revision}, then: {what}; the revision may or may not be set. `nv config history` on the switch \
         tells, as does GET /nvue_v1/revision/{revision}; `longhaul hardware restore` puts the old values back either way"
    )]
    Unsure {
        /// Which revision.
        revision: String,
        /// What happened then.
        what: String,
    },
    /// Anything else.
    #[error("it answered {method} {path} with {status}: {body}")]
    Unexpected {
        /// The request.
        method: Method,
        /// The request.
        path: String,
        /// Its answer.
        status: StatusCode,
        /// Its beginning.
        body: String,
    },
    /// It tells neither `enable` nor `state`, as which switches of different age know the same setting.
    #[error(
        "its configuration has neither `enable` nor `state` at /router/adaptive-routing or /qos/roce: it is not known how those are \
         switched on"
    )]
    Dialect,
}

impl Nvue {
    /// Reads the password and the certificates; asks nothing yet. `patience` is how long the switch may take to apply.
    ///
    /// # Errors
    /// If one of them is not where it should be.
    pub fn new(login: &NvueLogin, patience: Duration) -> Result<Self, NvueError> {
        let password = password(&login.password)?;
        let tls = match login.url.is_secure() {
            true => Some(tls::connector(&login.certificate)?),
            false => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| NvueError::Unreachable {
            reason: error.to_string(),
        })?;
        Ok(Nvue {
            endpoint: Endpoint::new(login, &password, tls),
            runtime,
            patience,
        })
    }

    /// The switch's configuration.
    ///
    /// # Errors
    /// If it does not answer, or not with that.
    pub fn config(&self, view: View) -> Result<Value, NvueError> {
        let path = match view {
            View::Set => "/?rev=applied&filled=false",
            View::Effective => "/?rev=applied",
        };
        self.request(Method::GET, path, None)
    }

    /// Sets all of `config` as one revision, whose number `note` is told before it is applied. What is unset goes with the whole that it is
    /// part of, if that is one of `absent`.
    ///
    /// # Errors
    /// If the switch does not, with whether something of it may be set all the same.
    pub fn set(
        &self,
        config: &Config,
        absent: &[String],
        note: &mut dyn FnMut(&str),
    ) -> Result<(), NvueError> {
        let made = self.request(Method::POST, "/revision", None)?;
        let revision = made.as_object().and_then(|made| made.keys().next());
        let revision = revision.ok_or_else(|| NvueError::Unexpected {
            method: Method::POST,
            path: "/revision".into(),
            status: StatusCode::OK,
            body: made.to_string(),
        })?;
        note(&format!("revision {revision} of {}", self.endpoint.url));
        let encoded = http::encode(revision);
        let fill = format!("/?rev={encoded}");
        self.request(
            Method::PATCH,
            &fill,
            Some(&settings::nested(config, absent)),
        )
        .map_err(|error| about(error, revision))?;
        let path = format!("/revision/{encoded}");
        // Without the answer to what it would ask, it waits for one and gives up.
        let order = json!({"state": "apply", "auto-prompt": {"ays": "ays_yes"}});
        match self.request(Method::PATCH, &path, Some(&order)) {
            Ok(_) => self.wait(revision, &path),
            // The order may have arrived.
            Err(error) if error.may_pass() => Err(self.unsure(revision, error.to_string())),
            Err(error) => Err(about(error, revision)),
        }
    }

    /// Waits until the revision is applied or refused.
    fn wait(&self, revision: &str, path: &str) -> Result<(), NvueError> {
        let begun = Instant::now();
        loop {
            // A switch that restarts what forwards its packets may not be reachable for a while.
            let seen = match self.request(Method::GET, path, None) {
                Ok(answer) => state(&answer, revision),
                Err(error) if error.may_pass() => Seen::Working(error.to_string()),
                Err(error) => return Err(self.unsure(revision, error.to_string())),
            };
            match seen {
                Seen::Applied => return Ok(()),
                Seen::Refused { state, issues } => {
                    return Err(NvueError::Refused {
                        revision: revision.to_owned(),
                        state,
                        issues,
                    });
                }
                Seen::Working(what) if begun.elapsed() >= self.patience => {
                    let patience = self.patience.as_secs_f64();
                    let what = format!("was not done after {patience} s ({what})");
                    return Err(self.unsure(revision, what));
                }
                Seen::Working(_) => {}
            }
            std::thread::sleep(LOOK_EVERY.min(self.patience / 10));
        }
    }

    fn unsure(&self, revision: &str, what: String) -> NvueError {
        NvueError::Unsure {
            revision: revision.to_owned(),
            what,
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, NvueError> {
        let endpoint = &self.endpoint;
        let Answer { status, body } =
            self.runtime
                .block_on(endpoint.request(method.clone(), path, body))?;
        let user = endpoint.user.clone();
        let path = path.to_owned();
        let unexpected = |body: String| NvueError::Unexpected {
            method,
            path: path.clone(),
            status,
            body,
        };
        match status {
            StatusCode::UNAUTHORIZED => Err(NvueError::Unauthorized { user }),
            StatusCode::FORBIDDEN => Err(NvueError::Forbidden { user }),
            StatusCode::NOT_FOUND => Err(NvueError::NotFound { path }),
            _ if status.is_success() => {
                serde_json::from_str(&body).map_err(|_| unexpected(http::beginning(&body)))
            }
            _ => Err(unexpected(http::beginning(&body))),
        }
    }
}

impl NvueError {
    /// Whether it is what a switch answers, or does not, that is busy with itself: the web server before NVUE says 502 then.
    fn may_pass(&self) -> bool {
        match self {
            NvueError::Unreachable { .. } => true,
            NvueError::Unexpected { status, .. } => status.is_server_error(),
            _ => false,
        }
    }
}

/// A conflict with the revision that it is about.
fn about(error: NvueError, revision: &str) -> NvueError {
    match error {
        NvueError::Unexpected {
            status: StatusCode::CONFLICT,
            ..
        } => NvueError::Conflict {
            revision: revision.to_owned(),
        },
        other => other,
    }
}

/// What a revision reads.
enum Seen {
    Applied,
    Refused { state: String, issues: String },
    Working(String),
}

/// The state of a revision; some answers have it under the revision's number ("Troubleshoot Configuration Changes").
fn state(answer: &Value, revision: &str) -> Seen {
    let body = answer.get(revision).unwrap_or(answer);
    let state = body["state"].as_str().unwrap_or_default().to_owned();
    let issues = body["transition"]["issue"].as_object();
    let issues: Vec<&str> = issues
        .into_iter()
        .flat_map(|issues| issues.values())
        .filter_map(|issue| issue["message"].as_str().map(str::trim))
        .collect();
    match state.as_str() {
        "applied" => Seen::Applied,
        // `ays_fail`, `invalid` are documented; others are called alike.
        _ if state == "invalid" || state.ends_with("_fail") || state.ends_with("_error") => {
            Seen::Refused {
                state,
                issues: match issues.is_empty() {
                    true => "it does not say why".to_owned(),
                    false => issues.join("; "),
                },
            }
        }
        _ => Seen::Working(format!("it reads `{state}`")),
    }
}

/// The secret itself; it goes nowhere but into the header of requests.
fn password(source: &PasswordSource) -> Result<String, NvueError> {
    let missing = |place: String, reason: &dyn std::fmt::Display| NvueError::Password {
        place,
        reason: reason.to_string(),
    };
    let (place, text) = match source {
        PasswordSource::Env(name) => {
            let place = format!("the variable {name}");
            let text = std::env::var(name).map_err(|error| missing(place.clone(), &error))?;
            (place, text)
        }
        PasswordSource::File(path) => {
            let place = path.display().to_string();
            let text = fs::read_to_string(path).map_err(|error| missing(place.clone(), &error))?;
            (place, text.lines().next().unwrap_or_default().to_owned())
        }
    };
    match text.is_empty() {
        true => Err(missing(place, &"it is empty")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests;
