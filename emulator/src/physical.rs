//! Labs of machines that are there.

pub mod clock;
