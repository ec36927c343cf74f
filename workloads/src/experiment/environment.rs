//! The machine a run was made on.

use std::fs;

use longhaul_emulator::sandbox::Privilege;
use longhaul_reports::result::Environment;
use longhaul_topologies::units::ByteSize;

/// What this machine is; a figure that the system does not tell is empty or 0.
pub(super) fn environment(privilege: Privilege) -> Environment {
    let uname = nix::sys::utsname::uname().ok();
    let text = |field: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname
            .as_ref()
            .map(|names| field(names).to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Environment {
        lab: "host".to_owned(),
        links: String::new(),
        privilege: match privilege {
            Privilege::Root => "root",
            Privilege::Rootless => "rootless",
        }
        .to_owned(),
        kernel: text(nix::sys::utsname::UtsName::release),
        architecture: text(nix::sys::utsname::UtsName::machine),
        distribution: distribution(&read("/etc/os-release")),
        cpu: cpu(&read("/proc/cpuinfo")),
        // Counts the affinity mask and the container's quota.
        cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        memory_bytes: memory().map_or(0, ByteSize::bytes),
    }
}

/// The machine's memory, if the system tells.
pub(super) fn memory() -> Option<ByteSize> {
    mem_total(&fs::read_to_string("/proc/meminfo").ok()?)
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

/// MemTotal of /proc/meminfo, which is in KiB.
fn mem_total(meminfo: &str) -> Option<ByteSize> {
    let kib = meminfo.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<u64>()
            .ok()
    })?;
    Some(ByteSize::from_bytes(kib.checked_mul(1024)?))
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
        assert_eq!(
            mem_total("MemTotal:        8052172 kB\nMemFree: 1 kB\n").map(ByteSize::bytes),
            Some(8_052_172 * 1024)
        );
    }

    #[test]
    fn what_a_system_does_not_tell_stays_empty() {
        assert_eq!(
            (distribution("ID=x\n"), cpu("processor: 0\n"), mem_total("")),
            (String::new(), String::new(), None)
        );
    }
}
