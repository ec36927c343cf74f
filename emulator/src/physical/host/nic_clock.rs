//! The clock by which a NIC stamps packets, compared with this machine's.
//!
//! It needs not be held to the system's: the kernel reads both at once (`PTP_SYS_OFFSET_EXTENDED` of include/uapi/linux/ptp_clock.h), the
//! system's before and after the NIC's. What is left is half of that reading, a microsecond or so, and what they drift apart until
//! the next.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::super::clock::{Comparison, Exchange};
use crate::hardware::stamping;
use crate::probe::clock;

/// How old a comparison may become: a microsecond of drift.
const FRESH: Duration = Duration::from_millis(10);

/// A NIC's clock.
pub(super) struct NicClock {
    /// `ptp0`.
    pub(super) name: String,
    device: File,
    comparison: Comparison,
    /// CLOCK_REALTIME.
    compared: Duration,
}

impl NicClock {
    /// The clock of `interface`, if its NIC stamps packets by it and this user may read it.
    pub(super) fn of(interface: &str) -> Option<Self> {
        if !stamping::stamping(interface).ok()?.is_for_probes() {
            return None;
        }
        let number = stamping::abilities(interface).ok()?.clock?;
        let name = format!("ptp{number}");
        let device = File::open(format!("/dev/{name}")).ok()?;
        let mut clock = Self {
            name,
            device,
            comparison: Comparison::default(),
            compared: Duration::ZERO,
        };
        clock.compare().ok()?;
        Some(clock)
    }

    /// Compares it with the system's, if that was not done a moment ago.
    pub(super) fn compare(&mut self) -> io::Result<()> {
        let now = clock();
        // It may have been set back meanwhile.
        if now.abs_diff(self.compared) < FRESH {
            return Ok(());
        }
        let compared = read(&self.device).and_then(|reading| exchange(&reading));
        let compared = compared.map_err(|error| {
            let message = format!("the clock {} cannot be read: {error}", self.name);
            io::Error::new(error.kind(), message)
        });
        self.comparison.add(compared?);
        self.compared = now;
        Ok(())
    }

    /// A moment of it in CLOCK_REALTIME.
    pub(super) fn in_real_time(&self, moment: Duration) -> Duration {
        let distance = self.comparison.distance(nanoseconds(clock()));
        let distance = distance.unwrap_or_default();
        Duration::from_nanos(distance.ours(nanoseconds(moment)))
    }
}

/// The system's clock before, the NIC's, the system's after.
type Reading = [libc::ptp_clock_time; 3];

fn read(device: &File) -> io::Result<Reading> {
    // SAFETY: zeros are such a structure: CLOCK_REALTIME, no reading yet.
    let mut readings: libc::ptp_sys_offset_extended = unsafe { std::mem::zeroed() };
    readings.n_samples = 1;
    // SAFETY: the kernel reads and fills in the structure, which outlives the call.
    let answer = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            libc::PTP_SYS_OFFSET_EXTENDED,
            &raw mut readings,
        )
    };
    match answer {
        0 => Ok(readings.ts[0]),
        _ => Err(io::Error::last_os_error()),
    }
}

fn exchange(reading: &Reading) -> io::Result<Exchange> {
    let moment = |at: &libc::ptp_clock_time| {
        let seconds = u64::try_from(at.sec).ok();
        seconds.map(|seconds| nanoseconds(Duration::new(seconds, at.nsec)))
    };
    let [Some(asked_ns), Some(told_ns), Some(heard_ns)] = reading.each_ref().map(moment) else {
        return Err(io::Error::other("a clock is before 1970"));
    };
    Ok(Exchange {
        asked_ns,
        told_ns,
        heard_ns,
    })
}

/// Of a time since 1970, as long as 64 bits hold it.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_no_nic_stamps_has_no_clock() {
        assert!(NicClock::of("lo").is_none() && NicClock::of("no-such-if").is_none());
    }

    #[test]
    fn what_is_no_clock_is_an_error() {
        assert!(read(&File::open("/dev/null").unwrap()).is_err());
    }

    #[test]
    fn a_moment_is_told_in_the_systems_time_whatever_the_nic_counts_from() {
        let at = |sec, nsec| libc::ptp_clock_time {
            sec,
            nsec,
            reserved: 0,
        };
        let now = clock();
        let seconds = now.as_secs().cast_signed();
        // As ptp4l leaves it (TAI, 37 s ahead), and one that counts from when it was switched on.
        for ahead in [37, 100 - seconds] {
            let reading = [
                at(seconds, 100),
                at(seconds + ahead, 600),
                at(seconds, 1_100),
            ];
            let mut clock = NicClock {
                name: "ptp7".to_owned(),
                device: File::open("/dev/null").unwrap(),
                comparison: Comparison::default(),
                compared: now,
            };
            clock.comparison.add(exchange(&reading).unwrap());
            let moment = Duration::new((seconds + ahead).cast_unsigned(), 2_600);
            let expected = Duration::new(seconds.cast_unsigned(), 2_600);
            assert_eq!(clock.in_real_time(moment), expected);
        }
        assert!(exchange(&[at(1, 0), at(-1, 0), at(1, 0)]).is_err());
    }
}
