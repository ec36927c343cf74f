//! What came of a scenario.

use std::ops::Range;
use std::time::Duration;

use longhaul_emulator::time::Time;
use longhaul_reports::stats::jain_index;

use super::Scenario;

/// What came of a scenario, by its grain.
#[derive(Clone, Debug)]
pub struct Outcome {
    grain: Duration,
    capacity: f64,
    /// Bytes by flow and grain.
    arrived: Vec<Vec<u64>>,
    /// Delays of queues by grain and lane.
    queues: Vec<Vec<Duration>>,
    /// Packets that found no room.
    pub drops: u64,
    /// Packets lost behind the bottleneck.
    pub lost: u64,
    /// Packets marked.
    pub marks: u64,
    /// Timeouts.
    pub timeouts: u64,
}

impl Outcome {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let rate = |lane: &super::Lane| lane.rate.bytes_per_second() as f64;
        Outcome {
            grain: scenario.grain,
            capacity: scenario.lanes.iter().map(rate).sum(),
            arrived: vec![Vec::new(); scenario.flows.len()],
            queues: Vec::new(),
            drops: 0,
            lost: 0,
            marks: 0,
            timeouts: 0,
        }
    }

    pub(super) fn arrived(&mut self, now: Time, flow: usize, bytes: u64) {
        let index = self.index(now.since(Time::default()));
        let series = &mut self.arrived[flow];
        if series.len() <= index {
            series.resize(index + 1, 0);
        }
        series[index] += bytes;
    }

    pub(super) fn sample(&mut self, queues: Vec<Duration>) {
        self.queues.push(queues);
    }

    fn index(&self, at: Duration) -> usize {
        (at.as_nanos() / self.grain.as_nanos().max(1)) as usize
    }

    /// Bytes per second of one flow.
    pub fn goodput(&self, flow: usize, during: Range<Duration>) -> f64 {
        let series = &self.arrived[flow];
        let indices = self.index(during.start)..self.index(during.end);
        let bytes: u64 = indices
            .clone()
            .map(|at| series.get(at).copied().unwrap_or(0))
            .sum();
        bytes as f64 / (self.grain.as_secs_f64() * indices.len().max(1) as f64)
    }

    /// What all flows had of what the lanes carry, 0 to 1.
    pub fn utilisation(&self, during: Range<Duration>) -> f64 {
        let flows = 0..self.arrived.len();
        flows
            .map(|flow| self.goodput(flow, during.clone()))
            .sum::<f64>()
            / self.capacity
    }

    /// How evenly flows shared, 1 / flows to 1 (Jain, Chiu, Hawe 1984).
    pub fn fairness(&self, during: Range<Duration>) -> f64 {
        let rates: Vec<f64> = (0..self.arrived.len())
            .map(|flow| self.goodput(flow, during.clone()))
            .collect();
        jain_index(&rates).unwrap_or_default()
    }

    /// The delay in queues that `part` (0 to 1) of the time stays below.
    pub fn queue_delay(&self, part: f64, during: Range<Duration>) -> Duration {
        let indices = self.index(during.start)..self.index(during.end).min(self.queues.len());
        let mut delays: Vec<Duration> = self.queues[indices].iter().flatten().copied().collect();
        delays.sort_unstable();
        let at = (delays.len() as f64 * part) as usize;
        delays
            .get(at.min(delays.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }

    /// How long after `from` all flows together first have `part` of the lanes for `window`; `None` if they never do.
    pub fn reaches(&self, part: f64, from: Duration, window: Duration) -> Option<Duration> {
        let mut windows = self.windows(part, from, window);
        windows.find(|(_, enough)| *enough).map(|(after, _)| after)
    }

    /// How long after `from` they have it again, after the last window without it that begins within `watched`; at once if all have it.
    pub fn recovers(
        &self,
        part: f64,
        from: Duration,
        window: Duration,
        watched: Duration,
    ) -> Option<Duration> {
        let windows: Vec<(Duration, bool)> = self.windows(part, from, window).collect();
        let watched = windows.partition_point(|(after, _)| *after <= watched);
        let lapse = windows[..watched].iter().rposition(|(_, enough)| !enough);
        let Some(lapse) = lapse else {
            return Some(Duration::ZERO);
        };
        let back = windows[lapse..].iter().find(|(_, enough)| *enough);
        back.map(|(after, _)| *after)
    }

    /// Each window that begins at `from` or after it: how long after, and whether all flows together have `part` of the lanes in it.
    fn windows(
        &self,
        part: f64,
        from: Duration,
        window: Duration,
    ) -> impl Iterator<Item = (Duration, bool)> {
        let width = self.index(window).max(1);
        let total = |at: usize| -> u64 {
            let bytes = |series: &Vec<u64>| series.get(at).copied().unwrap_or(0);
            self.arrived.iter().map(bytes).sum()
        };
        let enough = part * self.capacity * self.grain.as_secs_f64() * width as f64;
        let (first, last) = (self.index(from), self.queues.len());
        let mut sum: u64 = (first..first + width).map(total).sum();
        (first..last.saturating_sub(width)).map(move |at| {
            let seen = sum;
            sum = sum + total(at + width) - total(at);
            let after = self.grain * u32::try_from(at - first).unwrap_or(u32::MAX);
            (after, seen as f64 >= enough)
        })
    }
}
