//! What goes on beside a workload: links change, and probes and counters are sampled.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhaul_emulator::engine::EngineError;
use longhaul_emulator::keeper::Attended;
use longhaul_emulator::lab::Lab;
use longhaul_emulator::schedule::Playing;

use super::super::error::RunError;
use super::super::ground::{Ground, Meters, Witness, on_a_thread};
use super::super::observer::Event;
use super::Run;

/// How often what was sampled goes to the disk.
const FLUSH: Duration = Duration::from_millis(250);

/// What goes on beside a workload.
pub(super) struct Sampling {
    meters: Meters,
    /// How far ranks' clocks may have been apart.
    pub(super) clocks: Duration,
    /// Once the workload has begun.
    live: Option<Live>,
}

/// A workload that has begun: its links change as scheduled, and by whoever asks.
struct Live {
    /// Of a lab that was built.
    playing: Option<Playing>,
    _attended: Option<Attended>,
}

impl Sampling {
    /// By `meters`; the workload has not begun.
    pub(super) fn new(meters: Meters) -> Self {
        Self {
            meters,
            clocks: Duration::ZERO,
            live: None,
        }
    }
}

impl Run<'_> {
    /// The workload begins: from now on traces and schedules count.
    pub(super) async fn begin(
        &mut self,
        ground: &Ground,
        sampling: &mut Sampling,
    ) -> Result<(), RunError> {
        if let Ground::Built(lab) = ground {
            on_a_thread(lab, Lab::begin).await?;
        }
        let now = Instant::now();
        self.recorder.workload_begins(now);
        let desk = self.options.desk.as_ref();
        let playing = match ground {
            Ground::Built(lab) => {
                Some(Playing::start(Arc::clone(lab), now).map_err(RunError::Schedule)?)
            }
            Ground::There(_) => None,
        };
        let attended = desk.map(|desk| match ground {
            Ground::Built(lab) => desk.attend(Arc::clone(lab)),
            Ground::There(lab) => desk.attend_there(lab.plan().clone()),
        });
        sampling.live = Some(Live {
            playing,
            _attended: attended,
        });
        Ok(())
    }

    /// Writes what was sampled until now.
    fn write(&mut self, sampling: &mut Sampling) -> Result<(), RunError> {
        let started = sampling.meters.started();
        let (probes, readings) = sampling.meters.drain();
        self.recorder.probes(&probes, started)?;
        let period = self.experiment.telemetry_period;
        self.recorder.readings(&readings, period)?;
        self.course.sampled(&readings);
        self.timeline();
        Ok(())
    }

    /// Takes what changed on the links.
    fn timeline(&mut self) {
        for entry in &self.recorder.changes() {
            self.observer.event(Event::LinkChanged(entry));
        }
    }

    /// Waits for `work`, and meanwhile writes what is sampled; ends early if the schedule does.
    pub(super) async fn while_sampling<T>(
        &mut self,
        sampling: &mut Sampling,
        work: impl Future<Output = T>,
    ) -> Result<T, RunError> {
        let mut work = std::pin::pin!(work);
        loop {
            let done = tokio::time::timeout(FLUSH, &mut work).await.ok();
            self.write(sampling)?;
            // Without its links a workload would wait until it gives up.
            sampling.meters.check()?;
            if let Some(playing) = sampling
                .live
                .as_mut()
                .and_then(|live| live.playing.as_mut())
            {
                playing.check()?;
            }
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }

    /// Ends the schedule and the sampling: waits for the last probes, and takes a last reading.
    pub(super) async fn last_samples(
        &mut self,
        Sampling { meters, live, .. }: Sampling,
    ) -> Result<Witness, RunError> {
        // With it goes whoever is setting a link just now.
        let ended = tokio::task::spawn_blocking(move || live.map_or(Ok(()), Live::end)).await?;
        self.timeline();
        let started = meters.started();
        let stopped = tokio::task::spawn_blocking(move || meters.stop()).await?;
        let (probes, readings, witness) = stopped?;
        self.recorder.probes(&probes, started)?;
        let period = self.experiment.telemetry_period;
        self.recorder.readings(&readings, period)?;
        ended?;
        Ok(witness)
    }
}

impl Live {
    /// The schedule makes no more changes, and nobody else does.
    fn end(self) -> Result<(), EngineError> {
        self.playing.map_or(Ok(()), Playing::stop)
    }
}
