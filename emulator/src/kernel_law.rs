//! The `distance` law for kernel TCP: a congestion control that programs in a lab use by name, like the kernel's own.
//!
//! The law is a BPF program (`kernel_law/distance.bpf.c`) that the kernel takes as a `tcp_congestion_ops`. It is in the build
//! with the feature `bpf` only, as that takes clang, libelf and zlib to build.
//!
//! The names of congestion controls are global to the kernel, so labs share one registration. It hangs on a BPF link that every
//! lab with a need for it holds as a file descriptor, and the kernel does the counting: with the last holder's end, however it
//! ends, the name is gone. Connections that use the law keep it until they are closed.

#[cfg(feature = "bpf")]
mod bpf;

use std::path::Path;

/// What the kernel knows the law by.
pub const NAME: &str = "distance";

/// Where the kernel describes its structures, which the law's program is fitted to when it is loaded.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Runs the same law on any kernel.
const ELSEWHERE: &str =
    "with `transport: message` a stack has the same law without the kernel's help";

/// The law's name in the kernel, for as long as this is held.
#[derive(Debug)]
pub struct KernelLaw {
    #[cfg(feature = "bpf")]
    _link: std::os::fd::OwnedFd,
}

/// Why the kernel does not have the law.
#[derive(Debug, thiserror::Error)]
pub enum KernelLawError {
    /// The feature `bpf` is off.
    #[error("this longhaul was built without the `{NAME}` law for kernel TCP")]
    NotBuilt,
    /// The kernel does not say where its structures' fields lie.
    #[error("this kernel cannot take `{NAME}`: it does not describe its types (there is no {BTF})")]
    NoTypes,
    /// BPF is root's.
    #[error("the kernel takes `{NAME}` from the machine's root only")]
    NotRoot,
    /// The kernel, or libbpf on its behalf, says no.
    #[error("this kernel does not take `{NAME}`: {0}")]
    Refused(String),
    /// Somebody else has the name.
    #[error("the kernel has another congestion control that is named `{NAME}`")]
    Taken,
}

impl KernelLawError {
    /// The way out.
    pub fn help(&self) -> String {
        let way = match self {
            Self::NotBuilt => {
                "build it with `cargo build --release --features bpf`, which takes clang, pkg-config and the headers of libelf and \
                 zlib (`sudo apt install clang pkg-config libelf-dev zlib1g-dev`), and run it as root"
            }
            Self::NoTypes => {
                "run a kernel with CONFIG_DEBUG_INFO_BTF, as those of distributions are; that of virtual labs is not one"
            }
            Self::NotRoot => "run longhaul as root, and not in a container",
            Self::Refused(_) => "Linux 6.10 or newer with CONFIG_BPF_JIT takes it",
            Self::Taken => {
                "it may be another version of longhaul's: end that one's labs (`longhaul status` shows them)"
            }
        };
        format!("{way}; {ELSEWHERE}")
    }
}

impl KernelLaw {
    /// Gives the kernel the law, or takes part in the registration of another lab.
    ///
    /// # Errors
    /// If it cannot be had; the message and [`help`](KernelLawError::help) say why and what to do.
    pub fn register() -> Result<Self, KernelLawError> {
        check()?;
        #[cfg(feature = "bpf")]
        return bpf::register().map(|link| Self { _link: link });
        #[cfg(not(feature = "bpf"))]
        Err(KernelLawError::NotBuilt)
    }

    /// The law, if `congestion_control` is its name.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub fn for_name(congestion_control: Option<&str>) -> Result<Option<Self>, KernelLawError> {
        match congestion_control {
            Some(NAME) => Self::register().map(Some),
            _ => Ok(None),
        }
    }

    /// Whether it could be registered: has the kernel check it, and nothing else.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn try_out() -> Result<(), KernelLawError> {
        check()?;
        #[cfg(feature = "bpf")]
        bpf::load()?;
        Ok(())
    }
}

/// What can be told without asking the kernel.
fn check() -> Result<(), KernelLawError> {
    if !cfg!(feature = "bpf") {
        return Err(KernelLawError::NotBuilt);
    }
    if !Path::new(BTF).exists() {
        return Err(KernelLawError::NoTypes);
    }
    Ok(())
}
