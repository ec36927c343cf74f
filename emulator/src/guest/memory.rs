//! How much memory a guest needs, and where it can lie: a lab kernel's memory is a file that it maps.

use std::path::PathBuf;

use longhaul_topologies::Topology;
use longhaul_topologies::model::Channel;
use longhaul_topologies::units::ByteSize;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::GuestError;
use crate::capability::available_memory;
use crate::links::{channel, ids};
use crate::relay::{bytes_held, scheduled};

/// The kernel, its tables, longhaul and what else there is without any traffic.
const BASE: u64 = 256 << 20;
/// A namespace with its interfaces, tables and caches.
const NODE: u64 = 2 << 20;
/// How often the bytes that are on the way lie in memory at most: where they wait to be sent, since a TCP buffer may hold
/// several windows, on the way, and at the receiver until they are read.
const COPIES: u64 = 3;

/// How much memory a guest needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestMemory {
    /// With less it cannot do its work.
    pub least: ByteSize,
    /// It cannot use more.
    pub most: ByteSize,
}

impl GuestMemory {
    /// Without links or hosts.
    pub const NOTHING: GuestMemory = GuestMemory {
        least: ByteSize::from_bytes(BASE),
        most: ByteSize::from_bytes(BASE),
    };

    /// What the links and hosts of `topology` need: every lane's bandwidth-delay product in flight and its queue full, as the
    /// lane is or as its schedule makes it. The memory of what runs in its hosts comes on top.
    pub fn of_links(topology: &Topology) -> Self {
        let nodes: usize = topology.sites.iter().map(|site| site.hosts + 1).sum();
        let mut scheduled = scheduled(topology);
        let held = |channel: &Channel| bytes_held(channel, topology.mtu);
        let most = ids(topology).map(|id| {
            let to_be = scheduled.remove(&id).unwrap_or_default();
            let all = channel(topology, id).into_iter().chain(to_be);
            all.map(held).max().unwrap_or(0)
        });
        let carried = most.fold(0, u64::saturating_add);
        let fixed = BASE + nodes as u64 * NODE;
        GuestMemory {
            least: ByteSize::from_bytes(fixed.saturating_add(carried)),
            most: ByteSize::from_bytes(fixed.saturating_add(carried.saturating_mul(COPIES))),
        }
    }

    /// With `more` for what runs in the hosts.
    #[must_use]
    pub fn and(self, more: ByteSize) -> Self {
        let sum = |size: ByteSize| ByteSize::from_bytes(size.bytes().saturating_add(more.bytes()));
        GuestMemory {
            least: sum(self.least),
            most: sum(self.most),
        }
    }

    /// With up to `more` for what may run in the hosts, if the machine has it.
    #[must_use]
    pub fn and_room_for(self, more: ByteSize) -> Self {
        GuestMemory {
            least: self.least,
            most: self.and(more).most,
        }
    }

    /// What is enough for this and for `other`, one after the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        GuestMemory {
            least: self.least.max(other.least),
            most: self.most.max(other.most),
        }
    }

    /// What a guest gets on this machine.
    ///
    /// # Errors
    /// If the machine has less to spare than it needs.
    pub fn fit(self) -> Result<ByteSize, GuestError> {
        match available_memory() {
            Some(available) if self.least > available => Err(GuestError::TooLittleMemory {
                needed: self.least,
                available,
            }),
            // Not by what is free now: the guest's own figures follow from it, and it takes no more than it touches.
            _ => Ok(self.most),
        }
    }
}

/// A folder that has room for the memory of a guest, in memory itself if possible; it must allow programs, since the guest's
/// run from it.
pub(super) fn place(needed: ByteSize) -> Result<PathBuf, GuestError> {
    let named = ["TMPDIR", "XDG_RUNTIME_DIR"].map(|name| std::env::var_os(name).map(PathBuf::from));
    let [named, runtime] = named;
    let usual = ["/dev/shm", "/var/tmp", "/tmp"].map(|path| Some(path.into()));
    let mut tried = Vec::new();
    for folder in [named].into_iter().chain(usual).chain([runtime]).flatten() {
        let why_not = match statvfs(&folder) {
            Err(errno) => errno.to_string(),
            Ok(found) if found.flags().contains(FsFlags::ST_NOEXEC) => "noexec".to_owned(),
            Ok(found) => {
                let free = found.blocks_available() * found.fragment_size();
                if free < needed.bytes() {
                    format!("{} free", ByteSize::from_bytes(free))
                } else if nix::unistd::access(&folder, nix::unistd::AccessFlags::W_OK).is_err() {
                    "not writable".to_owned()
                } else {
                    return Ok(folder);
                }
            }
        };
        tried.push(format!("{}: {why_not}", folder.display()));
    }
    Err(GuestError::NoPlaceForMemory {
        needed,
        tried: tried.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::{Document, validate};

    use super::*;

    #[test]
    fn what_a_schedule_makes_of_a_lane_has_room_as_what_it_is_from_the_start() {
        let of = |settings: &str| {
            let text = format!(
                "{{name: pair, sites: [{{name: a}}, {{name: b}}], links: [{{between: [a, b], rate: 1Gbit, queue: 1MB, {settings}}}]}}"
            );
            let document = Document::from_text("pair.yaml", &text).unwrap();
            GuestMemory::of_links(&validate::topology(&document).unwrap())
        };
        let long = of("delay: 1s");
        assert_eq!(of("delay: 1ms, schedule: [{at: 1s, delay: 1s}]"), long);
        assert_eq!(of("delay: 1s, schedule: [{at: 1s, delay: 1ms}]"), long);
        assert!(of("delay: 1ms").least < long.least);
    }
}
