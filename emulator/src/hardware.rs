//! NICs and switches as they are: found, set to what a file says, put back, counted.
//!
//! - [`tree`]: the kernel's files, of this machine or a copy of another's.
//! - [`inventory`]: which NICs there are, from sysfs and [`devlink`].
//! - `netlink`: raw messages, for [`devlink`] and [`dcb`].

pub mod dcb;
pub mod devlink;
#[cfg(test)]
mod fixture;
pub mod inventory;
mod netlink;
pub mod tree;
