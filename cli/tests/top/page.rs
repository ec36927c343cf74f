//! `top --web`: the page, and a browser that shows it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::host::{Host, PATIENCE, Running, wait_until};
use super::support::{there, up, with_loopback};

/// A page that is served, and where.
pub struct Page {
    pub served: Running,
    pub url: String,
}

impl Page {
    pub fn open(host: &Host, more: &[&str]) -> Self {
        let serve = [
            "--json",
            "top",
            "--web",
            "127.0.0.1:0",
            "--interval",
            "200ms",
        ];
        let served = host.start(&[&serve, more].concat());
        let mut url = String::new();
        wait_until("the page is served", || {
            let said: Option<Value> = serde_json::from_str(&served.stdout()).ok();
            url = said.map_or_else(String::new, |said| said["url"].as_str().unwrap().to_owned());
            !url.is_empty()
        });
        Page { served, url }
    }

    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    /// A whole request's answer: its status, and all that comes.
    pub fn ask(&self, head: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.authority()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = match headers.iter().any(|(name, _)| *name == "Host") {
            true => String::new(),
            false => format!("Host: {}\r\n", self.authority()),
        };
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        write!(
            stream,
            "{head} HTTP/1.1\r\n{host}{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
    }

    pub fn end(self) {
        kill(Pid::from_raw(self.served.pid()), Signal::SIGTERM).unwrap();
        assert_eq!(self.served.end().code, 130);
    }
}

const CHANGE: &str = r#"{"from": "a", "to": "b", "settings": "delay=25ms"}"#;

#[test]
fn links_are_set_from_the_page_with_the_token_alone() {
    let Some(host) = with_loopback() else { return };
    up(&host);
    let page = Page::open(&host, &[]);
    let (status, text) = page.ask(
        "POST /link",
        &[("Authorization", "Bearer correct horse")],
        CHANGE,
    );
    assert_eq!(status, 403, "{text}");
    assert!(text.contains("--token"), "{text}");
    page.end();

    std::fs::write(host.path("token"), "correct horse\n").unwrap();
    let page = Page::open(&host, &["--token", "@token"]);
    let right = ("Authorization", "Bearer correct horse");
    let own = format!("http://{}", page.authority());
    for (headers, status) in [
        (vec![], 401),
        (vec![("Authorization", "Bearer wrong horse!")], 401),
        (vec![right, ("Origin", "http://evil.example")], 403),
        (vec![right, ("Host", "evil.example")], 421),
        (vec![right, ("Origin", own.as_str())], 200),
    ] {
        let before = host.answer(&["link", "show"])["links"][0]["settings"]["delay"].clone();
        let (is, text) = page.ask("POST /link", &headers, CHANGE);
        assert_eq!(is, status, "{headers:?}: {text}");
        let after = host.answer(&["link", "show"])["links"][0]["settings"]["delay"].clone();
        assert_eq!(before != after, status == 200, "{headers:?}");
    }
    let wrong = CHANGE.replace("25ms", "soon");
    let (status, text) = page.ask("POST /link", &[right], &wrong);
    assert_eq!(status, 422, "{text}");
    assert!(text.contains("`soon`"), "{text}");
    for (head, status) in [
        ("GET /link", 405),
        ("GET /etc/passwd", 404),
        ("DELETE /", 405),
    ] {
        assert_eq!(page.ask(head, &[], "").0, status, "{head}");
    }
    for path in ["/", "/events", "/metrics"] {
        let (status, _) = page.ask(&format!("GET {path}"), &[("Host", "evil.example")], "");
        assert_eq!(status, 421, "{path}");
    }
    page.end();
}

/// Names of the browser, by distribution.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// What a browser makes of the page: its document as it stands then.
fn browse(host: &Host, browser: &str, url: &str) -> String {
    // The stream of events never ends, so loading is given up after this many milliseconds.
    const LOADING: u32 = 5000;
    let folder = host.path("browser");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", folder.display()))
        .arg(format!("--timeout={LOADING}"))
        .arg(url)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_browser_shows_the_live_page() {
    let Some(host) = with_loopback() else { return };
    let Some(browser) = there(&BROWSERS) else {
        return;
    };
    up(&host);
    let page = Page::open(&host, &[]);
    let mut seen = String::new();
    // The document is told once the page has loaded, which may be before the first event has come.
    wait_until("a browser shows the lab", || {
        seen = browse(&host, browser, &page.url);
        [
            ">a &gt; b<",
            ">50.0 Mbit/s<",
            ">10ms<",
            "host lab, two",
            "<circle",
            "<polyline",
            "a &gt; b over time",
            "class=\"grid\"",
        ]
        .iter()
        .all(|text| seen.contains(text))
    });
    assert!(
        seen.contains(r#"<section id="control" hidden"#),
        "nothing can be set without a token: {seen}"
    );
    page.end();
}
