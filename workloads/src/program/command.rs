//! `command`: any program on some or all hosts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_reports::result::Workload;
use longhaul_topologies::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::program::figures::{self, FigureSpec};
use crate::program::processes::{Process, Role, Streams};
use crate::program::{
    Findings, Line, Output, Place, Program, ProgramError, Refusal, check_hosts, timeout,
};

/// A program on some or all hosts; never through a shell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments. RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT, LONGHAUL_HOST,
    /// LONGHAUL_SITE and LONGHAUL_PEERS are in its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The hosts it runs on; all if absent. Ranks count in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// What differs on a host: another program, or one in the background.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per_host: BTreeMap<String, HostCommandSpec>,
    /// Further environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// MASTER_PORT.
    #[serde(default = "default_master_port")]
    pub master_port: u16,
    /// When the programs are ended and the run fails.
    #[serde(default = "timeout::ten_minutes")]
    pub timeout: TimeSpan,
    /// What is read from their output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<FigureSpec>,
}

/// What differs on one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostCommandSpec {
    /// The program and its arguments there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Started before the others, ended when all others are done; its exit code does not count (a server).
    #[serde(default)]
    pub background: bool,
    /// The TCP port on which it will listen: the programs in the foreground start once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listens: Option<u16>,
}

/// PyTorch's default (`torch.distributed.run`).
fn default_master_port() -> u16 {
    29500
}

impl Program for CommandSpec {
    fn kind(&self) -> &'static str {
        "command"
    }

    fn needs(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn lines(&self, hosts: &[String]) -> Vec<Line> {
        let chosen = self.hosts.as_deref().unwrap_or(hosts);
        let programs = chosen.iter().filter_map(|host| self.line(host).first());
        let line = |program: &String| Line {
            program: program.into(),
            path: self.environment.get("PATH").cloned(),
        };
        programs.map(line).collect()
    }

    fn check(&self, hosts: &[String]) -> Result<(), Refusal> {
        let chosen = self.hosts.as_deref().unwrap_or(hosts);
        let refuse = |field: &str, message: String| Err(Refusal::of(field, message));
        if chosen.is_empty() {
            return refuse("hosts", "at least one host is needed".to_owned());
        }
        check_hosts("hosts", chosen, hosts)?;
        for host in chosen {
            if self.line(host).is_empty() {
                return refuse(
                    "",
                    format!(
                        "there is no program for `{host}`: write `command: [PROGRAM, ARGUMENT…]`"
                    ),
                );
            }
        }
        if let Some(host) = self.per_host.keys().find(|host| !chosen.contains(host)) {
            let message = format!("`{host}` is not one of the hosts: {}", chosen.join(", "));
            return refuse(&format!("per_host.{host}"), message);
        }
        if chosen
            .iter()
            .all(|host| self.role(host) == Role::Background)
        {
            let message = "every program is in the background: nothing would end the run";
            return refuse("per_host", message.to_owned());
        }
        timeout::check(self.timeout)?;
        figures::check(&self.figures, chosen)
    }

    fn processes(&self, place: &Place) -> Result<Vec<Process>, ProgramError> {
        let hosts = self.chosen(place);
        let streams = match self.figures.is_empty() {
            true => Streams::Together,
            false => Streams::Apart,
        };
        let mut processes = Vec::new();
        // Servers first.
        for role in [Role::Background, Role::Foreground] {
            for (rank, host) in hosts.iter().enumerate() {
                if self.role(host) == role {
                    let process = Process::new(host, self.line(host).to_vec())
                        .environment(self.variables(place, &hosts, rank))
                        .environment(self.environment.clone())
                        .role(role)
                        .streams(streams);
                    let listens = self.per_host.get(host).and_then(|own| own.listens);
                    processes.push(Process { listens, ..process });
                }
            }
        }
        Ok(processes)
    }

    fn timeout(&self) -> Duration {
        self.timeout.duration()
    }

    /// The command of most hosts.
    fn workload(&self, _: &[String]) -> Workload {
        let own = || {
            let mut foreground = self.per_host.values().filter(|own| !own.background);
            foreground.find_map(|own| own.command.clone())
        };
        Workload::Command {
            command: self.command.clone().or_else(own).unwrap_or_default(),
        }
    }

    fn read(&self, outputs: &[Output], _: &Place) -> Result<Findings, ProgramError> {
        figures::read(&self.figures, outputs)
    }

    fn files(&self) -> Vec<PathBuf> {
        let of_hosts = self
            .per_host
            .values()
            .filter_map(|own| own.command.as_ref());
        let words = self.command.iter().chain(of_hosts).flatten();
        words.map(PathBuf::from).collect()
    }
}

impl CommandSpec {
    fn chosen(&self, place: &Place) -> Vec<String> {
        place.chosen(self.hosts.as_deref())
    }

    fn line(&self, host: &str) -> &[String] {
        let own = self.per_host.get(host).and_then(|own| own.command.as_ref());
        own.or(self.command.as_ref()).map_or(&[], Vec::as_slice)
    }

    fn role(&self, host: &str) -> Role {
        match self.per_host.get(host) {
            Some(own) if own.background => Role::Background,
            _ => Role::Foreground,
        }
    }

    /// What launchers of distributed programs set (torchrun's names), and where the program is.
    fn variables(
        &self,
        place: &Place,
        hosts: &[String],
        rank: usize,
    ) -> BTreeMap<&'static str, String> {
        let host = &hosts[rank];
        let site = place.host(host).map(|host| host.site.clone());
        let peers: Vec<String> = hosts.iter().map(|peer| place.address(peer)).collect();
        BTreeMap::from([
            ("RANK", rank.to_string()),
            ("WORLD_SIZE", hosts.len().to_string()),
            // One program a host.
            ("LOCAL_RANK", "0".to_owned()),
            ("MASTER_ADDR", place.address(&hosts[0])),
            ("MASTER_PORT", self.master_port.to_string()),
            ("LONGHAUL_HOST", host.clone()),
            ("LONGHAUL_SITE", site.unwrap_or_default()),
            ("LONGHAUL_PEERS", peers.join(",")),
        ])
    }
}
