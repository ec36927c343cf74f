//! Ctrl-C and its like, for commands that have something to take down first.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;

/// What comes this soon after a signal is the same one again: `timeout`, `kill` on a process group and many CI runners reach this
/// process both directly and through its front.
pub const ECHO: Duration = Duration::from_millis(500);

/// Completes on the first Ctrl-C, SIGTERM or SIGHUP. A second one ends the process at once, as does the first when
/// nothing waits for it any more.
pub fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (first, interrupted) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut any = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        any().await;
        if first.send(()).is_ok() {
            let _ = tokio::time::timeout(ECHO, async {
                loop {
                    any().await;
                }
            })
            .await;
            any().await;
        }
        std::process::exit(Exit::Interrupted.code().into());
    });
    Ok(async move {
        let _ = interrupted.await;
    })
}
