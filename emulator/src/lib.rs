//! Labs: a topology brought up out of Linux network namespaces and emulated links.
//!
//! From the ground up:
//! - [`sandbox`]: the process tree a lab lives in: its own user (rootless), mount, network, PID namespaces,
//!   so that a lab dies with its processes.
//! - [`capability`]: what this kernel, user and machine can do; what `doctor` prints and `auto` decides by.
//! - [`plan`]: a topology as nodes, interfaces, addresses, routes and sysctls; pure.
//! - [`namespace`]: network + UTS namespaces held as file descriptors.
//! - [`wiring`]: the plan carried out over rtnetlink.
//! - [`engine`]: what a link engine is; [`netem`] is the kernel's, [`relay`] ours.
//! - `distribution`: the shapes of jitter, for both engines and for fidelity.
//! - [`hardware`]: NICs and switches as they are: found, set, put back, counted.
//! - [`inband`]: what the relay writes into packets that ask for it.
//! - [`tc`]: the netlink encoding of the qdiscs and filters in use.
//! - [`links`]: the links as they are now: the engine, what every channel is, who changed it.
//! - [`capture`]: the packets of lanes, in pcap files.
//! - [`lab`]: all of the above as one thing that comes up, runs programs in its hosts and goes down.
//! - [`schedule`]: what a topology says changes while a workload runs, carried out.
//! - [`keeper`]: a lab that stays up in the background: control socket, `exec`, `link`, `status`, `down`, `clean`.
//! - [`kernel`]: the kernel that virtual labs boot: found, or built once from the distribution's source.
//! - [`kernel_law`]: the `distance` law for kernel TCP, registered for a lab.
//! - [`metrics`]: what a lab tells monitoring systems: one model, for Prometheus and OpenTelemetry.
//! - [`physical`]: labs of machines that are there: reached by ssh and its like, measured instead of built.
//! - `pidfd`: processes as file descriptors. `process_group`: children that end with all they started.
//! - [`probe`]: UDP probes that measure one-way delay between two nodes on one clock.
//! - [`fidelity`]: every link held against its description.
//! - [`telemetry`]: periodic readings of links, queues and hosts.
//! - [`time`]: instants, as pure logic counts them; [`clocks`]: the machine's, for those who drive it.

pub mod capability;
pub mod capture;
pub mod clocks;
mod distribution;
pub mod engine;
pub mod fidelity;
pub mod guest;
pub mod hardware;
pub mod inband;
pub mod keeper;
pub mod kernel;
pub mod kernel_law;
pub mod lab;
pub mod links;
pub mod metrics;
pub mod namespace;
pub mod netem;
pub mod physical;
mod pidfd;
pub mod plan;
pub mod probe;
mod process_group;
pub mod relay;
pub mod sandbox;
pub mod schedule;
pub mod tc;
pub mod telemetry;
pub mod time;
pub mod wiring;
