//! What this machine can do, and how to get what it lacks: what `doctor` prints.
//!
//! Two halves: [`host_capabilities`] looks at the machine from outside; [`lab_capabilities`] tries things out inside a
//! sandbox, by doing them: kernels differ too much in what they are built with for their version to tell.
//!
//! - `host`: kernel, CPUs, congestion controls; `tools`: programs; `hardware`: NICs, GPUs: read from /proc, /sys and /etc of any root
//!   folder.
//! - `trial`: what must be tried: namespaces, qdiscs, sockets, priorities.
//! - `remedy`: the commands that get a missing thing, by distribution.

mod hardware;
mod host;
mod memory;
mod remedy;
mod tools;
mod trial;

use std::fs;
use std::path::Path;

use longhaul_topologies::did_you_mean;
use serde::Serialize;
use socket2::{Domain, Socket, Type};

use crate::hardware::inventory::inventory;
use crate::hardware::tree::Tree;
use crate::kernel::{KernelError, LabKernel};
use crate::kernel_law::{self, KernelLaw, KernelLawError};
use crate::plan::Families;
use crate::sandbox::{self, Privilege, Sandbox, SandboxError};
use host::Machine;
pub use memory::total_memory;
pub(crate) use memory::{available_memory, size_field};
pub(crate) use remedy::{Family, Package, Remedies};

/// One thing that a machine can or cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// What: `netem`, `CPUs`, `iperf3`.
    pub name: String,
    /// Whether it is there.
    pub state: State,
    /// What longhaul uses it for.
    pub needed_for: &'static str,
}

/// Whether a capability is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is; with which properties.
    Present(String),
    /// It is not.
    Missing {
        /// Why.
        reason: String,
        /// Commands to paste, or what to change; none if there is nothing to be done.
        remedy: Option<String>,
    },
    /// It cannot be told here; why.
    Unknown(String),
}

/// The address families that labs can have here. Where IPv6 is a module, this loads it.
pub fn families() -> Families {
    match Socket::new(Domain::IPV6, Type::DGRAM, None) {
        // Built without it, or booted with ipv6.disable=1.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Families::Ipv4,
        _ => Families::Both,
    }
}

/// What can be told without a lab. Leaves no thread behind, so that a sandbox can be entered afterwards.
pub fn host_capabilities() -> Vec<Capability> {
    let machine = Machine::at(Path::new("/"));
    let mut capabilities = machine.capabilities();
    let privilege = Privilege::of_this_process();
    capabilities.extend(trial::on_the_host(privilege));
    capabilities.push(kernel_law(KernelLaw::try_out()));
    capabilities.push(lab_kernel(LabKernel::find()));
    capabilities
}

/// The congestion controls that the kernel has loaded.
pub fn congestion_controls() -> Vec<String> {
    let list = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
    let list = list.unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

/// What comes before the advice to load the congestion control `name`: it may be a slip.
pub fn in_doubt(name: &str) -> String {
    did_you_mean(name, congestion_controls())
        .map_or_else(String::new, |question| format!("{question} if not, "))
}

/// What programs and devices of others this machine has, by the names that `doctor` calls them; for [`tool`].
pub fn tools() -> Vec<Capability> {
    let machine = Machine::at(Path::new("/"));
    let mut tools = tools::capabilities(&machine);
    let nics = inventory(&Tree::at(Path::new("/")));
    tools.push(hardware::rdma(&nics));
    tools.extend(hardware::gpus(Path::new("/")));
    tools
}

/// How to get the program that is started by this name, if it is of those that [`tools`] knows.
pub fn remedy_of_program(name: &str) -> Option<String> {
    tools::remedy_of_program(name, &Machine::at(Path::new("/")))
}

/// The one of `tools` whose name begins with `name`: GPUs have their addresses in theirs.
pub fn tool<'a>(tools: &'a [Capability], name: &str) -> Option<&'a Capability> {
    tools.iter().find(|tool| tool.name == name).or_else(|| {
        let begins = |tool: &&Capability| tool.name.starts_with(name);
        tools.iter().find(begins)
    })
}

/// What entering a sandbox has shown: whose privileges labs run on, or why there can be none.
pub fn sandbox_capability(outcome: Result<&Sandbox, &SandboxError>) -> Capability {
    let state = match outcome {
        Ok(_) if !sandbox::has_own_proc() => {
            State::missing(sandbox::MASKED_PROC, Some(sandbox::MASKED_PROC_HELP.into()))
        }
        Ok(Sandbox {
            privilege: Privilege::Root,
            ..
        }) => State::Present("as root".into()),
        Ok(Sandbox {
            privilege: Privilege::Rootless,
            ..
        }) => State::Present("rootless, in a user namespace".into()),
        Err(SandboxError::Refused { reason, help }) => {
            State::missing(&**reason, Some(help.clone()))
        }
        Err(error) => State::missing(error.to_string(), None),
    };
    Capability::new("labs", state, "everything but physical labs")
}

/// What can only be told inside a sandbox. Call it in the lab process, with the privilege that the sandbox was entered with.
pub fn lab_capabilities(privilege: Privilege) -> Vec<Capability> {
    trial::in_the_sandbox(&Machine::at(Path::new("/")).remedies(), privilege)
}

/// What trying the law out has shown.
fn kernel_law(tried: Result<(), KernelLawError>) -> Capability {
    let state = match tried {
        Ok(()) => State::Present(format!(
            "labs have the congestion control `{}`",
            kernel_law::NAME
        )),
        Err(error) => State::missing(error.to_string(), Some(error.help())),
    };
    Capability::new(
        "distance in TCP",
        state,
        "the `distance` law in stacks of kernel TCP, and in programs",
    )
}

fn lab_kernel(found: Result<LabKernel, KernelError>) -> Capability {
    let state = match found {
        Ok(LabKernel { path, version, .. }) => {
            State::Present(format!("{version}, {}", path.display()))
        }
        Err(KernelError::Missing { .. }) => {
            State::missing("not built yet", Some("longhaul kernel build".into()))
        }
        Err(error) => State::missing(error.to_string(), None),
    };
    Capability::new("lab kernel", state, "virtual labs")
}

/// How to get things on this machine.
pub(crate) fn remedies() -> Remedies {
    Machine::at(Path::new("/")).remedies()
}

/// How to get the kernel module `module`, built by the kernel option `option`, on this machine.
pub(crate) fn module_remedy(module: &str, option: &str) -> String {
    remedies().module(module, option)
}

impl Capability {
    /// With remedies for root, who needs no `sudo`, and in a container has none.
    #[must_use]
    pub fn for_root(mut self) -> Self {
        if let State::Missing {
            remedy: Some(remedy),
            ..
        } = &mut self.state
        {
            *remedy = remedy.replace("sudo ", "");
        }
        self
    }

    fn new(name: impl Into<String>, state: State, needed_for: &'static str) -> Self {
        Self {
            name: name.into(),
            state,
            needed_for,
        }
    }
}

impl State {
    fn missing(reason: impl Into<String>, remedy: Option<String>) -> Self {
        State::Missing {
            reason: reason.into(),
            remedy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_the_state_and_what_to_do() {
        let missing = State::missing("this kernel does not have it", Some("apt install x".into()));
        let capability = Capability::new("netem", missing, "the netem engine");
        insta::assert_snapshot!(serde_json::to_string(&capability).unwrap(), @r#"{"name":"netem","state":{"missing":{"reason":"this kernel does not have it","remedy":"apt install x"}},"needed_for":"the netem engine"}"#);
    }

    #[test]
    fn root_is_told_the_same_commands_without_sudo() {
        let remedy = "sudo modprobe x; if there is none: sudo apt install y".to_owned();
        let capability = Capability::new("x", State::missing("no", Some(remedy)), "y");
        let plain = "modprobe x; if there is none: apt install y".to_owned();
        assert_eq!(
            capability.for_root().state,
            State::missing("no", Some(plain))
        );
    }

    #[test]
    fn a_lab_kernel_that_is_missing_comes_with_the_command_that_builds_it() {
        let missing = KernelError::Missing {
            folder: "/cache".into(),
        };
        let expected = State::missing("not built yet", Some("longhaul kernel build".into()));
        assert_eq!(lab_kernel(Err(missing)).state, expected);
    }

    #[test]
    fn a_law_that_cannot_be_had_comes_with_the_way_out() {
        let state = kernel_law(Err(KernelLawError::NotBuilt)).state;
        let State::Missing { reason, remedy } = state else {
            panic!("present");
        };
        assert_eq!(
            reason,
            "this longhaul was built without the `distance` law for kernel TCP"
        );
        assert!(remedy.unwrap().contains("--features bpf"));
    }

    #[test]
    fn a_refused_sandbox_keeps_its_remedy() {
        let refused = SandboxError::Refused {
            reason: "no".into(),
            help: "do this".into(),
        };
        let State::Missing { reason, remedy } = sandbox_capability(Err(&refused)).state else {
            panic!("present");
        };
        assert_eq!((&*reason, remedy.as_deref()), ("no", Some("do this")));
    }
}
