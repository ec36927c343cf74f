//! `top` through the binary: on a terminal, as a page, scraped and pushed, always with a lab that lives.

mod host;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZero;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use host::{Host, Running, lines, wait_until};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde::Deserialize;
use serde_json::{Value, json};

/// A host whose loopback works: in a network namespace of its own it is down at first.
fn with_loopback() -> Option<Host> {
    let host = Host::new()?;
    if !geteuid().is_root() {
        return Some(host);
    }
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: zeroes are a valid ifreq, and so are a short name and flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is a valid ifreq with a terminated name, which is all SIOCSIFFLAGS reads.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    nix::errno::Errno::result(set).unwrap();
    Some(host)
}

/// Two sites with a link, as a lab that is up.
fn up(host: &Host) {
    let topology = "name: two
sites:
  - {name: a, hosts: 1, latitude: 39, longitude: -77}
  - {name: b, hosts: 1, latitude: 53, longitude: -6}
links: [{between: [a, b], rate: 50Mbit, delay: 10ms}]
";
    std::fs::write(host.path("two.yaml"), topology).unwrap();
    host.succeed(&["up", "two.yaml", "--links", "relay"]);
}

/// A terminal with `top` on it.
struct Screen {
    child: Child,
    keyboard: File,
    parser: Arc<Mutex<vt100::Parser>>,
}

const ROWS: u16 = 30;
const COLUMNS: u16 = 110;

impl Screen {
    fn open(host: &Host, arguments: &[&str]) -> Self {
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

    fn text(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    fn is_alternate(&self) -> bool {
        self.parser.lock().unwrap().screen().alternate_screen()
    }

    fn waits_for(&self, text: &str) {
        wait_until(text, || self.text().contains(text));
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn ends_with(mut self, code: i32) {
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
        (&["top", "--otlp", "https://a"], "TLS"),
        (&["top", "--interval", "1ms"], "100ms"),
        (&["top", "--web", "--token", "short"], "guessed"),
    ] {
        let ended = host.longhaul(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(why), "{arguments:?}: {ended:?}");
    }
}

/// Starts a run whose workload goes on for longer than any test, and waits until it is under way.
fn endless(host: &Host, more: &[&str]) -> Running {
    let experiment =
        host.experiment("workload: {collective: all_reduce, sizes: [64KiB], iterations: 100000}");
    let run = host.start(&[&["run", &experiment, "--out", "out", "--no-charts"], more].concat());
    let samples = host.path("out/samples.csv");
    wait_until("three iterations are done", || lines(&samples) > 3);
    run
}

fn interrupt(run: Running) {
    kill(Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
    assert_eq!(run.end().code, 130);
}

#[test]
fn a_run_is_shown_with_how_far_it_is() {
    let Some(host) = Host::new() else { return };
    let run = endless(&host, &[]);
    let mut screen = Screen::open(&host, &["top", "--interval", "200ms"]);
    screen.waits_for("point 1 of 1: cubic");
    screen.waits_for("iterations, 65.5 kB in");
    screen.waits_for("bus bandwidth");
    screen.types("q");
    screen.ends_with(0);
    interrupt(run);
}

/// A page that is served, and where.
struct Page {
    served: Running,
    url: String,
}

impl Page {
    fn open(host: &Host, more: &[&str]) -> Self {
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

    fn authority(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    /// A whole request's answer: its status, and all that comes.
    fn ask(&self, head: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.authority()).unwrap();
        stream.set_read_timeout(Some(host::PATIENCE)).unwrap();
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

    fn end(self) {
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

/// The first of `programs` that starts; says that the test is skipped if none does.
fn there(programs: &[&'static str]) -> Option<&'static str> {
    let starts = |program: &&&str| {
        let version = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    };
    let found = programs.iter().find(starts).copied();
    if found.is_none() {
        println!("skipped: none of {} is here", programs.join(", "));
    }
    found
}

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

/// A program that a test started, which does not outlive it.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_scrapes_a_run() {
    let Some(host) = with_loopback() else { return };
    let run = endless(&host, &[]);
    let page = Page::open(&host, &[]);
    let mut text = String::new();
    wait_until("the page has read the run", || {
        let (status, answer) = page.ask("GET /metrics", &[], "");
        assert_eq!(status, 200, "{answer}");
        text = answer;
        text.contains("longhaul_connection_rtt_seconds{")
    });
    assert!(
        text.contains("application/openmetrics-text; version=1.0.0"),
        "{text}"
    );
    assert!(
        text.contains("longhaul_link_io_bytes_total{longhaul_lab_name=\"run-"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("# EOF"), "{text}");
    let Some(prometheus) = there(&["prometheus"]) else {
        return;
    };
    let configuration = format!(
        "scrape_configs:\n  - job_name: longhaul\n    scrape_interval: 1s\n    static_configs: [{{targets: [\"{}\"]}}]\n",
        page.authority()
    );
    std::fs::write(host.path("prometheus.yml"), configuration).unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let prometheus = Command::new(prometheus)
        .arg(format!(
            "--config.file={}",
            host.path("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            host.path("tsdb").display()
        ))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = Started(prometheus.unwrap());
    let ask = |query: &str| -> Option<f64> {
        let mut stream = TcpStream::connect(free).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        write!(
            stream,
            "GET /api/v1/query?query={query} HTTP/1.0\r\nHost: {free}\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let answer: Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    };
    wait_until("Prometheus has the target", || ask("up") == Some(1.0));
    wait_until("Prometheus sees the run's rate", || {
        ask("sum(rate(longhaul_link_io_bytes_total[5s]))").is_some_and(|rate| rate > 0.0)
    });
    for query in [
        "longhaul_run_iterations_total",
        "longhaul_connection_rtt_seconds",
        "sum(longhaul_rank_io_bytes_total)",
    ] {
        wait_until(query, || ask(query).is_some_and(|value| value > 0.0));
    }
    page.end();
    interrupt(run);
}

/// An `ExportMetricsServiceRequest` (opentelemetry-proto, `metrics_service.proto`, `metrics.proto`), with every field that longhaul may send
/// and no other: what is misspelt is refused.
mod protocol {
    use super::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Request {
        pub resource_metrics: Vec<ResourceMetrics>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct ResourceMetrics {
        pub resource: Resource,
        pub scope_metrics: Vec<ScopeMetrics>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Resource {
        pub attributes: Vec<KeyValue>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct KeyValue {
        pub key: String,
        pub value: AnyValue,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct AnyValue {
        pub string_value: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct ScopeMetrics {
        #[allow(dead_code, reason = "it has to be there")]
        pub scope: Scope,
        pub metrics: Vec<Metric>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "they have to be there")]
    pub struct Scope {
        pub name: String,
        pub version: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "they have to be there")]
    pub struct Metric {
        pub name: String,
        pub description: String,
        pub unit: String,
        pub sum: Option<Sum>,
        pub gauge: Option<Gauge>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Sum {
        pub aggregation_temporality: u32,
        pub is_monotonic: bool,
        pub data_points: Vec<Point>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Gauge {
        pub data_points: Vec<Point>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Point {
        pub attributes: Vec<KeyValue>,
        pub start_time_unix_nano: Option<String>,
        pub time_unix_nano: String,
        pub as_int: Option<String>,
        pub as_double: Option<f64>,
    }
}

/// Takes requests at a free port until dropped; what each said.
struct Receiver {
    address: std::net::SocketAddr,
    requests: mpsc::Receiver<Result<protocol::Request, String>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let told = take(stream.unwrap());
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
        Receiver { address, requests }
    }
}

/// Reads one request and answers it.
fn take(mut stream: TcpStream) -> Result<protocol::Request, String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece).map_err(|error| error.to_string())?;
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if length == 0 {
                return Err(format!("cut off: {text}"));
            }
            continue;
        };
        let head = head.to_lowercase();
        let wanted = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let wanted: usize = wanted
            .ok_or("no length")?
            .parse()
            .map_err(|_| "no length")?;
        if body.len() < wanted {
            continue;
        }
        for needed in [
            "post /v1/metrics http/1.1",
            "content-type: application/json",
            "host: 127.0.0.1",
        ] {
            if !head.contains(needed) {
                return Err(format!("no {needed} in {head}"));
            }
        }
        let request = serde_json::from_str(body).map_err(|error| format!("{error}: {body}"));
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        stream
            .write_all(answer.as_bytes())
            .map_err(|error| error.to_string())?;
        return request;
    }
}

#[test]
fn a_run_pushes_what_a_strict_collector_takes() {
    let Some(host) = with_loopback() else { return };
    let collector = Receiver::start();
    let url = format!("http://{}", collector.address);
    let run = endless(&host, &["--otlp", &url]);
    let name = format!("run-{}", run.pid());
    let mut bytes_before = 0;
    let mut rising = 0;
    // Two rises: three requests of the workload at least.
    while rising < 2 {
        let request = collector
            .requests
            .recv_timeout(host::PATIENCE)
            .unwrap()
            .unwrap();
        let [of_lab] = &request.resource_metrics[..] else {
            panic!("{request:?}");
        };
        let attribute = |key: &str| {
            let found = of_lab.resource.attributes.iter().find(|one| one.key == key);
            found.map(|one| one.value.string_value.as_str())
        };
        assert_eq!(attribute("service.name"), Some("longhaul"));
        assert_eq!(attribute("longhaul.lab.name"), Some(name.as_str()));
        let metrics = &of_lab.scope_metrics[0].metrics;
        for metric in metrics {
            let points = match (&metric.sum, &metric.gauge) {
                (Some(sum), None) => {
                    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
                    &sum.data_points
                }
                (None, Some(gauge)) => &gauge.data_points,
                _ => panic!("a metric is of one kind: {metric:?}"),
            };
            for point in points {
                let at: u64 = point.time_unix_nano.parse().unwrap();
                if metric.sum.is_some() {
                    let start: u64 = point
                        .start_time_unix_nano
                        .as_ref()
                        .unwrap()
                        .parse()
                        .unwrap();
                    assert!(start <= at, "{metric:?}");
                }
                assert!(
                    point.as_int.is_some() != point.as_double.is_some(),
                    "{metric:?}"
                );
                assert!(
                    point
                        .attributes
                        .iter()
                        .all(|one| !one.value.string_value.is_empty())
                );
            }
        }
        let Some(io) = metrics
            .iter()
            .find(|metric| metric.name == "longhaul.link.io")
        else {
            continue;
        };
        assert_eq!(io.unit, "By");
        let count =
            |point: &protocol::Point| point.as_int.as_ref().unwrap().parse::<u64>().unwrap();
        let bytes: u64 = io.sum.as_ref().unwrap().data_points.iter().map(count).sum();
        assert!(bytes >= bytes_before, "counters only rise");
        rising += u32::from(bytes_before > 0 && bytes > bytes_before);
        bytes_before = bytes;
    }
    interrupt(run);
    wait_until("the exporter has ended with its run", || {
        host.processes().is_empty()
    });
}

#[test]
fn a_collector_that_is_not_there_is_told_once_and_ends_nothing() {
    let Some(host) = with_loopback() else { return };
    up(&host);
    // Bound and closed again: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{nobody}");
    let mut pushing = host.start(&["top", "--otlp", &url, "--interval", "100ms"]);
    wait_until("it is told", || {
        pushing.stderr().contains("does not take the telemetry")
    });
    let reads = host.answer(&["top"]);
    assert_eq!(reads["lab"], json!("two"));
    assert!(!pushing.has_ended());
    host.succeed(&["down"]);
    let ended = pushing.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.stderr.matches("does not take").count(),
        1,
        "{ended:?}"
    );
}
