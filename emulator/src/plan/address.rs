//! The address plan: every address of a lab as a function of the site's, the host's or the lane's number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use longhaul_topologies::model::SiteId;

/// What hosts send to: no host is in a subnet with its gateway, so one address serves all of them.
pub(super) const NEXT_HOP_IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The same for IPv6.
pub(super) const NEXT_HOP_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// A gateway's place in its site's subnets: the last address but one, so that hosts count up from 1.
const GATEWAY: u16 = 0xfffe;

/// An address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub address: IpAddr,
    pub length: u8,
}

impl Prefix {
    /// `address` alone.
    pub fn host(address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        Self {
            address,
            length: if address.is_ipv4() { 32 } else { 128 },
        }
    }

    /// Every address of IPv4.
    pub const DEFAULT_IPV4: Self = Self {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        length: 0,
    };

    /// Every address of IPv6.
    pub const DEFAULT_IPV6: Self = Self {
        address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        length: 0,
    };
}

/// Whether it is a gateway's address on a lane: of 172.16.0.0/12 or fd6c:6800:ffff::/48.
pub(crate) fn is_lane(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [172, 16..32, ..]),
        IpAddr::V6(address) => address.segments()[..3] == [0xfd6c, 0x6800, 0xffff],
    }
}

/// 10.s.0.0/16.
pub(super) fn site_ipv4(site: SiteId) -> Prefix {
    Prefix {
        address: in_site_ipv4(site, 0).into(),
        length: 16,
    }
}

/// fd6c:6800:s::/64.
pub(super) fn site_ipv6(site: SiteId) -> Prefix {
    Prefix {
        address: in_site_ipv6(site, 0).into(),
        length: 64,
    }
}

/// 10.s.0.0 + i + 1.
pub(super) fn host_ipv4(site: SiteId, host: usize) -> Ipv4Addr {
    in_site_ipv4(site, host_number(host))
}

/// fd6c:6800:s:: + i + 1.
pub(super) fn host_ipv6(site: SiteId, host: usize) -> Ipv6Addr {
    in_site_ipv6(site, host_number(host))
}

/// 10.s.255.254.
pub(super) fn gateway_ipv4(site: SiteId) -> Ipv4Addr {
    in_site_ipv4(site, GATEWAY)
}

/// fd6c:6800:s::fffe.
pub(super) fn gateway_ipv6(site: SiteId) -> Ipv6Addr {
    in_site_ipv6(site, GATEWAY)
}

/// The two ends, first `a`'s, of the lab's `n`th lane: 172.16.0.0 + 2n and the next.
pub(super) fn lane_ipv4(n: usize) -> [Ipv4Addr; 2] {
    let first = u32::from(Ipv4Addr::new(172, 16, 0, 0)) + lane_offset(n);
    [first.into(), (first + 1).into()]
}

/// The two ends, first `a`'s, of the lab's `n`th lane: fd6c:6800:ffff:: + 2n and the next.
pub(super) fn lane_ipv6(n: usize) -> [Ipv6Addr; 2] {
    let first = u128::from(Ipv6Addr::new(0xfd6c, 0x6800, 0xffff, 0, 0, 0, 0, 0))
        + u128::from(lane_offset(n));
    [first.into(), (first + 1).into()]
}

/// Which interface a MAC address belongs to, of those that share an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacRole {
    /// A host's port.
    Host = 1,
    /// The gateway's port that faces a host.
    GatewayPort = 2,
    /// A gateway's end of a lane.
    Lane = 3,
    /// The keeper's end of a lane.
    Keeper = 4,
}

/// A locally administered unicast address: 02, the role, the IPv4 address.
pub(super) fn mac(role: MacRole, address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, role as u8, a, b, c, d]
}

fn in_site_ipv4(site: SiteId, number: u16) -> Ipv4Addr {
    let site = u8::try_from(site.0 + 1).expect("the model keeps sites within the address plan");
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, site, high, low)
}

fn in_site_ipv6(site: SiteId, number: u16) -> Ipv6Addr {
    let site = u16::try_from(site.0 + 1).expect("the model keeps sites within the address plan");
    Ipv6Addr::new(0xfd6c, 0x6800, site, 0, 0, 0, 0, number)
}

fn host_number(host: usize) -> u16 {
    u16::try_from(host + 1)
        .ok()
        .filter(|&number| number < GATEWAY)
        .expect("the model keeps hosts within the address plan")
}

/// 172.16.0.0/12 holds 2^19 pairs.
fn lane_offset(n: usize) -> u32 {
    u32::try_from(2 * n)
        .ok()
        .filter(|&offset| offset < 1 << 20)
        .expect("the model keeps lanes within the address plan")
}
