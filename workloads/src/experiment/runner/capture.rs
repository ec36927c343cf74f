//! What is captured of a point's packets.

use longhaul_emulator::capture::{Capture, CaptureOptions};

use super::super::error::RunError;
use super::super::ground::{Ground, on_a_thread};
use super::Run;
use super::lab::Up;

impl Run<'_> {
    /// Captures the lanes that are to be, from before anything of the point is on them.
    pub(super) async fn start_capture(&mut self, index: usize, up: &Up) -> Result<(), RunError> {
        let channels = self.options.capture.channels(up.topology);
        let Ground::Built(lab) = &up.ground else {
            return Ok(());
        };
        if channels.is_empty() {
            return Ok(());
        }
        let options = CaptureOptions {
            folder: &self.folder("captures", index),
            channels,
            sides: lab.engine_kind().sides(),
            bytes: self.options.capture.bytes,
            zero: self.recorder.epoch_ns(),
        };
        let (capture, taps) = Capture::create(lab.plan(), &options)?;
        self.recorder.capture(capture);
        on_a_thread(lab, |lab| lab.capture(taps)).await
    }

    /// Has the engine hand over the last packets, and tells which are missing.
    pub(super) async fn end_capture(
        &mut self,
        ground: &Ground,
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        if let (true, Ground::Built(lab)) = (self.recorder.is_capturing(), ground) {
            on_a_thread(lab, |lab| lab.capture(Vec::new())).await?;
            for note in self.recorder.end_capture() {
                self.note(notes, note);
            }
        }
        Ok(())
    }
}
