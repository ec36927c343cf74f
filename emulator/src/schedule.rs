//! Schedules of links, carried out: what a topology says changes while a workload runs.
//!
//! [`Player`] is the logic, handed the time; [`Playing`] is the thread that hands it. Instants are absolute: a change that was late
//! makes none after it late, and how late each was is told with it (see [`LinkChange`](crate::links::LinkChange)).

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use longhaul_topologies::Topology;
use longhaul_topologies::model::{Channel, LinkId};

use crate::engine::EngineError;
use crate::lab::Lab;
use crate::plan::ChannelId;

/// The changes of all links in the order of time.
#[derive(Clone, Debug)]
pub struct Player<'a> {
    topology: &'a Topology,
    /// Link and entry of its schedule.
    order: Vec<(LinkId, usize)>,
    next: usize,
}

/// A change whose time has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Due<'a> {
    /// When it was to be made, since the workload began.
    pub at: Duration,
    /// Which channel.
    pub id: ChannelId,
    /// What it is from then on.
    pub channel: &'a Channel,
}

impl<'a> Player<'a> {
    /// From the beginning. At one instant, links change in the file's order.
    pub fn new(topology: &'a Topology) -> Self {
        let entries = topology
            .links
            .iter()
            .enumerate()
            .flat_map(|(link, described)| {
                (0..described.schedule.len()).map(move |entry| (LinkId(link), entry))
            });
        let mut player = Player {
            topology,
            order: entries.collect(),
            next: 0,
        };
        // Each link's own is in the order of time.
        let mut order = std::mem::take(&mut player.order);
        order.sort_by_key(|&entry| player.change(entry).at);
        player.order = order;
        player
    }

    /// When the next change is due; `None` after the last.
    pub fn next_at(&self) -> Option<Duration> {
        let &entry = self.order.get(self.next)?;
        Some(self.change(entry).at)
    }

    /// The next change, if it is due `since` the beginning. After a stall, all that were missed come one after another, so that
    /// what a change does by having been (an outage empties a queue) is done.
    pub fn due(&mut self, since: Duration) -> Option<Due<'a>> {
        let due = self.change(*self.order.get(self.next)?);
        if due.at > since {
            return None;
        }
        self.next += 1;
        Some(due)
    }

    /// The next changes that are due at one and the same instant, and that.
    fn due_together(&mut self, since: Duration) -> Option<(Duration, Vec<(ChannelId, Channel)>)> {
        let at = self.next_at().filter(|at| *at <= since)?;
        let together = std::iter::from_fn(|| self.due(at));
        Some((
            at,
            together.map(|due| (due.id, due.channel.clone())).collect(),
        ))
    }

    fn change(&self, (link, entry): (LinkId, usize)) -> Due<'a> {
        let change = &self.topology.links[link.0].schedule[entry];
        Due {
            at: change.at,
            id: ChannelId {
                link,
                lane: change.lane,
                direction: change.direction,
            },
            channel: &change.channel,
        }
    }
}

/// A lab's schedule being carried out, until it is stopped or dropped.
#[derive(Debug)]
pub struct Playing {
    /// Dropped to stop the thread.
    running: Option<mpsc::Sender<()>>,
    /// None if nothing is scheduled, or its end was seen.
    thread: Option<JoinHandle<Result<(), EngineError>>>,
}

impl Playing {
    /// Makes the changes of the topology that `lab` was brought up from, counted from `began`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(lab: Arc<Lab>, began: Instant) -> std::io::Result<Self> {
        let mut playing = Playing {
            running: None,
            thread: None,
        };
        let links = &lab.plan().topology.links;
        if links.iter().any(|link| !link.schedule.is_empty()) {
            let (running, stopped) = mpsc::channel();
            let play = move || play(&lab, began, &stopped);
            let thread = thread::Builder::new().name("schedule".into()).spawn(play)?;
            playing = Playing {
                running: Some(running),
                thread: Some(thread),
            };
        }
        Ok(playing)
    }

    /// Whether all is well so far.
    ///
    /// # Errors
    /// If the engine refused a change: the schedule has ended there. Told once.
    pub fn check(&mut self) -> Result<(), EngineError> {
        match self.thread.take_if(|thread| thread.is_finished()) {
            Some(thread) => ended(thread),
            None => Ok(()),
        }
    }

    /// Makes no more changes.
    ///
    /// # Errors
    /// If the engine had refused a change, and nobody knows yet.
    pub fn stop(mut self) -> Result<(), EngineError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), EngineError> {
        self.running = None;
        self.thread.take().map_or(Ok(()), ended)
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "the schedule had failed");
        }
    }
}

fn ended(thread: JoinHandle<Result<(), EngineError>>) -> Result<(), EngineError> {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The schedule's thread.
fn play(lab: &Lab, began: Instant, stopped: &mpsc::Receiver<()>) -> Result<(), EngineError> {
    let mut player = Player::new(&lab.plan().topology);
    while let Some(at) = player.next_at() {
        let wait = (began + at).saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(mpsc::RecvTimeoutError::Timeout) {
            return Ok(());
        }
        while let Some((at, changes)) = player.due_together(began.elapsed()) {
            lab.set_scheduled(&changes, began + at)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{Direction, LaneState};
    use longhaul_topologies::{Document, validate};

    use super::*;

    const TEXT: &str = "
name: lab
sites: [{name: a}, {name: b}, {name: c}]
links:
  - between: [a, b]
    delay: 40ms
    schedule:
      - {at: 1s, delay: 60ms}
      - {at: 3s, for: 500ms, state: down, direction: reverse}
  - {between: [b, c], delay: 10ms, schedule: [{at: 0s, loss: 1%, direction: forward}, {at: 3s, delay: 20ms, direction: forward}]}
";

    fn topology() -> Topology {
        validate::topology(&Document::from_text("lab.yaml", TEXT).unwrap()).unwrap()
    }

    /// When, on which link, which way.
    fn told(due: Due<'_>) -> (u64, usize, Direction) {
        (due.at.as_millis() as u64, due.id.link.0, due.id.direction)
    }

    #[test]
    fn changes_of_all_links_come_in_the_order_of_time() {
        use Direction::{Forward, Reverse};
        let topology = topology();
        let mut player = Player::new(&topology);
        let mut all = Vec::new();
        while let Some(at) = player.next_at() {
            if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
                assert_eq!(player.due(before), None, "{at:?} is not yet");
            }
            all.extend(player.due(at).map(told));
        }
        assert_eq!(
            all,
            [
                (0, 1, Forward),
                (1000, 0, Forward),
                (1000, 0, Reverse),
                (3000, 0, Reverse),
                (3000, 1, Forward),
                (3500, 0, Reverse)
            ],
        );
    }

    #[test]
    fn changes_of_one_instant_are_made_together_and_those_of_different_ones_are_not() {
        let topology = topology();
        let mut player = Player::new(&topology);
        let together = std::iter::from_fn(|| player.due_together(Duration::from_secs(100)));
        let counts: Vec<(u64, usize)> = together
            .map(|(at, changes)| (at.as_millis() as u64, changes.len()))
            .collect();
        assert_eq!(counts, [(0, 1), (1000, 2), (3000, 2), (3500, 1)]);
    }

    #[test]
    fn after_a_stall_nothing_is_left_out() {
        let topology = topology();
        let mut player = Player::new(&topology);
        let mut states = Vec::new();
        while let Some(due) = player.due(Duration::from_secs(100)) {
            if due.id.link == LinkId(0) && due.id.direction == Direction::Reverse {
                states.push((due.channel.delay.as_millis(), due.channel.state));
            }
        }
        assert_eq!(
            states,
            [
                (60, LaneState::Up),
                (60, LaneState::Down),
                (60, LaneState::Up)
            ]
        );
        assert_eq!(player.next_at(), None);
    }
}
