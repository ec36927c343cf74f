//! The terminal: its keys in, the view out, and put back as it was whatever ends it.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::draw::draw;
use super::keys::{Act, Desk, Said};
use super::source::{Source, Trouble};
use super::view::View;
use super::watch::{Seen, readings};
use crate::exit::Exit;
use crate::output::Output;

/// How soon a key, a reading or an answer is seen.
const GLANCE: Duration = Duration::from_millis(50);

/// How watching came to its end.
enum End {
    Quit,
    Interrupted,
    /// The lab is gone, and why.
    Gone(String),
}

/// Shows the lab until the user has seen enough or it is gone.
///
/// # Errors
/// If the terminal cannot be used.
pub fn show(source: &Source, period: Duration, output: Output) -> io::Result<Exit> {
    let signals = signals()?;
    let readings = readings(source.clone(), period)?;
    // From here on a panic puts it back, too.
    let mut terminal = ratatui::try_init()?;
    let ended = follow(&mut terminal, source, &readings, &signals);
    let restored = ratatui::try_restore();
    let end = ended?;
    restored?;
    Ok(match end {
        End::Quit => Exit::Fine,
        End::Interrupted => Exit::Interrupted,
        End::Gone(why) => {
            output.text(why);
            Exit::Fine
        }
    })
}

/// Hears of the signals that end a program, which would leave the terminal as it is otherwise. To be called while there is one thread.
fn signals() -> io::Result<mpsc::Receiver<Signal>> {
    let all = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let set: SigSet = all.into_iter().collect();
    set.thread_block()?;
    let (sender, signals) = mpsc::channel();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while let Ok(signal) = set.wait() {
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })?;
    Ok(signals)
}

fn follow(
    terminal: &mut DefaultTerminal,
    source: &Source,
    readings: &mpsc::Receiver<Seen>,
    signals: &mpsc::Receiver<Signal>,
) -> io::Result<End> {
    let mut view = View::new(source.name().as_str(), source.what());
    let mut desk = Desk::default();
    let (answered, answers) = mpsc::channel();
    let mut is_stale = true;
    loop {
        if is_stale {
            terminal.draw(|frame| draw(frame, &view, &desk))?;
            is_stale = false;
        }
        if event::poll(GLANCE)? {
            is_stale = true;
            let act = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => desk.key(key, &view),
                _ => Act::Nothing,
            };
            match act {
                Act::Nothing => {}
                Act::Quit => return Ok(End::Quit),
                Act::Interrupt => return Ok(End::Interrupted),
                Act::Adjust(adjustment) => {
                    let (source, answered) = (source.clone(), answered.clone());
                    let ask = move || {
                        // If nobody waits for it, the program has ended.
                        let _ = answered.send(source.adjust(&adjustment));
                    };
                    std::thread::Builder::new()
                        .name("adjust".into())
                        .spawn(ask)?;
                }
            }
        }
        if signals.try_recv().is_ok() {
            return Ok(End::Interrupted);
        }
        for answer in answers.try_iter() {
            is_stale = true;
            desk.said = Some(answer.map_or_else(Said::Refused, Said::Done));
        }
        loop {
            match readings.try_recv() {
                Ok(Ok(reading)) => view.take(reading),
                Ok(Err(Trouble::NotNow(why))) => view.trouble(why),
                Ok(Err(Trouble::Gone(why))) => return Ok(End::Gone(why)),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => {
                    return Err(io::Error::other("the thread that reads the lab has ended"));
                }
            }
            is_stale = true;
        }
    }
}
