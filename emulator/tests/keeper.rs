//! Labs in the background, from outside: what `up`, `exec`, `status`, `down` and `clean` do to processes, names and files.
//!
//! The lab itself is a stand-in, two nodes that nothing joins, but for one test on a whole lab.

mod stage;
mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use longhaul_emulator::engine::{EngineChoice, EngineKind};
use longhaul_emulator::keeper::{
    self, AdjustedChannel, Kept, LabDetail, LabName, LabReading, LinkStatus, NodeStatus, Purpose,
    Refusal, Registration,
};
use longhaul_emulator::lab::LabOptions;
use longhaul_emulator::namespace::Namespace;
use longhaul_emulator::sandbox::Privilege;
use longhaul_topologies::adjust::{Adjustment, Named};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stage::{
    As, Outcome, Playing, Stage, children_of, exit_code, namespaces_of, type_in, wait_until,
};

fn main() -> ExitCode {
    stage::main(
        &[
            ("up", scene_up),
            ("up-in-vain", scene_up_in_vain),
            ("up-whole", scene_up_whole),
            ("run", scene_run),
            ("exec", scene_exec),
            ("echo", scene_echo),
            ("ask", scene_ask),
            ("status", scene_status),
            ("link-set", scene_link_set),
            ("link-show", scene_link_show),
            ("down", scene_down),
            ("clean", scene_clean),
        ],
        &[
            (
                "a_lab_stays_up_until_it_is_taken_down",
                a_lab_stays_up_until_it_is_taken_down,
            ),
            ("a_name_is_given_once", a_name_is_given_once),
            (
                "a_lab_that_cannot_come_up_says_why_and_leaves_nothing",
                a_lab_that_cannot_come_up_says_why_and_leaves_nothing,
            ),
            (
                "a_program_runs_inside_the_host",
                a_program_runs_inside_the_host,
            ),
            (
                "a_program_that_cannot_be_started_is_told_from_one_that_fails",
                a_program_that_cannot_be_started_is_told_from_one_that_fails,
            ),
            ("a_program_has_the_terminal", a_program_has_the_terminal),
            (
                "ctrl_c_ends_the_program_and_not_the_lab",
                ctrl_c_ends_the_program_and_not_the_lab,
            ),
            (
                "a_killed_exec_takes_its_program_along",
                a_killed_exec_takes_its_program_along,
            ),
            (
                "clean_removes_exactly_the_dead",
                clean_removes_exactly_the_dead,
            ),
            (
                "the_name_of_a_dead_lab_is_free",
                the_name_of_a_dead_lab_is_free,
            ),
            ("a_stopped_lab_is_killed", a_stopped_lab_is_killed),
            (
                "a_run_is_registered_and_can_be_interrupted",
                a_run_is_registered_and_can_be_interrupted,
            ),
            ("ip_netns_sees_roots_labs", ip_netns_sees_roots_labs),
            (
                "a_whole_lab_carries_what_its_programs_send",
                a_whole_lab_carries_what_its_programs_send,
            ),
            (
                "an_up_killed_at_any_moment_leaves_nothing_that_clean_misses",
                an_up_killed_at_any_moment_leaves_nothing_that_clean_misses,
            ),
            (
                "a_planted_runtime_folder_is_refused",
                a_planted_runtime_folder_is_refused,
            ),
        ],
    )
}

/// Two nodes with namespaces of their own.
struct StandIn {
    nodes: Vec<(NodeStatus, Namespace)>,
}

impl StandIn {
    fn new() -> std::io::Result<Self> {
        let node = |name: &str, number| -> std::io::Result<_> {
            let status = NodeStatus {
                name: name.to_owned(),
                site: "left".into(),
                ipv4: Ipv4Addr::new(10, 1, 0, number),
                ipv6: Some(Ipv6Addr::LOCALHOST),
            };
            Ok((status, namespace(name)?))
        };
        Ok(StandIn {
            nodes: vec![node("left-0", 1)?, node("left-gw", 2)?],
        })
    }
}

fn namespace(name: &str) -> std::io::Result<Namespace> {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)?;
        nix::unistd::sethostname(name)?;
        let open = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}"));
        Ok(Namespace {
            net: open("net")?.into(),
            uts: open("uts")?.into(),
        })
    };
    std::thread::scope(|scope| scope.spawn(make).join().expect("no panic"))
}

impl Kept for StandIn {
    fn detail(&self) -> Result<LabDetail, Refusal> {
        let nodes = self.nodes.iter();
        Ok(LabDetail {
            engine: EngineKind::Relay,
            nodes: nodes.map(|(status, _)| status.clone()).collect(),
            channels: Vec::new(),
            schedule_failed: None,
        })
    }

    fn reading(&self) -> Result<LabReading, Refusal> {
        Err(Refusal::Engine("nothing joins the nodes".to_owned()))
    }

    fn links(&self, _: Option<&Named>) -> Result<Vec<LinkStatus>, Refusal> {
        Ok(Vec::new())
    }

    fn adjust(&self, _: &Adjustment) -> Result<Vec<AdjustedChannel>, Refusal> {
        Err(Refusal::Engine("nothing joins the nodes".to_owned()))
    }

    fn namespace(&self, node: &str) -> Option<&Namespace> {
        self.nodes
            .iter()
            .find(|(status, _)| status.name == node)
            .map(|(_, namespace)| namespace)
    }

    fn down(self) {}
}

// Scenes: what the command line does. An error is printed and exits with 2, as there.

fn name(arguments: &[String]) -> LabName {
    arguments[0].parse().expect("a lab's name")
}

fn code(outcome: Result<(), keeper::KeeperError>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            2
        }
    }
}

fn scene_up(arguments: &[String]) -> i32 {
    let up = keeper::up_with(
        name(arguments),
        "stand-in",
        EngineChoice::Auto,
        Privilege::of_this_process(),
        StandIn::new,
    );
    code(up.map(|started| assert!(started.unnamed.is_none(), "{started:?}")))
}

fn scene_up_in_vain(arguments: &[String]) -> i32 {
    let bring_up = || Err::<StandIn, _>("the moon is in the way");
    let privilege = Privilege::of_this_process();
    code(
        keeper::up_with(
            name(arguments),
            "stand-in",
            EngineChoice::Auto,
            privilege,
            bring_up,
        )
        .map(drop),
    )
}

/// Two sites of two hosts.
fn scene_up_whole(arguments: &[String]) -> i32 {
    let topology = support::topology(&[2, 2], &[(0, 1, 1)], Duration::from_millis(20));
    code(keeper::up(name(arguments), topology, &LabOptions::default()).map(drop))
}

/// Inside a host: answers one datagram. Says when it listens.
fn scene_echo(_: &[String]) -> i32 {
    let echo = || -> std::io::Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:4791")?;
        println!("ready");
        let mut datagram = [0; 16];
        let (length, from) = socket.recv_from(&mut datagram)?;
        socket.send_to(&datagram[..length], from)?;
        Ok(())
    };
    i32::from(echo().is_err())
}

/// Inside a host: the round-trip time to a host by its name, in milliseconds.
fn scene_ask(arguments: &[String]) -> i32 {
    let ask = || -> std::io::Result<Duration> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.connect((arguments[0].as_str(), 4791))?;
        let sent = Instant::now();
        socket.send(b"question")?;
        socket.recv(&mut [0; 16])?;
        Ok(sent.elapsed())
    };
    match ask() {
        Ok(time) => println!("{}", time.as_millis()),
        Err(error) => println!("{error}"),
    }
    0
}

fn scene_run(_: &[String]) -> i32 {
    let registration = Registration::claim(
        LabName::of_this_run(),
        Purpose::Run,
        "quickstart",
        EngineChoice::Auto,
    );
    let entered =
        registration.and_then(|registration| registration.enter_run(Privilege::of_this_process()));
    let _desk = match entered {
        Ok((_, desk)) => desk,
        Err(error) => return code(Err(error)),
    };
    println!("ready");
    std::thread::sleep(stage::DEADLINE);
    99
}

fn scene_exec(arguments: &[String]) -> i32 {
    let [_, host, program, rest @ ..] = arguments else {
        return 99;
    };
    let rest: Vec<OsString> = rest.iter().map(OsString::from).collect();
    match keeper::exec(&name(arguments), host, program.as_ref(), &rest) {
        Ok(code) => code,
        Err(error) => {
            let exit_code = error.program_exit_code();
            code(Err(error)).max(exit_code.unwrap_or(2))
        }
    }
}

fn scene_status(_: &[String]) -> i32 {
    code(keeper::status().map(|labs| println!("{}", serde_json::to_string(&labs).expect("JSON"))))
}

/// LAB FROM TO KEY=VALUE…
fn scene_link_set(arguments: &[String]) -> i32 {
    let [_, from, to, settings @ ..] = arguments else {
        return 99;
    };
    let setting = |setting: &String| {
        let (key, value) = setting.split_once('=').expect("KEY=VALUE");
        (key.to_owned(), value.to_owned())
    };
    let adjustment = Adjustment {
        link: Named {
            from: from.clone(),
            to: to.clone(),
        },
        lane: None,
        direction: None,
        settings: settings.iter().map(setting).collect(),
    };
    let adjusted = keeper::adjust(&name(arguments), &adjustment);
    code(adjusted.map(|changes| println!("{}", serde_json::to_string(&changes).expect("JSON"))))
}

fn scene_link_show(arguments: &[String]) -> i32 {
    let links = keeper::links(&name(arguments), None);
    code(links.map(|links| println!("{}", serde_json::to_string(&links).expect("JSON"))))
}

fn scene_down(arguments: &[String]) -> i32 {
    code(keeper::down(&name(arguments)))
}

fn scene_clean(_: &[String]) -> i32 {
    code(
        keeper::clean()
            .map(|cleaned| println!("{}", serde_json::to_string(&cleaned).expect("JSON"))),
    )
}

// Tests.

/// A stage on which nothing of a test that went before can be in the way, for root and for an ordinary user.
fn stages() -> impl Iterator<Item = Stage> {
    [As::Root, As::Nobody]
        .into_iter()
        .filter_map(Stage::for_user)
}

/// Plays a scene to its end.
fn play(stage: &Stage, scene: &str, arguments: &[&str]) -> Output {
    stage
        .scene(scene, arguments)
        .output()
        .expect("a scene that starts")
}

/// Plays a scene that has to succeed; what it printed.
fn succeed(stage: &Stage, scene: &str, arguments: &[&str]) -> String {
    let output = play(stage, scene, arguments);
    assert!(output.status.success(), "{scene} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Plays a scene that has to fail with `code`; its complaint.
fn fail(stage: &Stage, scene: &str, arguments: &[&str], code: i32) -> String {
    let output = play(stage, scene, arguments);
    assert_eq!(
        exit_code(output.status),
        code,
        "{scene} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stderr).expect("text")
}

/// What `status` says of a lab.
fn status_of(stage: &Stage, lab: &str) -> Option<Value> {
    let labs: Vec<Value> = serde_json::from_str(&succeed(stage, "status", &[])).expect("JSON");
    labs.into_iter().find(|status| status["name"] == lab)
}

/// The processes of a lab (front, init, lab process) and their namespaces.
fn tree_of(stage: &Stage, lab: &str) -> ([i32; 3], BTreeSet<PathBuf>) {
    let status = status_of(stage, lab).expect("a lab that is up");
    let front = status["record"]["pid"].as_i64().expect("a pid") as i32;
    let [init] = children_of(front)[..] else {
        panic!("the front has one child")
    };
    let [process] = children_of(init)[..] else {
        panic!("init has one child")
    };
    ([front, init, process], namespaces_of(process))
}

/// Whether a process is no more, or waits for its parent only.
fn has_ended(pid: &i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        let state = stat.rsplit(')').next().map(str::trim_start);
        state.is_some_and(|state| state.starts_with(['Z', 'X']))
    })
}

/// The names that a lab has in /run/netns.
fn netns_names(lab: &str) -> Vec<PathBuf> {
    let names =
        ["left-0", "left-gw"].map(|node| Path::new("/run/netns").join(format!("lh-{lab}-{node}")));
    names.into_iter().filter(|path| path.exists()).collect()
}

fn a_lab_stays_up_until_it_is_taken_down() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["stays"]);
        let status = status_of(&stage, "stays").expect("a lab that is up");
        assert_eq!(status["life"], "up", "{status}");
        assert_eq!(status["record"]["subject"], "stand-in", "{status}");
        assert_eq!(status["detail"]["engine"], "relay", "{status}");
        assert_eq!(status["detail"]["nodes"][0]["name"], "left-0", "{status}");
        let (tree, namespaces) = tree_of(&stage, "stays");
        // It has no terminal and is in nobody's session.
        assert_eq!(
            nix::unistd::getsid(Some(Pid::from_raw(tree[2])))?,
            nix::unistd::getsid(Some(Pid::from_raw(tree[0])))?
        );

        succeed(&stage, "down", &["stays"]);
        stage.wait_until_empty(&namespaces);
        assert!(!stage.runtime().join("stays").exists());
        assert_eq!(netns_names("stays"), Vec::<PathBuf>::new());
        assert!(fail(&stage, "down", &["stays"], 2).contains("no lab named stays is up"));
    }
    Ok(())
}

fn a_name_is_given_once() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["once"]);
        let complaint = fail(&stage, "up", &["once"], 2);
        assert!(complaint.contains("longhaul down once"), "{complaint}");
        assert_eq!(status_of(&stage, "once").expect("the first")["life"], "up");
        succeed(&stage, "down", &["once"]);
    }
    Ok(())
}

fn a_lab_that_cannot_come_up_says_why_and_leaves_nothing() -> Outcome {
    for stage in stages() {
        let complaint = fail(&stage, "up-in-vain", &["vain"], 2);
        assert!(
            complaint.contains("vain did not come up: the moon is in the way"),
            "{complaint}"
        );
        assert!(!stage.runtime().join("vain").exists());
        wait_until("its processes have ended", || stage.processes().is_empty());
    }
    Ok(())
}

fn a_program_runs_inside_the_host() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["inside"]);
        let shell = |script: &str| {
            let mut command = stage.scene("exec", &["inside", "left-0", "sh", "-c", script]);
            command
                .env("GREETING", "hello there")
                .current_dir("/usr")
                .output()
                .expect("a scene that starts")
        };
        let output = shell("cat /proc/sys/kernel/hostname; echo $GREETING; pwd; id -u; exit 42");
        assert_eq!(exit_code(output.status), 42, "{output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "left-0\nhello there\n/usr\n0\n"
        );
        assert_eq!(exit_code(shell("kill -TERM $$").status), 143);
        // Its interfaces are the node's: a new namespace has `lo` alone.
        let interfaces = String::from_utf8(shell("cat /proc/self/net/dev").stdout)?;
        assert_eq!(interfaces.matches(':').count(), 1, "{interfaces}");

        let complaint = fail(&stage, "exec", &["inside", "right-0", "true"], 2);
        assert!(
            complaint.contains("no host right-0; it has left-0, left-gw"),
            "{complaint}"
        );
        succeed(&stage, "down", &["inside"]);
    }
    Ok(())
}

fn a_program_that_cannot_be_started_is_told_from_one_that_fails() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["starts"]);
        let complaint = fail(
            &stage,
            "exec",
            &["starts", "left-0", "no-such-program"],
            127,
        );
        assert!(
            complaint.contains("cannot run no-such-program"),
            "{complaint}"
        );
        fail(&stage, "exec", &["starts", "left-0", "/etc/passwd"], 126);
        assert_eq!(
            fail(
                &stage,
                "exec",
                &["starts", "left-0", "sh", "-c", "exit 127"],
                127
            ),
            ""
        );
        succeed(&stage, "down", &["starts"]);
    }
    Ok(())
}

fn a_program_has_the_terminal() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["terminal"]);
        let script =
            "test -t 0 && test -t 1 && stty -echo && echo ready && read line && echo got $line";
        let scene = stage.scene("exec", &["terminal", "left-0", "sh", "-c", script]);
        let (mut playing, terminal) = Playing::start_on_terminal(scene);
        playing.line("ready");
        type_in(&terminal, "words\n");
        assert_eq!(playing.line("got"), "words");
        assert_eq!(playing.code(), 0);
        succeed(&stage, "down", &["terminal"]);
    }
    Ok(())
}

fn ctrl_c_ends_the_program_and_not_the_lab() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["interrupt"]);
        let scene = stage.scene(
            "exec",
            &[
                "interrupt",
                "left-0",
                "sh",
                "-c",
                "echo ready; exec sleep 1000",
            ],
        );
        let (mut playing, terminal) = Playing::start_on_terminal(scene);
        playing.line("ready");
        type_in(&terminal, "\x03");
        assert_eq!(playing.code(), 130);
        assert_eq!(
            status_of(&stage, "interrupt").expect("the lab")["life"],
            "up"
        );
        succeed(&stage, "down", &["interrupt"]);
    }
    Ok(())
}

/// How many there are once those that brought it up have gone, too: the same number for a while.
fn processes_of_a_lab_that_is_up(stage: &Stage) -> usize {
    let mut last = (stage.processes().len(), Instant::now());
    wait_until("the processes are settled", || {
        let count = stage.processes().len();
        if count != last.0 {
            last = (count, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(200)
    });
    last.0
}

fn a_killed_exec_takes_its_program_along() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["orphans"]);
        let before = processes_of_a_lab_that_is_up(&stage);
        let mut playing = Playing::start(stage.scene(
            "exec",
            &[
                "orphans",
                "left-0",
                "sh",
                "-c",
                "echo ready; exec sleep 1000",
            ],
        ));
        playing.line("ready");
        assert_eq!(stage.processes().len(), before + 2);
        kill(
            Pid::from_raw(playing.child.id().cast_signed()),
            Signal::SIGKILL,
        )?;
        playing.code();
        wait_until("the program has ended", || {
            stage.processes().len() == before
        });
        succeed(&stage, "down", &["orphans"]);
    }
    Ok(())
}

fn clean_removes_exactly_the_dead() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["alive"]);
        for victim in 0..3 {
            succeed(&stage, "up", &["dead"]);
            let (tree, namespaces) = tree_of(&stage, "dead");
            kill(Pid::from_raw(tree[victim]), Signal::SIGKILL)?;
            wait_until("its processes have ended", || {
                stage
                    .processes()
                    .iter()
                    .all(|&pid| namespaces_of(pid).is_disjoint(&namespaces))
            });
            // With any but the front killed, that gives the name back itself.
            let left = victim == 0;
            if left {
                wait_until("it is known to be dead", || {
                    status_of(&stage, "dead").is_some_and(|s| s["life"] == "dead")
                });
                assert!(
                    fail(&stage, "exec", &["dead", "left-0", "true"], 2).contains("longhaul clean")
                );
            } else {
                wait_until("it has gone", || status_of(&stage, "dead").is_none());
            }
            let cleaned: Value = serde_json::from_str(&succeed(&stage, "clean", &[]))?;
            let expected = if left {
                serde_json::json!(["dead"])
            } else {
                serde_json::json!([])
            };
            assert_eq!(cleaned["labs"], expected, "victim {victim}");
            assert!(!stage.runtime().join("dead").exists());
            assert_eq!(netns_names("dead"), Vec::<PathBuf>::new());
        }
        assert_eq!(
            status_of(&stage, "alive").expect("the living")["detail"]["nodes"][0]["name"],
            "left-0"
        );
        succeed(&stage, "down", &["alive"]);
    }
    Ok(())
}

fn the_name_of_a_dead_lab_is_free() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up", &["again"]);
        let (tree, _) = tree_of(&stage, "again");
        kill(Pid::from_raw(tree[0]), Signal::SIGKILL)?;
        // Its environment is gone before its files are closed, and with them its hold on the name.
        wait_until("its processes have ended", || tree.iter().all(has_ended));
        succeed(&stage, "up", &["again"]);
        succeed(&stage, "exec", &["again", "left-0", "true"]);
        succeed(&stage, "down", &["again"]);
    }
    Ok(())
}

fn a_stopped_lab_is_killed() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    succeed(&stage, "up", &["stopped"]);
    let (tree, namespaces) = tree_of(&stage, "stopped");
    kill(Pid::from_raw(tree[2]), Signal::SIGSTOP)?;
    succeed(&stage, "down", &["stopped"]);
    stage.wait_until_empty(&namespaces);
    assert!(!stage.runtime().join("stopped").exists());
    Ok(())
}

fn a_run_is_registered_and_can_be_interrupted() -> Outcome {
    for stage in stages() {
        let mut playing = Playing::start(stage.scene("run", &[]));
        playing.line("ready");
        let name = format!("run-{}", playing.child.id());
        let status = status_of(&stage, &name).expect("the run");
        assert_eq!(
            (&status["life"], &status["record"]["subject"]),
            (&"up".into(), &"quickstart".into())
        );
        assert!(fail(&stage, "exec", &[&name, "left-0", "true"], 2).contains("is a run"));
        // Its desk answers, but there is no lab yet.
        assert_eq!(status["trouble"], Value::Null, "{status}");
        let complaint = fail(&stage, "link-set", &[&name, "a", "b", "loss=1%"], 2);
        assert!(
            complaint.contains("no workload runs at the moment"),
            "{complaint}"
        );
        succeed(&stage, "down", &[&name]);
        assert_eq!(playing.code(), 128 + Signal::SIGTERM as i32);
        assert!(status_of(&stage, &name).is_none());
    }
    Ok(())
}

fn ip_netns_sees_roots_labs() -> Outcome {
    let Some(stage) = Stage::for_user(As::Root) else {
        return Ok(());
    };
    succeed(&stage, "up", &["named"]);
    let names = netns_names("named");
    assert_eq!(names.len(), 2, "{names:?}");
    let inside = succeed(
        &stage,
        "exec",
        &["named", "left-0", "readlink", "/proc/self/ns/net"],
    );
    let inode = std::fs::metadata(&names[0])?.ino();
    assert_eq!(inside.trim(), format!("net:[{inode}]"));
    // iproute2 where there is any.
    if let Ok(output) = Command::new("ip").args(["netns", "list"]).output() {
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("lh-named-left-gw"),
            "{output:?}"
        );
    }

    // A lab that lives keeps its names through `clean`; one whose folder has gone does not.
    succeed(&stage, "clean", &[]);
    assert_eq!(netns_names("named").len(), 2);
    let (tree, _) = tree_of(&stage, "named");
    kill(Pid::from_raw(tree[0]), Signal::SIGKILL)?;
    wait_until("its processes have ended", || stage.processes().is_empty());
    std::fs::remove_dir_all(stage.runtime().join("named"))?;
    let cleaned: Value = serde_json::from_str(&succeed(&stage, "clean", &[]))?;
    assert!(
        cleaned["namespaces"]
            .as_array()
            .is_some_and(|names| names.contains(&"lh-named-left-0".into())),
        "{cleaned}"
    );
    assert_eq!(netns_names("named"), Vec::<PathBuf>::new());
    Ok(())
}

fn a_whole_lab_carries_what_its_programs_send() -> Outcome {
    for stage in stages() {
        succeed(&stage, "up-whole", &["whole"]);
        let me = stage.program().to_str().expect("a plain path").to_owned();
        let mut echo =
            Playing::start(stage.scene("exec", &["whole", "s1-0", &me, "--scene", "echo"]));
        echo.line("ready");
        let time = succeed(
            &stage,
            "exec",
            &["whole", "s0-1", &me, "--scene", "ask", "s1-0"],
        );
        let milliseconds: u64 = time.trim().parse().map_err(|_| time.clone())?;
        // 20 ms each way; the machine may be late, but not early.
        assert!((40..1000).contains(&milliseconds), "{time}");
        assert_eq!(echo.code(), 0);

        let status = status_of(&stage, "whole").expect("the lab");
        let channels = status["detail"]["channels"]
            .as_array()
            .expect("a list")
            .clone();
        assert_eq!(channels.len(), 2, "{status}");
        for channel in channels {
            assert_eq!(channel["delay"], "20ms", "{channel}");
            // The kernels' own multicast reports may come on top.
            assert!(
                channel["counters"]["packets"].as_u64() >= Some(1),
                "{channel}"
            );
        }
        links_are_set_by_hand(&stage)?;
        let (_, namespaces) = tree_of(&stage, "whole");
        succeed(&stage, "down", &["whole"]);
        stage.wait_until_empty(&namespaces);
    }
    Ok(())
}

/// On the lab `whole`.
fn links_are_set_by_hand(stage: &Stage) -> Outcome {
    let before = succeed(stage, "link-show", &["whole"]);
    for (settings, complaint) in [
        (
            ["s0", "s1", "delay=30ms", "lost=1%"],
            "test with lost=1%: unknown field `lost`",
        ),
        (
            ["s0", "s2", "delay=30ms", "loss=1%"],
            "there is no site `s2`",
        ),
    ] {
        let said = fail(stage, "link-set", &[&["whole"], &settings[..]].concat(), 2);
        assert!(said.contains(complaint), "{said}");
    }
    assert_eq!(
        succeed(stage, "link-show", &["whole"]),
        before,
        "nothing of it was done"
    );

    let set = succeed(
        stage,
        "link-set",
        &["whole", "s1", "s0", "delay=30ms", "state=down"],
    );
    let changes: Value = serde_json::from_str(&set)?;
    assert_eq!(changes.as_array().map(Vec::len), Some(2), "{changes}");
    assert_eq!(changes[0]["change"], "state up → down, delay 20ms → 30ms");
    let status = status_of(stage, "whole").expect("the lab");
    for channel in status["detail"]["channels"].as_array().expect("a list") {
        assert_eq!(channel["state"], "down", "{channel}");
        assert_eq!(channel["delay"], "30ms", "{channel}");
        assert_eq!(channel["differs"], "state up → down, delay 20ms → 30ms");
    }
    Ok(())
}

fn an_up_killed_at_any_moment_leaves_nothing_that_clean_misses() -> Outcome {
    for stage in stages() {
        // From before the claim of the name until after the lab is up and named.
        for milliseconds in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256] {
            let mut playing = Playing::start(stage.scene("up-whole", &["moment"]));
            std::thread::sleep(Duration::from_millis(milliseconds));
            // Killed even if it has ended: a child that was not waited for keeps its id.
            kill(
                Pid::from_raw(playing.child.id().cast_signed()),
                Signal::SIGKILL,
            )?;
            playing.code();
            let is_up =
                || status_of(&stage, "moment").is_some_and(|status| status["detail"].is_object());
            wait_until("the lab is up or gone", || {
                stage.processes().is_empty() || is_up()
            });
            if !stage.processes().is_empty() {
                succeed(&stage, "down", &["moment"]);
            }
            succeed(&stage, "clean", &[]);
            wait_until("every process has ended", || stage.processes().is_empty());
            assert!(
                !stage.runtime().join("moment").exists(),
                "after {milliseconds} ms"
            );
            let names = std::fs::read_dir("/run/netns").map_or(0, Iterator::count);
            assert!(
                stage.user != As::Root || names == 0,
                "after {milliseconds} ms"
            );
        }
    }
    Ok(())
}

fn a_planted_runtime_folder_is_refused() -> Outcome {
    let Some(stage) = Stage::for_user(As::Nobody) else {
        return Ok(());
    };
    // Somebody else's folder.
    std::fs::create_dir(stage.runtime())?;
    assert!(fail(&stage, "up", &["planted"], 2).contains("belongs to another user"));
    // A link to a folder of the user's own.
    std::fs::remove_dir(stage.runtime())?;
    let own = stage.folder.path().join("own");
    std::fs::create_dir(&own)?;
    std::os::unix::fs::chown(&own, Some(65534), Some(65534))?;
    std::os::unix::fs::symlink(&own, stage.runtime())?;
    assert!(fail(&stage, "up", &["planted"], 2).contains("cannot use"));
    assert_eq!(std::fs::read_dir(own)?.count(), 0);
    Ok(())
}
