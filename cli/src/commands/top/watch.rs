//! A thread that reads a lab at a fixed period and tells whoever listens.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use longhaul_emulator::keeper::LabReading;

use super::source::{Source, Trouble};

/// What a lab said, or why nothing.
pub type Seen = Result<LabReading, Trouble>;

/// Reads `source` every `period` until it is gone or `told` says that nobody listens. A reading that takes longer than that delays the
/// next, and no others.
pub fn watch(
    source: Source,
    period: Duration,
    mut told: impl FnMut(Seen) -> bool + Send + 'static,
) -> io::Result<()> {
    let watch = move || {
        let mut due = Instant::now();
        loop {
            let seen = source.read();
            let is_gone = matches!(seen, Err(Trouble::Gone(_)));
            if !told(seen) || is_gone {
                return;
            }
            due = (due + period).max(Instant::now());
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    };
    thread::Builder::new().name("watch".into()).spawn(watch)?;
    Ok(())
}

/// The same into a channel.
pub fn readings(source: Source, period: Duration) -> io::Result<mpsc::Receiver<Seen>> {
    let (sender, receiver) = mpsc::channel();
    watch(source, period, move |seen| sender.send(seen).is_ok())?;
    Ok(receiver)
}
