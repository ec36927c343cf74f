//! Whether the kernel has a congestion control, before a lab is brought up for it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};

use longhaul_emulator::capability::{congestion_controls, in_doubt};
use longhaul_emulator::kernel_law::KernelLawError;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

/// The kernel lacks a congestion control, or keeps it from this user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CongestionControlError {
    message: String,
    /// The way out.
    pub help: String,
}

impl From<KernelLawError> for CongestionControlError {
    fn from(error: KernelLawError) -> Self {
        CongestionControlError {
            message: error.to_string(),
            help: error.help(),
        }
    }
}

/// Asks the kernel by using `name` on a socket, which loads its module where the user may; a list of the loaded ones would
/// miss those that only have to be asked for.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn check(name: &str) -> Result<(), CongestionControlError> {
    let refused = |error: Errno| CongestionControlError {
        message: match error {
            Errno::ENOENT => format!(
                "the kernel has no congestion control `{name}` (it has {})",
                congestion_controls().join(", ")
            ),
            Errno::EPERM => format!("the kernel keeps the congestion control `{name}` to root"),
            error => format!("the kernel refuses the congestion control `{name}`: {error}"),
        },
        help: format!(
            "{}load it as root with `modprobe tcp_{name}`, or use one that it has: `--set stacks=[reno]`",
            in_doubt(name)
        ),
    };
    let socket = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))
        .map_err(refused)?;
    setsockopt(&socket, sockopt::TcpCongestion, &OsString::from(name)).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reno_is_always_there_and_a_made_up_name_never() {
        assert_eq!(check("reno"), Ok(()));
        let error = check("no-such-cc").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the kernel has no congestion control `no-such-cc` (it has "),
            "{error}"
        );
        assert!(error.help.starts_with("load it as root"), "{}", error.help);
        let help = check("rneo").unwrap_err().help;
        assert!(
            help.starts_with("did you mean `reno`? if not, load it"),
            "{help}"
        );
    }
}
