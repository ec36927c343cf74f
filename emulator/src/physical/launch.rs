//! The command that starts longhaul on a machine. Pure: nothing is started here.
//!
//! No shell stands between an inventory and a command: ssh, srun and mpirun are given their arguments one by one, names that they
//! could take for options were refused when the file was read, and what ssh passes to the shell there is made of a digest or of a
//! path of plain characters.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_topologies::inventory::{Host, Launch, SshSpec};

use super::bootstrap;

/// How long ssh may take to connect, in seconds.
const CONNECT_SECONDS: u32 = 10;
/// ssh gives a connection up on which nothing came for this many seconds, so many times.
const ALIVE_SECONDS: u32 = 5;
const ALIVE_COUNT: u32 = 3;
/// A Unix socket's path has 108 bytes (unix(7)), of which ssh takes some while it makes one.
const LONGEST_SOCKET: usize = 90;

/// Starts longhaul on one machine.
#[derive(Clone, Debug)]
pub(super) struct Launcher {
    host: Host,
    program: Program,
    /// Where ssh's first connection lets others through, if there is room for its name.
    socket: Option<PathBuf>,
}

/// Where longhaul lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// In the user's cache, or it is put there.
    Cached {
        /// Of this longhaul's file.
        digest: String,
    },
    /// At a path.
    At(OsString),
}

/// Which of a machine's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    First,
    Further,
}

impl Launcher {
    /// `digest` is that of `executable`, this longhaul; `folder` is private to this lab, and there.
    pub(super) fn new(host: &Host, digest: &str, executable: &Path, folder: &Path) -> Self {
        let program = match (&host.binary, &host.launch) {
            (Some(path), _) => Program::At(path.into()),
            (None, Launch::Ssh(_)) => Program::Cached {
                digest: digest.to_owned(),
            },
            (None, Launch::Local | Launch::Srun(_) | Launch::Mpirun(_)) => {
                Program::At(executable.into())
            }
        };
        let socket = folder.join(&host.name);
        Self {
            host: host.clone(),
            program,
            socket: Some(socket).filter(|path| path.as_os_str().len() <= LONGEST_SOCKET),
        }
    }

    /// What is started here.
    pub(super) fn name(&self) -> String {
        match &self.host.launch {
            Launch::Local => "longhaul".to_owned(),
            Launch::Ssh(_) => "ssh".to_owned(),
            Launch::Srun(_) => "srun".to_owned(),
            Launch::Mpirun(_) => "mpirun".to_owned(),
        }
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// The command that reaches the machine and becomes longhaul's `part` there, by way of [`bootstrap`] if that lies in the cache.
    pub(super) fn first(&self, part: &str) -> Command {
        self.command(part, Connection::First)
    }

    /// The same for a machine that [`first`](Self::first) holds.
    pub(super) fn further(&self, part: &str) -> Command {
        self.command(part, Connection::Further)
    }

    fn command(&self, part: &str, connection: Connection) -> Command {
        let mut command = self.launch(part, connection);
        // What a terminal's user interrupts is longhaul, which then lets this go.
        command.process_group(0);
        command
    }

    fn launch(&self, part: &str, connection: Connection) -> Command {
        match (&self.host.launch, &self.program) {
            (Launch::Ssh(ssh), program) => {
                let mut command = self.ssh(ssh, connection);
                command.arg(match (program, connection) {
                    (Program::Cached { digest }, Connection::First) => {
                        bootstrap::command(digest, part)
                    }
                    (Program::Cached { digest }, Connection::Further) => {
                        bootstrap::further(digest, part)
                    }
                    (Program::At(path), _) => format!("exec {} {part}", path.to_string_lossy()),
                });
                command
            }
            (Launch::Srun(srun), Program::At(path)) => {
                let mut command = Command::new("srun");
                // A step of its own beside others of the job; its output comes as it is written.
                command.args([
                    "--nodes=1",
                    "--ntasks=1",
                    "--overlap",
                    "--unbuffered",
                    "--quiet",
                ]);
                command.arg(format!("--nodelist={}", srun.node));
                if let Some(job) = srun.job {
                    command.arg(format!("--jobid={job}"));
                }
                command.arg(path).arg(part);
                command
            }
            (Launch::Mpirun(mpirun), Program::At(path)) => {
                let mut command = Command::new("mpirun");
                command
                    .args(["--host", &mpirun.host, "-np", "1"])
                    .arg(path)
                    .arg(part);
                command
            }
            (_, Program::At(path)) => {
                let mut command = Command::new(path);
                command.arg(part);
                command
            }
            (_, Program::Cached { .. }) => unreachable!("only ssh has a cache"),
        }
    }

    fn ssh(&self, ssh: &SshSpec, connection: Connection) -> Command {
        let master = match (connection, &self.socket) {
            (Connection::First, Some(_)) => "yes",
            _ => "no",
        };
        ssh_to(ssh, master, self.socket.as_deref())
    }
}

/// The command of a login by ssh, which asks for nothing, knows the host or leaves it, forwards nothing and gives a dead connection up;
/// what is to be done there comes behind it. `master` is whether it lets other connections through at `socket`.
pub(crate) fn ssh_to(ssh: &SshSpec, master: &str, socket: Option<&Path>) -> Command {
    let mut command = Command::new("ssh");
    command.args(["-T", "-a", "-x"]);
    let mut option = |text: String| {
        command.arg("-o").arg(text);
    };
    option("BatchMode=yes".to_owned());
    option("StrictHostKeyChecking=yes".to_owned());
    option("ClearAllForwardings=yes".to_owned());
    option("PermitLocalCommand=no".to_owned());
    option(format!("ConnectTimeout={CONNECT_SECONDS}"));
    option(format!("ServerAliveInterval={ALIVE_SECONDS}"));
    option(format!("ServerAliveCountMax={ALIVE_COUNT}"));
    option(format!("ControlMaster={master}"));
    option("ControlPersist=no".to_owned());
    // A per cent sign begins a token.
    let path = match socket {
        Some(path) => word(&path.to_string_lossy().replace('%', "%%")),
        None => "none".to_owned(),
    };
    option(format!("ControlPath={path}"));
    if let Some(known_hosts) = &ssh.known_hosts {
        let known_hosts = word(&known_hosts.to_string_lossy());
        option(format!("UserKnownHostsFile={known_hosts}"));
        option("GlobalKnownHostsFile=none".to_owned());
    }
    if let Some(config) = &ssh.config {
        command.arg("-F").arg(config);
    }
    if let Some(identity) = &ssh.identity {
        // No other key is tried: a server lets only so many pass.
        command
            .args(["-o", "IdentitiesOnly=yes", "-i"])
            .arg(identity);
    }
    if let Some(jump) = &ssh.jump {
        command.arg("-J").arg(jump);
    }
    if let Some(port) = ssh.port {
        command.arg("-p").arg(port.to_string());
    }
    command.arg("--").arg(&ssh.destination);
    command
}

/// `text` as one word of ssh's configuration, which blanks end but within double quotes (ssh_config(5)).
fn word(text: &str) -> String {
    match text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '#')) {
        true => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::inventory::{Data, Mpirun, Srun};
    use longhaul_topologies::model::SiteId;

    use super::*;

    fn launcher(launch: Launch, binary: Option<&str>) -> Launcher {
        let host = Host {
            name: "east-0".to_owned(),
            site: SiteId(0),
            launch,
            data: Data::Interface("eth0".to_owned()),
            binary: binary.map(str::to_owned),
        };
        Launcher::new(
            &host,
            "0123abcd",
            Path::new("/here/longhaul"),
            Path::new("/run/lab%1"),
        )
    }

    fn ssh() -> Launch {
        Launch::Ssh(SshSpec {
            destination: "ops@east-0".to_owned(),
            port: Some(2222),
            identity: Some("/lab/key".into()),
            known_hosts: Some("/lab/known".into()),
            config: None,
            jump: Some("ops@bastion".to_owned()),
        })
    }

    fn line(command: &Command) -> String {
        let arguments = command
            .get_args()
            .map(|argument| argument.to_string_lossy());
        let all = std::iter::once(command.get_program().to_string_lossy()).chain(arguments);
        all.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ssh_asks_nothing_knows_its_host_and_shares_its_first_connection() {
        let launcher = launcher(ssh(), Some("/opt/longhaul"));
        insta::assert_snapshot!(line(&launcher.first("__host")), @"ssh -T -a -x -o BatchMode=yes -o StrictHostKeyChecking=yes -o ClearAllForwardings=yes -o PermitLocalCommand=no -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -o ControlMaster=yes -o ControlPersist=no -o ControlPath=/run/lab%%1/east-0 -o UserKnownHostsFile=/lab/known -o GlobalKnownHostsFile=none -o IdentitiesOnly=yes -i /lab/key -J ops@bastion -p 2222 -- ops@east-0 exec /opt/longhaul __host");
        let further = line(&launcher.further("__rank"));
        assert!(
            further.contains("ControlMaster=no")
                && further.ends_with("-- ops@east-0 exec /opt/longhaul __rank"),
            "{further}"
        );
    }

    #[test]
    fn a_lone_word_is_all_that_the_shell_there_gets_and_it_comes_behind_all_options() {
        let command = launcher(ssh(), None).first("__host");
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy())
            .collect();
        let end = arguments
            .iter()
            .position(|argument| argument == "--")
            .unwrap();
        assert_eq!(arguments.len(), end + 3);
        assert!(arguments[end + 2].contains("/longhaul/0123abcd"));
    }

    #[test]
    fn others_start_a_task_of_their_own_on_the_machine() {
        let srun = |job| {
            Launch::Srun(Srun {
                node: "n7".to_owned(),
                job,
            })
        };
        let mpirun = Launch::Mpirun(Mpirun {
            host: "n7".to_owned(),
        });
        let lines = [
            line(&launcher(srun(Some(12)), None).first("__host")),
            line(&launcher(srun(None), Some("/opt/longhaul")).further("__rank")),
            line(&launcher(mpirun, None).first("__host")),
            line(&launcher(Launch::Local, None).further("__rank")),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        srun --nodes=1 --ntasks=1 --overlap --unbuffered --quiet --nodelist=n7 --jobid=12 /here/longhaul __host
        srun --nodes=1 --ntasks=1 --overlap --unbuffered --quiet --nodelist=n7 /opt/longhaul __rank
        mpirun --host n7 -np 1 /here/longhaul __host
        /here/longhaul __rank
        ");
    }

    #[test]
    fn paths_with_blanks_are_one_word_to_ssh() {
        let mut host = launcher(ssh(), Some("/opt/longhaul")).host;
        if let Launch::Ssh(ssh) = &mut host.launch {
            ssh.known_hosts = Some("/my \"lab\"/known".into());
        }
        let launcher = Launcher::new(&host, "0123abcd", Path::new("/here"), Path::new("/my labs"));
        let line = line(&launcher.first("__host"));
        for part in [
            r#"-o ControlPath="/my labs/east-0" -o"#,
            r#"-o UserKnownHostsFile="/my \"lab\"/known" -o"#,
        ] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn a_socket_whose_name_is_too_long_is_none() {
        let host = launcher(ssh(), None).host;
        let deep = Path::new("/tmp").join("x".repeat(100));
        let launcher = Launcher::new(&host, "0123abcd", Path::new("/here"), &deep);
        let line = line(&launcher.first("__host"));
        assert!(
            line.contains("ControlMaster=no") && line.contains("ControlPath=none"),
            "{line}"
        );
    }
}
