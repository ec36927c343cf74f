//! The machine as /proc, /sys and /etc describe it.

use std::fs;
use std::path::{Path, PathBuf};

use super::remedy::{Family, Remedies, field};
use super::{Capability, State, hardware, tools};
use crate::hardware::inventory::inventory;
use crate::hardware::tree::Tree;
use crate::sandbox::Privilege;

/// A machine's files below a root folder: `/`, or a fixture.
pub(super) struct Machine {
    root: PathBuf,
    /// Where programs are looked for, below the root.
    pub(super) path: Vec<PathBuf>,
    /// Whose modules the kernel loads as they are asked for: root's only (`tcp_ca_find_autoload` in net/ipv4/tcp_cong.c).
    pub(super) user: Privilege,
}

impl Machine {
    pub(super) fn at(root: &Path) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ];
        let path = std::env::split_paths(&path).chain(usual.map(PathBuf::from));
        Self {
            root: root.to_owned(),
            path: path.collect(),
            user: Privilege::of_this_process(),
        }
    }

    pub(super) fn remedies(&self) -> Remedies {
        let os_release = self.text("etc/os-release").unwrap_or_default();
        Remedies {
            family: Family::from_os_release(&os_release),
            release: self.text("proc/sys/kernel/osrelease").unwrap_or_default(),
        }
    }

    /// Everything that files tell.
    pub(super) fn capabilities(&self) -> Vec<Capability> {
        let remedies = self.remedies();
        let mut capabilities = vec![
            self.kernel(),
            self.cpus(),
            self.memory(),
            self.clock(),
            self.ipv6(),
            self.btf(),
            self.congestion_controls(&remedies),
        ];
        capabilities.extend(tools::capabilities(self));
        let nics = inventory(&Tree::at(&self.root));
        capabilities.extend(hardware::nics(&nics));
        capabilities.push(hardware::rdma(&nics));
        capabilities.extend(hardware::gpus(&self.root));
        capabilities
    }

    fn kernel(&self) -> Capability {
        let release = self.text("proc/sys/kernel/osrelease");
        let os_release = self.text("etc/os-release").unwrap_or_default();
        let distribution = field(&os_release, "PRETTY_NAME").unwrap_or("unknown distribution");
        let state =
            release.map(|release| State::Present(format!("Linux {release}, {distribution}")));
        Capability::new(
            "kernel",
            state.unwrap_or_else(|| unreadable("/proc/sys/kernel/osrelease")),
            "everything",
        )
    }

    fn cpus(&self) -> Capability {
        let text = self.text("proc/cpuinfo").unwrap_or_default();
        let count = text
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count();
        let model = text
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let model = model.map_or(String::new(), |(_, model)| format!(", {}", model.trim()));
        let state = match count {
            0 => unreadable("/proc/cpuinfo"),
            1 => State::Present(format!(
                "1{model}; the links' engine and the workload share it: expect less than 500 Mbit/s"
            )),
            _ => State::Present(format!("{count}{model}")),
        };
        Capability::new("CPUs", state, "the rate that links can be emulated at")
    }

    fn memory(&self) -> Capability {
        let text = self.text("proc/meminfo").unwrap_or_default();
        let size =
            |name| super::size_field(&text, name).map(longhaul_topologies::units::ByteSize::bytes);
        let state = match (size("MemTotal"), size("MemAvailable")) {
            (Some(total), Some(available)) => State::Present(format!(
                "{} MiB, {} MiB available",
                total >> 20,
                available >> 20
            )),
            _ => unreadable("/proc/meminfo"),
        };
        Capability::new(
            "memory",
            state,
            "message sizes, and bytes under way on long fast links",
        )
    }

    fn clock(&self) -> Capability {
        let sources = "sys/devices/system/clocksource/clocksource0";
        let current = self.text(&format!("{sources}/current_clocksource"));
        let available = self
            .text(&format!("{sources}/available_clocksource"))
            .unwrap_or_default();
        let state = match current.as_deref() {
            None => State::Unknown("sysfs does not name it".into()),
            // Reading these leaves user space, or the machine: microseconds instead of nanoseconds.
            Some(slow @ ("hpet" | "acpi_pm" | "xen" | "jiffies")) => {
                let remedy = available
                    .contains("tsc")
                    .then(|| format!("echo tsc | sudo tee /{sources}/current_clocksource"));
                State::missing(format!("{slow} is slow to read"), remedy)
            }
            Some(fast) => State::Present(fast.into()),
        };
        Capability::new("fast clock", state, "timestamps that cost nothing")
    }

    fn ipv6(&self) -> Capability {
        let state = if self.root.join("proc/sys/net/ipv6").exists() {
            State::Present("on".into())
        } else {
            let remedy = "sudo modprobe ipv6, or boot without ipv6.disable=1".to_owned();
            State::missing("this kernel runs without it", Some(remedy))
        };
        Capability::new("IPv6", state, "IPv6 in labs, which do without it")
    }

    fn btf(&self) -> Capability {
        let state = if self.root.join("sys/kernel/btf/vmlinux").exists() {
            State::Present("the kernel describes its types".into())
        } else {
            State::missing(
                "no /sys/kernel/btf/vmlinux",
                Some("run a kernel built with CONFIG_DEBUG_INFO_BTF".into()),
            )
        };
        Capability::new("BTF", state, "congestion controls written in BPF")
    }

    fn congestion_controls(&self, remedies: &Remedies) -> Capability {
        let loaded = self.text("proc/sys/net/ipv4/tcp_available_congestion_control");
        let Some(loaded) = loaded else {
            return Capability::new(
                "congestion controls",
                unreadable("/proc/sys/net/ipv4"),
                "TCP stacks",
            );
        };
        let mut names: Vec<String> = loaded.split_whitespace().map(str::to_owned).collect();
        let mut others = self.loadable_congestion_controls(&remedies.release);
        others.retain(|name| !names.contains(name));
        if self.user == Privilege::Root {
            names.append(&mut others);
        }
        let is_bbr = |name: &String| name == "bbr";
        let state = if names.iter().any(is_bbr) {
            State::Present(names.join(", "))
        } else if others.iter().any(is_bbr) {
            let reason = format!("only {}: bbr is there for root to load", names.join(", "));
            State::missing(reason, Some("sudo modprobe tcp_bbr".to_owned()))
        } else {
            let reason = format!("only {}: no bbr", names.join(", "));
            State::missing(
                reason,
                Some(remedies.module("tcp_bbr", "CONFIG_TCP_CONG_BBR")),
            )
        };
        Capability::new(
            "congestion controls",
            state,
            "TCP stacks; the catalogue compares cubic and bbr",
        )
    }

    /// Those that are modules: `tcp_bbr.ko`, compressed or not.
    fn loadable_congestion_controls(&self, release: &str) -> Vec<String> {
        /// `tcp_*` modules beside them that are something else.
        const OTHERS: [&str; 2] = ["diag", "probe"];
        let folder = self
            .root
            .join("lib/modules")
            .join(release)
            .join("kernel/net/ipv4");
        let mut names: Vec<String> = entries(&folder)
            .iter()
            .filter_map(|file| {
                file.strip_prefix("tcp_")?
                    .split_once(".ko")
                    .map(|(name, _)| name.to_owned())
            })
            .filter(|name| !OTHERS.contains(&&**name))
            .collect();
        names.sort();
        names
    }

    pub(super) fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's text, trimmed; `None` if it cannot be read.
    fn text(&self, path: &str) -> Option<String> {
        Some(
            fs::read_to_string(self.root.join(path))
                .ok()?
                .trim()
                .to_owned(),
        )
    }
}

/// The names in a folder, sorted; none if it cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn unreadable(path: &str) -> State {
    State::Unknown(format!("{path} cannot be read"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine of these files.
    pub(crate) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut machine = Machine::at(root.path());
        machine.path = vec!["/usr/bin".into()];
        machine.user = Privilege::Root;
        (root, machine)
    }

    pub(crate) fn state(machine: &Machine, name: &str) -> State {
        let capabilities = machine.capabilities();
        let found = capabilities
            .into_iter()
            .find(|capability| capability.name == name);
        found
            .unwrap_or_else(|| panic!("nothing said of {name}"))
            .state
    }

    pub(crate) const UBUNTU: (&str, &str) = (
        "etc/os-release",
        "PRETTY_NAME=\"Ubuntu 24.04 LTS\"\nID=ubuntu\n",
    );

    #[test]
    fn an_empty_machine_is_unknown_not_a_crash() {
        let (_root, machine) = machine(&[]);
        assert!(matches!(state(&machine, "kernel"), State::Unknown(_)));
        assert!(matches!(state(&machine, "CPUs"), State::Unknown(_)));
        assert!(matches!(state(&machine, "memory"), State::Unknown(_)));
    }

    #[test]
    fn the_kernel_is_named_with_its_distribution() {
        let (_root, machine) =
            machine(&[UBUNTU, ("proc/sys/kernel/osrelease", "6.8.0-31-generic\n")]);
        let expected = State::Present("Linux 6.8.0-31-generic, Ubuntu 24.04 LTS".into());
        assert_eq!(state(&machine, "kernel"), expected);
    }

    #[test]
    fn congestion_controls_that_are_modules_count() {
        let available = (
            "proc/sys/net/ipv4/tcp_available_congestion_control",
            "reno cubic\n",
        );
        let release = ("proc/sys/kernel/osrelease", "6.1.0\n");
        let (_root, without) = machine(&[UBUNTU, available, release]);
        let State::Missing { reason, remedy } = state(&without, "congestion controls") else {
            panic!("bbr is not there");
        };
        assert_eq!(reason, "only reno, cubic: no bbr");
        assert!(remedy.unwrap().contains("linux-modules-extra-6.1.0"));

        let modules = "lib/modules/6.1.0/kernel/net/ipv4";
        let bbr = (&*format!("{modules}/tcp_bbr.ko.xz"), "");
        let diag = (&*format!("{modules}/tcp_diag.ko.xz"), "");
        let (_root, mut with) = machine(&[available, release, bbr, diag]);
        assert_eq!(
            state(&with, "congestion controls"),
            State::Present("reno, cubic, bbr".into())
        );
        with.user = Privilege::Rootless;
        assert_eq!(
            state(&with, "congestion controls"),
            State::missing(
                "only reno, cubic: bbr is there for root to load",
                Some("sudo modprobe tcp_bbr".into())
            )
        );
    }

    #[test]
    fn a_slow_clock_has_a_remedy_only_where_there_is_a_better_one() {
        let sources = "sys/devices/system/clocksource/clocksource0";
        let current = (&*format!("{sources}/current_clocksource"), "hpet\n");
        let better = (
            &*format!("{sources}/available_clocksource"),
            "tsc hpet acpi_pm\n",
        );
        let (_root, machine_with) = machine(&[current, better]);
        assert!(matches!(
            state(&machine_with, "fast clock"),
            State::Missing {
                remedy: Some(_),
                ..
            }
        ));
        let (_root, machine_without) = machine(&[current]);
        assert!(matches!(
            state(&machine_without, "fast clock"),
            State::Missing { remedy: None, .. }
        ));
    }
}
