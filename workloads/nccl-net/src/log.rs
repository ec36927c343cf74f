//! NCCL's log.

use std::ffi::{CStr, CString, c_char, c_int, c_ulong};
use std::panic::Location;
use std::sync::RwLock;

use crate::abi::Logger;

/// `NCCL_LOG_WARN` and `NCCL_LOG_INFO` (`ncclDebugLogLevel`).
const WARN: c_int = 2;
const INFO: c_int = 3;
/// `NCCL_INIT | NCCL_NET` (`ncclDebugLogSubSys`).
const SUBSYSTEMS: c_ulong = 0x1 | 0x10;

/// What NCCL gave to log with.
static LOGGER: RwLock<Option<Logger>> = RwLock::new(None);

/// From now on, this is logged with.
pub(crate) fn set(logger: Option<Logger>) {
    if let Ok(mut current) = LOGGER.write() {
        *current = logger;
    }
}

/// Shown unless NCCL_DEBUG is unset.
#[track_caller]
pub(crate) fn warn(text: &str) {
    log(WARN, text);
}

/// Shown if NCCL_DEBUG=INFO.
#[track_caller]
pub(crate) fn info(text: &str) {
    log(INFO, text);
}

#[track_caller]
fn log(level: c_int, text: &str) {
    const FILE: &CStr = c"longhaul";
    const FORMAT: &CStr = c"NET/longhaul : %s";
    let Some(logger) = LOGGER.read().ok().and_then(|logger| *logger) else {
        return;
    };
    let Ok(text) = CString::new(text.replace('\0', " ")) else {
        return;
    };
    let line = c_int::try_from(Location::caller().line()).unwrap_or(0);
    let text: *const c_char = text.as_ptr();
    // SAFETY: it is NCCL's own logger, which is there as long as NCCL is; the format takes one string, and all strings outlive
    // the call and end with a NUL.
    unsafe {
        logger(
            level,
            SUBSYSTEMS,
            FILE.as_ptr(),
            line,
            FORMAT.as_ptr(),
            text,
        );
    }
}
