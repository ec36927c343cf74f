//! The guest's file system, put together by its init: a tmpfs with the files and folders that the job names, and nothing else
//! of the host's.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use super::job::{Mount, Shared};

/// Where it is put together: a folder that every host has, and whose content nobody misses.
const NEW: &str = "/proc";
/// Where the host's files are until they go.
const OLD: &str = ".host";
/// Where the guest finds the folder that it shares with the host. Not where the host has it: that is among the labs of its user,
/// where the guest has its own, and its name would be in the environment of every program.
const SHARED: &str = ".longhaul";

/// Folders at the root that today's distributions have as links into /usr.
const USUAL_LINKS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// The files of /etc that programs look up names in.
const ETC: [(&str, &str); 8] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    ("hostname", "longhaul\n"),
    ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    (
        "nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n",
    ),
    ("resolv.conf", ""),
    // Without it, names that /etc/hosts has in both families are told in one.
    ("host.conf", "multi on\n"),
    (
        "os-release",
        "NAME=longhaul\nID=longhaul\nPRETTY_NAME=\"longhaul's virtual lab\"\n",
    ),
];

/// Makes the file system the guest's root. Afterwards nothing but `mounts` is there of the host, and what is `shared`; where that
/// is then.
pub(super) fn enter(mounts: &[Mount], shared: &Shared) -> io::Result<Shared> {
    let new = Path::new(NEW);
    let at = |step: String| {
        move |error: io::Error| io::Error::new(error.kind(), format!("cannot {step}: {error}"))
    };
    let fresh = |kind: &str, target: &Path, data: Option<&str>| {
        fs::create_dir_all(target)?;
        mount(Some(kind), target, Some(kind), MsFlags::empty(), data)?;
        Ok::<_, io::Error>(())
    };
    fresh("tmpfs", new, Some("mode=755")).map_err(at("mount the root".into()))?;
    for folder in [
        "root", "etc", "var/tmp", "var/run", "proc", "home", "run", "tmp", OLD,
    ] {
        fs::create_dir_all(new.join(folder))?;
    }
    fs::set_permissions(new.join("tmp"), Permissions::from_mode(0o1777))?;
    // Before what is shown of the host's: they would cover what lies below them.
    for (kind, folder, data) in [
        ("sysfs", "sys", None),
        ("devtmpfs", "dev", None),
        ("devpts", "dev/pts", Some("mode=620,ptmxmode=666")),
        ("tmpfs", "dev/shm", None),
    ] {
        fresh(kind, &new.join(folder), data).map_err(at(format!("mount /{folder}")))?;
    }
    for link in USUAL_LINKS {
        copy_link(link, new)?;
    }
    for Mount { path, writable } in mounts {
        let shown = path.display().to_string();
        bind(path, &below(new, path), *writable).map_err(at(format!("mount {shown}")))?;
    }
    bind(shared.path(), &new.join(SHARED), true).map_err(at("mount the job".into()))?;
    for (name, text) in ETC {
        let path = new.join("etc").join(name);
        if !path.exists() {
            fs::write(path, text)?;
        }
    }
    for (link, target) in [
        ("dev/fd", "/proc/self/fd"),
        ("dev/stdin", "/proc/self/fd/0"),
        ("dev/stdout", "/proc/self/fd/1"),
        ("dev/stderr", "/proc/self/fd/2"),
    ] {
        // The kernel may have them.
        let _ = symlink(target, new.join(link));
    }
    pivot_root(new, &new.join(OLD)).map_err(|errno| at("change the root".into())(errno.into()))?;
    chdir("/")?;
    // In the old root /proc was covered by the new one, so this is the first that is mounted.
    fresh("proc", Path::new("/proc"), None).map_err(at("mount /proc".into()))?;
    umount2(Path::new("/").join(OLD).as_path(), MntFlags::MNT_DETACH)?;
    fs::remove_dir(Path::new("/").join(OLD))?;
    Ok(Shared(Path::new("/").join(SHARED)))
}

/// `path`, which is absolute, as seen from below `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    let inside = path
        .components()
        .filter(|part| !matches!(part, Component::RootDir | Component::Prefix(_)));
    inside.fold(root.to_owned(), |path, part| path.join(part))
}

/// Makes the link that the host has at its root, if it has one, and what it leads to.
fn copy_link(name: &str, new: &Path) -> io::Result<()> {
    let Ok(target) = fs::read_link(Path::new("/").join(name)) else {
        return Ok(());
    };
    // Absolute, it would lead out of the new root while that is not the root.
    let target = target.strip_prefix("/").unwrap_or(&target);
    fs::create_dir_all(new.join(target))?;
    symlink(target, new.join(name))
}

/// Shows the host's `path` at `target`.
fn bind(path: &Path, target: &Path, writable: bool) -> io::Result<()> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        fs::create_dir_all(target)?;
    } else if !target.exists() {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        File::create(target)?;
    }
    if kind.is_socket() || kind.is_fifo() {
        // It would be one of the guest's own, with nobody at the other end.
        return Ok(());
    }
    let none = None::<&str>;
    mount(Some(path), target, none, MsFlags::MS_BIND, none)?;
    if !writable {
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, target, none, read_only, none)?;
    }
    Ok(())
}
