//! Disciplines that decide when a packet arrives, before a single queue.

use longhaul_topologies::model::{QueueDiscipline, Step};
use longhaul_topologies::units::Rate;
use rand::Rng;

use super::depth::{Depth, Gate};
use super::ecn::Fate;
use super::fifo::{Fifo, Marking};
use super::pie::PieControl;
use super::red::RedControl;
use super::{Arrival, Ecn, QueueCounters, Train, step};
use crate::time::Time;

/// A single queue, and what decides who gets in.
#[derive(Clone, Debug)]
pub(super) struct EarlyQueue<P> {
    fifo: Fifo<P>,
    policy: Policy,
}

/// Who is dropped or marked before the queue is full.
#[derive(Clone, Debug)]
pub(super) enum Policy {
    /// Nobody: drop-tail.
    Never,
    /// Random early detection.
    Red(RedControl),
    /// Who finds more than a threshold.
    Step(Step),
    /// Proportional integral controller enhanced.
    Pie(PieControl),
}

impl<P: Clone> EarlyQueue<P> {
    pub(super) fn new(policy: Policy) -> Self {
        EarlyQueue {
            fifo: Fifo::new(),
            policy,
        }
    }

    /// The policy judges every wire packet that arrives; what it lets in still has to fit.
    pub(super) fn offer(
        &mut self,
        arrival: &Arrival<'_, P>,
        gate: &mut Gate,
        counters: &mut QueueCounters,
        rng: &mut impl Rng,
    ) {
        let &Arrival { now, traffic, .. } = arrival;
        let shape = traffic.shape;
        self.policy.catch_up(now, self.fifo.depth());
        let all = Depth::of(shape, &arrival.segments);
        if self.policy.is_idle_up_to(gate.counted() + all) {
            counters.dropped_full += self.fifo.admit(arrival, gate);
            return;
        }
        let mut loader = self.fifo.load(arrival);
        for segment in arrival.segments.clone() {
            let frame = shape.length(segment);
            let fate = self
                .policy
                .judge(now, gate.counted(), frame, traffic.ecn, rng);
            let marking = match fate {
                Fate::Drop => {
                    counters.dropped_early += 1;
                    continue;
                }
                Fate::Mark => Marking::Marked,
                Fate::Pass => Marking::Unmarked,
            };
            if gate.admit(frame) {
                counters.marked += u64::from(fate == Fate::Mark);
                self.policy.admitted();
                loader.add(segment..segment + 1, marking);
            } else {
                counters.dropped_full += 1;
            }
        }
    }

    pub(super) fn take(&mut self, now: Time, room: u64) -> Option<Train<P>> {
        self.policy.catch_up(now, self.fifo.depth());
        let full = u64::from(self.fifo.head()?.traffic.shape.full).max(1);
        self.fifo
            .pop(u32::try_from(room / full).unwrap_or(u32::MAX))
    }

    /// Nothing waits any more, and the line is idle from then on.
    pub(super) fn idle_from(&mut self, then: Time) {
        match &mut self.policy {
            Policy::Red(control) => control.idle_from(then),
            Policy::Never | Policy::Step(_) | Policy::Pie(_) => {}
        }
    }

    pub(super) fn depth(&self) -> Depth {
        self.fifo.depth()
    }

    /// Goes on with the parameters of `discipline`, if it is one of these; answers whether it is. A policy of the same
    /// kind keeps its state.
    pub(super) fn adapt(&mut self, discipline: &QueueDiscipline, rate: Option<Rate>) -> bool {
        match (&mut self.policy, discipline) {
            (Policy::Red(control), QueueDiscipline::Red(red)) => control.set(*red, rate),
            (Policy::Pie(control), QueueDiscipline::Pie(pie)) => control.set(*pie, rate),
            (
                policy,
                QueueDiscipline::DropTail
                | QueueDiscipline::Red(_)
                | QueueDiscipline::Step(_)
                | QueueDiscipline::Pie(_),
            ) => *policy = Policy::new(discipline, rate),
            (
                _,
                QueueDiscipline::CoDel(_)
                | QueueDiscipline::FqCoDel(_)
                | QueueDiscipline::DualPi2(_),
            ) => return false,
        }
        true
    }

    pub(super) fn readmit(&mut self, train: Train<P>) {
        self.fifo.push(train);
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Train<P>> {
        self.fifo.drain()
    }
}

impl Policy {
    /// That of a discipline that decides on arrival; of others, none.
    pub(super) fn new(discipline: &QueueDiscipline, rate: Option<Rate>) -> Self {
        match discipline {
            QueueDiscipline::Red(red) => Policy::Red(RedControl::new(*red, rate)),
            QueueDiscipline::Step(step) => Policy::Step(*step),
            QueueDiscipline::Pie(pie) => Policy::Pie(PieControl::new(*pie, rate)),
            QueueDiscipline::DropTail
            | QueueDiscipline::CoDel(_)
            | QueueDiscipline::FqCoDel(_)
            | QueueDiscipline::DualPi2(_) => Policy::Never,
        }
    }

    /// Lets timers fire that are due by `now`; until then `waiting` was in the queue.
    fn catch_up(&mut self, now: Time, waiting: Depth) {
        match self {
            Policy::Pie(control) => control.catch_up(now, waiting),
            Policy::Never | Policy::Red(_) | Policy::Step(_) => {}
        }
    }

    /// Whether nobody is struck, and nothing is learnt, as long as the queue does not grow beyond `depth`.
    fn is_idle_up_to(&self, depth: Depth) -> bool {
        match self {
            Policy::Never => true,
            Policy::Red(control) => control.is_idle_up_to(depth),
            Policy::Step(step) => !depth.exceeds(step.at),
            Policy::Pie(control) => control.is_idle_up_to(depth),
        }
    }

    /// A wire packet that was judged was let in.
    fn admitted(&mut self) {
        if let Policy::Red(control) = self {
            control.admitted();
        }
    }

    /// What becomes of a wire packet that finds `found` before it.
    fn judge(&mut self, now: Time, found: Depth, frame: u32, ecn: Ecn, rng: &mut impl Rng) -> Fate {
        match self {
            Policy::Never => Fate::Pass,
            Policy::Red(control) => control.judge(now, found, frame, ecn, rng),
            Policy::Step(step) => step::judge(step, found, ecn),
            Policy::Pie(control) => control.judge(found, ecn, rng),
        }
    }
}
