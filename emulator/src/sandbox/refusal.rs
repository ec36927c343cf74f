//! Why a kernel said no to a sandbox, and what its owner can do about it.

use std::io;
use std::path::Path;

use super::{Privilege, SandboxError};

/// What decides whether namespaces are to be had on a machine.
#[derive(Clone, Debug)]
struct Facts {
    /// Effective user id 0.
    root: bool,
    /// In a container, as far as one can tell.
    container: bool,
    /// Some seccomp filter is on this process.
    filtered: bool,
    /// The kernel knows user namespaces at all.
    user_namespaces: bool,
    /// `user.max_user_namespaces`.
    max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, Debian's switch.
    unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, Ubuntu's switch.
    apparmor_restricts: Option<u64>,
    /// This program, for an AppArmor profile.
    program: String,
}

/// The error for `refusal`, which came of an attempt to `step`.
pub(super) fn explain(privilege: Privilege, refusal: &io::Error, step: &str) -> SandboxError {
    Facts::of_this_machine().explain(privilege, refusal, step)
}

/// A field of /proc/self/status.
pub(super) fn status_field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

impl Facts {
    fn of_this_machine() -> Self {
        let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse().ok();
        let exists = |path: &str| Path::new(path).exists();
        Facts {
            root: nix::unistd::geteuid().is_root(),
            container: exists("/.dockerenv")
                || exists("/run/.containerenv")
                || std::env::var_os("container").is_some(),
            filtered: status_field("Seccomp").is_some_and(|mode| mode != "0"),
            user_namespaces: exists("/proc/self/ns/user"),
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            program: std::env::current_exe().map_or_else(
                |_| "/usr/bin/longhaul".into(),
                |path| path.display().to_string(),
            ),
        }
    }

    /// The first cause that fits, from the surest to the likeliest.
    fn explain(&self, privilege: Privilege, refusal: &io::Error, step: &str) -> SandboxError {
        let refused = |reason: &str, help: String| SandboxError::Refused {
            reason: format!("{reason} (could not {step}: {refusal})"),
            help,
        };
        match refusal.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSYS) => {
                return refused(
                    "this kernel lacks a kind of namespace",
                    "use one with CONFIG_NET_NS, CONFIG_PID_NS, CONFIG_UTS_NS, CONFIG_IPC_NS and, for users other than \
                     root, CONFIG_USER_NS"
                        .into(),
                );
            }
            Some(libc::ENOSPC | libc::EUSERS) if self.max_user_namespaces != Some(0) => {
                return refused(
                    "there are as many namespaces as this machine allows",
                    "end other labs or containers, or raise the limits that `sysctl -a --pattern 'user.max_.*_namespaces'` \
                     shows"
                        .into(),
                );
            }
            _ => {}
        }
        if privilege == Privilege::Root {
            return refused(
                "root is held back by a security module or a seccomp filter",
                format!("in a container, start it with `{CONTAINER_FLAGS}`"),
            );
        }
        if !self.user_namespaces {
            return refused(
                "this kernel has no user namespaces (CONFIG_USER_NS)",
                "run longhaul as root".into(),
            );
        }
        if self.max_user_namespaces == Some(0) {
            return refused(
                "user namespaces are switched off (user.max_user_namespaces is 0)",
                "run `sudo sysctl user.max_user_namespaces=15000`, or run longhaul as root".into(),
            );
        }
        if self.root && (self.container || self.filtered) {
            return refused(
                "this container's root has no CAP_SYS_ADMIN, and its seccomp or AppArmor profile forbids user namespaces",
                format!("start the container with `{CONTAINER_FLAGS}`"),
            );
        }
        if self.container || self.filtered {
            return refused(
                "this container's seccomp or AppArmor profile forbids user namespaces",
                "start the container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`, \
                 or as root with `--privileged`"
                    .into(),
            );
        }
        if self.unprivileged_clone == Some(0) {
            return refused(
                "user namespaces are for root only here (kernel.unprivileged_userns_clone is 0)",
                "run `sudo sysctl kernel.unprivileged_userns_clone=1`, or run longhaul as root"
                    .into(),
            );
        }
        if self.apparmor_restricts.is_some_and(|switch| switch != 0) {
            return refused(
                "AppArmor restricts user namespaces here (kernel.apparmor_restrict_unprivileged_userns is 1)",
                self.apparmor_help(),
            );
        }
        refused(
            "a security policy of this machine forbids user namespaces",
            "run longhaul as root, or ask the machine's administrator to allow user namespaces"
                .into(),
        )
    }

    /// Ubuntu's way: a profile that allows user namespaces to one program
    /// (<https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces>).
    fn apparmor_help(&self) -> String {
        let program = &self.program;
        format!(
            "allow this program:\n  \
             printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile longhaul \"{program}\" flags=(unconfined) {{\\n  userns,\\n}}\\n' \
             | sudo tee /etc/apparmor.d/longhaul\n  \
             sudo apparmor_parser -r /etc/apparmor.d/longhaul\n\
             or lift the restriction until the next boot:\n  \
             sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0\n\
             or run longhaul as root"
        )
    }
}

/// What a container's root needs: capabilities, and profiles that let mount(2) pass.
const CONTAINER_FLAGS: &str = "--cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add NET_RAW --security-opt \
                               seccomp=unconfined --security-opt apparmor=unconfined` or `--privileged";

#[cfg(test)]
mod tests {
    use super::*;

    /// An ordinary user of a machine that allows everything.
    fn permissive() -> Facts {
        Facts {
            root: false,
            container: false,
            filtered: false,
            user_namespaces: true,
            max_user_namespaces: Some(15000),
            unprivileged_clone: None,
            apparmor_restricts: None,
            program: "/opt/longhaul".into(),
        }
    }

    fn help(facts: &Facts, privilege: Privilege, errno: i32) -> String {
        let refusal = io::Error::from_raw_os_error(errno);
        match facts.explain(privilege, &refusal, "write /proc/self/uid_map") {
            SandboxError::Refused { help, reason } => {
                let cause = format!("could not write /proc/self/uid_map: {refusal}");
                assert!(reason.contains(&cause), "{reason}");
                help
            }
            other => panic!("not a refusal: {other}"),
        }
    }

    #[test]
    fn each_cause_names_its_own_remedy() {
        use Privilege::{Root, Rootless};
        let cases = [
            (
                Facts {
                    max_user_namespaces: Some(0),
                    ..permissive()
                },
                Rootless,
                "user.max_user_namespaces=15000",
            ),
            (
                Facts {
                    unprivileged_clone: Some(0),
                    ..permissive()
                },
                Rootless,
                "kernel.unprivileged_userns_clone=1",
            ),
            (
                Facts {
                    apparmor_restricts: Some(1),
                    ..permissive()
                },
                Rootless,
                "/etc/apparmor.d/longhaul",
            ),
            (
                Facts {
                    apparmor_restricts: Some(0),
                    ..permissive()
                },
                Rootless,
                "ask the machine's administrator",
            ),
            (
                Facts {
                    user_namespaces: false,
                    ..permissive()
                },
                Rootless,
                "as root",
            ),
            (
                Facts {
                    container: true,
                    root: true,
                    ..permissive()
                },
                Rootless,
                "--cap-add SYS_ADMIN",
            ),
            (
                Facts {
                    filtered: true,
                    ..permissive()
                },
                Rootless,
                "seccomp=unconfined",
            ),
            (
                Facts {
                    root: true,
                    ..permissive()
                },
                Root,
                "--privileged",
            ),
        ];
        for (facts, privilege, expected) in cases {
            let help = help(&facts, privilege, libc::EPERM);
            assert!(help.contains(expected), "{facts:?}: {help}");
        }
    }

    #[test]
    fn the_apparmor_profile_is_for_this_program() {
        let facts = Facts {
            apparmor_restricts: Some(1),
            ..permissive()
        };
        let help = help(&facts, Privilege::Rootless, libc::EACCES);
        assert!(
            help.contains("profile longhaul \"/opt/longhaul\" flags=(unconfined)"),
            "{help}"
        );
    }

    #[test]
    fn a_limit_reached_is_told_from_one_of_zero_and_from_a_missing_feature() {
        let few = Facts {
            max_user_namespaces: Some(10),
            ..permissive()
        };
        assert!(help(&few, Privilege::Rootless, libc::ENOSPC).contains("raise the limits"));
        let none = Facts {
            max_user_namespaces: Some(0),
            ..permissive()
        };
        assert!(
            help(&none, Privilege::Rootless, libc::ENOSPC).contains("max_user_namespaces=15000")
        );
        assert!(help(&permissive(), Privilege::Root, libc::EINVAL).contains("CONFIG_NET_NS"));
    }
}
