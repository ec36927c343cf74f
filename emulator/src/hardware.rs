//! NICs and switches as they are: found, set to what a file says, put back, counted.
//!
//! - [`tree`]: the kernel's files, of this machine or a copy of another's.
//! - [`inventory`]: which NICs there are, from sysfs and [`devlink`].
//! - [`place`]: where a setting lies, and what reads and writes it.
//! - [`plan`]: what would change: what is set held against what should be; pure but for the reading.
//! - [`apply`]: a plan carried out, each old value on disk before its write.
//! - [`restore`]: what was applied, put back.
//! - [`journal`]: what is on disk meanwhile.
//! - [`machine`]: this machine's NICs and the switches that it reaches, as places.
//! - [`switch`]: a switch, whatever it speaks; [`nvue`]: those with Cumulus Linux; [`sonic`]: those with SONiC.
//! - [`counters`]: what NICs count, as metrics; `ethtool`: what their interfaces count.
//! - [`controller`], [`firmware`] and `register`: what only the vendor's tools reach, `tool`: the congestion controls in the firmware, what it is configured to, and how it sends again.
//! - `stamping`: which packets a NIC stamps by its clock.
//! - [`dcb`]: priority flow control, buffers, the map from DSCPs to priorities and what is trusted; `buffers`, `dscp`: two of these as text; `netlink`: raw messages for both netlink families.

pub mod apply;
mod buffers;
pub mod controller;
pub mod counters;
pub mod dcb;
pub mod devlink;
mod dscp;
mod ethtool;
pub mod firmware;
#[cfg(test)]
mod fixture;
pub mod inventory;
pub mod journal;
pub mod machine;
mod netlink;
pub mod nvue;
pub mod place;
pub mod plan;
mod register;
pub mod restore;
pub mod sonic;
pub(crate) mod stamping;
pub mod switch;
mod tool;
pub mod tree;

#[cfg(test)]
mod tests;
