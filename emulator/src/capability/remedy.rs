//! The commands that get a missing thing, by distribution.

/// A distribution's way of installing things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Debian,
    Ubuntu,
    Fedora,
    Arch,
    Other,
}

/// A program and the packages it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub debian: &'static str,
    pub fedora: &'static str,
    pub arch: &'static str,
}

/// Remedies for one machine.
#[derive(Clone, Debug)]
pub(crate) struct Remedies {
    pub family: Family,
    /// The running kernel's release, as `uname -r` gives it.
    pub release: String,
}

impl Family {
    /// From the text of /etc/os-release.
    pub(super) fn from_os_release(text: &str) -> Self {
        let ids = ["ID", "ID_LIKE"].iter().filter_map(|key| field(text, key));
        let mut ids = ids.flat_map(|value| {
            value
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        ids.find_map(|id| match &*id {
            "ubuntu" => Some(Family::Ubuntu),
            "debian" => Some(Family::Debian),
            "fedora" | "rhel" | "centos" => Some(Family::Fedora),
            "arch" => Some(Family::Arch),
            _ => None,
        })
        .unwrap_or(Family::Other)
    }
}

impl Remedies {
    /// How to install `packages`.
    pub(crate) fn install(&self, packages: &[Package]) -> String {
        let names = |of: fn(&Package) -> &'static str| {
            packages.iter().map(of).collect::<Vec<_>>().join(" ")
        };
        match self.family {
            Family::Debian | Family::Ubuntu => {
                format!("sudo apt install {}", names(|package| package.debian))
            }
            Family::Fedora => format!("sudo dnf install {}", names(|package| package.fedora)),
            Family::Arch => format!("sudo pacman -S {}", names(|package| package.arch)),
            Family::Other => format!(
                "install {} with your package manager",
                names(|package| package.debian)
            ),
        }
    }

    /// How to get the kernel module `module`, built by the kernel option `option`.
    pub(super) fn module(&self, module: &str, option: &str) -> String {
        let release = &self.release;
        match self.family {
            Family::Ubuntu => {
                format!("sudo apt install linux-modules-extra-{release} && sudo modprobe {module}")
            }
            Family::Debian => format!(
                "sudo modprobe {module}; if there is none: sudo apt install linux-image-$(dpkg --print-architecture) \
                 (cloud images run a kernel without it) and reboot"
            ),
            Family::Fedora => {
                format!("sudo dnf install kernel-modules-extra-{release} && sudo modprobe {module}")
            }
            Family::Arch => format!("sudo modprobe {module} (after a kernel update: reboot first)"),
            Family::Other => format!("sudo modprobe {module}, or run a kernel built with {option}"),
        }
    }
}

/// The value of `key` in os-release's shell syntax.
pub(super) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_belong_to_what_they_are_like() {
        let mint = "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        assert_eq!(Family::from_os_release(mint), Family::Ubuntu);
        let rocky = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
        assert_eq!(Family::from_os_release(rocky), Family::Fedora);
        assert_eq!(Family::from_os_release("ID=alpine\n"), Family::Other);
        assert_eq!(Family::from_os_release(""), Family::Other);
    }

    #[test]
    fn a_module_is_named_for_the_running_kernel() {
        let ubuntu = Remedies {
            family: Family::Ubuntu,
            release: "6.8.0-1010-azure".into(),
        };
        assert_eq!(
            ubuntu.module("sch_netem", "CONFIG_NET_SCH_NETEM"),
            "sudo apt install linux-modules-extra-6.8.0-1010-azure && sudo modprobe sch_netem"
        );
    }
}
