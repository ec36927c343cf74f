//! The plugin as NCCL uses it, and the two processes that use it.

#![allow(dead_code, reason = "the test and the benchmark use what they need")]

pub mod nccl;
pub mod place;
