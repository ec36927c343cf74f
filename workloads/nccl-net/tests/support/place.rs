//! Where the two processes run: in two hosts of a lab, or on loopback where there can be no lab.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_topologies::Document;

use super::nccl::HANDLE;

/// Longer than any program takes.
const LONGEST: Duration = Duration::from_secs(180);

/// A lab or none.
pub enum Place {
    Lab(Box<Lab>),
    Loopback,
}

/// The two processes, each with what the environment says for it.
pub struct Pair {
    pub sender: Child,
    pub receiver: Child,
}

/// How a process ended, what it said on its standard error, and the rest of its output.
pub struct Ended {
    pub success: bool,
    pub output: String,
    pub said: String,
}

impl Place {
    /// Two hosts, one at each end of a link.
    pub async fn lab(link: &str) -> Self {
        let text = format!(
            "name: two\nsites: [{{name: a, hosts: 1}}, {{name: b, hosts: 1}}]\nlinks: [{{between: [a, b], {link}}}]\n"
        );
        let document = Document::from_text("two.yaml", &text).unwrap();
        let topology = longhaul_topologies::validate::topology(&document).unwrap();
        let lab = Lab::up(topology, &LabOptions::default()).await.unwrap();
        Self::Lab(Box::new(lab))
    }

    fn command(&self, host: usize) -> Command {
        let executable = std::env::current_exe().unwrap();
        match self {
            Self::Lab(lab) => lab.command(lab.plan().hosts().nth(host).unwrap(), executable),
            Self::Loopback => {
                let mut command = Command::new(executable);
                command.env("NCCL_SOCKET_IFNAME", "lo");
                command
            }
        }
    }

    /// Starts `program` as sender and as receiver; the handle goes from the one to the other, as NCCL's bootstrap has it.
    pub fn start(&self, program: &str, sender: &[(&str, &str)], receiver: &[(&str, &str)]) -> Pair {
        let mut receiver = self
            .command(1)
            .args(["__receive", program])
            .envs(receiver.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut handle = String::new();
        let mut said = BufReader::new(receiver.stdout.take().unwrap());
        said.read_line(&mut handle).unwrap();
        let mut sender = self
            .command(0)
            .args(["__send", program])
            .envs(sender.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A receiver that has failed said nothing; the sender ends at once then.
        let _ = sender.stdin.as_mut().unwrap().write_all(handle.as_bytes());
        receiver.stdout = Some(said.into_inner());
        Pair { sender, receiver }
    }
}

/// Waits until a process has ended, then lets the other go on.
pub fn then(ended: &mut Child, other: &mut Child) {
    let deadline = Instant::now() + LONGEST;
    while ended.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the first process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    other.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
}

/// Waits, in one of the processes, until it may go on.
pub fn wait_for_the_other() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

impl Pair {
    /// How both ended. Both are killed if that takes longer than any program does.
    pub fn ended(mut self) -> (Ended, Ended) {
        let deadline = Instant::now() + LONGEST;
        while self.sender.try_wait().unwrap().is_none()
            || self.receiver.try_wait().unwrap().is_none()
        {
            if Instant::now() > deadline {
                self.sender.kill().unwrap();
                self.receiver.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        (Ended::of(self.sender), Ended::of(self.receiver))
    }
}

impl Ended {
    fn of(mut child: Child) -> Self {
        let (mut said, mut output) = (String::new(), String::new());
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut output)
            .unwrap();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        Self {
            success: child.wait().unwrap().success(),
            output,
            said,
        }
    }
}

/// The receiver's handle as a line.
pub fn tell(handle: &[u8; HANDLE]) {
    let text: String = handle.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{text}");
}

/// The handle that the receiver told.
pub fn told() -> [u8; HANDLE] {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    std::array::from_fn(|at| u8::from_str_radix(&line[2 * at..2 * at + 2], 16).unwrap())
}
