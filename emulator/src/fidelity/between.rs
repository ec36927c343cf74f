//! Two network namespaces that somebody else made: found by name, path or process, and their addresses.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use futures::TryStreamExt;
use longhaul_topologies::model::{Channel, Direction, Lane};
use longhaul_topologies::way_on;
use netlink_packet_route::address::{AddressAttribute, AddressScope};

use super::quantity::Quantity;
use super::subject::{EVERYTHING, Expected, Shaper, Subject};
use crate::namespace;
use crate::probe::End;

/// Where `ip netns` keeps names.
const NAMES: &str = "/run/netns";

/// A network namespace.
#[derive(Debug)]
pub struct Place {
    /// As the user wrote it.
    pub name: String,
    net: File,
}

/// Why two namespaces cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum BetweenError {
    /// There is no such namespace.
    #[error("cannot open the network namespace {name}: {}: {source}", path.display())]
    Open {
        /// As the user wrote it.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// There is a file, and it is something else.
    #[error("{name}: this is no network namespace")]
    Other {
        /// As the user wrote it.
        name: String,
    },
    /// It cannot be entered.
    #[error("cannot enter the network namespace {name}: {source}")]
    Enter {
        /// As the user wrote it.
        name: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// They have no addresses to measure between.
    #[error(
        "{a} and {b} have no addresses in one subnet, nor a global one of the same family each"
    )]
    NoAddresses {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// There is nothing between the two.
    #[error("{a} and {b} are one network namespace")]
    Same {
        /// One.
        a: String,
        /// The same.
        b: String,
    },
    /// One has not the address that was asked for.
    #[error("{name} has no address {address}; it has {known}")]
    NoAddress {
        /// As the user wrote it.
        name: String,
        /// What was asked for.
        address: IpAddr,
        /// What there is.
        known: String,
    },
}

impl BetweenError {
    /// The way out, where what the user wrote is wrong.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Open { name, .. } | Self::Other { name } => Some(names_there_are(name)),
            Self::NoAddresses { .. } => {
                Some("give both an address, or say which to take with --address A B".to_owned())
            }
            Self::Same { .. } => Some("name the two ends of a way".to_owned()),
            Self::Enter { .. } | Self::NoAddress { .. } => None,
        }
    }
}

/// What to write in place of `wrong`.
fn names_there_are(wrong: &str) -> String {
    const FORMS: &str =
        "a name that `ip netns` shows, the path of a namespace's file, or a process id";
    let entries = fs::read_dir(NAMES).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    match names.is_empty() {
        true => format!("write {FORMS}"),
        false => format!(
            "{}; write {FORMS}",
            way_on(wrong, names.iter().map(String::as_str))
        ),
    }
}

/// What is asked of the way between two namespaces.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Each way.
    pub lane: Lane,
    /// The quantities that it was said for, each way.
    pub judged: [BTreeSet<Quantity>; 2],
}

impl Asked {
    /// Nothing: whatever there is is told.
    pub fn nothing() -> Self {
        let any = Channel::of_delay(Duration::ZERO);
        Asked {
            lane: Lane {
                forward: any.clone(),
                reverse: any,
            },
            judged: [BTreeSet::new(), BTreeSet::new()],
        }
    }

    /// All quantities there are.
    pub fn everything() -> BTreeSet<Quantity> {
        EVERYTHING.into_iter().collect()
    }
}

impl Place {
    /// `what` is a name in /run/netns, else the path of a namespace's file, else a process.
    ///
    /// # Errors
    /// If there is no such namespace.
    pub fn open(what: &str) -> Result<Self, BetweenError> {
        let named = PathBuf::from(NAMES).join(what);
        let path = if what.contains('/') {
            PathBuf::from(what)
        } else if what.parse::<u32>().is_ok() && !named.exists() {
            PathBuf::from(format!("/proc/{what}/ns/net"))
        } else {
            named
        };
        // A pipe that nobody writes to is no reason to wait: it is no namespace either.
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(libc::O_NONBLOCK);
        opened
            .open(&path)
            .map(|net| Place {
                name: what.to_owned(),
                net,
            })
            .map_err(|source| BetweenError::Open {
                name: what.to_owned(),
                path,
                source,
            })
    }

    /// Whether `other` is the same namespace.
    fn is(&self, other: &Self) -> bool {
        let id = |place: &Self| {
            let file = place.net.metadata();
            file.map(|file| (file.dev(), file.ino())).ok()
        };
        id(self) == id(other)
    }

    /// Its addresses, loopback left out, with the length of their prefixes.
    fn addresses(&self) -> Result<Vec<(IpAddr, u8)>, BetweenError> {
        let list = || -> io::Result<Vec<(IpAddr, u8)>> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()?;
            runtime.block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection()?;
                tokio::spawn(connection);
                let messages = handle
                    .address()
                    .get()
                    .execute()
                    .try_collect::<Vec<_>>()
                    .await;
                let messages = messages.map_err(io::Error::other)?;
                let own = messages.into_iter().filter_map(|message| {
                    if message.header.scope == AddressScope::Host {
                        return None;
                    }
                    // `Local` is the interface's own where a peer has the other.
                    let find = |local: bool| {
                        message
                            .attributes
                            .iter()
                            .find_map(|attribute| match attribute {
                                AddressAttribute::Local(address) if local => Some(*address),
                                AddressAttribute::Address(address) if !local => Some(*address),
                                _ => None,
                            })
                    };
                    Some((
                        find(true).or_else(|| find(false))?,
                        message.header.prefix_len,
                    ))
                });
                Ok(own.collect())
            })
        };
        let name = || self.name.clone();
        let entered = namespace::run_in(self.net.as_fd(), list);
        // As setns(2) says of other files.
        if let Err(error) = &entered
            && error.raw_os_error() == Some(libc::EINVAL)
        {
            return Err(BetweenError::Other { name: name() });
        }
        entered
            .and_then(|list| list)
            .map_err(|source| BetweenError::Enter {
                name: name(),
                source,
            })
    }

    /// Refuses an `address` that is not one of `own`.
    fn check(&self, own: &[(IpAddr, u8)], address: IpAddr) -> Result<(), BetweenError> {
        let usable = own.iter().map(|(own, _)| own).filter(|own| is_usable(own));
        if usable.clone().any(|own| *own == address) {
            return Ok(());
        }
        let known: Vec<String> = usable.map(ToString::to_string).collect();
        Err(BetweenError::NoAddress {
            name: self.name.clone(),
            address,
            known: match known.is_empty() {
                true => "none to measure from".to_owned(),
                false => known.join(", "),
            },
        })
    }
}

/// The addresses to measure between: those `wanted`, of `a` and of `b`; else such that they reach each other by: in one subnet if there
/// is one, IPv4 before IPv6.
///
/// # Errors
/// If one cannot be entered, or they have no such addresses.
pub fn addresses(
    [a, b]: [&Place; 2],
    wanted: Option<[IpAddr; 2]>,
) -> Result<[IpAddr; 2], BetweenError> {
    let (of_a, of_b) = (a.addresses()?, b.addresses()?);
    let [a_name, b_name] = [a, b].map(|place| place.name.clone());
    if a.is(b) {
        return Err(BetweenError::Same {
            a: a_name,
            b: b_name,
        });
    }
    if let Some([at_a, at_b]) = wanted {
        a.check(&of_a, at_a)?;
        b.check(&of_b, at_b)?;
        return Ok([at_a, at_b]);
    }
    pair(&of_a, &of_b).ok_or(BetweenError::NoAddresses {
        a: a_name,
        b: b_name,
    })
}

/// Both ways between `a` and `b`.
pub fn subjects<'a>(
    [a, b]: [&'a Place; 2],
    [at_a, at_b]: [IpAddr; 2],
    asked: &Asked,
    mtu: u32,
) -> Vec<Subject<'a>> {
    let end = |place: &'a Place, address| End {
        name: &place.name,
        net: place.net.as_fd(),
        address,
    };
    let ends = [end(a, at_a), end(b, at_b)];
    let way =
        |direction: Direction, [from, to]: [End<'a>; 2], judged: &BTreeSet<Quantity>| Subject {
            from,
            to,
            expected: Expected {
                name: format!("{}>{}", from.name, to.name),
                channel: asked.lane.channel(direction).clone(),
                judged: judged.clone(),
                mtu,
                // Whatever shapes it, it is most likely a token bucket.
                shaper: Shaper::TokenBucket,
            },
        };
    let [forward, reverse] = &asked.judged;
    vec![
        way(Direction::Forward, ends, forward),
        way(Direction::Reverse, [ends[1], ends[0]], reverse),
    ]
}

fn pair(of_a: &[(IpAddr, u8)], of_b: &[(IpAddr, u8)]) -> Option<[IpAddr; 2]> {
    let pairs = || {
        of_a.iter()
            .flat_map(|a| of_b.iter().map(move |b| (*a, *b)))
            .filter(|((a, _), (b, _))| a.is_ipv4() == b.is_ipv4() && a != b)
    };
    let by_family = |pairs: Vec<[IpAddr; 2]>| {
        let ipv4 = pairs.iter().find(|[a, _]| a.is_ipv4()).copied();
        ipv4.or_else(|| pairs.first().copied())
    };
    let near = pairs().filter(|((a, length), (b, _))| subnet(*a, *length) == subnet(*b, *length));
    let near = near
        .map(|((a, _), (b, _))| [a, b])
        .filter(|[a, _]| is_usable(a));
    by_family(near.collect()).or_else(|| {
        let far = pairs().map(|((a, _), (b, _))| [a, b]);
        by_family(far.filter(|[a, b]| is_usable(a) && is_usable(b)).collect())
    })
}

/// A link-local address says nothing without its interface.
fn is_usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    }
}

/// The first `length` bits.
fn subnet(address: IpAddr, length: u8) -> u128 {
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    bits.checked_shr(width - u32::from(length).min(width))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[(&str, u8)]) -> Vec<(IpAddr, u8)> {
        texts
            .iter()
            .map(|(text, length)| (text.parse().unwrap(), *length))
            .collect()
    }

    fn chosen(a: &[(&str, u8)], b: &[(&str, u8)]) -> Option<[String; 2]> {
        pair(&list(a), &list(b)).map(|pair| pair.map(|address| address.to_string()))
    }

    #[test]
    fn addresses_of_one_subnet_come_first_and_ipv4_before_ipv6() {
        let a = [("10.1.0.1", 16), ("fd00::1", 64), ("192.168.7.1", 30)];
        let b = [("10.2.0.1", 16), ("fd00::2", 64), ("192.168.7.2", 30)];
        assert_eq!(chosen(&a, &b).unwrap(), ["192.168.7.1", "192.168.7.2"]);
        assert_eq!(chosen(&a[..2], &b[..2]).unwrap(), ["fd00::1", "fd00::2"]);
        assert_eq!(chosen(&a[..1], &b[..1]).unwrap(), ["10.1.0.1", "10.2.0.1"]);
    }

    #[test]
    fn addresses_that_hold_on_one_link_only_are_not_taken() {
        let link_local = [("fe80::1", 64)];
        assert_eq!(chosen(&link_local, &[("fe80::2", 64)]), None);
        assert_eq!(chosen(&[("10.0.0.1", 24)], &[("fd00::1", 64)]), None);
    }

    #[test]
    fn what_does_not_exist_is_named_with_where_it_was_looked_for() {
        let error = Place::open("no-such-namespace").unwrap_err().to_string();
        assert!(error.contains("/run/netns/no-such-namespace"), "{error}");
    }
}
