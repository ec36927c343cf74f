//! A lab watched for others: its page, its scrapes and pushes, until it is gone or somebody has seen enough.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use longhaul_emulator::metrics::{Measurement, measure};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch::{self, Receiver};

use super::guard::Token;
use super::otlp::{Collector, push_all};
use super::source::{Source, Trouble};
use super::view::View;
use super::watch::watch as read_along;
use super::web::{self, Site};
use crate::commands::interrupt::interrupted;
use crate::commands::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// What to watch, and for whom.
pub struct Serving {
    pub source: Source,
    pub period: Duration,
    /// Of the page.
    pub address: Option<SocketAddr>,
    /// Who may set links; nobody without.
    pub token: Option<Token>,
    pub collector: Option<Collector>,
}

/// The lab as it was last read.
#[derive(Clone, Debug)]
pub struct State {
    pub view: View,
    /// Nothing while it cannot be read: what is stale is no measurement.
    pub measured: Vec<Measurement>,
    /// When.
    pub at: SystemTime,
    /// Why there will be no more, once that is so.
    pub gone: Option<String>,
}

/// Serves until the lab is gone, or a signal.
///
/// # Errors
/// If the address is taken.
pub fn serve(serving: &Serving, output: Output) -> Result<Exit, Failure> {
    let lacking = |error: io::Error| Failure::new(Exit::Lacking, &error);
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let interrupt = interrupted().map_err(lacking)?;
        let states = states(serving).map_err(lacking)?;
        let listener = match serving.address {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        tell(serving, listener.as_ref(), output).map_err(lacking)?;
        let site = Site::new(
            serving.source.clone(),
            serving.token.clone(),
            states.clone(),
        );
        let page = async {
            match listener {
                Some(listener) => web::accept(listener, site).await,
                None => future::pending().await,
            }
        };
        let push = async {
            let (name, started) = (serving.source.name(), serving.source.started());
            if let Some(collector) = &serving.collector {
                push_all(collector, name, started, states.clone(), output).await;
            }
            future::pending::<()>().await;
        };
        tokio::select! {
            () = interrupt => Ok(Exit::Interrupted),
            why = gone(states.clone()) => {
                output.aside(why);
                Ok(Exit::Fine)
            }
            () = page => Ok(Exit::NotHeld),
            () = push => Ok(Exit::NotHeld),
        }
    });
    // A change that is under way is the lab's.
    runtime.shutdown_background();
    ended
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::with_help(
            Exit::Usage,
            format!("cannot serve a page at {address}: {error}"),
            "name another, as in --web 127.0.0.1:0 for any port that is free",
        )
    })
}

/// Says where it is.
fn tell(serving: &Serving, listener: Option<&TcpListener>, output: Output) -> io::Result<()> {
    let Some(listener) = listener else {
        return Ok(());
    };
    let url = format!("http://{}/", listener.local_addr()?);
    let control = match &serving.token {
        Some(_) => "with the token its links can be set there",
        None => "to look at; with --token its links can be set there, too",
    };
    let lab = serving.source.name();
    output.either(&json!({ "lab": lab, "url": url }), || {
        format!("{lab}: {url} ({control}); {url}metrics is for Prometheus")
    });
    Ok(())
}

/// Reads the lab on a thread of its own.
fn states(serving: &Serving) -> io::Result<Receiver<State>> {
    let source = &serving.source;
    let (sender, receiver) = watch::channel(State {
        view: View::new(source.name().as_str(), source.what()),
        measured: Vec::new(),
        at: SystemTime::now(),
        gone: None,
    });
    read_along(source.clone(), serving.period, move |seen| {
        sender.send_modify(|state| {
            state.at = SystemTime::now();
            match seen {
                Ok(reading) => {
                    state.measured = measure(&reading);
                    state.view.take(reading);
                }
                Err(Trouble::NotNow(why)) => {
                    state.measured.clear();
                    state.view.trouble(why);
                }
                Err(Trouble::Gone(why)) => {
                    state.measured.clear();
                    state.gone = Some(why);
                }
            }
        });
        !sender.is_closed()
    })?;
    Ok(receiver)
}

/// Completes once the lab is gone; why.
async fn gone(mut states: Receiver<State>) -> String {
    match states.wait_for(|state| state.gone.is_some()).await {
        Ok(state) => state.gone.clone().unwrap_or_default(),
        Err(_) => "the thread that reads the lab has ended".to_owned(),
    }
}
