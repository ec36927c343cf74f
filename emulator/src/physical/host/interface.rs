//! The network interfaces of a machine, and their addresses.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use super::super::protocol::Interface;

/// The interface that has `address`.
pub(super) fn of(address: IpAddr) -> io::Result<String> {
    // All of 127.0.0.0/8 is the loopback's, whatever it lists.
    let is_its = |known: IpAddr| known == address || known.is_loopback() && address.is_loopback();
    let found = addresses()?.into_iter().find(|(_, known)| is_its(*known));
    found
        .map(|(name, _)| name)
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "no interface there has it"))
}

/// The first global address of the interface `name`, IPv4 before IPv6.
pub(super) fn address(name: &str) -> io::Result<IpAddr> {
    let all = addresses()?.into_iter().filter(|(known, _)| known == name);
    let mut all: Vec<IpAddr> = all.map(|(_, address)| address).filter(is_global).collect();
    // A stable order: the kernel's within a family.
    all.sort_by_key(IpAddr::is_ipv6);
    all.first().copied().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "it has no global address, or is not there",
        )
    })
}

/// What sysfs tells of it.
pub(super) fn facts(name: &str) -> Interface {
    facts_below(Path::new("/sys/class/net"), name)
}

fn facts_below(classes: &Path, name: &str) -> Interface {
    let folder: PathBuf = classes.join(name);
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let driver = fs::read_link(folder.join("device/driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name);
    Interface {
        name: name.to_owned(),
        driver: driver.map(|driver| driver.to_string_lossy().into_owned()),
        // −1, or an error, while the link is down; a virtual one makes it up or has none.
        speed_mbits: read("speed").and_then(|text| text.trim().parse().ok()),
        mtu: read("mtu").and_then(|text| text.trim().parse().ok()),
        clock: None,
    }
}

fn is_global(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local(),
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    }
}

fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let address = |address: SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let all = getifaddrs()?;
    Ok(all
        .filter_map(|one| Some((one.interface_name, address(one.address?)?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn loopback_is_found_both_ways() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let name = of(loopback).unwrap();
        assert_eq!(address(&name).unwrap(), loopback);
        assert!(of("192.0.2.77".parse().unwrap()).is_err() && address("no-such").is_err());
    }

    #[test]
    fn what_sysfs_does_not_tell_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("eth7")).unwrap();
        fs::write(folder.path().join("eth7/speed"), "-1\n").unwrap();
        fs::write(folder.path().join("eth7/mtu"), "9000\n").unwrap();
        let expected = Interface {
            name: "eth7".to_owned(),
            mtu: Some(9000),
            ..Interface::default()
        };
        assert_eq!(facts_below(folder.path(), "eth7"), expected);
    }
}
