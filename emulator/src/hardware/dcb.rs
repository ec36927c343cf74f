//! Priority flow control of an interface, its buffers, its map from DSCPs to priorities and what it trusts, by dcbnl: what `dcb pfc`,
//! `dcb buffer`, `dcb app` and `dcb apptrust` do. Numbers are of linux/dcbnl.h and linux/rtnetlink.h.

use std::collections::BTreeSet;
use std::io;

use longhaul_topologies::hardware::{Dscp, Mark, Priority};
use longhaul_topologies::units::ByteSize;
use rtnetlink::sys::protocols::NETLINK_ROUTE;

use super::buffers::{self, Buffers};
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
/// DCB_ATTR_DCB_BUFFER: a `struct dcbnl_buffer`.
const BUFFERS: u16 = 10;
/// DCB_ATTR_DCB_APP_TRUST_TABLE: a byte for each mark, in an attribute of IEEE's or the kernel's own.
const TRUST: u16 = 11;
/// DCB_ATTR_DCB_APP: what IEEE 802.1Qaz does not have.
const OWN_APP: u16 = 2;
/// DCB_APP_SEL_PCP.
const BY_PCP: u8 = 255;
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

/// How the memory of `interface`'s port is divided.
///
/// # Errors
/// If there is no such interface, or its driver has no buffers: [`io::ErrorKind::Unsupported`].
pub(super) fn buffers(interface: &str) -> io::Result<Buffers> {
    let told = told_buffers(&get(&mut open()?, interface)?)?;
    Buffers::read(&told).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How much memory it has for all of them.
///
/// # Errors
/// As [`buffers`].
pub(super) fn buffers_total(interface: &str) -> io::Result<ByteSize> {
    Ok(buffers::total(&told_buffers(&get(
        &mut open()?,
        interface,
    )?)?))
}

/// Divides it so.
///
/// # Errors
/// As [`buffers`], and if this user may not or the driver refuses.
pub(super) fn set_buffers(interface: &str, wanted: &Buffers) -> io::Result<()> {
    let mut socket = open()?;
    let mut settings = told_buffers(&get(&mut socket, interface)?)?;
    wanted.write(&mut settings);
    set(
        &mut socket,
        IEEE_SET,
        interface,
        &attribute(BUFFERS, &settings),
    )
}

/// The marks that `interface` takes a packet's priority from, the first that has one.
///
/// # Errors
/// If there is no such interface, or its driver has no such order: [`io::ErrorKind::Unsupported`].
pub(super) fn trust(interface: &str) -> io::Result<Vec<Mark>> {
    marks(&get(&mut open()?, interface)?)
}

/// Has it take them from these, in this order.
///
/// # Errors
/// As [`trust`], and if this user may not or the driver refuses.
pub(super) fn set_trust(interface: &str, wanted: &[Mark]) -> io::Result<()> {
    set(&mut open()?, IEEE_SET, interface, &trust_table(wanted))
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

/// `struct dcbnl_buffer` in what an interface's driver tells.
fn told_buffers(ieee: &[u8]) -> io::Result<[u8; buffers::LENGTH]> {
    find(ieee, BUFFERS)
        .and_then(|told| told.try_into().ok())
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// The attribute with this order (`dcbnl_ieee_set`, net/dcb/dcbnl.c).
fn trust_table(marks: &[Mark]) -> Vec<u8> {
    let one = |&mark: &Mark| match selector(mark) {
        BY_PCP => attribute(OWN_APP, &[BY_PCP]),
        ieee => attribute(APP, &[ieee]),
    };
    let marks: Vec<u8> = marks.iter().flat_map(one).collect();
    attribute(TRUST | NESTED, &marks)
}

/// The order in what an interface's driver tells. One of which something is unknown could not be put back.
fn marks(ieee: &[u8]) -> io::Result<Vec<Mark>> {
    let table = find(ieee, TRUST).ok_or(io::ErrorKind::Unsupported)?;
    let mark = |(_, told): (u16, &[u8])| {
        let mut known = Mark::ALL.into_iter();
        known.find(|mark| told == [selector(*mark)])
    };
    let marks: Option<Vec<Mark>> = attributes(table).map(mark).collect();
    marks.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// IEEE_8021QAZ_APP_SEL_… and DCB_APP_SEL_PCP.
fn selector(mark: Mark) -> u8 {
    match mark {
        Mark::Ethtype => 1,
        Mark::StreamPort => 2,
        Mark::DgramPort => 3,
        Mark::Port => 4,
        Mark::Dscp => BY_DSCP,
        Mark::Pcp => BY_PCP,
    }
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

    /// In the attributes of `enum ieee_attrs` and `enum ieee_attrs_app` of Linux 6.2 (include/uapi/linux/dcbnl.h).
    #[test]
    #[cfg(target_endian = "little")]
    fn an_order_of_trust_is_written_as_the_kernel_takes_it_and_read_back() {
        let order = [Mark::Dscp, Mark::Pcp];
        let table = trust_table(&order);
        let expected = b"\x14\x00\x0b\x80\x05\x00\x01\x00\x05\0\0\0\x05\x00\x02\x00\xff\0\0\0";
        assert_eq!(table, expected);
        for order in [&order[..], &Mark::ALL, &[]] {
            assert_eq!(marks(&trust_table(order)).unwrap(), order);
        }
        let told = |table: &[u8]| marks(table).unwrap_err().kind();
        assert_eq!(told(&attribute(PFC, &[8, 8])), io::ErrorKind::Unsupported);
        let unknown = attribute(TRUST, &attribute(APP, &[6]));
        assert_eq!(told(&unknown), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_driver_that_tells_no_buffers_has_none() {
        let told = |ieee: &[u8]| told_buffers(ieee).map_err(|error| error.kind());
        let buffers = [7; buffers::LENGTH];
        let all = [attribute(PFC, &[8, 8]), attribute(BUFFERS, &buffers)].concat();
        assert_eq!(told(&all), Ok(buffers));
        for none in [attribute(PFC, &[8, 8]), attribute(BUFFERS, &[7; 8])] {
            assert_eq!(told(&none), Err(io::ErrorKind::Unsupported));
        }
    }

    #[test]
    fn an_interface_without_dcb_says_so() {
        let error = dscp("lo").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        let error = set_dscp("lo", &map_of("26:3")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        let buffers = "1B:0,1,2,3,4,5,6,7".parse().unwrap();
        let error = set_buffers("lo", &buffers).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        let error = set_trust("lo", &[Mark::Dscp]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    }
}
