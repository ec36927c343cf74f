//! Why a physical lab cannot be used, and the way out.

use std::io;
use std::time::Duration;

use super::bootstrap;

/// Why a physical lab cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PhysicalError {
    /// The launcher could not be started here.
    #[error("cannot start {launcher} for {host}: {source}")]
    Launcher {
        /// Which host.
        host: String,
        /// `ssh`.
        launcher: String,
        /// What the system answered.
        source: io::Error,
    },
    /// Every one of a host's steps would get, or wait for, a job of its own.
    #[error("{host} is reached by srun, and nothing says in which job")]
    NoJob {
        /// Which host.
        host: String,
    },
    /// The connection to a host has ended.
    #[error(transparent)]
    Ended(Box<Ending>),
    /// A host says nothing.
    #[error("{host} did not {step} within {waited:?}")]
    Silent {
        /// Which host.
        host: String,
        /// What was to be done.
        step: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// What answers is something else.
    #[error("what answers on {host} is no longhaul of this version: {line:?}")]
    Foreign {
        /// Which host.
        host: String,
        /// What it said.
        line: String,
    },
    /// The longhaul there is another.
    #[error("{host} has longhaul {theirs}, and this is {ours}")]
    Version {
        /// Which host.
        host: String,
        /// Its version, and the beginning of its digest.
        theirs: String,
        /// The same of this.
        ours: String,
    },
    /// This longhaul cannot run there.
    #[error("{host} is of {theirs}, and this longhaul is built for {ours}")]
    Architecture {
        /// Which host.
        host: String,
        /// Its architecture.
        theirs: String,
        /// This one's.
        ours: String,
    },
    /// A host could not do what it was asked.
    #[error("{host} cannot {step}: {message}")]
    Refused {
        /// Which host.
        host: String,
        /// What was to be done.
        step: String,
        /// What the system there answered.
        message: String,
    },
    /// Addresses of hosts are of two families.
    #[error(
        "{first} has {first_address} for its data, and {second} has {second_address}: the two cannot reach each other"
    )]
    Families {
        /// A host.
        first: String,
        /// Its address.
        first_address: std::net::IpAddr,
        /// Another.
        second: String,
        /// Its address.
        second_address: std::net::IpAddr,
    },
    /// A kernel does not have what a stack needs.
    #[error("the kernel of {host} has no congestion control `{name}`")]
    CongestionControl {
        /// Which host.
        host: String,
        /// Which congestion control.
        name: String,
    },
    /// Something of the system here failed.
    #[error("cannot {step}: {source}")]
    System {
        /// What was attempted.
        step: String,
        /// What the system answered.
        source: io::Error,
    },
}

/// How the connection to a host has ended.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} cannot be used: {launcher} {how} while it was to {step}{}",
    last(words)
)]
pub struct Ending {
    /// Which host.
    pub host: String,
    /// `ssh`.
    pub launcher: String,
    /// `ended with code 255`.
    pub how: String,
    /// What was to be done.
    pub step: String,
    /// Its exit code, if it has one.
    pub code: Option<i32>,
    /// What it last printed as errors.
    pub words: String,
}

/// What launchers say, and the way out of it.
const REMEDIES: [(&str, &str); 13] = [
    (
        "host key verification failed",
        "its key is not known, or not the one that is: log in by hand once and compare the key, or name a file with it as `known_hosts`",
    ),
    (
        "permission denied",
        "longhaul logs in without asking for anything: have the key in an agent, or name it as `identity`, so that `ssh -o \
         BatchMode=yes` gets in",
    ),
    (
        "connection refused",
        "no server of ssh listens there: look at `destination` and `port`",
    ),
    (
        "could not resolve",
        "look at `destination`: its name is not known here",
    ),
    (
        "timed out",
        "it is not reached from here: look at `destination`, or name the machine to go over as `jump`",
    ),
    (
        "no route to host",
        "it is not reached from here: look at `destination`, or name the machine to go over as `jump`",
    ),
    (
        "network is unreachable",
        "it is not reached from here: look at `destination`, or name the machine to go over as `jump`",
    ),
    (
        "version `glibc",
        "its C library is older than this longhaul's: build longhaul there, and name its path as `binary`",
    ),
    (
        "ompi_allow_run_as_root",
        "mpirun starts nothing as root unasked: start longhaul as another user, or set the two variables that it names",
    ),
    (
        "invalid job id",
        "that job has ended, or is another user's: look at `job`",
    ),
    (
        "requested node configuration is not available",
        "the job does not have that node: look at `node` and `job`",
    ),
    (
        "_establish_config_source",
        "no Slurm is known here: start longhaul where `sinfo` answers, or name its configuration in SLURM_CONF",
    ),
    ("no space left", "make room in the cache folder there"),
];

impl PhysicalError {
    /// The way out, if there is one.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Launcher { launcher, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                let package = match launcher.as_str() {
                    "ssh" => "install it (Debian: openssh-client)",
                    "srun" => "install it (Debian: slurm-client), or start longhaul where Slurm is",
                    "mpirun" => "install it (Debian: openmpi-bin), or start longhaul where MPI is",
                    _ => return None,
                };
                Some(package.to_owned())
            }
            Self::NoJob { .. } => Some(
                "write its `job:`, or start longhaul in one (`salloc`, `sbatch`): every part of a lab is a step of the same job"
                    .to_owned(),
            ),
            Self::Ended(ending) => ending.help(),
            Self::Version { .. } | Self::Foreign { .. } => Some(
                "have the same longhaul there: copy this one, or leave `binary` out and ssh does; one that lies wrongly in \
                 `~/.cache/longhaul` there may be removed"
                    .to_owned(),
            ),
            Self::Architecture { .. } => Some(
                "build longhaul of this version for it, and name its path there as `binary`".to_owned(),
            ),
            Self::CongestionControl { name, .. } => Some(format!(
                "load it there as root with `modprobe tcp_{name}`, or take a stack that the kernel has"
            )),
            Self::Families { .. } => Some("give all hosts addresses of IPv4, or all of IPv6".to_owned()),
            Self::Launcher { .. } | Self::Silent { .. } | Self::Refused { .. } | Self::System { .. } => None,
        }
    }
}

impl Ending {
    fn help(&self) -> Option<String> {
        let said = self.words.to_lowercase();
        let known = REMEDIES.iter().find(|(words, _)| said.contains(words));
        let by_code = || match self.code {
            Some(bootstrap::CANNOT_WRITE) => Some(
                "longhaul could not be written into the user's cache there: make room or give rights, or name its path as `binary`",
            ),
            // sh's for a command that is not there.
            Some(127) => Some("there is no longhaul at that path there: look at `binary`"),
            _ => None,
        };
        let help = known.map(|(_, remedy)| *remedy).or_else(by_code);
        help.map(str::to_owned)
    }
}

fn last(words: &str) -> String {
    match words.is_empty() {
        true => String::new(),
        false => format!(": {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(code: i32, words: &str) -> Option<String> {
        let ending = Ending {
            host: "east-0".to_owned(),
            launcher: "ssh".to_owned(),
            how: format!("ended with code {code}"),
            step: "start longhaul".to_owned(),
            code: Some(code),
            words: words.to_owned(),
        };
        PhysicalError::Ended(Box::new(ending)).help()
    }

    #[test]
    fn what_launchers_say_has_its_way_out() {
        for (words, way) in [
            ("Host key verification failed.", "known_hosts"),
            ("ops@east: Permission denied (publickey).", "identity"),
            (
                "ssh: connect to host east port 22: Connection refused",
                "port",
            ),
            (
                "ssh: connect to host east port 22: Connection timed out",
                "jump",
            ),
            (
                "srun: error: Unable to confirm allocation for job 9: Invalid job id specified",
                "job",
            ),
        ] {
            assert!(
                help(255, words).is_some_and(|help| help.contains(way)),
                "{words}"
            );
        }
        assert!(
            help(127, "sh: 1: exec: /opt/longhaul: not found")
                .unwrap()
                .contains("binary")
        );
        assert_eq!(help(1, "Segmentation fault"), None);
    }
}
