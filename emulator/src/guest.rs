//! A lab's own kernel in virtual time: one command of longhaul run inside User-mode Linux, as an ordinary process and
//! without root.
//!
//! ```text
//! longhaul run --lab virtual          the host side: boots the kernel, lets its time pass, shows what it prints
//! └─ linux  mem=… time-travel=ext:…   the lab kernel; computing takes no time in it
//!    └─ longhaul __guest              its init: mounts the few folders that it is given, sets the host's name and limits
//!       └─ longhaul run …             the same command, which finds a machine with one CPU, all qdiscs and exact timers
//! ```
//! The clock of such a kernel moves only when all its processes sleep, and then to the next timer: `clock` is its
//! controller. What the guest prints goes through files, which it writes as it goes: nothing that it does waits for the
//! host, and nothing that the host does reaches it, so what it does depends on the job, the seed and the binaries alone.
//!
//! A guest may stay instead, for a lab that is `up`: then its init serves *sessions*, one for each command that enters it,
//! and its time stands still while there is none.
//!
//! - `job`: what both sides know.
//! - `boot`: the kernel as a process.
//! - `bond`: the folder that both share, watched.
//! - `watch`: what the guest prints, how its time passes, and how it ends. `notice`: what it told last of its lab.
//! - [`init`]: the inside.
//! - `session`: what both sides know of a session. `reception`: where it is handed in. `door`: how it gets inside, which is also
//!   when time passes. `agent`: the inside.
//! - `tend`: a guest that stays, looked after.
//! - `memory`: how much a guest needs, and where it can lie.

mod agent;
mod bond;
mod boot;
mod clock;
mod cpu;
mod door;
mod error;
pub mod init;
mod job;
mod memory;
mod notice;
mod reception;
mod root;
mod session;
mod spinning;
mod tend;
mod watch;

pub use boot::Guest;
pub use error::GuestError;
pub use job::{GuestSpec, Mount};
pub use memory::GuestMemory;
pub use notice::Notice;
pub use reception::{CREDIT, Caller, NotNow, PIECE, Reception, SessionId, Told};
pub use session::{Pace, SessionSpec, Window};
pub use tend::Tended;
pub use watch::{Ended, Interrupts, Passed, Stream, Witness};
