//! The parameters of a ConnectX's congestion control: their names, units and ranges.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Nic;
use crate::document::{Document, DocumentPath, InputError};
use crate::units::{Rate, TimeSpan, UnitError};

/// What a parameter's number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Microseconds,
    /// Megabits a second; 0 where that means the line's rate.
    Megabits,
    /// Bytes.
    Bytes,
    /// Percent.
    Percent,
    /// 1024ths.
    Fraction,
    /// Nothing but itself.
    Plain,
}

/// Each line: the kernel's name of the file, the unit, the least and the most, and what it is.
macro_rules! table {
    ($($variant:ident: $name:literal, $unit:expr, $least:literal..=$most:expr, $meaning:literal;)+) => {
        /// A parameter of the congestion control. The names are those of the files in
        /// `/sys/kernel/debug/mlx5/PCI/cc_params` (Linux, drivers/infiniband/hw/mlx5/cong.c): `rp_` is of the sender, which reacts,
        /// `np_` of the receiver, which notifies.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum Parameter {
            $(
                #[doc = $meaning]
                #[serde(rename = $name)]
                $variant,
            )+
        }

        impl Parameter {
            /// All of them, in the kernel's order.
            pub const ALL: &[Parameter] = &[$(Parameter::$variant),+];

            /// The kernel's name.
            pub fn name(self) -> &'static str {
                match self { $(Parameter::$variant => $name,)+ }
            }

            /// What its number counts.
            pub fn unit(self) -> Unit {
                match self { $(Parameter::$variant => $unit,)+ }
            }

            pub(super) fn range(self) -> std::ops::RangeInclusive<u32> {
                match self { $(Parameter::$variant => $least..=$most,)+ }
            }
        }
    };
}

use Unit::{Bytes, Fraction, Megabits, Microseconds, Percent, Plain};

// Units: struct ieee_qcn in the kernel's uapi/linux/dcbnl.h for the names that 802.1Qau has, too; NVIDIA's "DCQCN CC Parameters" (DOCA
// documentation) for the others and for the ranges that it gives. All else is as wide as the register: 32 bits, or what
// mlx5_ifc_cong_control_r_roce_ecn_{rp,np}_bits and ..._general_bits (linux/mlx5/mlx5_ifc.h) say.
table! {
    ClampTargetRate: "rp_clamp_tgt_rate", Plain, 0..=1, "Whether every decrease lowers the target rate, too";
    ClampTargetRateAfterIncrease: "rp_clamp_tgt_rate_ati", Plain, 0..=1, "Whether a decrease after an increase by time lowers the target rate";
    TimeReset: "rp_time_reset", Microseconds, 0..=u32::MAX, "Time between increases while no CNP comes";
    ByteReset: "rp_byte_reset", Bytes, 0..=u32::MAX, "Bytes between increases while no CNP comes; 0 for none";
    Threshold: "rp_threshold", Plain, 0..=u32::MAX, "Increases of a kind before the next kind begins";
    AdditiveRate: "rp_ai_rate", Megabits, 0..=u32::MAX, "By how much the target rate grows in additive increase";
    MaxRate: "rp_max_rate", Megabits, 0..=u32::MAX, "The highest rate; 0 for the line's";
    HyperRate: "rp_hai_rate", Megabits, 0..=u32::MAX, "By how much the target rate grows in hyper increase";
    MinDecrease: "rp_min_dec_fac", Percent, 0..=100, "What is left of the rate after one decrease, at least";
    MinRate: "rp_min_rate", Megabits, 1..=u32::MAX, "The lowest rate";
    RateOnFirstCnp: "rp_rate_to_set_on_first_cnp", Megabits, 0..=u32::MAX, "The rate after a flow's first CNP; 0 for the line's";
    Gain: "rp_dce_tcp_g", Fraction, 0..=1023, "How slowly alpha follows the CNPs";
    AlphaPeriod: "rp_dce_tcp_rtt", Microseconds, 1..=131_071, "Time between updates of alpha";
    ReducePeriod: "rp_rate_reduce_monitor_period", Microseconds, 1..=u32::MAX, "Time between decreases of a flow, at least";
    InitialAlpha: "rp_initial_alpha_value", Fraction, 1..=1023, "Alpha at a flow's first CNP";
    RateShift: "rp_gd", Plain, 10..=11, "How strongly alpha lowers the rate, as a logarithm";
    CnpInterval: "np_min_time_between_cnps", Microseconds, 0..=u32::MAX, "Time between CNPs to a flow, at least";
    CnpDscp: "np_cnp_dscp", Plain, 0..=63, "The DSCP of CNPs";
    CnpPriorityMode: "np_cnp_prio_mode", Plain, 0..=1, "0: CNPs have np_cnp_prio; 1: the priority of their flow";
    CnpPriority: "np_cnp_prio", Plain, 0..=7, "The 802.1p priority of CNPs";
    RttDscpValid: "rtt_resp_dscp_valid", Plain, 0..=1, "Whether answers to RTT probes have rtt_resp_dscp";
    RttDscp: "rtt_resp_dscp", Plain, 0..=63, "The DSCP of answers to RTT probes";
}

impl Parameter {
    /// The register's value of what `text` says.
    ///
    /// # Errors
    /// What is wrong with it and what would be right.
    pub fn read(self, text: &str) -> Result<u32, String> {
        // No unit could make a difference to nothing.
        let number = match (self.unit(), text) {
            (_, "0") => 0,
            (Microseconds, _) => {
                let time: TimeSpan = text.parse().map_err(|error: UnitError| error.to_string())?;
                whole(time.duration().as_nanos(), 1_000, text, "microseconds")?
            }
            (Megabits, _) => {
                let rate: Rate = text.parse().map_err(|error: UnitError| error.to_string())?;
                let bits = u128::from(rate.bits_per_second());
                whole(bits, 1_000_000, text, "Mbit")?
            }
            (Percent, _) => {
                let number = text.strip_suffix('%').unwrap_or(text).trim_end();
                number
                    .parse()
                    .map_err(|_| format!("`{text}` is not a whole number of percent"))?
            }
            (Bytes | Fraction | Plain, _) => text
                .parse()
                .map_err(|_| format!("`{text}` is not a whole number"))?,
        };
        let (least, most) = self.range().into_inner();
        u32::try_from(number)
            .ok()
            .filter(|number| self.range().contains(number))
            .ok_or_else(|| {
                format!(
                    "{text} is outside what {} takes: {} to {}",
                    self.name(),
                    self.show(least),
                    self.show(most)
                )
            })
    }

    /// A register's value with its unit, as [`read`](Self::read) takes it.
    pub fn show(self, number: u32) -> String {
        match self.unit() {
            Microseconds => TimeSpan::from(Duration::from_micros(number.into())).to_string(),
            Megabits if number > 0 => {
                Rate::from_bits_per_second(u64::from(number) * 1_000_000).to_string()
            }
            Megabits => "0".to_owned(),
            Percent => format!("{number}%"),
            Bytes | Fraction | Plain => number.to_string(),
        }
    }

    /// The other parameter that the driver writes whenever it writes this one, and to what: both lie in one field of the register
    /// (mlx5_ib_set_cc_param_mask_val in cong.c).
    pub fn written_with(self) -> Option<(Parameter, u32)> {
        match self {
            Parameter::CnpPriority => Some((Parameter::CnpPriorityMode, 0)),
            Parameter::CnpPriorityMode => Some((Parameter::CnpPriority, 0)),
            Parameter::RttDscp => Some((Parameter::RttDscpValid, 1)),
            Parameter::RttDscpValid => Some((Parameter::RttDscp, 0)),
            _ => None,
        }
    }
}

fn whole(number: u128, unit: u128, text: &str, name: &str) -> Result<u64, String> {
    if !number.is_multiple_of(unit) {
        return Err(format!("`{text}` is not a whole number of {name}"));
    }
    u64::try_from(number / unit).map_err(|_| format!("`{text}` is too large"))
}

/// Every parameter of `nic`, and that none undoes another.
pub(super) fn check(
    document: &Document,
    nic_path: &DocumentPath,
    nic: &Nic,
) -> Result<(), InputError> {
    let path = nic_path.key("congestion");
    for (parameter, quantity) in &nic.congestion {
        let here = path.key(parameter.name());
        parameter
            .read(quantity.as_str())
            .map_err(|message| document.error(&here, message))?;
        let other = parameter.written_with().map(|(other, _)| other);
        if let Some(other) = other.filter(|other| nic.congestion.contains_key(other)) {
            let message = format!(
                "{} and {} cannot both be set",
                parameter.name(),
                other.name()
            );
            return Err(document.error(&here, message).with_help(
                "the driver writes both at once and switches on the one that is meant: name that one",
            ));
        }
    }
    Ok(())
}
