//! Typed quantities, read and written as `tc` writes them (`man tc`, section UNITS).
//!
//! Every type parses with [`FromStr`](std::str::FromStr), prints with [`Display`](std::fmt::Display) in a form
//! that parses back to the same value, and (de)serialises as that string. Units are read in any case, as `tc`
//! reads them. `mbps` is not read, as it is mega*bytes* per second there; and `K`, `KB` and `KiB` are all 1024 bytes.

mod number;
mod probability;
mod queue;
mod rate;
pub(crate) mod serial;
mod size;
mod time;

pub use probability::Probability;
pub use queue::QueueSize;
pub use rate::Rate;
pub use size::ByteSize;
pub use time::TimeSpan;

/// Why a text is not the quantity that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// There is nothing to read.
    #[error("an empty text is not {what}: write for example `{example}`")]
    Empty {
        /// What was asked for, with its article.
        what: &'static str,
        /// A text that would do.
        example: &'static str,
    },
    /// The text does not begin with a decimal number.
    #[error("`{text}` is not {what}: write a decimal number and a unit, for example `{example}`")]
    NotANumber {
        /// What was read.
        text: String,
        /// What was asked for, with its article.
        what: &'static str,
        /// A text that would do.
        example: &'static str,
    },
    /// The number stands alone where its unit could be any of several.
    #[error("`{text}` does not say its unit: write {write}")]
    NoUnit {
        /// What was read.
        text: String,
        /// What it could have meant, as it should be written.
        write: String,
    },
    /// The unit is not one of this quantity's.
    #[error("`{unit}` in `{text}` is not a unit of {what}: use {units}")]
    UnknownUnit {
        /// What was read.
        text: String,
        /// The part after the number.
        unit: String,
        /// The quantity.
        what: &'static str,
        /// The units there are.
        units: &'static str,
    },
    /// Below zero.
    #[error("`{text}` is negative: {what} cannot be")]
    Negative {
        /// What was read.
        text: String,
        /// What was asked for, with its article.
        what: &'static str,
    },
    /// Zero, or so little that it rounds to zero, where that has no meaning.
    #[error("`{text}` is zero: {way_out}")]
    Zero {
        /// What was read.
        text: String,
        /// What to write instead.
        way_out: &'static str,
    },
    /// More than the type holds.
    #[error("`{text}` is too large: at most {most}")]
    TooLarge {
        /// What was read.
        text: String,
        /// The largest value.
        most: &'static str,
    },
}
