//! A node's network and UTS namespaces, held as file descriptors: they vanish with the last holder.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;

/// The namespaces of one node.
#[derive(Debug)]
pub struct Namespace {
    /// The network namespace.
    pub net: OwnedFd,
    /// The UTS namespace: the host name.
    pub uts: OwnedFd,
}

impl Namespace {
    /// Runs `f` on a thread of its own inside the network namespace: sockets made there stay there.
    ///
    /// # Errors
    /// If the thread cannot enter.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> io::Result<T> {
        let _ = f;
        unimplemented!()
    }

    /// Makes `command` start inside both namespaces, in a process group of its own, killed when the lab process dies.
    pub fn enter_on_exec(&self, command: &mut Command) {
        let _ = command;
        unimplemented!()
    }
}
