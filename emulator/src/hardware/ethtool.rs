//! The counters that an interface's driver names itself: what `ethtool -S` shows, by the ioctl that it uses (linux/ethtool.h); ethtool's
//! netlink has none of them.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The ioctl by which ethtool asks.
pub(super) const IOCTL: libc::c_ulong = libc::SIOCETHTOOL as libc::c_ulong;

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

/// How often counters are read whose number changes meanwhile.
const TRIES: usize = 4;

/// Every counter of `interface`, in the driver's order.
///
/// # Errors
/// If there is no such interface, or its driver has no counters.
pub(super) fn statistics(interface: &str) -> io::Result<Vec<(String, u64)>> {
    read(|command| ask(interface, IOCTL, command))
}

/// The same by way of `ask`. Their number may change between two of its calls, as a driver's queues do.
fn read(mut ask: impl FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<Vec<(String, u64)>> {
    for _ in 0..TRIES {
        // struct ethtool_sset_info: command, nothing, a mask of 64 bits, a count.
        let mut count = [COUNT_STRINGS, 0, 1 << STATISTICS, 0, 0];
        ask(bytemuck::cast_slice_mut(&mut count))?;
        let count = count[4];
        if count as usize > MOST {
            return Err(io::Error::other(format!(
                "its driver has {count} counters: more than {MOST} are not read"
            )));
        }
        // struct ethtool_gstrings: command, set, count, the names. The kernel writes as many as there are by now, whatever count it
        // is given (`ethtool_get_strings` in net/ethtool/ioctl.c): there is room for all that there can be.
        let mut names = vec![0_u8; 12 + MOST * NAME];
        let head = [GET_STRINGS, STATISTICS, count].map(u32::to_ne_bytes);
        names[..12].copy_from_slice(head.as_flattened());
        ask(&mut names)?;
        // struct ethtool_stats: command, count, the values; as with the names.
        let mut values = vec![0_u64; 1 + MOST];
        bytemuck::cast_slice_mut::<u64, u32>(&mut values[..1])
            .copy_from_slice(&[GET_STATISTICS, count]);
        ask(bytemuck::cast_slice_mut(&mut values))?;
        let (head, names) = names.split_at(12);
        let named = u32::from_ne_bytes([head[8], head[9], head[10], head[11]]);
        let counted = bytemuck::cast_slice::<u64, u32>(&values[..1])[1];
        if [named, counted] == [count; 2] {
            let names = names.chunks(NAME).map(super::netlink::text);
            return Ok(names
                .zip(values[1..].iter().copied())
                .take(count as usize)
                .collect());
        }
    }
    Err(io::Error::other(
        "the number of its counters changes all the time",
    ))
}

/// Has the kernel read and fill in `data`, as the ioctl `what` of an interface has it.
pub(super) fn ask<T: bytemuck::Pod>(
    interface: &str,
    what: libc::c_ulong,
    data: &mut [T],
) -> io::Result<()> {
    // SAFETY: a `struct ifreq` of zeros is one: an empty name and no data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = interface.as_bytes();
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: the kernel writes into `data` as much as `what` has, or the driver has names or values, for which the caller made room; and
    // `request` and `data` outlive the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), what as _, &raw mut request) };
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

    /// A kernel whose driver has the next of `counts` counters each time it is asked for them.
    fn kernel(counts: &[u32]) -> impl FnMut(&mut [u8]) -> io::Result<()> {
        let mut counts = counts.iter().copied();
        move |command| {
            let count = counts.next().unwrap();
            let asked = u32::from(command[0]);
            let mut head = |at: usize, number: u32| {
                command[4 * at..][..4].copy_from_slice(&number.to_ne_bytes());
            };
            match asked {
                COUNT_STRINGS => head(4, count),
                GET_STRINGS => {
                    head(2, count);
                    for at in 0..count as usize {
                        command[12 + at * NAME] = b'a' + u8::try_from(at % 26).unwrap();
                    }
                }
                GET_STATISTICS => {
                    head(1, count);
                    for at in 0..count as usize {
                        command[8 + at * 8] = u8::try_from(at % 26).unwrap();
                    }
                }
                other => panic!("{other:#x}"),
            }
            Ok(())
        }
    }

    #[test]
    fn counters_that_become_more_while_they_are_read_have_room_and_are_read_again() {
        let counters = read(kernel(&[1, 1000, 1000, 2, 2, 2])).unwrap();
        assert_eq!(counters, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
        // They may become fewer, too.
        assert_eq!(read(kernel(&[3, 3, 2, 1, 1, 1])).unwrap().len(), 1);
        assert!(read(kernel(&[1, 2, 3].repeat(TRIES))).is_err());
        assert!(read(kernel(&[u32::MAX])).is_err());
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
