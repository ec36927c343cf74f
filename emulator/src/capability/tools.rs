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

/// A program that workloads or tests start.
struct Tool {
    /// What `doctor` and workloads call it.
    name: &'static str,
    /// The names it goes by, the surest first: distributions that have two MPIs rename both.
    programs: &'static [&'static str],
    needed_for: &'static str,
    origin: Origin,
}

/// The same name on every distribution.
const fn everywhere(name: &'static str) -> Origin {
    Packaged(Package {
        debian: name,
        fedora: name,
        arch: name,
    })
}

const TOOLS: [Tool; 11] = [
    Tool {
        name: "ping",
        programs: &["ping"],
        needed_for: "`ping` workloads",
        origin: Packaged(Package {
            debian: "iputils-ping",
            fedora: "iputils",
            arch: "iputils",
        }),
    },
    Tool {
        name: "iperf3",
        programs: &["iperf3"],
        needed_for: "`iperf3` workloads",
        origin: everywhere("iperf3"),
    },
    Tool {
        name: "ethtool",
        programs: &["ethtool"],
        needed_for: "physical labs",
        origin: everywhere("ethtool"),
    },
    Tool {
        name: "tcpdump",
        programs: &["tcpdump"],
        needed_for: "looking into a lab",
        origin: everywhere("tcpdump"),
    },
    Tool {
        name: "Open MPI",
        programs: &["mpirun.openmpi", "orterun"],
        needed_for: "`mpi` and `nccl-tests` workloads",
        origin: Packaged(Package {
            debian: "openmpi-bin",
            fedora: "openmpi",
            arch: "openmpi",
        }),
    },
    Tool {
        name: "Open MPI's compiler",
        programs: &["mpicc.openmpi", "ortecc", "mpicc"],
        needed_for: "`mpi` workloads",
        origin: Packaged(Package {
            debian: "libopenmpi-dev gcc",
            fedora: "openmpi-devel gcc",
            arch: "openmpi gcc",
        }),
    },
    Tool {
        name: "MPICH",
        programs: &["mpirun.mpich", "mpiexec.hydra"],
        needed_for: "`mpi` workloads with `implementation: mpich`",
        origin: everywhere("mpich"),
    },
    Tool {
        name: "MPICH's compiler",
        programs: &["mpicc.mpich", "mpicc"],
        needed_for: "`mpi` workloads with `implementation: mpich`",
        origin: Packaged(Package {
            debian: "libmpich-dev gcc",
            fedora: "mpich-devel gcc",
            arch: "mpich gcc",
        }),
    },
    Tool {
        name: "nccl-tests",
        programs: &["all_reduce_perf"],
        needed_for: "`nccl-tests` workloads",
        origin: Otherwise(
            "with CUDA, NCCL and Open MPI there: git clone https://github.com/NVIDIA/nccl-tests && make -C nccl-tests MPI=1; \
             then put nccl-tests/build into PATH",
        ),
    },
    Tool {
        name: "perftest",
        programs: &["ib_write_bw"],
        needed_for: "`perftest` workloads",
        origin: everywhere("perftest"),
    },
    Tool {
        name: "linux.uml",
        programs: &["linux.uml"],
        needed_for: "longhaul's own tests of netem",
        origin: Otherwise(
            "on Debian and Ubuntu: sudo apt install user-mode-linux; elsewhere build a kernel with ARCH=um",
        ),
    },
];

/// What `doctor` calls it.
const PYTORCH: &str = "PyTorch";
/// The packages it comes in, with a BLAS that is fast enough for training.
const TORCH: Package = Package {
    debian: "python3-torch libopenblas0-pthread",
    fedora: "python3-torch",
    arch: "python-pytorch",
};

/// Which of them `machine` has.
pub(super) fn capabilities(machine: &Machine) -> Vec<Capability> {
    let remedies = machine.remedies();
    let programs = TOOLS.iter().map(|tool| {
        let found = tool.programs.iter().find_map(|name| program(machine, name));
        let found = found.ok_or("not found in PATH");
        let remedy = tool.origin.remedy(&remedies);
        capability(tool.name, found, remedy, tool.needed_for)
    });
    let torch = torch(machine).ok_or("not among Python's packages");
    let torch = capability(
        PYTORCH,
        torch,
        remedies.install(&[TORCH]),
        "`torch` workloads",
    );
    programs.chain([torch]).collect()
}

/// How `machine` gets the program that is started by this name.
pub(super) fn remedy_of_program(name: &str, machine: &Machine) -> Option<String> {
    let tool = TOOLS.iter().find(|tool| tool.programs.contains(&name))?;
    Some(tool.origin.remedy(&machine.remedies()))
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
        assert_eq!(state(&machine, "Open MPI"), expected);
    }

    #[test]
    fn what_no_distribution_packages_comes_with_the_way_to_build_it() {
        let (_root, machine) = machine(&[UBUNTU]);
        let State::Missing {
            remedy: Some(remedy),
            ..
        } = state(&machine, "nccl-tests")
        else {
            panic!("present");
        };
        assert!(
            remedy.contains("make -C nccl-tests MPI=1") && !remedy.contains("apt"),
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
