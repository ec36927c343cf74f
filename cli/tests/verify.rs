//! `longhaul verify` through the binary: a topology, a lab that is up, namespaces that the test makes.

mod host;

use std::fs;
use std::process::Command;

use host::{FAITHFUL_OR_NOT, Host, wait_until};
use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

const TOPOLOGY: &str = "
name: two
sites: [{name: a}, {name: b}]
links: [{between: [a, b], rate: 20Mbit, delay: 10ms, loss: 1%}]
";

/// Writes the topology; its path.
fn topology(host: &Host) -> String {
    let path = host.path("two.yaml");
    fs::write(&path, TOPOLOGY).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs it; whether it went well.
fn ip(arguments: &str) -> bool {
    let status = Command::new("ip")
        .args(arguments.split_whitespace())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Two namespaces joined by a veth pair, in the test's own /run; `false`, with the reason printed, if there are none.
fn join(a: &str, b: &str) -> bool {
    if !geteuid().is_root() {
        println!("skipped: only root makes network namespaces with names");
        return false;
    }
    let made = [
        format!("netns add {a}"),
        format!("netns add {b}"),
        format!("-n {a} link add veth0 type veth peer name veth0 netns {b}"),
        format!("-n {a} addr add 192.168.77.1/30 dev veth0"),
        format!("-n {b} addr add 192.168.77.2/30 dev veth0"),
        format!("-n {a} link set veth0 up"),
        format!("-n {b} link set veth0 up"),
    ];
    let all = made.iter().all(|arguments| ip(arguments));
    if !all {
        println!("skipped: ip(8) cannot make network namespaces here");
    }
    all
}

fn rows(answer: &Value) -> Vec<(String, Option<bool>)> {
    let rows = answer["verification"]["rows"].as_array().unwrap();
    let row = |row: &Value| {
        let quantity = row["quantity"].as_str().unwrap().to_owned();
        (quantity, row["within"].as_bool())
    };
    rows.iter().map(row).collect()
}

#[test]
fn a_topology_is_brought_up_measured_and_taken_down() {
    let Some(host) = Host::new() else { return };
    let before = host.traces();
    let verify = [
        "verify",
        &topology(&host),
        "--links",
        "relay",
        "--duration",
        "1s",
    ];
    let ended = host.longhaul(&[&verify[..], &["--out", "out"]].concat());
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    let verdict = if ended.code == 0 {
        "# faithful: "
    } else {
        "# NOT faithful: "
    };
    for text in [
        "# two, links carried by relay",
        "a>b lane 0",
        "one-way delay",
        "loss",
        verdict,
    ] {
        assert!(ended.stdout.contains(text), "{text}: {}", ended.stdout);
    }
    for file in ["verify.json", "verify-delay.svg", "verify-delay.png"] {
        assert!(
            fs::metadata(host.path("out").join(file)).unwrap().len() > 1000,
            "{file}"
        );
    }
    assert_eq!(host.traces(), before);
    // Results are not written over.
    let again = host.longhaul(&[&verify[..], &["--out", "out"]].concat());
    assert_eq!(again.code, 2, "{again:?}");
}

#[test]
fn a_folder_that_takes_no_files_hides_no_figures() {
    if !geteuid().is_root() {
        println!("skipped: needs root for a disk that is full");
        return;
    }
    let Some(host) = Host::new() else { return };
    let out = host.path("out");
    fs::create_dir(&out).unwrap();
    let (none, full) = (None::<&str>, Some("size=4k"));
    mount(none, &out, Some("tmpfs"), MsFlags::empty(), full).unwrap();
    let out = out.to_str().unwrap();
    let verify = ["verify", &topology(&host), "--duration", "1s", "--out", out];
    let ended = host.longhaul(&verify);
    let told = format!("cannot write {out}/verify.json: ");
    assert!(ended.stderr.contains(&told), "{ended:?}");
    assert!(ended.stdout.contains("one-way delay"), "{ended:?}");
    let json = host.longhaul(&[&verify[..], &["--json"]].concat());
    let answer: Value = serde_json::from_str(&json.stdout).unwrap();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with(&told), "{message}");
    let faithful = answer["verification"]["faithful"].as_bool().unwrap();
    // A lab that was not faithful is worse.
    assert_eq!(json.code, if faithful { 2 } else { 4 });
    umount(out).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_told_before_anything_is_measured() {
    let Some(host) = Host::new() else { return };
    let topology = topology(&host);
    // In /proc nobody makes folders.
    let out = "/proc/longhaul/out";
    let ended = host.longhaul(&["verify", &topology, "--out", out]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("error: cannot make /proc/longhaul: "),
        "{ended:?}"
    );
}

#[test]
fn a_lab_that_is_up_is_measured_and_json_is_all_there_is() {
    let Some(host) = Host::new() else { return };
    host.succeed(&["up", &topology(&host), "--links", "relay"]);
    let verify = ["--json", "verify", "--name", "two", "--duration", "1s"];
    let ended = host.longhaul(&verify);
    assert_eq!(ended.stderr, "");
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    let faithful = answer["verification"]["faithful"].as_bool().unwrap();
    assert_eq!(ended.code, if faithful { 0 } else { 4 });
    assert_eq!(
        answer["verification"]["delays"].as_array().unwrap().len(),
        2
    );
    assert!(
        rows(&answer)
            .iter()
            .any(|(quantity, within)| quantity == "loss" && within.is_some())
    );
    host.succeed(&["down", "two"]);
}

#[test]
fn an_ordinary_user_s_lab_is_measured_by_that_user() {
    let Some(host) = Host::of_nobody() else {
        return;
    };
    let path = topology(&host);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    host.succeed(&["up", &path, "--links", "relay"]);
    let ended = host.longhaul(&["verify", "--name", "two", "--duration", "1s"]);
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    assert!(ended.stdout.contains("# the lab two (two)"), "{ended:?}");
    host.succeed(&["down", "two"]);
}

#[test]
fn what_others_built_is_told_and_held_against_what_is_asked() {
    let Some(host) = Host::new() else { return };
    if !join("va", "vb") {
        return;
    }
    let between = [
        "--json",
        "verify",
        "--duration",
        "1s",
        "--between",
        "va",
        "vb",
    ];
    let told = host.longhaul(&between);
    assert_eq!(told.code, 0, "{told:?}");
    let answer: Value = serde_json::from_str(&told.stdout).unwrap();
    let told = rows(&answer);
    assert!(told.iter().all(|(_, within)| within.is_none()), "{told:?}");
    assert!(
        told.iter().any(|(quantity, _)| quantity == "one-way delay"),
        "{told:?}"
    );

    let path = "/run/netns/vb";
    let asked = [
        "verify",
        "--duration",
        "1s",
        "--between",
        "va",
        path,
        "--asked",
    ];
    let ended = host.longhaul(&[&asked[..], &["delay=40ms,reverse.loss=50%"]].concat());
    assert_eq!(ended.code, 4, "{ended:?}");
    let off = ended
        .stdout
        .lines()
        .filter(|line| line.trim_end().ends_with("OFF"));
    assert_eq!(off.count(), 3, "two delays, one loss: {}", ended.stdout);
    assert!(ended.stdout.contains("192.168.77.1"), "{}", ended.stdout);
}

#[test]
fn namespaces_and_addresses_that_do_not_fit_are_named_with_what_there_is() {
    let Some(host) = Host::new() else { return };
    if !join("va", "vb") || !ip("netns add unjoined") {
        return;
    }
    let address = |a, b| ["va", "vb", "--address", a, b];
    for (places, said) in [
        (&["va", "unjoint"][..], "did you mean `unjoined`?"),
        (&["va", "xy"], "there are: `unjoined`, `va`, `vb`"),
        (
            &["va", "/etc/passwd"],
            "/etc/passwd: this is no network namespace",
        ),
        (&["va", "/proc/self/ns/mnt"], "this is no network namespace"),
        (
            &["va", "/run/netns/va"],
            "va and /run/netns/va are one network namespace",
        ),
        (&["va", "unjoined"], "have no addresses in one subnet"),
        (
            &address("192.168.77.2", "192.168.77.1"),
            "va has no address 192.168.77.2; it has 192.168.77.1",
        ),
        (
            &["va", "unjoined", "--address", "192.168.77.1", "10.0.0.1"],
            "unjoined has no address 10.0.0.1; it has none",
        ),
    ] {
        let ended = host.longhaul(&[&["verify", "--between"], places].concat());
        assert_eq!(ended.code, 2, "{places:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{places:?}: {}", ended.stderr);
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_built() {
    let Some(host) = Host::new() else { return };
    let file = topology(&host);
    for (arguments, message) in [
        (&["verify"][..], "required"),
        (&["verify", &file, "--name", "two"], "cannot be used with"),
        (&["verify", &file, "--duration", "1ms"], "out of range"),
        (
            &["verify", &file, "--asked", "delay=1ms"],
            "cannot be used with",
        ),
        (
            &["verify", "--name", "nobody-s"],
            "no lab named nobody-s is up",
        ),
        (&["verify", "--between", "no-a", "no-b"], "/run/netns/no-a"),
        (
            &["verify", "--between", "x", "y", "--asked", "dealy=1ms"],
            "unknown field `dealy`",
        ),
    ] {
        let ended = host.longhaul(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(
            ended.stderr.contains(message),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn an_interrupted_measurement_leaves_nothing() {
    let Some(host) = Host::new() else { return };
    let before = host.traces();
    let run = host.start(&[
        "verify",
        &topology(&host),
        "--links",
        "relay",
        "--duration",
        "60s",
    ]);
    wait_until("probes run", || run.stderr().contains("probes for"));
    let namespaces = host.namespaces();
    killpg(Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
    let ended = run.end();
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(!ended.stdout.contains("one-way delay"), "{ended:?}");
    host.wait_until_gone(&namespaces);
    assert_eq!(host.traces(), before);
}
