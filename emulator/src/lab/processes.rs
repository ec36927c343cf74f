//! The end of the programs in a lab's hosts.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::fstat;
use nix::unistd::Pid;

use crate::namespace::Namespace;

/// How long killed processes may take to be gone: longer only if the kernel is stuck in one of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Kills every process whose network namespace is one of `namespaces`, and waits until all have left. Chosen by namespace,
/// so no process outside the lab can be hit.
///
/// # Errors
/// If /proc cannot be read, or a process does not go.
pub(super) fn end_all_in(namespaces: &[Namespace]) -> io::Result<()> {
    let inodes = namespaces
        .iter()
        .map(|namespace| fstat(&namespace.net).map(|stat| stat.st_ino));
    let inodes: BTreeSet<u64> = inodes.collect::<Result<_, _>>()?;
    let deadline = Instant::now() + PATIENCE;
    // Again until none is found: a process may have forked while we looked.
    loop {
        let found = processes_in(&inodes)?;
        let Some(&first) = found.first() else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("process {first} does not end"),
            ));
        }
        for pid in found {
            // It may have ended by itself.
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn processes_in(inodes: &BTreeSet<u64>) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Fails for those that have ended and wait to be reaped.
        let inode = fs::metadata(Path::new("/proc").join(entry.file_name()).join("ns/net"))
            .map(|file| file.ino());
        if inode.is_ok_and(|inode| inodes.contains(&inode)) {
            found.push(Pid::from_raw(pid));
        }
    }
    Ok(found)
}
