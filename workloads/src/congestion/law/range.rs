//! What the numbers of laws may be. Outside of it a law never sends or never grows, and its run would end as if the network were at
//! fault.

use std::ops::RangeInclusive;

use super::Law;

impl Law {
    /// Whether its numbers are in their ranges; if not, which is not, and what it may be.
    pub(super) fn check(&self) -> Result<(), String> {
        let numbers = match self {
            // It would look for its least round trip all the time, with four packets in flight.
            Law::Bbr(law) if law.rtt_window.duration() <= law.probe_rtt.duration() => {
                return Err(format!(
                    "`rtt_window` is {}, and must be longer than `probe_rtt`, {}",
                    law.rtt_window, law.probe_rtt
                ));
            }
            Law::Bbr(law) => vec![
                ("high_gain", law.high_gain, 1.0..=10.0),
                ("window_gain", law.window_gain, 1.0..=10.0),
                // What the rate loses by more in each round, the cycle's gain of 5/4 does not bring back.
                ("pacing_margin", law.pacing_margin, 0.0..=20.0),
            ],
            Law::Cubic(law) => vec![("c", law.c, 0.0..=1000.0)],
            Law::Gemini(law) => vec![
                ("h", law.h, 0.0..=1.0),
                ("least_increase", law.least_increase, 0.0..=1000.0),
                (
                    "most_increase",
                    law.most_increase,
                    law.least_increase..=1000.0,
                ),
            ],
            // It divides by it.
            Law::Hpcc(law) => vec![("eta", law.eta.get(), 0.01..=1.0)],
            Law::Swift(law) => vec![
                ("flow_scaling_least", law.flow_scaling_least, 0.001..=1e6),
                (
                    "flow_scaling_most",
                    law.flow_scaling_most,
                    law.flow_scaling_least..=1e6,
                ),
                ("additive", law.additive, 0.0..=1000.0),
            ],
            // From a rate of nothing no probe comes back to raise it.
            Law::DocaRtt(law) => vec![("min_rate", law.min_rate.get(), 1e-6..=1.0)],
            Law::Distance(_)
            | Law::Dcqcn(_)
            | Law::Dctcp(_)
            | Law::Timely(_)
            | Law::Uno(_)
            | Law::FixedWindow(_) => Vec::new(),
        };
        let outside =
            |(_, number, range): &(&str, f64, RangeInclusive<f64>)| !range.contains(number);
        match numbers.into_iter().find(outside) {
            Some((field, number, range)) => Err(format!(
                "`{field}` is {number}, and may be {} to {}",
                range.start(),
                range.end()
            )),
            None => Ok(()),
        }
    }
}
