//! Where a run is made: the lab, and the machine it sees.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use longhaul_emulator::capability::total_memory;
use longhaul_emulator::sandbox::Privilege;
use longhaul_reports::result::{Computing, Environment, LabKernel, LabKind, Machine};
use longhaul_topologies::Inventory;
use longhaul_topologies::units::ByteSize;
use nix::sys::utsname::{UtsName, uname};

/// What kind of lab a run is in, and who tells what follows from no seed.
#[derive(Clone, Debug, PartialEq)]
pub enum LabFacts {
    /// On this machine's kernel, by its clock.
    Host {
        /// The command line that repeats the run, for its result.
        command: String,
    },
    /// On machines that are there.
    Physical {
        /// The command line that repeats the run, for its result.
        command: String,
        /// Which.
        inventory: Box<Inventory>,
        /// Private to this run, for its connections.
        folder: PathBuf,
    },
    /// In a lab kernel and its virtual time. The result keeps no [`RunDetails`](longhaul_reports::result::RunDetails): the process
    /// outside completes it.
    Virtual {
        /// The kernel that this process runs on.
        kernel: LabKernel,
    },
}

impl LabFacts {
    /// Whether labs are built here.
    pub(super) fn is_built(&self) -> bool {
        !matches!(self, Self::Physical { .. })
    }
}

/// What a run in such a lab says of where it was made; the link engine is not known yet.
pub(super) fn environment(lab: &LabFacts, privilege: Privilege) -> Environment {
    let links = String::new();
    let privilege = match privilege {
        Privilege::Root => "root",
        Privilege::Rootless => "rootless",
    }
    .to_owned();
    match lab {
        LabFacts::Host { .. } | LabFacts::Physical { .. } => Environment {
            lab: match lab {
                LabFacts::Physical { .. } => LabKind::Physical,
                _ => LabKind::Host,
            },
            computing: Computing::Real,
            lab_kernel: None,
            links,
            privilege,
            machine: machine(),
            programs: BTreeMap::new(),
            hosts: BTreeMap::new(),
        },
        LabFacts::Virtual { kernel } => Environment {
            lab: LabKind::Virtual,
            computing: Computing::Free,
            lab_kernel: Some(kernel.clone()),
            links,
            privilege,
            machine: Machine {
                // Its programs are those of the machine outside, whatever its own files say.
                distribution: String::new(),
                ..machine()
            },
            programs: BTreeMap::new(),
            hosts: BTreeMap::new(),
        },
    }
}

/// What this machine is; a figure that the system does not tell is empty or 0.
pub fn machine() -> Machine {
    let names = uname().ok();
    let text = |field: fn(&UtsName) -> &OsStr| {
        let name = names.as_ref().map(field);
        name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Machine {
        kernel: text(UtsName::release),
        architecture: text(UtsName::machine),
        distribution: distribution(&read("/etc/os-release")),
        cpu: cpu(&read("/proc/cpuinfo")),
        // Counts the affinity mask and the container's quota.
        cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        memory_bytes: total_memory().map_or(0, ByteSize::bytes),
    }
}

/// PRETTY_NAME of os-release(5).
fn distribution(os_release: &str) -> String {
    let name = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default()
        .trim_matches(['"', '\''])
        .to_owned()
}

/// The first `model name` of /proc/cpuinfo, or what other architectures have for it.
fn cpu(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo
            .lines()
            .find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
    };
    ["model name", "Model", "uarch", "cpu model"]
        .into_iter()
        .find_map(field)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_the_systems_files() {
        assert_eq!(
            distribution("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(
            cpu("processor\t: 0\nmodel name\t: AMD EPYC 7B13\n\nprocessor\t: 1\n"),
            "AMD EPYC 7B13"
        );
    }

    #[test]
    fn a_virtual_lab_names_its_kernel_and_nothing_of_the_machine_outside() {
        let kernel = LabKernel {
            version: "6.12.94".to_owned(),
            key: "3f2a9c".to_owned(),
        };
        let inside = LabFacts::Virtual {
            kernel: kernel.clone(),
        };
        let inside = environment(&inside, Privilege::Root);
        assert_eq!(
            (inside.lab, inside.computing, inside.lab_kernel),
            (LabKind::Virtual, Computing::Free, Some(kernel))
        );
        assert_eq!(inside.machine.distribution, "");

        let command = String::new();
        let host = environment(&LabFacts::Host { command }, Privilege::Rootless);
        assert_eq!(
            (host.lab, host.computing, host.lab_kernel, host.machine),
            (LabKind::Host, Computing::Real, None, machine())
        );
    }

    #[test]
    fn what_a_system_does_not_tell_stays_empty() {
        assert_eq!(
            (distribution("ID=x\n"), cpu("processor: 0\n")),
            (String::new(), String::new())
        );
    }
}
