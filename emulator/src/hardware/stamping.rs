//! Which packets an interface's NIC stamps by its clock, and which it could: what `hwstamp_ctl` and `ethtool -T` show, by the ioctls that
//! they use (Documentation/networking/timestamping.rst).

use std::fmt;
use std::io;
use std::str::FromStr;

use longhaul_topologies::hardware::Timestamps;

use super::ethtool::{self, ask};

/// ETHTOOL_GET_TS_INFO of include/uapi/linux/ethtool.h.
const GET_ABILITIES: u32 = 0x41;

/// What the kernel numbers from 0 (`enum hwtstamp_tx_types` and `enum hwtstamp_rx_filters` of include/uapi/linux/net_tstamp.h), by
/// ethtool's names (net/ethtool/common.c).
const TRANSMITTED: [&str; 4] = ["off", "on", "onestep-sync", "onestep-p2p"];
const RECEIVED: [&str; 16] = [
    "none",
    "all",
    "some",
    "ptpv1-l4-event",
    "ptpv1-l4-sync",
    "ptpv1-l4-delay-req",
    "ptpv2-l4-event",
    "ptpv2-l4-sync",
    "ptpv2-l4-delay-req",
    "ptpv2-l2-event",
    "ptpv2-l2-sync",
    "ptpv2-l2-delay-req",
    "ptpv2-event",
    "ptpv2-sync",
    "ptpv2-delay-req",
    "ntp-all",
];

/// Which packets a NIC stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamping {
    /// Of those it sends, as the kernel numbers it.
    transmitted: u8,
    /// Of those it receives.
    received: u8,
}

impl From<Timestamps> for Stamping {
    fn from(which: Timestamps) -> Self {
        let (transmitted, received) = match which {
            Timestamps::None => (0, 0),
            Timestamps::Sent => (1, 0),
            Timestamps::All => (1, 1),
        };
        Stamping {
            transmitted,
            received,
        }
    }
}

impl Stamping {
    /// Whether it stamps what any program sends. Not where of what it receives it stamps messages of PTP alone: such NICs have room for
    /// the stamp of one packet at a time, and that is for who keeps clocks by it.
    pub(crate) fn is_for_probes(self) -> bool {
        [Timestamps::Sent, Timestamps::All]
            .map(Self::from)
            .contains(&self)
    }
}

/// `on all`.
impl fmt::Display for Stamping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |names: &[&'static str], number| names[usize::from(number)];
        let (transmitted, received) = (self.transmitted, self.received);
        let sent = name(&TRANSMITTED, transmitted);
        write!(f, "{sent} {}", name(&RECEIVED, received))
    }
}

impl FromStr for Stamping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |names: &[&str], word: &str| {
            let number = names.iter().position(|name| *name == word);
            number.and_then(|number| u8::try_from(number).ok())
        };
        let words = text.split_once(' ').and_then(|(sent, received)| {
            Some(Stamping {
                transmitted: number(&TRANSMITTED, sent)?,
                received: number(&RECEIVED, received)?,
            })
        });
        words.ok_or_else(|| format!("`{text}` does not say which packets are stamped"))
    }
}

/// Which packets the NIC of `interface` stamps.
///
/// # Errors
/// `Unsupported` if its driver does not tell; or if there is no such interface.
pub(crate) fn stamping(interface: &str) -> io::Result<Stamping> {
    let mut config = config(Stamping::from(Timestamps::None));
    ask(interface, libc::SIOCGHWTSTAMP, &mut config)?;
    let [_, transmitted, received] = config;
    let known = |number: u32, names: &[&str]| {
        let number = u8::try_from(number).ok();
        number.filter(|number| usize::from(*number) < names.len())
    };
    let stamping = known(transmitted, &TRANSMITTED)
        .zip(known(received, &RECEIVED))
        .map(|(transmitted, received)| Stamping {
            transmitted,
            received,
        });
    stamping.ok_or_else(|| {
        io::Error::other(format!(
            "it stamps by rules that longhaul does not know ({transmitted}, {received})"
        ))
    })
}

/// Sets which packets the NIC of `interface` stamps, for all programs.
///
/// # Errors
/// As [`stamping`]; if the NIC cannot, or this user may not.
pub(super) fn set(interface: &str, stamping: Stamping) -> io::Result<()> {
    ask(interface, libc::SIOCSHWTSTAMP, &mut config(stamping))
}

/// A `struct hwtstamp_config`: no flags, and what is to be stamped.
fn config(stamping: Stamping) -> [u32; 3] {
    [0, stamping.transmitted.into(), stamping.received.into()]
}

/// What a NIC could stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// The number of its clock: 0 of `ptp0`.
    pub(crate) clock: Option<u32>,
    /// A bit for each way, by the kernel's numbers.
    transmitted: u32,
    received: u32,
}

impl Abilities {
    pub(super) fn allow(self, stamping: Stamping) -> bool {
        let has = |all: u32, one: u8| one == 0 || all & 1 << one != 0;
        has(self.transmitted, stamping.transmitted) && has(self.received, stamping.received)
    }
}

/// What the NIC of `interface` could stamp.
///
/// # Errors
/// If there is no such interface.
pub(crate) fn abilities(interface: &str) -> io::Result<Abilities> {
    // struct ethtool_ts_info: command, kinds of stamps, the clock's number, ways to send, three of nothing, ways to receive, three of nothing.
    let mut info = [0_u32; 11];
    info[0] = GET_ABILITIES;
    ask(interface, ethtool::IOCTL, &mut info)?;
    Ok(Abilities {
        // −1 for none.
        clock: u32::try_from(info[2].cast_signed()).ok(),
        transmitted: info[3],
        received: info[7],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_of_it_says_the_same(transmitted in 0_u8..4, received in 0_u8..16) {
            let stamping = Stamping { transmitted, received };
            prop_assert_eq!(stamping.to_string().parse(), Ok(stamping));
        }
    }

    #[test]
    fn names_are_ethtools() {
        assert_eq!(Stamping::from(Timestamps::All).to_string(), "on all");
        assert_eq!(Stamping::from(Timestamps::Sent).to_string(), "on none");
        assert_eq!(Stamping::from(Timestamps::None).to_string(), "off none");
        for wrong in ["", "on", "on all of them", "all on"] {
            assert!(wrong.parse::<Stamping>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_nic_that_stamps_ptp_alone_cannot_stamp_all() {
        let ptp = Abilities {
            clock: Some(0),
            transmitted: 0b11,
            received: 1 << 12 | 1,
        };
        assert!(!ptp.allow(Timestamps::All.into()));
        assert!(ptp.allow(Timestamps::Sent.into()) && ptp.allow(Timestamps::None.into()));
        let all = Abilities {
            received: 0b11,
            ..ptp
        };
        assert!(all.allow(Timestamps::All.into()));
    }

    #[test]
    fn probes_are_stamped_where_all_packets_are_and_no_clock_is_kept_by_few() {
        let is = |text: &str| text.parse::<Stamping>().unwrap().is_for_probes();
        assert!(is("on all") && is("on none"));
        assert!(!is("off none") && !is("off all"));
        assert!(!is("on ptpv2-event") && !is("onestep-sync ptpv2-event"));
    }

    /// A loopback has the kernel's stamps alone.
    #[test]
    fn an_interface_without_a_clock_has_no_abilities_and_one_that_is_not_there_is_an_error() {
        let abilities = abilities("lo").unwrap();
        assert_eq!(abilities.clock, None);
        assert!(!abilities.allow(Timestamps::All.into()));
        assert!(stamping("lo").is_err() && set("lo", Timestamps::All.into()).is_err());
        for error in [
            stamping("no-such-if").unwrap_err(),
            super::abilities("no-such-if").unwrap_err(),
        ] {
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        }
    }
}
