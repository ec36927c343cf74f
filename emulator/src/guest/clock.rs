//! The controller of a guest's clock: the other end of `time-travel=ext:` (include/uapi/linux/um_timetravel.h and
//! arch/um/kernel/time.c).
//!
//! A kernel that has nothing to do until some time asks for that time and waits; the controller lets it run from there,
//! and on by itself for a stretch ahead. So whoever holds the controller sees the time pass, and a [`Gate`] says when it
//! may: while a guest that waits gets no answer, its time stands still, and it takes none of the machine's.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::job::EPOCH;

/// How far a guest may run without asking: short enough for what watches it, long enough to cost nothing.
pub(super) const STRETCH: Duration = Duration::from_millis(50);

/// Says when a guest's time goes on.
pub(super) trait Gate: Send {
    /// The guest does nothing until it may go on, to `next`. Returns when it may, and how far it may run then; `None`: not
    /// any more.
    fn pass(&mut self, next: Duration) -> Option<Duration>;

    /// The guest has ended.
    fn ended(&mut self) {}
}

/// Time never stands still.
pub(super) struct Open;

impl Gate for Open {
    fn pass(&mut self, _: Duration) -> Option<Duration> {
        Some(STRETCH)
    }
}

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
    pub(super) const REQUEST: u32 = 2;
    pub(super) const WAIT: u32 = 3;
    pub(super) const GET: u32 = 4;
    pub(super) const UPDATE: u32 = 5;
    pub(super) const RUN: u32 = 6;
    pub(super) const FREE_UNTIL: u32 = 7;
    pub(super) const GET_TOD: u32 = 8;
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
            // UM_TIMETRAVEL_START and _BROADCAST, of which there is nothing to know.
            _ => {}
        }
        Some(Message {
            op: op::ACK,
            time,
            ..message
        })
    }

    /// Where a guest wants to go on that waits.
    fn waits_for(&self) -> Option<Duration> {
        self.waiting.then(|| Duration::from_nanos(self.requested))
    }

    /// Lets a guest that waits go on, and run freely for a `stretch`.
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

/// The controller as a thread of its own, until the guest ends or this is dropped.
#[derive(Debug)]
pub(super) struct Clock {
    now: Arc<AtomicU64>,
    connection: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    /// Takes over the connection that a guest has made.
    pub(super) fn start(guest: UnixStream, mut gate: impl Gate + 'static) -> io::Result<Self> {
        let now = Arc::new(AtomicU64::new(0));
        let connection = guest.try_clone()?;
        let told = Arc::clone(&now);
        let thread = std::thread::Builder::new()
            .name("guest-clock".into())
            .spawn(move || {
                // The guest's end says more than its controller could.
                let _ = control(guest, &mut gate, &told);
                gate.ended();
            })?;
        Ok(Clock {
            now,
            connection,
            thread: Some(thread),
        })
    }

    /// The guest's time, since its boot; up to a twentieth of a second behind.
    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = self.connection.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves the guest.
fn control(mut guest: UnixStream, gate: &mut impl Gate, now: &AtomicU64) -> io::Result<()> {
    let mut protocol = Protocol::default();
    loop {
        let mut bytes = [0; Message::LENGTH];
        guest.read_exact(&mut bytes)?;
        if let Some(answer) = protocol.take(Message::from_bytes(bytes)) {
            guest.write_all(&answer.to_bytes())?;
        }
        if let Some(next) = protocol.waits_for() {
            let Some(stretch) = gate.pass(next) else {
                return Ok(());
            };
            let messages = protocol.release(stretch);
            // Before the guest goes on: it is there already.
            now.store(protocol.now, Ordering::Relaxed);
            for message in messages {
                guest.write_all(&message.to_bytes())?;
            }
        }
        now.store(protocol.now, Ordering::Relaxed);
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
        assert_eq!(protocol.take(message(1, 1)), ack(0));
        assert_eq!(protocol.take(message(op::UPDATE, 500)), ack(0));
        assert_eq!(protocol.take(message(op::GET, u64::MAX)), ack(500));
        assert_eq!(protocol.take(message(op::REQUEST, 2000)), ack(0));
        assert_eq!(protocol.waits_for(), None);
        assert_eq!(protocol.take(message(op::WAIT, u64::MAX)), ack(0));
        assert_eq!(protocol.waits_for(), Some(Duration::from_nanos(2000)));
        let [free, run] = protocol.release(STRETCH);
        let until = 2000 + STRETCH.as_nanos() as u64;
        assert_eq!((free.op, free.time), (op::FREE_UNTIL, until));
        assert_eq!((run.op, run.time), (op::RUN, 2000));
        assert_ne!(free.seq, run.seq);
        assert_eq!(protocol.waits_for(), None);
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
    fn time_passes_as_the_guest_asks() {
        let (mut kernel, controller) = UnixStream::pair().unwrap();
        let clock = Clock::start(controller, Open).unwrap();
        assert_eq!(clock.now(), Duration::ZERO);
        assert_eq!(wait_until(&mut kernel, 7_000_000), 7_000_000);
        // It may run on until it asks again.
        assert_eq!(wait_until(&mut kernel, 60_000_000), 60_000_000);
        assert_eq!(clock.now(), Duration::from_millis(60));
    }
}
