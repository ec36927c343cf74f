//! Priority flow control of an interface, by dcbnl: what `dcb pfc` does. Numbers are of linux/dcbnl.h and linux/rtnetlink.h.

use std::collections::BTreeSet;
use std::io;

use longhaul_topologies::hardware::Priority;
use rtnetlink::sys::protocols::NETLINK_ROUTE;

use super::netlink::{Answers, Socket, attribute, find, text_attribute};

/// RTM_GETDCB.
const GET: u16 = 78;
/// RTM_SETDCB.
const SET: u16 = 79;
/// DCB_CMD_IEEE_SET.
const IEEE_SET: u8 = 20;
/// DCB_CMD_IEEE_GET.
const IEEE_GET: u8 = 21;
/// DCB_ATTR_IFNAME.
const INTERFACE: u16 = 1;
/// DCB_ATTR_IEEE.
const IEEE: u16 = 13;
/// DCB_ATTR_IEEE_PFC.
const PFC: u16 = 2;
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
    let settings = read(&mut Socket::open(NETLINK_ROUTE)?, interface)?;
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
    let mut socket = Socket::open(NETLINK_ROUTE)?;
    // All but the priorities stays: how much may come late, for one.
    let mut settings = read(&mut socket, interface)?;
    settings[ENABLED] = priorities
        .iter()
        .fold(0, |bits, priority| bits | 1 << priority.number());
    settings[COUNTERS..].fill(0);
    let mut request = message(IEEE_SET, interface);
    request.extend(attribute(IEEE, &attribute(PFC, &settings)));
    let answers = socket.exchange(SET, &request, Answers::One)?;
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

/// `struct ieee_pfc` as it is.
fn read(socket: &mut Socket, interface: &str) -> io::Result<Vec<u8>> {
    let answers = socket.exchange(GET, &message(IEEE_GET, interface), Answers::One)?;
    answers
        .first()
        .and_then(|answer| find(find(answer.get(HEADER..)?, IEEE)?, PFC))
        .filter(|settings| settings.len() >= COUNTERS)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
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
}
