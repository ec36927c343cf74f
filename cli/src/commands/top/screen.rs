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
    let end = on_terminal(|terminal| follow(terminal, source, &readings, &signals))?;
    Ok(match end {
        End::Quit => Exit::Fine,
        End::Interrupted => Exit::Interrupted,
        End::Gone(why) => {
            output.text(why);
            Exit::Fine
        }
    })
}

/// Has the terminal for as long as `body` runs.
fn on_terminal<T>(body: impl FnOnce(&mut DefaultTerminal) -> io::Result<T>) -> io::Result<T> {
    // From here on a panic puts it back, too.
    let mut terminal = ratatui::try_init()?;
    let ended = body(&mut terminal);
    let restored = ratatui::try_restore();
    let ended = ended?;
    restored.map(|()| ended)
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    use nix::pty::openpty;
    use nix::sys::termios::{LocalFlags, tcgetattr};

    use super::*;

    /// In a process of its own, that of the same test, which has a terminal.
    #[test]
    fn a_panic_puts_the_terminal_back() {
        const INSIDE: &str = "LONGHAUL_TEST_PANICS_ON_ITS_TERMINAL";
        const SAID: &str = "what the panic says";
        if std::env::var_os(INSIDE).is_some() {
            let ended: io::Result<()> = on_terminal(|_| panic!("{SAID}"));
            unreachable!("{ended:?}");
        }
        let pty = openpty(None, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("commands::top::screen::tests::a_panic_puts_the_terminal_back")
            .env(INSIDE, "1")
            .env("RUST_BACKTRACE", "0")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let mut master = File::from(pty.master);
        let seen = std::thread::spawn(move || {
            let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
            // A terminal that nobody is on any more gives an error.
            while let Ok(length @ 1..) = master.read(&mut piece) {
                seen.extend_from_slice(&piece[..length]);
            }
            seen
        });
        assert!(!process.wait().unwrap().success());
        let modes = tcgetattr(&pty.slave).unwrap().local_flags;
        assert!(
            modes.contains(LocalFlags::ICANON | LocalFlags::ECHO),
            "{modes:?}"
        );
        drop(pty.slave);
        let seen = String::from_utf8_lossy(&seen.join().unwrap()).into_owned();
        let (entered, left) = (seen.find("\x1b[?1049h"), seen.find("\x1b[?1049l"));
        let said = seen.find(SAID);
        assert!(entered.is_some() && entered < left, "{seen:?}");
        assert!(left < said, "it is said where it can be read: {seen:?}");
    }
}
