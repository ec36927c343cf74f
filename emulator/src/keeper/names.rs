//! Names for a lab's network namespaces in /run/netns, where `ip netns` looks: `lh-LAB-NODE`.
//!
//! A name is a bind mount in the host's mount namespace, so it outlives the lab's processes and must be taken away by
//! the lab's front or by `clean`. It also keeps its namespace alive until then.
//!
//! Only labs that root has in the standard runtime folder are named: so whoever cleans that folder knows every lab that
//! a name can belong to.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::KeeperError;
use super::name::LabName;
use crate::sandbox::runtime;

/// Where iproute2 keeps its names (NETNS_RUN_DIR in its ip/ipnetns.c).
const FOLDER: &str = "/run/netns";

/// The file in a lab's folder that lists its names.
const LIST: &str = "names";

/// Whether labs that this process starts or cleans are named.
pub(super) fn are_used() -> bool {
    nix::unistd::geteuid().is_root() && runtime::is_standard()
}

/// The name of `node` of `lab`.
fn name_of(lab: &LabName, node: &str) -> String {
    format!("lh-{lab}-{node}")
}

/// Whether a name can only be one of ours: `lh-LAB-SITE-N` or `lh-LAB-SITE-gw`.
fn is_ours(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("lh-") else {
        return false;
    };
    let parts: Vec<&str> = rest.split('-').collect();
    let [lab, .., last] = parts.as_slice() else {
        return false;
    };
    let numbered = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    parts.len() >= 3 && lab.parse::<LabName>().is_ok() && (numbered || *last == "gw")
}

/// Names `nodes` of `lab`, whose folder in the registry is `lab_folder`; `network_of` gives a node's namespace.
///
/// The list is written first, so that names made by a process that is killed half-way are found again.
pub(super) fn add(
    lab: &LabName,
    lab_folder: &Path,
    nodes: &[String],
    mut network_of: impl FnMut(&str) -> Result<OwnedFd, KeeperError>,
) -> Result<(), KeeperError> {
    prepare_folder().map_err(|e| KeeperError::path("prepare", Path::new(FOLDER), e))?;
    // `lh-a-b-c-0` can be of the lab `a` or of the lab `a-b`: what is there already is not in the list, so that it is not
    // taken away with this lab.
    for node in nodes {
        let path = Path::new(FOLDER).join(name_of(lab, node));
        if path.symlink_metadata().is_ok() {
            let taken = io::ErrorKind::AlreadyExists.into();
            return Err(KeeperError::path("create", &path, taken));
        }
    }
    let list = lab_folder.join(LIST);
    let lines: String = nodes.iter().map(|node| name_of(lab, node) + "\n").collect();
    fs::write(&list, lines).map_err(|e| KeeperError::path("write", &list, e))?;
    for node in nodes {
        let namespace = network_of(node)?;
        let path = Path::new(FOLDER).join(name_of(lab, node));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o0)
            .open(&path)
            .map_err(|e| KeeperError::path("create", &path, e))?;
        let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
        mount(
            Some(source.as_str()),
            &path,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|e| KeeperError::path("mount a namespace on", &path, e.into()))?;
    }
    Ok(())
}

/// Takes away the names that the lab of `lab_folder` has; those that were there.
pub(super) fn remove_listed(lab_folder: &Path) -> Result<Vec<String>, KeeperError> {
    let list = fs::read_to_string(lab_folder.join(LIST)).unwrap_or_default();
    remove(list.lines().filter(|name| is_ours(name)).map(str::to_owned))
}

/// Takes away the names of labs that the registry does not know, whatever became of their folders; those names.
pub(super) fn remove_orphans(live: &[LabName]) -> Result<Vec<String>, KeeperError> {
    let listing = match fs::read_dir(FOLDER) {
        Ok(listing) if are_used() => listing,
        _ => return Ok(Vec::new()),
    };
    let of_live = |name: &str| live.iter().any(|lab| name.starts_with(&name_of(lab, "")));
    let mut names: Vec<String> = listing
        .filter_map(|item| item.ok()?.file_name().into_string().ok())
        .filter(|name| is_ours(name) && !of_live(name))
        .collect();
    names.sort();
    remove(names)
}

/// Unmounts and unlinks.
fn remove(names: impl IntoIterator<Item = String>) -> Result<Vec<String>, KeeperError> {
    let mut removed = Vec::new();
    for name in names {
        let path = Path::new(FOLDER).join(&name);
        // EINVAL: nothing is mounted there; it was made by a process that was killed before the mount.
        match umount2(&path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(KeeperError::path("unmount", &path, errno.into())),
        }
        match fs::remove_file(&path) {
            Ok(()) => removed.push(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(KeeperError::path("remove", &path, error)),
        }
    }
    Ok(removed)
}

/// Makes the folder a shared mount if `ip netns` has not done so already, so that other mount namespaces follow when names come and go.
fn prepare_folder() -> io::Result<()> {
    let folder = PathBuf::from(FOLDER);
    match DirBuilder::new().mode(0o755).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let none = None::<&str>;
    let share = || {
        mount(
            none,
            &folder,
            none,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            none,
        )
    };
    match share() {
        Err(Errno::EINVAL) => {
            mount(
                Some(&folder),
                &folder,
                none,
                MsFlags::MS_BIND | MsFlags::MS_REC,
                none,
            )?;
            Ok(share()?)
        }
        outcome => Ok(outcome?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_programs_are_not_ours() {
        for ours in [
            "lh-wan-dublin-0",
            "lh-wan-dublin-gw",
            "lh-my-lab-new-york-12",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for foreign in [
            "lh",
            "lh-",
            "lh-0",
            "lh-wan-0",
            "wan-dublin-0",
            "lh-wan-dublin",
            "lh-wan-dublin-",
            "lh--a-0",
            "lh-9-a-0",
        ] {
            assert!(!is_ours(foreign), "{foreign}");
        }
    }
}
