//! What a kernel that was cut off leaves: it traces the programs of its guest, and those that it no longer holds may go on as
//! processes of this machine.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::boot::CLOCK;

/// Ends what is left of a kernel that was started in `folder`: what has such a kernel's command line, and works there.
pub fn end_strays(folder: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|id| id.parse().ok()) else {
            continue;
        };
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let is_a_kernels = line
            .split(|byte| *byte == 0)
            .any(|word| word == CLOCK.as_bytes());
        let works_there =
            || fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
        if is_a_kernels && works_there() {
            // It may have ended just now.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
