//! The relay's thread: frames from the interfaces into the link models, and out again when they are due.
//!
//! It waits with epoll. In prototypes on a TUN device io_uring carried as much (16.0 against 15.5 Gbit/s of super-packets, 0.26
//! against 0.23 million single packets a second), and here the calls that it could save (epoll_wait, timerfd_settime, entering
//! sendmmsg) are 4 % of the thread's time under single packets: 60 % go into what sendmmsg does for each of them, which is the
//! copy and the receiver's stack.
//!
//! The thread is not pinned: with real-time priority it stays where it is anyway (no migration in two seconds at 0.3 Gbit/s
//! of single packets), and pinned it could not get away from a processor that something else needs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use longhaul_topologies::model::Channel;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;

use super::alarm::Alarm;
use super::carriers::Carriers;
use super::delivered::Amount;
use super::egress::{Egress, Outcome};
use super::frame::Pool;
use super::output::{BATCH, Departure, LOOKAHEAD};
use super::port::{LARGE_RING, Ports};
use super::punctuality::Punctuality;
use super::schedule::Schedule;
use crate::capture::Tap;
use crate::clocks::{Watch, now};
use crate::engine::{ChannelCounters, Lateness};
use crate::plan::{ChannelId, LabPlan};
use crate::time::Time;

/// Frames taken in before what is due gets its turn: as many as a lane's two channels may deliver in theirs. More would, where the
/// thread cannot keep up, heap up packets that are out of the cache by the time they leave, which costs a third of its
/// speed: 330 instead of 430 thousand single packets a second with twice as many.
const TURN: usize = 2 * BATCH;
/// While frames keep coming, the thread looks for them at this interval rather than being woken by each, which costs their
/// senders as much as the thread: they are stamped, so nothing is lost by it.
const LOOK_INTERVAL: Duration = Duration::from_micros(50);
/// In a virtual lab nobody waits for what it brings about before it would be delivered, a link's delay later. No less often, so
/// that a ring holds what arrives in between.
const VIRTUAL_LOOK_INTERVAL: Duration = LOOKAHEAD;
/// Where links hold more than this, the thread is woken by every frame there: what their senders have outstanding may come within an
/// instant, and what the rings do not hold is lost.
const UNWATCHED: u64 = LARGE_RING as u64 / 2;
/// But at least so many times within a link's delay.
const LOOKS_PER_DELAY: u32 = 4;

/// What other threads ask for.
#[derive(Debug)]
pub(super) enum Command {
    Counters(SyncSender<Vec<(ChannelId, ChannelCounters)>>),
    Set(Vec<(ChannelId, Channel)>, SyncSender<()>),
    Begin(SyncSender<()>),
    Capture(Vec<Tap>, SyncSender<()>),
    Lateness(SyncSender<Lateness>),
}

/// Why the relay stopped.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {source}")]
pub(super) struct DriverError {
    /// What was attempted, on what.
    pub(super) step: String,
    /// What the kernel answered.
    pub(super) source: io::Error,
}

/// All that the thread works with.
pub(super) struct Driver {
    /// All that can happen.
    events: Epoll,
    /// The same but for frames.
    quiet: Epoll,
    alarm: Alarm,
    watch: Watch,
    wake: Arc<EventFd>,
    commands: Receiver<Command>,
    /// Lane `n` has ports `2n` (its `a` side) and `2n + 1`.
    ports: Ports,
    egress: Egress,
    /// Channel `i` carries what port `i` receives to port `i ^ 1`.
    channels: Carriers,
    schedule: Schedule,
    /// Channels whose turn it is.
    due: Vec<usize>,
    pool: Pool,
    /// How long frames may wait in the rings; none where a link has no delay to speak of.
    patience: Duration,
    /// How far ahead packets are handed over that leave in time by themselves.
    ahead: Duration,
    punctuality: Punctuality,
}

impl Driver {
    /// Opens the interfaces of all lanes in the current network namespace.
    pub(super) fn open(
        plan: &LabPlan,
        seed: u64,
        commands: Receiver<Command>,
        wake: Arc<EventFd>,
    ) -> Result<Self, DriverError> {
        let epoll = || {
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
                .map_err(|e| failed("create an epoll instance", e))
        };
        let (events, quiet) = (epoll()?, epoll()?);
        let alarm = Alarm::open().map_err(|e| failed("create a timer", e))?;
        let watch = |epoll: &Epoll, fd: BorrowedFd<'_>, flags, token| {
            epoll
                .add(fd, EpollEvent::new(EpollFlags::EPOLLIN | flags, token))
                .map_err(|e| failed("watch a descriptor", e))
        };

        let names = plan
            .lanes
            .iter()
            .flat_map(|lane| [&*lane.a.keeper_interface, &*lane.b.keeper_interface]);
        let ports = Ports::open(names, plan.topology.mtu, now())
            .map_err(|(step, error)| failed(&step, error))?;
        for socket in ports.sockets() {
            watch(&events, socket, EpollFlags::empty(), FRAMES)?;
        }
        for epoll in [&events, &quiet] {
            // Told once each time it goes off: nobody reads it.
            watch(epoll, alarm.as_fd(), EpollFlags::EPOLLET, TIMER)?;
            watch(epoll, wake.as_fd(), EpollFlags::empty(), WAKE)?;
            watch(epoll, ports.links(), EpollFlags::empty(), LINKS)?;
        }
        let channels = Carriers::new(plan, seed);
        let punctuality = Punctuality::new().map_err(|error| failed("make a histogram", error))?;
        let mut driver = Driver {
            events,
            quiet,
            alarm,
            watch: Watch::of_this_clock(),
            wake,
            commands,
            schedule: Schedule::new(channels.len()),
            due: Vec::new(),
            patience: Duration::ZERO,
            ahead: Duration::ZERO,
            ports,
            egress: Egress::default(),
            channels,
            pool: Pool::default(),
            punctuality,
        };
        driver.pace();
        Ok(driver)
    }

    /// How often the thread has to wake up for links with these delays.
    fn pace(&mut self) {
        let interval = match self.ports.output().departure() {
            Departure::AtOnce => LOOK_INTERVAL,
            Departure::InTime if self.channels.held() > UNWATCHED => Duration::ZERO,
            Departure::InTime => VIRTUAL_LOOK_INTERVAL,
        };
        let patience = |delay: Duration| (delay / LOOKS_PER_DELAY).min(interval);
        self.patience = self.channels.least_delay().map_or(Duration::ZERO, patience);
        self.ahead = self
            .channels
            .foresight()
            .map_or(Duration::ZERO, |foresight| foresight.min(LOOKAHEAD));
    }

    /// Works until the other side of the commands is gone.
    pub(super) fn run(mut self) -> Result<(), DriverError> {
        let mut events = [EpollEvent::empty(); 8];
        loop {
            let due = match self.ports.output().departure() {
                Departure::AtOnce => self.deliver(),
                Departure::InTime => self.hand_over(),
            };
            let received = self.receive();
            let timeout = if due == Due::More || received == TURN {
                EpollTimeout::ZERO
            } else {
                self.prepare_to_wait(received)?
            };
            let epoll = match received {
                1.. if !self.patience.is_zero() => &self.quiet,
                _ => &self.events,
            };
            let ready = match epoll.wait(&mut events, timeout) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(failed("wait for packets", error)),
            };
            if timeout == EpollTimeout::NONE {
                let rang = events[..ready].iter().any(|event| event.data() == TIMER);
                self.watch.slept(self.alarm.set_to().filter(|_| rang));
                self.punctuality.woke(self.watch.now());
            }
            for event in &events[..ready] {
                match event.data() {
                    TIMER => self.alarm.rang(self.watch.now()),
                    WAKE => {
                        if let Asked::Stop = self.obey()? {
                            return Ok(());
                        }
                    }
                    LINKS => self
                        .ports
                        .check()
                        .map_err(|(name, error)| failed(&format!("read from {name}"), error))?,
                    FRAMES => {
                        let trouble = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
                        if event.events().intersects(trouble) {
                            self.ports
                                .note_error()
                                .map_err(|error| failed("read from the interfaces", error))?;
                        }
                    }
                    other => unreachable!("no descriptor was watched as {other}"),
                }
            }
        }
    }

    /// Sets the timer; answers how long to wait.
    fn prepare_to_wait(&mut self, received: usize) -> Result<EpollTimeout, DriverError> {
        let now = self.watch.now();
        // Where some came, more will.
        let look = (received > 0 && !self.patience.is_zero()).then(|| now + self.patience);
        let next = self.schedule.next().into_iter().chain(look).min();
        self.alarm
            .prepare(next, now)
            .map_err(|error| failed("set the timer", error))
    }

    /// Sends what is due.
    fn deliver(&mut self) -> Due {
        let now = self.watch.now();
        let mut delivered = 0;
        let mut rest = Due::Nothing;
        // As many turns as there are channels, the most overdue first; then the sockets get theirs, even if some channel
        // cannot keep up.
        for _ in 0..self.channels.len() {
            let Some(channel) = self.schedule.due(now) else {
                break;
            };
            let most = delivered + BATCH;
            while delivered < most {
                let carrier = self.channels.at(channel);
                let Some(delivery) = carrier.model.poll(now, now) else {
                    break;
                };
                delivered += 1;
                self.egress.push(channel, &carrier.hop, delivery);
                if self.egress.is_full() {
                    self.flush();
                }
            }
            if delivered == most {
                rest = Due::More;
            }
            let next = self.channels.at(channel).model.next_event();
            self.schedule.set(channel, next);
        }
        if delivered > 0 {
            self.flush();
            self.alarm.delivered(now);
        }
        rest
    }

    /// Hands over what falls due before long, of all channels in the order in which it is to leave: an interface may get
    /// packets of several.
    fn hand_over(&mut self) -> Due {
        let now = self.watch.now();
        let until = now + self.ahead;
        while let Some(channel) = self.schedule.due(until) {
            self.due.push(channel);
        }
        for channel in self.due.drain(..) {
            let carrier = self.channels.at(channel);
            while let Some(delivery) = carrier.model.poll(now, until) {
                self.egress.push(channel, &carrier.hop, delivery);
            }
            self.schedule.set(channel, carrier.model.next_event());
        }
        self.egress.sort();
        self.flush();
        Due::Nothing
    }

    fn flush(&mut self) {
        let (output, watch) = (self.ports.output(), &mut self.watch);
        self.egress
            .flush(output, watch, &mut self.pool, |sent, packet| {
                let carrier = self.channels.at(sent.channel);
                match sent.outcome {
                    Outcome::Taken => {
                        let amount = Amount {
                            packets: sent.packets,
                            bytes: sent.bytes,
                        };
                        carrier.count.add(sent.left, sent.handed, amount);
                        self.punctuality.released(sent.release, sent.left);
                        if let Some(tap) = &mut carrier.delivered {
                            tap.record(sent.left, &packet.wiretapped());
                        }
                    }
                    Outcome::Refused => carrier.engine_drops += sent.packets,
                }
            });
    }

    /// Takes in what has arrived; answers how many frames that were.
    fn receive(&mut self) -> usize {
        let Driver {
            ports,
            watch,
            channels,
            schedule,
            pool,
            ..
        } = self;
        ports.receive(TURN, watch, |port, arrival, received, exit| {
            if received.truncated {
                channels.at(port).engine_drops += 1;
                return;
            }
            let frame = pool.copy(&received, exit);
            channels.offer(port, arrival, &frame, |channel, next| {
                schedule.set(channel, next);
            });
            // Nothing of it is left if it was dropped.
            pool.recycle(frame);
        })
    }

    /// Takes in what arrived by `asked`, which is to find a link as it was. What goes on to arrive is left: it may come as fast as
    /// it is taken in, and then there is no end to it.
    fn receive_what_came_by(&mut self, asked: Time) {
        while self.receive() == TURN && self.ports.last_arrival() <= asked {}
    }

    /// Carries out what other threads asked for.
    fn obey(&mut self) -> Result<Asked, DriverError> {
        self.wake
            .read()
            .map_err(|error| failed("read the wake-up counter", error))?;
        loop {
            // Whoever asked may have stopped waiting: an answer that nobody takes is not an error.
            match self.commands.try_recv() {
                Ok(Command::Counters(answer)) => {
                    let _ = answer.send(self.counters()?);
                }
                Ok(Command::Lateness(answer)) => {
                    let _ = answer.send(self.punctuality.take());
                }
                Ok(Command::Set(changes, answer)) => {
                    self.receive_what_came_by(now());
                    let now = now();
                    for (id, channel) in changes {
                        if let Some(at) = self.channels.find(id) {
                            let carrier = self.channels.at(at);
                            carrier.set(now, &channel);
                            self.schedule.set(at, carrier.model.next_event());
                        }
                    }
                    self.pace();
                    let _ = answer.send(());
                }
                Ok(Command::Begin(answer)) => {
                    let now = now();
                    for (at, carrier) in self.channels.all().iter_mut().enumerate() {
                        carrier.model.begin(now);
                        self.schedule.set(at, carrier.model.next_event());
                    }
                    let _ = answer.send(());
                }
                Ok(Command::Capture(taps, answer)) => {
                    self.channels.capture(taps);
                    let _ = answer.send(());
                }
                Err(TryRecvError::Empty) => return Ok(Asked::GoOn),
                Err(TryRecvError::Disconnected) => return Ok(Asked::Stop),
            }
        }
    }

    fn counters(&mut self) -> Result<Vec<(ChannelId, ChannelCounters)>, DriverError> {
        let mut all = Vec::with_capacity(self.channels.len());
        let drops = self
            .ports
            .drops()
            .map_err(|error| failed("read the rings' drops", error))?;
        for (carrier, drops) in self.channels.all().iter_mut().zip(drops) {
            let queue = carrier.model.queue(now());
            let tally = carrier.model.tally();
            let delivered = carrier.count.by(now());
            let counters = ChannelCounters {
                packets: delivered.packets,
                bytes: delivered.bytes,
                queue_drops: tally.queue_drops,
                early_drops: tally.early_drops,
                marks: tally.marks,
                outage_drops: tally.outage,
                losses: Some(tally.losses),
                engine_drops: carrier.engine_drops + tally.overflow + drops,
                queue_packets: queue.packets,
                queue_bytes: queue.bytes,
            };
            all.push((carrier.id, counters));
        }
        Ok(all)
    }
}

/// Whether a turn of deliveries ended before everything was sent that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// It did not.
    Nothing,
    /// It may have.
    More,
}

/// Whether anybody still wants the relay.
enum Asked {
    GoOn,
    Stop,
}

/// What events carry, by what they are of.
const TIMER: u64 = 0;
const WAKE: u64 = 1;
const LINKS: u64 = 2;
const FRAMES: u64 = 3;

fn failed(step: &str, source: impl Into<io::Error>) -> DriverError {
    DriverError {
        step: step.to_owned(),
        source: source.into(),
    }
}
