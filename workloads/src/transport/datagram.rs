//! The message transport's driver: queue pairs over UDP sockets, on the rank's own thread.
//!
//! - `socket`: one UDP port; batches by segmentation offload both ways, ECN both ways, no fragments.
//! - `endpoint`: a rank's queue pairs and its sockets, one per path.
//! - `packets`: what passes between the two.
//! - `batch`: what a sending end lets go in one turn, as the kernel takes it.
//! - `clock`: the time, and when packets came by it.
//! - `inbox`: messages of one peer as they come.
//! - `port`: the interface that all queue pairs share.
//! - `exchange`: one rank's program carried out over them.
//! - `queue_pair`: one queue pair by itself, for other programs.

mod batch;
pub(crate) mod clock;
pub(crate) mod endpoint;
pub(crate) mod exchange;
mod inbox;
mod packets;
mod port;
pub(crate) mod queue_pair;
mod socket;
