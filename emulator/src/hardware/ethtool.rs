//! The counters that an interface's driver names itself: what `ethtool -S` shows, by the ioctl that it uses (linux/ethtool.h); ethtool's
//! netlink has none of them.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// ETHTOOL_GSSET_INFO.
const COUNT_STRINGS: u32 = 0x37;
/// ETHTOOL_GSTRINGS.
const GET_STRINGS: u32 = 0x1b;
/// ETHTOOL_GSTATS.
const GET_STATISTICS: u32 = 0x1d;
/// ETH_SS_STATS.
const STATISTICS: u32 = 1;
/// ETH_GSTRING_LEN.
const NAME: usize = 32;
/// Many times what the NIC with the most has.
const MOST: usize = 1 << 16;

/// Every counter of `interface`, in the driver's order.
///
/// # Errors
/// If there is no such interface, or its driver has no counters.
pub(super) fn statistics(interface: &str) -> io::Result<Vec<(String, u64)>> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // struct ethtool_sset_info: command, nothing, a mask of 64 bits, a count.
    let mut count = [COUNT_STRINGS, 0, 1 << STATISTICS, 0, 0];
    ask(&socket, interface, bytemuck::cast_slice_mut(&mut count))?;
    let count = usize::try_from(count[4]).map_err(io::Error::other)?;
    if count > MOST {
        return Err(io::Error::other("too many counters"));
    }
    let length = u32::try_from(count).map_err(io::Error::other)?;
    // struct ethtool_gstrings: command, set, count, the names.
    let mut names = [GET_STRINGS, STATISTICS, length]
        .map(u32::to_ne_bytes)
        .concat();
    let strings = names.len();
    names.resize(strings + count * NAME, 0);
    ask(&socket, interface, &mut names)?;
    // struct ethtool_stats: command, count, the values.
    let mut values = vec![0_u64; 1 + count];
    let head = bytemuck::cast_slice_mut::<u64, u32>(&mut values[..1]);
    head.copy_from_slice(&[GET_STATISTICS, length]);
    ask(&socket, interface, bytemuck::cast_slice_mut(&mut values))?;
    let names = names[strings..].chunks(NAME).map(super::netlink::text);
    Ok(names.zip(values.into_iter().skip(1)).collect())
}

/// Has the kernel fill in `command`, whose first number says what it is.
fn ask(socket: &impl AsRawFd, interface: &str, command: &mut [u8]) -> io::Result<()> {
    // SAFETY: a `struct ifreq` of zeros is one: an empty name and no data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = interface.as_bytes();
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = command.as_mut_ptr().cast();
    // SAFETY: the kernel writes into `command` no more than its head says: room for as many names or values as the head counts was made
    // by the caller, and `request` and `command` outlive the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_counters_and_one_that_is_not_there_are_errors() {
        for name in ["lo", "no-such-if", "a-name-that-no-interface-can-have"] {
            assert!(statistics(name).is_err(), "{name}");
        }
    }

    /// Whatever this machine has.
    #[test]
    fn names_are_whole_where_there_are_any() {
        for interface in std::fs::read_dir("/sys/class/net").unwrap() {
            let name = interface.unwrap().file_name().into_string().unwrap();
            for (counter, _) in statistics(&name).unwrap_or_default() {
                assert!(
                    !counter.is_empty() && counter.is_ascii(),
                    "{name}: {counter}"
                );
            }
        }
    }
}
