//! The host's interfaces, and what NCCL is told of them.

use std::ffi::{CString, c_int};
use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use longhaul_topologies::units::Rate;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use crate::choice::Choice;
use crate::error::{Error, system};

/// An interface that NCCL may use.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: CString,
    /// The folder of its hardware in /sys, by which NCCL knows how near it is to a GPU; a virtual one has none.
    pub(crate) pci_path: Option<CString>,
    pub(crate) address: IpAddr,
    /// Mbit/s.
    pub(crate) speed: c_int,
    /// Of hardware only: what virtual interfaces tell is made up.
    pub(crate) line_rate: Option<Rate>,
}

/// Interfaces at most, as NCCL's own socket transport has it (`MAX_IFS`).
const MOST: usize = 16;
/// Mbit/s of an interface that does not tell, as NCCL's own socket transport has it.
const UNKNOWN_SPEED: c_int = 10_000;

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    name: String,
    address: IpAddr,
}

/// The interfaces that the environment lets pass.
pub(crate) fn find() -> Result<Vec<Device>, Error> {
    let candidates: Vec<Candidate> = getifaddrs()
        .map_err(|errno| system("list the interfaces")(errno.into()))?
        .filter_map(|interface| Candidate::new(&interface))
        .collect();
    let variable = |name: &str| std::env::var(name).ok();
    let choices = Choice::tried(variable("NCCL_SOCKET_IFNAME").as_deref());
    let family = variable("NCCL_SOCKET_FAMILY");
    let chosen = choose(&candidates, &choices, family.as_deref());
    if chosen.is_empty() {
        let mut names: Vec<_> = candidates.into_iter().map(|one| one.name).collect();
        names.dedup();
        return Err(Error::NoInterface(match names.is_empty() {
            true => "none that are up".to_owned(),
            false => names.join(", "),
        }));
    }
    chosen.iter().map(Device::new).collect()
}

/// The first address of each interface that the first choice with any lets pass.
fn choose(candidates: &[Candidate], choices: &[Choice], family: Option<&str>) -> Vec<Candidate> {
    let is_of_family = |address: &IpAddr| match family {
        Some("AF_INET") => address.is_ipv4(),
        Some("AF_INET6") => address.is_ipv6(),
        _ => true,
    };
    let passing = |choice: &Choice| {
        let mut chosen: Vec<Candidate> = Vec::new();
        for candidate in candidates {
            let is_new = chosen.iter().all(|one| one.name != candidate.name);
            if is_new && choice.lets_pass(&candidate.name) && is_of_family(&candidate.address) {
                chosen.push(candidate.clone());
            }
        }
        chosen.truncate(MOST);
        chosen
    };
    let mut tried = choices.iter().map(passing);
    tried.find(|chosen| !chosen.is_empty()).unwrap_or_default()
}

impl Candidate {
    /// If it is up and has an address that another host can be told.
    fn new(interface: &InterfaceAddress) -> Option<Self> {
        let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        let address = interface.address.as_ref()?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        let address = v4.or_else(v6)?;
        let is_local =
            matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.is_loopback());
        (interface.flags.contains(up) && !is_local).then(|| Self {
            name: interface.interface_name.clone(),
            address,
        })
    }
}

impl Device {
    fn new(candidate: &Candidate) -> Result<Self, Error> {
        let folder = PathBuf::from("/sys/class/net").join(&candidate.name);
        let pci_path = fs::canonicalize(folder.join("device")).ok();
        let told = speed(&folder.join("speed"));
        let line_rate = told.filter(|_| pci_path.is_some()).map(|megabits| {
            Rate::from_bits_per_second(u64::from(megabits.unsigned_abs()) * 1_000_000)
        });
        let text = |bytes: &[u8]| {
            CString::new(bytes).map_err(|error| {
                system(format!("use the interface {}", candidate.name))(error.into())
            })
        };
        Ok(Self {
            name: text(candidate.name.as_bytes())?,
            pci_path: pci_path
                .map(|path| text(path.as_os_str().as_bytes()))
                .transpose()?,
            address: candidate.address,
            speed: told.unwrap_or(UNKNOWN_SPEED),
            line_rate,
        })
    }
}

/// Mbit/s as the kernel tells them: not of every interface, and −1 of one that is not connected.
fn speed(file: &Path) -> Option<c_int> {
    let text = fs::read_to_string(file).ok()?;
    text.trim().parse().ok().filter(|&speed| speed > 0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn candidates() -> Vec<Candidate> {
        let v4 = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let v6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
        let all = [
            ("lo", IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ("eth0", v4(1)),
            ("eth1", v4(2)),
            ("eth0", v6),
        ];
        let candidate = |(name, address): (&str, IpAddr)| Candidate {
            name: name.to_owned(),
            address,
        };
        all.into_iter().map(candidate).collect()
    }

    #[test]
    fn an_interface_is_one_device_whatever_addresses_it_has() {
        let chosen = choose(&candidates(), &Choice::tried(None), None);
        assert_eq!(chosen, candidates()[1..3]);
    }

    #[test]
    fn the_family_chooses_the_address() {
        let chosen = choose(&candidates(), &Choice::tried(None), Some("AF_INET6"));
        assert_eq!(chosen, candidates()[3..]);
    }

    #[test]
    fn a_list_that_nothing_passes_leaves_nothing() {
        let choices = Choice::tried(Some("wlan"));
        assert!(choose(&candidates(), &choices, None).is_empty());
    }

    #[test]
    fn a_speed_that_is_not_told_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("speed");
        assert_eq!(speed(&file), None);
        for (text, expected) in [("25000\n", Some(25_000)), ("-1\n", None), ("", None)] {
            fs::write(&file, text).unwrap();
            assert_eq!(speed(&file), expected);
        }
    }
}
