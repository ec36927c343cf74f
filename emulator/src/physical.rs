//! Labs of machines that are there: reached by ssh and its like, prepared and measured instead of built.
//!
//! - [`lab`]: all of it as one thing: machines that answer, the ways between them, what they should be.
//! - `launch`: the command that starts longhaul on a machine. Pure.
//! - `bootstrap`: how longhaul gets onto a machine that has none: a script for its shell, and what that answers. Pure.
//! - `connection`: a machine that was reached, and what it is asked.
//! - [`host`]: what runs there.
//! - `protocol`: what the two tell each other; [`streams`]: over what.
//! - `mark`: what a probe carries. Pure.
//! - [`clock`]: how far another machine's clock is from this one's. Pure.
//! - `round`: probes on their way between machines, put together from what each tells; [`probing`]: the same while a workload runs.
//! - `paths`: the ways between sites, measured and held against their description.

mod bootstrap;
pub mod clock;
mod connection;
mod error;
pub mod host;
pub mod lab;
mod launch;
mod mark;
mod paths;
pub mod probing;
mod protocol;
mod round;
pub mod streams;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::clocks;

pub use error::{Ending, PhysicalError};
pub use lab::PhysicalLab;
pub(crate) use launch::ssh_to;
pub use protocol::Interface;

/// How much of a digest names a file: collisions are nobody's intention here.
const DIGEST_BYTES: usize = 16;

/// CLOCK_MONOTONIC of this machine, in nanoseconds.
fn now_ns() -> u64 {
    clocks::now().as_nanos()
}

/// The digest of a file, as it names longhaul on other machines.
fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    let bytes = hash.finalize();
    Ok(bytes[..DIGEST_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
