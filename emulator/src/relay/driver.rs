//! The relay's thread: frames from the interfaces into the link models, and out again when they are due.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use hdrhistogram::Histogram;
use longhaul_topologies::model::{Channel, Direction};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::clocks::{Clocks, now};
use super::egress::{BATCH, Outcome};
use super::frame::{Frame, Pool};
use super::model::ChannelModel;
use super::parallel::at_once;
use super::port::{Port, Rings};
use super::random::Streams;
use super::schedule::Schedule;
use super::time::Time;
use crate::engine::{ChannelCounters, Lateness};
use crate::plan::{ChannelId, LabPlan};

/// Frames taken from an interface before the others get their turn. A channel's turn to deliver is a batch: shorter, since a
/// delivery takes the receiver's whole stack with it and a ring that is not emptied meanwhile overflows.
const TURN: usize = 64;
/// Lateness beyond this counts as this.
const WORST_LATENESS: Duration = Duration::from_secs(60);

/// What other threads ask for.
#[derive(Debug)]
pub(super) enum Command {
    Counters(SyncSender<Vec<(ChannelId, ChannelCounters)>>),
    Set(ChannelId, Box<Channel>, SyncSender<()>),
    Begin(SyncSender<()>),
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
    epoll: Epoll,
    timer: TimerFd,
    alarm: Option<Time>,
    wake: Arc<EventFd>,
    commands: Receiver<Command>,
    /// Lane `n` has ports `2n` (its `a` side) and `2n + 1`.
    ports: Vec<Port>,
    /// Channel `i` carries what port `i` receives to port `i ^ 1`.
    channels: Vec<Carrier>,
    schedule: Schedule,
    pool: Pool,
    lateness: Histogram<u64>,
}

/// A channel and what became of its packets beyond the model.
struct Carrier {
    id: ChannelId,
    model: ChannelModel<Rc<Frame>>,
    packets: u64,
    bytes: u64,
    engine_drops: u64,
}

impl Drop for Driver {
    fn drop(&mut self) {
        at_once(
            mem::take(&mut self.ports)
                .into_iter()
                .map(Port::into_rings)
                .collect::<Vec<_>>(),
            drop,
        );
    }
}

impl Driver {
    /// Opens the interfaces of all lanes in the current network namespace.
    pub(super) fn open(
        plan: &LabPlan,
        seed: u64,
        commands: Receiver<Command>,
        wake: Arc<EventFd>,
    ) -> Result<Self, DriverError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|e| failed("create an epoll instance", e))?;
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )
        .map_err(|e| failed("create a timer", e))?;
        let watch = |fd: BorrowedFd<'_>, token| {
            epoll
                .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))
                .map_err(|e| failed("watch a descriptor", e))
        };
        watch(timer.as_fd(), TIMER)?;
        watch(wake.as_fd(), WAKE)?;

        let names = plan
            .lanes
            .iter()
            .flat_map(|lane| [&*lane.a.keeper_interface, &*lane.b.keeper_interface]);
        let empty_at = now();
        let rings = at_once(names, |name| {
            Rings::open(name, plan.topology.mtu, plan.lanes.len() * 2)
                .map_err(|e| failed(&format!("open packet rings on {name}"), e))
        });
        let mut rings = rings.into_iter();
        let mut ports = Vec::new();
        let mut channels = Vec::new();
        for lane in &plan.lanes {
            let ends = [
                (&lane.a, Direction::Forward, &lane.forward),
                (&lane.b, Direction::Reverse, &lane.reverse),
            ];
            for (end, direction, channel) in ends {
                let name = &end.keeper_interface;
                let port = Port::new(name, rings.next().expect("one per name")?, empty_at);
                for socket in port.sockets() {
                    watch(socket, ports.len() as u64)?;
                }
                ports.push(port);
                let id = ChannelId {
                    link: lane.link,
                    lane: lane.lane,
                    direction,
                };
                let model = ChannelModel::new(channel, Streams::new(seed, id));
                channels.push(Carrier {
                    id,
                    model,
                    packets: 0,
                    bytes: 0,
                    engine_drops: 0,
                });
            }
        }
        let lateness = Histogram::new_with_max(WORST_LATENESS.as_nanos() as u64, 3)
            .map_err(|e| failed("make a histogram", io::Error::other(e.to_string())))?;
        Ok(Driver {
            epoll,
            timer,
            alarm: None,
            wake,
            commands,
            schedule: Schedule::new(channels.len()),
            ports,
            channels,
            pool: Pool::default(),
            lateness,
        })
    }

    /// Works until the other side of the commands is gone.
    pub(super) fn run(mut self) -> Result<(), DriverError> {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            self.deliver();
            self.arm()?;
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(failed("wait for packets", error)),
            };
            for event in &events[..ready] {
                match event.data() {
                    // The next alarm resets the timer.
                    TIMER => {}
                    WAKE => {
                        if let Asked::Stop = self.obey()? {
                            return Ok(());
                        }
                    }
                    port => {
                        if event
                            .events()
                            .intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP)
                        {
                            let port = &mut self.ports[port as usize];
                            port.note_error()
                                .map_err(|e| failed(&format!("read from {}", port.name), e))?;
                        }
                        self.receive(port as usize);
                    }
                }
            }
        }
    }

    /// Sends what is due.
    fn deliver(&mut self) {
        let now = now();
        // As many turns as there are channels, the most overdue first; then the sockets get theirs, even if some channel
        // cannot keep up.
        for _ in 0..self.channels.len() {
            let Some(channel) = self.schedule.due(now) else {
                return;
            };
            for _ in 0..BATCH {
                let Some(delivery) = self.channels[channel].model.poll(now) else {
                    break;
                };
                self.ports[channel ^ 1].egress.push(delivery);
                if self.ports[channel ^ 1].egress.is_full() {
                    self.flush(channel);
                }
            }
            self.flush(channel);
            self.schedule
                .set(channel, self.channels[channel].model.next_event());
        }
    }

    fn flush(&mut self, channel: usize) {
        let carrier = &mut self.channels[channel];
        let (socket, egress) = self.ports[channel ^ 1].split_egress();
        egress.flush(socket, &mut self.pool, |sent| match sent.outcome {
            Outcome::Taken => {
                carrier.packets += sent.packets;
                carrier.bytes += sent.bytes;
                // Read after the system call, so this is the most it can have been.
                let late = now().since(sent.release).as_nanos();
                self.lateness
                    .saturating_record(u64::try_from(late).unwrap_or(u64::MAX));
            }
            Outcome::Refused => carrier.engine_drops += sent.packets,
        });
    }

    fn receive(&mut self, port: usize) {
        let Carrier {
            model,
            engine_drops,
            ..
        } = &mut self.channels[port];
        self.ports[port].receive(TURN, Clocks::now(), |arrival, received| {
            if received.truncated {
                *engine_drops += 1;
                return;
            }
            let frame = self.pool.copy(&received);
            model.offer(arrival, &frame, frame.traffic);
            // Nothing of it is left if it was dropped.
            self.pool.recycle(frame);
        });
        self.schedule.set(port, model.next_event());
    }

    /// Sets the timer to the next alarm.
    fn arm(&mut self) -> Result<(), DriverError> {
        let next = self.schedule.next();
        if next == self.alarm {
            return Ok(());
        }
        self.alarm = next;
        let set = match next {
            // An instant of zero would disarm the timer.
            Some(time) => self.timer.set(
                Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(
                    time.as_nanos().max(1),
                ))),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            ),
            None => self.timer.unset(),
        };
        set.map_err(|error| failed("set the timer", error))
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
                    let _ = answer.send(self.summary());
                    self.lateness.reset();
                }
                Ok(Command::Set(id, channel, answer)) => {
                    if let Some(at) = self.channels.iter().position(|carrier| carrier.id == id) {
                        self.channels[at].model.set(now(), &channel);
                        self.schedule.set(at, self.channels[at].model.next_event());
                    }
                    let _ = answer.send(());
                }
                Ok(Command::Begin(answer)) => {
                    let now = now();
                    for carrier in &mut self.channels {
                        carrier.model.begin(now);
                    }
                    let _ = answer.send(());
                }
                Err(TryRecvError::Empty) => return Ok(Asked::GoOn),
                Err(TryRecvError::Disconnected) => return Ok(Asked::Stop),
            }
        }
    }

    fn counters(&mut self) -> Result<Vec<(ChannelId, ChannelCounters)>, DriverError> {
        let mut all = Vec::with_capacity(self.channels.len());
        for (carrier, port) in self.channels.iter_mut().zip(&mut self.ports) {
            port.check()
                .map_err(|e| failed(&format!("read from {}", port.name), e))?;
            let drops = port
                .drops()
                .map_err(|e| failed(&format!("read the drops of {}", port.name), e))?;
            let queue = carrier.model.queue(now());
            let tally = carrier.model.tally();
            let counters = ChannelCounters {
                packets: carrier.packets,
                bytes: carrier.bytes,
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

    fn summary(&self) -> Lateness {
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        Lateness {
            releases: self.lateness.len(),
            p50_us: microseconds(self.lateness.value_at_quantile(0.5)),
            p99_us: microseconds(self.lateness.value_at_quantile(0.99)),
            max_us: microseconds(self.lateness.max()),
        }
    }
}

/// Whether anybody still wants the relay.
enum Asked {
    GoOn,
    Stop,
}

/// What the timer's and the wake-up counter's events carry; those of sockets carry their port's number.
const TIMER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;

fn failed(step: &str, source: impl Into<io::Error>) -> DriverError {
    DriverError {
        step: step.to_owned(),
        source: source.into(),
    }
}
