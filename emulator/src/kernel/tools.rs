//! What a build needs of the machine, and how to get it.

use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use super::KernelError;
use super::source::{Form, Source};
use crate::capability::{self, Family, Package};

/// The packages of the C library's headers.
const HEADERS: Package = Package {
    debian: "libc6-dev",
    fedora: "glibc-devel",
    arch: "glibc",
};

/// Programs that every build starts, itself or through the kernel's Makefiles.
const PROGRAMS: [(&str, Package); 8] = [
    ("gcc", same("gcc")),
    ("ld", same("binutils")),
    ("make", same("make")),
    ("flex", same("flex")),
    ("bison", same("bison")),
    ("bc", same("bc")),
    ("patch", same("patch")),
    ("tar", same("tar")),
];

/// What decompresses a tarball.
const DECOMPRESSORS: [(&str, Package); 3] = [
    (
        "xz",
        Package {
            debian: "xz-utils",
            fedora: "xz",
            arch: "xz",
        },
    ),
    ("gzip", same("gzip")),
    ("bzip2", same("bzip2")),
];

/// Debian's and Ubuntu's package of a kernel source.
const SOURCE_PACKAGE: &str = "linux-source";

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// What.
    pub what: String,
    /// The packages it comes in; none if they differ too much to tell.
    package: Option<Package>,
}

/// A package that every distribution calls the same.
const fn same(name: &'static str) -> Package {
    Package {
        debian: name,
        fedora: name,
        arch: name,
    }
}

/// Everything that is missing for a build from `source`, or from whatever can be got if there is none.
pub(super) fn missing(source: Option<&Source>) -> Vec<Need> {
    let mut programs = PROGRAMS.to_vec();
    match source.map(|source| source.form) {
        Some(Form::Tree) => {}
        Some(Form::Tarball(compression)) => programs.extend(
            DECOMPRESSORS
                .iter()
                .filter(|(program, _)| *program == compression.program()),
        ),
        None => programs.extend(DECOMPRESSORS),
    }
    let mut missing: Vec<Need> = programs
        .into_iter()
        .filter(|(program, _)| !is_in_path(program))
        .map(|(program, package)| Need::new(program, Some(package)))
        .collect();
    if !has_headers() {
        missing.push(Need::new("the C library's headers", Some(HEADERS)));
    }
    if source.is_none() {
        missing.push(Need::new("a kernel source", None));
    }
    missing
}

/// How to get what is missing by hand.
pub(super) fn remedy(missing: &[Need]) -> String {
    let remedies = capability::remedies();
    let lacks_source = missing.iter().any(|need| need.package.is_none());
    match (remedies.family, lacks_source) {
        (Family::Debian | Family::Ubuntu, _) => {
            format!("sudo apt install {}", packages(missing).join(" "))
        }
        (_, false) => remedies.install(&known(missing)),
        (_, true) => {
            let source = "name a kernel source with --source (https://kernel.org has them)";
            match &*known(missing) {
                [] => source.to_owned(),
                known => format!("{}; then {source}", remedies.install(known)),
            }
        }
    }
}

/// The packages of what is missing and the commands that install them without asking, where this process may.
pub(super) fn installation(
    missing: &[Need],
) -> Option<(Vec<String>, [tokio::process::Command; 2])> {
    let is_debian = matches!(
        capability::remedies().family,
        Family::Debian | Family::Ubuntu
    );
    if !is_debian || !geteuid().is_root() || !is_in_path("apt-get") {
        return None;
    }
    let packages = packages(missing);
    let apt = || {
        let mut command = tokio::process::Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let (mut update, mut install) = (apt(), apt());
    update.arg("update");
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&packages);
    Some((packages, [update, install]))
}

/// What is missing, as an error with its remedy.
pub(super) fn lacking(missing: &[Need]) -> KernelError {
    KernelError::Lacking {
        what: missing.iter().map(|need| need.what.clone()).collect(),
        remedy: remedy(missing),
    }
}

impl Need {
    fn new(what: &str, package: Option<Package>) -> Self {
        Need {
            what: what.to_owned(),
            package,
        }
    }
}

/// Debian's names.
fn packages(missing: &[Need]) -> Vec<String> {
    missing
        .iter()
        .map(|need| {
            need.package
                .map_or(SOURCE_PACKAGE, |package| package.debian)
        })
        .map(str::to_owned)
        .collect()
}

fn known(missing: &[Need]) -> Vec<Package> {
    missing.iter().filter_map(|need| need.package).collect()
}

/// Whether a program can be started by its name.
fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether the compiler finds the C library's headers. Without a compiler nobody can tell: they are asked for with it.
fn has_headers() -> bool {
    let mut command = Command::new("gcc");
    command
        .args(["-E", "-include", "stdio.h", "-x", "c", "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_missing_is_a_package_like_any_other() {
        let missing = [
            Need::new("flex", Some(same("flex"))),
            Need::new("the C library's headers", Some(HEADERS)),
            Need::new("a kernel source", None),
        ];
        assert_eq!(packages(&missing), ["flex", "libc6-dev", "linux-source"]);
        assert_eq!(known(&missing).len(), 2);
        let text = lacking(&missing).to_string();
        assert!(
            text.contains("needs flex, the C library's headers, a kernel source"),
            "{text}"
        );
    }
}
