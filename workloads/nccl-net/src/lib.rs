//! A network plugin for NCCL: what its ranks send between hosts goes over longhaul's message transport, or over kernel TCP.
//!
//! NCCL loads the library `libnccl-net-longhaul.so` if `NCCL_NET_PLUGIN=longhaul` is set, looks in it for one of the symbols
//! `ncclNetPlugin_v12` … `ncclNetPlugin_v6`, and calls the functions of that table. How to use it: `docs/nccl-plugin.md`.
//!
//! - [`abi`]: the tables, one file per version, and the functions in them. The only place where NCCL's pointers are used as such.
//! - `plugin`: what those functions do, told without pointers.
//! - `settings`: the environment's variables.
//! - `choice`, `device`: which interfaces are used, and what NCCL is told of them.
//! - `handle`, `listen`, `meeting`, `greeting`: how two ends find each other and agree on a transport.
//! - `comm`: a communicator: one peer, one way, one thread. `request`: what is under way on it.
//! - `carrier`: how bytes are moved: by queue pairs, or by TCP.
//! - `log`, `error`: what NCCL is told when something is wrong.

pub mod abi;
mod carrier;
mod choice;
mod comm;
mod device;
mod error;
mod greeting;
mod handle;
mod listen;
mod log;
mod meeting;
mod plugin;
mod request;
mod settings;
