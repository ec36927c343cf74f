//! Programs and packages that workloads and tests use, and how to install them.

use std::path::PathBuf;

use super::host::{Machine, entries};
use super::remedy::{Package, Remedies};
use super::{Capability, State};

/// How a program is got.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// As a package of the distribution.
    Packaged(Package),
    /// By these words alone: distributions do not have it, or not all of them.
    Otherwise(&'static str),
}

use Origin::{Otherwise, Packaged};

/// Programs that workloads and tests start, what for, and how to get them.
const TOOLS: [(&str, &str, Origin); 8] = [
    (
        "ping",
        "checking delays by hand",
        Packaged(Package {
            debian: "iputils-ping",
            fedora: "iputils",
            arch: "iputils",
        }),
    ),
    (
        "iperf3",
        "command workloads",
        Packaged(Package {
            debian: "iperf3",
            fedora: "iperf3",
            arch: "iperf3",
        }),
    ),
    (
        "ethtool",
        "physical labs",
        Packaged(Package {
            debian: "ethtool",
            fedora: "ethtool",
            arch: "ethtool",
        }),
    ),
    (
        "tcpdump",
        "looking into a lab",
        Packaged(Package {
            debian: "tcpdump",
            fedora: "tcpdump",
            arch: "tcpdump",
        }),
    ),
    (
        "mpirun",
        "MPI workloads",
        Packaged(Package {
            debian: "openmpi-bin",
            fedora: "openmpi",
            arch: "openmpi",
        }),
    ),
    (
        "all_reduce_perf",
        "NCCL workloads on GPUs",
        Otherwise(
            "with CUDA and NCCL there: git clone https://github.com/NVIDIA/nccl-tests && make -C nccl-tests; then put \
             nccl-tests/build into PATH",
        ),
    ),
    (
        "ib_write_bw",
        "RDMA workloads in physical labs",
        Packaged(Package {
            debian: "perftest",
            fedora: "perftest",
            arch: "perftest",
        }),
    ),
    (
        "linux.uml",
        "longhaul's own tests of netem",
        Otherwise(
            "on Debian and Ubuntu: sudo apt install user-mode-linux; elsewhere build a kernel with ARCH=um",
        ),
    ),
];

/// PyTorch's folder among Python's packages.
const TORCH: Package = Package {
    debian: "python3-torch",
    fedora: "python3-torch",
    arch: "python-pytorch",
};

/// Which of them `machine` has.
pub(super) fn capabilities(machine: &Machine) -> Vec<Capability> {
    let remedies = machine.remedies();
    let programs = TOOLS.iter().map(|&(tool, needed_for, origin)| {
        let found = program(machine, tool).ok_or("not found in PATH");
        capability(tool, found, origin.remedy(&remedies), needed_for)
    });
    let torch = torch(machine).ok_or("not among Python's packages");
    let torch = capability(
        "PyTorch",
        torch,
        remedies.install(&[TORCH]),
        "Gloo workloads",
    );
    programs.chain([torch]).collect()
}

impl Origin {
    fn remedy(self, remedies: &Remedies) -> String {
        match self {
            Packaged(package) => remedies.install(&[package]),
            Otherwise(words) => words.to_owned(),
        }
    }
}

fn capability(
    name: &str,
    found: Result<PathBuf, &str>,
    remedy: String,
    needed_for: &'static str,
) -> Capability {
    let state = match found {
        Ok(path) => State::Present(path.display().to_string()),
        Err(reason) => State::missing(reason, Some(remedy)),
    };
    Capability::new(name, state, needed_for)
}

fn program(machine: &Machine, name: &str) -> Option<PathBuf> {
    let candidates = machine.path.iter().map(|folder| folder.join(name));
    candidates
        .into_iter()
        .find(|candidate| machine.below(candidate).is_file())
}

/// PyTorch, looked for where Python's packages of the system, of pip and of the user lie.
fn torch(machine: &Machine) -> Option<PathBuf> {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let roots = [
        PathBuf::from("/usr/lib"),
        PathBuf::from("/usr/local/lib"),
        home.join(".local/lib"),
    ];
    let roots = roots
        .into_iter()
        .chain(environment.map(|folder| folder.join("lib")));
    let candidates = roots.flat_map(|root| {
        let versions = entries(&machine.below(&root));
        let pythons = versions
            .into_iter()
            .filter(|name| name.starts_with("python3"));
        let folders = pythons.flat_map(|name| {
            ["dist-packages", "site-packages"].map(|kind| PathBuf::from(&name).join(kind))
        });
        folders
            .map(move |folder| root.join(folder).join("torch"))
            .collect::<Vec<_>>()
    });
    candidates
        .into_iter()
        .find(|candidate| machine.below(candidate).is_dir())
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::{UBUNTU, machine, state};
    use super::*;

    #[test]
    fn a_missing_program_comes_with_the_command_that_installs_it() {
        let (_root, machine) = machine(&[UBUNTU, ("usr/bin/ping", "")]);
        assert_eq!(
            state(&machine, "ping"),
            State::Present("/usr/bin/ping".into())
        );
        let expected = State::missing(
            "not found in PATH",
            Some("sudo apt install openmpi-bin".into()),
        );
        assert_eq!(state(&machine, "mpirun"), expected);
    }

    #[test]
    fn what_no_distribution_packages_comes_with_the_way_to_build_it() {
        let (_root, machine) = machine(&[UBUNTU]);
        let State::Missing {
            remedy: Some(remedy),
            ..
        } = state(&machine, "all_reduce_perf")
        else {
            panic!("present");
        };
        assert!(
            remedy.contains("make -C nccl-tests") && !remedy.contains("apt"),
            "{remedy}"
        );
    }

    #[test]
    fn pytorch_is_found_among_the_systems_packages() {
        let (_root, machine) = machine(&[("usr/lib/python3/dist-packages/torch/version.py", "")]);
        let expected = State::Present("/usr/lib/python3/dist-packages/torch".into());
        assert_eq!(state(&machine, "PyTorch"), expected);
    }
}
