//! Whole labs and runs through the binary, on this machine's kernel.

mod background;
mod endings;
#[path = "../host/mod.rs"]
mod host;
#[path = "../../../emulator/tests/support/pcap.rs"]
mod pcap;
mod programs;
mod runs;
mod support;
