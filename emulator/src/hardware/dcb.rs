//! Priority flow control of an interface and its map from DSCPs to priorities, by dcbnl: what `dcb pfc` and `dcb app` do. Numbers are of
//! linux/dcbnl.h and linux/rtnetlink.h.

use std::collections::BTreeSet;
use std::io;

use longhaul_topologies::hardware::{Dscp, Priority};
use rtnetlink::sys::protocols::NETLINK_ROUTE;

use super::dscp::Map;
use super::netlink::{Answers, NESTED, Socket, attribute, attributes, find, text_attribute};

/// RTM_GETDCB.
const GET: u16 = 78;
/// RTM_SETDCB.
const SET: u16 = 79;
/// DCB_CMD_IEEE_SET.
const IEEE_SET: u8 = 20;
/// DCB_CMD_IEEE_GET.
const IEEE_GET: u8 = 21;
/// DCB_CMD_IEEE_DEL.
const IEEE_DELETE: u8 = 27;
/// DCB_ATTR_IFNAME.
const INTERFACE: u16 = 1;
/// DCB_ATTR_IEEE.
const IEEE: u16 = 13;
/// DCB_ATTR_IEEE_PFC.
const PFC: u16 = 2;
/// DCB_ATTR_IEEE_APP_TABLE.
const APPS: u16 = 3;
/// DCB_ATTR_IEEE_APP: a `struct dcb_app`, which is selector, priority and, in two bytes, what is selected.
const APP: u16 = 1;
/// IEEE_8021QAZ_APP_SEL_DSCP.
const BY_DSCP: u8 = 5;
/// `struct dcbmsg`: family, command, two bytes of nothing.
const HEADER: usize = 4;
/// `pfc_en` in `struct ieee_pfc`: a bit for each priority.
const ENABLED: usize = 1;
/// Where the counters begin in `struct ieee_pfc`, which a setting leaves out.
const COUNTERS: usize = 8;

/// The priorities on which `interface` pauses.
///
/// # Errors
/// If there is no such interface, or its driver has no PFC: [`io::ErrorKind::Unsupported`].
pub fn pfc(interface: &str) -> io::Result<BTreeSet<Priority>> {
    let settings = pfc_settings(&get(&mut open()?, interface)?)?;
    let enabled = settings[ENABLED];
    Ok(Priority::all()
        .filter(|priority| enabled & (1 << priority.number()) != 0)
        .collect())
}

/// Lets `interface` pause on these priorities and no others.
///
/// # Errors
/// As [`pfc`], and if this user may not.
pub fn set_pfc(interface: &str, priorities: &BTreeSet<Priority>) -> io::Result<()> {
    let mut socket = open()?;
    // All but the priorities stays: how much may come late, for one.
    let mut settings = pfc_settings(&get(&mut socket, interface)?)?;
    settings[ENABLED] = priorities
        .iter()
        .fold(0, |bits, priority| bits | 1 << priority.number());
    settings[COUNTERS..].fill(0);
    set(&mut socket, IEEE_SET, interface, &attribute(PFC, &settings))
}

/// Which priorities DSCPs have at `interface`; none have where it trusts VLAN tags: ConnectX trusts DSCPs from the first entry to the last
/// (`mlx5e_dcbnl_ieee_setapp`, drivers/net/ethernet/mellanox/mlx5/core/en_dcbnl.c).
///
/// # Errors
/// If there is no such interface, or its driver has no DCB: [`io::ErrorKind::Unsupported`].
pub(super) fn dscp(interface: &str) -> io::Result<Map> {
    map(&get(&mut open()?, interface)?)
}

/// Gives DSCPs these priorities at `interface`, and no others.
///
/// # Errors
/// As [`dscp`], and if this user may not.
pub(super) fn set_dscp(interface: &str, wanted: &Map) -> io::Result<()> {
    let mut socket = open()?;
    let there = map(&get(&mut socket, interface)?)?;
    // The new ones first: the last to go would take the trust with it. Then another look, as some drivers have taken the old ones out.
    change(&mut socket, IEEE_SET, interface, &(&wanted.0 - &there.0))?;
    let there = map(&get(&mut socket, interface)?)?;
    change(&mut socket, IEEE_DELETE, interface, &(&there.0 - &wanted.0))
}

fn open() -> io::Result<Socket> {
    Socket::open(NETLINK_ROUTE)
}

fn change(
    socket: &mut Socket,
    command: u8,
    interface: &str,
    entries: &BTreeSet<(Dscp, Priority)>,
) -> io::Result<()> {
    match entries.is_empty() {
        true => Ok(()),
        false => set(socket, command, interface, &table(entries)),
    }
}

/// The attribute with these entries.
fn table(entries: &BTreeSet<(Dscp, Priority)>) -> Vec<u8> {
    let entry = |(dscp, priority): &(Dscp, Priority)| {
        let [first, second] = u16::from(dscp.number()).to_ne_bytes();
        attribute(APP, &[BY_DSCP, priority.number(), first, second])
    };
    let entries: Vec<u8> = entries.iter().flat_map(entry).collect();
    attribute(APPS | NESTED, &entries)
}

/// The entries for DSCPs in what an interface's driver tells.
fn map(ieee: &[u8]) -> io::Result<Map> {
    let table = find(ieee, APPS).ok_or(io::ErrorKind::Unsupported)?;
    let entry = |(kind, entry): (u16, &[u8])| match (kind, entry) {
        (APP, &[BY_DSCP, priority, first, second]) => {
            let dscp = Dscp::try_from(u16::from_ne_bytes([first, second])).ok()?;
            Some((dscp, Priority::try_from(priority).ok()?))
        }
        _ => None,
    };
    Ok(Map(attributes(table).filter_map(entry).collect()))
}

/// `struct ieee_pfc` in what an interface's driver tells.
fn pfc_settings(ieee: &[u8]) -> io::Result<Vec<u8>> {
    find(ieee, PFC)
        .filter(|settings| settings.len() >= COUNTERS)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// What an interface's driver tells of IEEE 802.1Qaz.
fn get(socket: &mut Socket, interface: &str) -> io::Result<Vec<u8>> {
    let answers = socket.exchange(GET, &message(IEEE_GET, interface), Answers::One)?;
    answers
        .first()
        .and_then(|answer| find(answer.get(HEADER..)?, IEEE))
        .map(<[u8]>::to_vec)
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Has a driver set or delete what is in `attribute`.
fn set(socket: &mut Socket, command: u8, interface: &str, attribute: &[u8]) -> io::Result<()> {
    let answers = socket.exchange(SET, &request(command, interface, attribute), Answers::One)?;
    // The result, as the kernel squeezes an errno into a byte (dcbnl_ieee_set, net/dcb/dcbnl.c).
    let result = answers
        .first()
        .and_then(|answer| find(answer.get(HEADER..)?, IEEE)?.first().copied())
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    match result.cast_signed() {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-i32::from(code))),
    }
}

fn request(command: u8, interface: &str, inner: &[u8]) -> Vec<u8> {
    let mut request = message(command, interface);
    request.extend(attribute(IEEE | NESTED, inner));
    request
}

fn message(command: u8, interface: &str) -> Vec<u8> {
    let mut message = vec![0, command, 0, 0];
    message.extend(text_attribute(INTERFACE, interface));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_pfc_says_so_and_one_that_is_not_there_does_too() {
        let error = pfc("lo").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        let error = pfc("no-such-if").unwrap_err();
        assert!(
            matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EOPNOTSUPP)),
            "{error}"
        );
    }

    fn map_of(text: &str) -> Map {
        text.parse().unwrap()
    }

    /// As iproute2's `dcb app add dev lo dscp-prio 26:3 48:6` and `del` send it, seen by strace on a little-endian machine.
    #[test]
    #[cfg(target_endian = "little")]
    fn requests_are_those_of_the_tool_that_comes_with_the_kernel() {
        let added = request(IEEE_SET, "lo", &table(&map_of("26:3,48:6").0));
        let expected =
            b"\x00\x14\x00\x00\x07\x00\x01\x00lo\x00\x00\x18\x00\x0d\x80\x14\x00\x03\x80\
            \x08\x00\x01\x00\x05\x03\x1a\x00\x08\x00\x01\x00\x05\x06\x30\x00";
        assert_eq!(added, expected);
        let deleted = request(IEEE_DELETE, "lo", &table(&map_of("26:3").0));
        let expected =
            b"\x00\x1b\x00\x00\x07\x00\x01\x00lo\x00\x00\x10\x00\x0d\x80\x0c\x00\x03\x80\
            \x08\x00\x01\x00\x05\x03\x1a\x00";
        assert_eq!(deleted, expected);
    }

    #[test]
    fn only_entries_of_dscps_are_read() {
        // By Ethertype, for a DSCP, by a port, and a DSCP that there is none of.
        let entry = |selector: u8, priority: u8, protocol: u16| {
            let [first, second] = protocol.to_ne_bytes();
            attribute(APP, &[selector, priority, first, second])
        };
        let entries = [
            entry(1, 3, 0x8906),
            entry(BY_DSCP, 4, 26),
            entry(4, 2, 4791),
            entry(BY_DSCP, 1, 64),
        ];
        let told = [
            attribute(PFC, &[8, 8]),
            attribute(APPS | NESTED, &entries.concat()),
        ]
        .concat();
        assert_eq!(map(&told).unwrap(), map_of("26:4"));
        assert_eq!(map(&attribute(APPS, &[])).unwrap(), map_of("none"));
        let none = map(&attribute(PFC, &[8, 8])).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn an_interface_without_dcb_says_so() {
        let error = dscp("lo").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        let error = set_dscp("lo", &map_of("26:3")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    }
}
