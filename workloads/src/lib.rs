//! Collectives, transports, external programs and the experiment runner.
//!
//! - [`collective`]: what a collective is: data types, operators, the schedules of its algorithms, its checked data. Pure.
//! - [`world`]: the ranks of a collective as processes, and the control connection to them.
//! - [`replay`]: traces of a training step's communication, replayed with native collectives.
//! - [`rank`]: what runs inside a rank's process.
//! - `transport`: how ranks move bytes: kernel TCP, and the message transport's sockets, of which [`SendingEnd`] and
//!   [`ReceivingEnd`] are there for other programs.
//! - [`congestion`]: congestion control of the message transport, one file per law. Pure.
//! - [`message`]: the message transport over UDP, without its sockets. Pure.
//! - [`program`]: other people's programs in the lab's hosts, and what their output says.
//! - [`experiment`]: topology × stacks × workload × sweep × repeats: the file format, the points, the runner.

pub mod collective;
pub mod congestion;
pub mod experiment;
pub mod message;
pub mod program;
pub mod rank;
pub mod replay;
mod transport;
pub mod world;

pub use transport::datagram::queue_pair::{QueuePairError, ReceivingEnd, SendingEnd};
