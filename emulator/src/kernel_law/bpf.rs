//! Loads the law's program, and holds it in the kernel.

use std::ffi::OsStr;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libbpf_rs::libbpf_sys::bpf_link_get_fd_by_id;
use libbpf_rs::query::{LinkInfoIter, LinkTypeInfo, MapInfoIter};
use libbpf_rs::{ErrorKind, MapCore, Object, ObjectBuilder, PrintLevel, set_print};

use super::KernelLawError;

/// The law's program, compiled by the build script.
static OBJECT: &[u8] = include_bytes!(env!("LONGHAUL_LAW_OBJECT"));
/// The map that is the law, named by a digest of its source.
const MAP: &str = env!("LONGHAUL_LAW_MAP");

/// How long another lab may take from its last use of the name until the name is free.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// The registration that is there, or one of our own.
pub(super) fn register() -> Result<OwnedFd, KernelLawError> {
    if let Some(link) = registered() {
        return Ok(link);
    }
    let mut object = load()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut maps = object.maps_mut();
        let mut map = maps
            .find(|map| map.name() == OsStr::new(MAP))
            .expect("the build script gave the map this name");
        match map.attach_struct_ops() {
            // The kernel keeps what the link needs of the object.
            Ok(link) => {
                let link = link.as_fd().try_clone_to_owned();
                return link.map_err(|error| KernelLawError::Refused(error.to_string()));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(KernelLawError::Refused(error.to_string())),
        }
        // Another lab was faster, or is about to end.
        if let Some(link) = registered() {
            return Ok(link);
        }
        if Instant::now() > deadline {
            return Err(KernelLawError::Taken);
        }
        thread::sleep(PAUSE);
    }
}

/// A share of the registration of this same law, if there is one.
fn registered() -> Option<OwnedFd> {
    LinkInfoIter::default().find_map(|link| {
        let LinkTypeInfo::StructOps(law) = &link.info else {
            return None;
        };
        MapInfoIter::default().find(|map| map.id == law.map_id && map.name == OsStr::new(MAP))?;
        // SAFETY: takes a number and answers with a new file descriptor, or a negative number.
        let fd = unsafe { bpf_link_get_fd_by_id(link.id) };
        // SAFETY: the file descriptor is new, and nobody else's.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// Has the kernel check the law's program. Without a registration it goes with this.
pub(super) fn load() -> Result<Object, KernelLawError> {
    // libbpf's messages are one stream for the process.
    static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    fn listen(_: PrintLevel, message: String) {
        let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
    }
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = set_print(Some((PrintLevel::Warn, listen)));
    let loaded = ObjectBuilder::default()
        .open_memory(OBJECT)
        .and_then(libbpf_rs::OpenObject::load);
    set_print(before);
    let messages = std::mem::take(&mut *MESSAGES.lock().unwrap_or_else(PoisonError::into_inner));
    loaded.map_err(|error| refused(&error, &messages))
}

/// What `error` means, with the last that libbpf had to say.
fn refused(error: &libbpf_rs::Error, messages: &[String]) -> KernelLawError {
    /// Enough for the verifier's verdict.
    const QUOTED: usize = 4;
    if error.kind() == ErrorKind::PermissionDenied {
        return KernelLawError::NotRoot;
    }
    let said = messages.concat();
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let quoted = lines[lines.len().saturating_sub(QUOTED)..].join("; ");
    KernelLawError::Refused(format!("{error}; {quoted}"))
}
