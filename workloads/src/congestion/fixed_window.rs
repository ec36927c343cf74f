//! A fixed window: what a transport does whose only limit is its buffer, or the credits it was given.

use longhaul_topologies::units::{ByteSize, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Ack, Conditions, Controller, Loss};
use longhaul_emulator::time::Time;

/// The window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedWindow {
    /// Bytes in flight; at least one packet is sent.
    pub window: ByteSize,
}

impl FixedWindow {
    pub(super) fn start(self, conditions: Conditions, _now: Time) -> Fixed {
        Fixed {
            window: self.window.bytes().max(conditions.packet),
        }
    }
}

/// It at work.
#[derive(Debug)]
pub(super) struct Fixed {
    window: u64,
}

impl Controller for Fixed {
    fn on_ack(&mut self, _ack: &Ack<'_>) {}

    fn on_loss(&mut self, _loss: &Loss) {}

    fn on_timeout(&mut self, _now: Time) {}

    fn window(&self) -> u64 {
        self.window
    }

    fn pacing_rate(&self) -> Option<Rate> {
        None
    }
}
