//! The controller of a guest's clock: the other end of `time-travel=ext:` (include/uapi/linux/um_timetravel.h and
//! arch/um/kernel/time.c).
//!
//! A kernel that has nothing to do until some time asks for that time and waits; the controller lets it run from there,
//! and on by itself for a stretch ahead. So whoever holds the controller sees the time pass, and can keep it from passing.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::job::EPOCH;

/// How far a guest may run without asking: short enough for what watches it, long enough to cost nothing.
const STRETCH: Duration = Duration::from_millis(50);
/// The same where the clock of the wall is kept to.
const SHORT_STRETCH: Duration = Duration::from_millis(1);

/// `struct um_timetravel_msg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    op: u32,
    seq: u32,
    time: u64,
}

/// `enum um_timetravel_ops`.
mod op {
    pub(super) const ACK: u32 = 0;
    pub(super) const START: u32 = 1;
    pub(super) const REQUEST: u32 = 2;
    pub(super) const WAIT: u32 = 3;
    pub(super) const GET: u32 = 4;
    pub(super) const UPDATE: u32 = 5;
    pub(super) const RUN: u32 = 6;
    pub(super) const FREE_UNTIL: u32 = 7;
    pub(super) const GET_TOD: u32 = 8;
    pub(super) const BROADCAST: u32 = 9;
}

impl Message {
    const LENGTH: usize = 16;

    fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        Message {
            op: word(0),
            seq: word(4),
            time: u64::from_ne_bytes(bytes[8..].try_into().expect("8 bytes")),
        }
    }

    fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..4].copy_from_slice(&self.op.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.seq.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.time.to_ne_bytes());
        bytes
    }
}

/// How a guest's time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pace {
    /// As fast as the machine can.
    #[default]
    Free,
    /// Not at all.
    Stopped,
    /// No faster than the wall's.
    Wall,
}

/// The controller's side of the protocol; times are nanoseconds since the guest's boot.
#[derive(Debug, Default)]
struct Protocol {
    /// The guest was here when it last asked.
    now: u64,
    /// It wants to go on here.
    requested: u64,
    /// It does nothing until it is let.
    waiting: bool,
    sequence: u32,
}

impl Protocol {
    /// Takes a message; the answer to it, if it needs one.
    fn take(&mut self, message: Message) -> Option<Message> {
        let mut time = 0;
        match message.op {
            op::ACK => return None,
            op::REQUEST => self.requested = message.time,
            op::WAIT => self.waiting = true,
            op::UPDATE => self.now = message.time,
            op::GET => time = self.now,
            op::GET_TOD => time = EPOCH * 1_000_000_000,
            // START and BROADCAST, of which there is nothing to know.
            _ => {}
        }
        Some(Message {
            op: op::ACK,
            time,
            ..message
        })
    }

    /// Lets a guest that waits go on, and run freely for `stretch`.
    fn release(&mut self, stretch: Duration) -> [Message; 2] {
        self.waiting = false;
        self.now = self.requested;
        let stretch = u64::try_from(stretch.as_nanos()).unwrap_or(u64::MAX);
        let until = self.now.saturating_add(stretch);
        [(op::FREE_UNTIL, until), (op::RUN, self.now)].map(|(op, time)| {
            self.sequence = self.sequence.wrapping_add(1);
            Message {
                op,
                seq: self.sequence,
                time,
            }
        })
    }
}

/// The controller as a thread of its own.
#[derive(Debug)]
pub(super) struct Clock {
    state: Arc<State>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    now: AtomicU64,
    pace: Mutex<Pace>,
}

impl Clock {
    /// Takes over the connection that a guest has made.
    pub(super) fn start(guest: UnixStream, pace: Pace) -> io::Result<Self> {
        let state = Arc::new(State {
            pace: Mutex::new(pace),
            ..State::default()
        });
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("guest-clock".into())
            .spawn(move || {
                // The guest's end says more than its controller could.
                let _ = control(guest, woken, &shared);
            })?;
        Ok(Clock {
            state,
            wake,
            thread: Some(thread),
        })
    }

    /// The guest's time, since its boot; up to a twentieth of a second behind.
    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.state.now.load(Ordering::Relaxed))
    }

    /// How time passes from now on.
    pub(super) fn set_pace(&self, pace: Pace) {
        *self.state.pace.lock().expect("nobody panics with it") = pace;
        let _ = (&self.wake).write(&[0]);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = self.wake.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where the wall's clock was when the guest's was at `guest`.
struct Anchor {
    wall: Instant,
    guest: u64,
}

/// Serves the guest until it ends, or [`Clock`] is dropped.
fn control(mut guest: UnixStream, mut woken: UnixStream, state: &State) -> io::Result<()> {
    let mut protocol = Protocol::default();
    let mut anchor: Option<Anchor> = None;
    loop {
        let pace = *state.pace.lock().expect("nobody panics with it");
        if pace != Pace::Wall {
            anchor = None;
        }
        // How long a guest that waits has to go on waiting; `None`: for good.
        let mut patience = None;
        if protocol.waiting {
            let (release, stretch) = match pace {
                Pace::Free => (true, STRETCH),
                Pace::Stopped => (false, STRETCH),
                Pace::Wall => {
                    let anchor = anchor.get_or_insert(Anchor {
                        wall: Instant::now(),
                        guest: protocol.now,
                    });
                    let ahead =
                        Duration::from_nanos(protocol.requested.saturating_sub(anchor.guest));
                    patience = Some(ahead.saturating_sub(anchor.wall.elapsed()));
                    (patience == Some(Duration::ZERO), SHORT_STRETCH)
                }
            };
            if release {
                for message in protocol.release(stretch) {
                    guest.write_all(&message.to_bytes())?;
                }
                state.now.store(protocol.now, Ordering::Relaxed);
                patience = None;
            }
        }
        let timeout = patience.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut ready = [
            PollFd::new(guest.as_fd(), PollFlags::POLLIN),
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut ready, timeout)?;
        let [has_message, has_news] = ready.map(|fd| fd.any().unwrap_or(false));
        if has_news && woken.read(&mut [0; 64])? == 0 {
            return Ok(());
        }
        if has_message {
            let mut bytes = [0; Message::LENGTH];
            guest.read_exact(&mut bytes)?;
            if let Some(answer) = protocol.take(Message::from_bytes(bytes)) {
                guest.write_all(&answer.to_bytes())?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(op: u32, time: u64) -> Message {
        Message { op, seq: 9, time }
    }

    #[test]
    fn messages_are_laid_out_as_the_kernel_has_them() {
        let bytes = message(op::RUN, 0x0102_0304_0506_0708).to_bytes();
        // struct um_timetravel_msg { __u32 op; __u32 seq; __u64 time; }
        assert_eq!(bytes[..4], 6u32.to_ne_bytes());
        assert_eq!(bytes[4..8], 9u32.to_ne_bytes());
        assert_eq!(bytes[8..], 0x0102_0304_0506_0708u64.to_ne_bytes());
        assert_eq!(
            Message::from_bytes(bytes),
            message(op::RUN, 0x0102_0304_0506_0708)
        );
    }

    #[test]
    fn a_guest_goes_on_where_it_asked_to_and_no_further_than_its_stretch() {
        let mut protocol = Protocol::default();
        let ack = |time| Some(message(op::ACK, time));
        assert_eq!(protocol.take(message(op::START, 1)), ack(0));
        assert_eq!(protocol.take(message(op::UPDATE, 500)), ack(0));
        assert_eq!(protocol.take(message(op::GET, u64::MAX)), ack(500));
        assert_eq!(protocol.take(message(op::REQUEST, 2000)), ack(0));
        assert!(!protocol.waiting);
        assert_eq!(protocol.take(message(op::WAIT, u64::MAX)), ack(0));
        assert!(protocol.waiting);
        let [free, run] = protocol.release(Duration::from_nanos(300));
        assert_eq!((free.op, free.time), (op::FREE_UNTIL, 2300));
        assert_eq!((run.op, run.time), (op::RUN, 2000));
        assert_ne!(free.seq, run.seq);
        assert!(!protocol.waiting);
        assert_eq!(protocol.take(message(op::ACK, 0)), None);
        assert_eq!(protocol.take(message(op::GET, 0)), ack(2000));
    }

    /// The kernel's side of a wait: asks, and returns the time that it may go on from.
    fn wait_until(kernel: &mut UnixStream, time: u64) -> u64 {
        for message in [message(op::REQUEST, time), message(op::WAIT, u64::MAX)] {
            kernel.write_all(&message.to_bytes()).unwrap();
            assert_eq!(receive(kernel).op, op::ACK);
        }
        loop {
            let told = receive(kernel);
            kernel
                .write_all(
                    &Message {
                        op: op::ACK,
                        ..told
                    }
                    .to_bytes(),
                )
                .unwrap();
            if told.op == op::RUN {
                return told.time;
            }
        }
    }

    fn receive(kernel: &mut UnixStream) -> Message {
        let mut bytes = [0; Message::LENGTH];
        kernel.read_exact(&mut bytes).unwrap();
        Message::from_bytes(bytes)
    }

    #[test]
    fn time_stands_still_until_it_is_let_pass() {
        let (mut kernel, controller) = UnixStream::pair().unwrap();
        let clock = Clock::start(controller, Pace::Stopped).unwrap();
        let waiter = std::thread::spawn(move || {
            let released = wait_until(&mut kernel, 7_000_000);
            (released, kernel)
        });
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(clock.now(), Duration::ZERO);
        assert!(!waiter.is_finished());
        clock.set_pace(Pace::Free);
        let (released, _kernel) = waiter.join().unwrap();
        assert_eq!(released, 7_000_000);
        assert_eq!(clock.now(), Duration::from_millis(7));
    }

    #[test]
    fn time_is_no_faster_than_the_walls_if_that_is_asked_for() {
        let (mut kernel, controller) = UnixStream::pair().unwrap();
        let _clock = Clock::start(controller, Pace::Wall).unwrap();
        let began = Instant::now();
        wait_until(&mut kernel, 1);
        wait_until(&mut kernel, 60_000_000);
        assert!(began.elapsed() >= Duration::from_millis(59));
    }
}
