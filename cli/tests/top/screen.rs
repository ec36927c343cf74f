//! `top` on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::host::{Host, wait_until};
use super::support::{endless, interrupt, up};

/// A terminal with `top` on it.
struct Screen {
    child: Child,
    keyboard: File,
    parser: Arc<Mutex<vt100::Parser>>,
}

const ROWS: u16 = 30;

const COLUMNS: u16 = 110;

impl Screen {
    pub fn open(host: &Host, arguments: &[&str]) -> Self {
        let size = Winsize {
            ws_row: ROWS,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let mut command = host.command(arguments);
        command
            .env("TERM", "xterm-256color")
            .stdin(end(&pty.slave))
            .stdout(end(&pty.slave))
            .stderr(end(&pty.slave))
            .process_group(0);
        let child = command.spawn().unwrap();
        drop(command);
        drop(pty.slave);
        let keyboard = File::from(pty.master);
        let mut output = keyboard.try_clone().unwrap();
        let [rows, columns] = [ROWS, COLUMNS].map(|side| NonZero::new(side).unwrap());
        let parser = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let sees = Arc::clone(&parser);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // A terminal that nobody is on any more gives an error.
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                sees.lock().unwrap().process(&bytes[..length]);
            }
        });
        Screen {
            child,
            keyboard,
            parser,
        }
    }

    pub fn text(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    pub fn is_alternate(&self) -> bool {
        self.parser.lock().unwrap().screen().alternate_screen()
    }

    pub fn waits_for(&self, text: &str) {
        wait_until(text, || self.text().contains(text));
    }

    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub fn ends_with(mut self, code: i32) {
        let mut status = None;
        wait_until("top ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(code), "{}", self.text());
        wait_until("the terminal is as it was", || !self.is_alternate());
    }
}

#[test]
fn the_screen_shows_a_lab_and_sets_its_links() {
    let Some(host) = Host::new() else { return };
    up(&host);
    let mut screen = Screen::open(&host, &["top", "--interval", "200ms"]);
    screen.waits_for("a > b");
    for text in ["host lab, two", "50.0 Mbit/s", "10ms", "sites"] {
        assert!(screen.text().contains(text), "{text}:\n{}", screen.text());
    }
    screen.types("s");
    screen.waits_for("set a – b, both ways");
    screen.types("delay=30ms\r");
    screen.waits_for("a > b lane 0: delay 10ms → 30ms");
    screen.waits_for("30ms*");
    let shown = host.answer(&["link", "show"]);
    assert_eq!(shown["links"][0]["settings"]["delay"], "30ms");

    screen.types("srate=fast\r");
    screen.waits_for("`fast` is not a rate");
    screen.types("q");
    screen.ends_with(0);
}

#[test]
fn a_link_that_others_set_is_seen() {
    let Some(host) = Host::new() else { return };
    up(&host);
    let screen = Screen::open(&host, &["top", "two", "--interval", "200ms"]);
    screen.waits_for("10ms");
    host.succeed(&["link", "set", "a", "b", "state=down"]);
    screen.waits_for("down");
    host.succeed(&["down"]);
    // The lab is gone: there is nothing to watch.
    screen.ends_with(0);
}

#[test]
fn the_terminal_is_put_back_after_an_interrupt() {
    let Some(host) = Host::new() else { return };
    up(&host);
    let mut screen = Screen::open(&host, &["top"]);
    screen.waits_for("a > b");
    assert!(screen.is_alternate());
    screen.types("\x03");
    screen.ends_with(130);
    let screen = Screen::open(&host, &["top"]);
    screen.waits_for("a > b");
    kill(
        Pid::from_raw(screen.child.id().cast_signed()),
        Signal::SIGTERM,
    )
    .unwrap();
    screen.ends_with(130);
}

#[test]
fn without_a_terminal_top_says_what_else_there_is() {
    let Some(host) = Host::new() else { return };
    let none = host.longhaul(&["top"]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("longhaul up TOPOLOGY"), "{none:?}");
    up(&host);
    let ended = host.longhaul(&["top"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("--once"), "{ended:?}");
    let once = host.succeed(&["top", "--once", "--interval", "100ms"]);
    assert!(
        once.contains("a > b lane 0") && once.contains("50.0 Mbit/s"),
        "{once}"
    );
    let reading = host.answer(&["top"]);
    assert_eq!(reading["lab"], "two");
    assert_eq!(reading["reading"]["channels"].as_array().unwrap().len(), 2);
    for (arguments, why) in [
        (&["top", "--web", "0.0.0.0:0"][..], "others could reach it"),
        (&["top", "--web", "localhost"], "as in 127.0.0.1:7878"),
        (&["top", "--otlp", "https://a"], "TLS"),
        (&["top", "--interval", "1ms"], "100ms"),
        (&["top", "--web", "--token", "short"], "guessed"),
    ] {
        let ended = host.longhaul(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(why), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn a_run_is_shown_with_how_far_it_is() {
    let Some(host) = Host::new() else { return };
    let run = endless(&host, &[]);
    let mut screen = Screen::open(&host, &["top", "--interval", "200ms"]);
    screen.waits_for("point 1 of 1: cubic");
    screen.waits_for("iterations, 65.5 kB in");
    screen.waits_for("bus bandwidth");
    let status = host.succeed(&["status"]).replace('\n', " ");
    assert!(status.contains("up; point 1 of 1"), "{status}");
    screen.types("q");
    screen.ends_with(0);
    interrupt(run);
}
