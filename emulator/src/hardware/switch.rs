//! A switch, whatever it speaks.

use std::time::Duration;

use longhaul_topologies::hardware::{Login, Switch};
use serde_json::Value;

use super::nvue::{self, Nvue, NvueError};
use super::place::Config;
use super::sonic::{self, Sonic, SonicError};

/// What switches do, each in its own way.
pub trait Control {
    /// The switch's configuration.
    ///
    /// # Errors
    /// If it does not answer, or not with that.
    fn config(&self, view: View) -> Result<Value, SwitchError>;

    /// Sets all of `config`, or nothing of it. What is unset goes with the whole that it is part of, if that is one of `absent`. `note` is
    /// told what somebody who finds this half-done has to know.
    ///
    /// # Errors
    /// If the switch does not, with whether something of it may be set all the same.
    fn set(
        &self,
        config: &Config,
        absent: &[String],
        note: &mut dyn FnMut(&str),
    ) -> Result<(), SwitchError>;
}

/// Which configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What is set.
    Set,
    /// What counts: what is set, and defaults.
    Effective,
}

/// Why a switch did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// One with Cumulus Linux.
    #[error(transparent)]
    Nvue(#[from] NvueError),
    /// One with SONiC.
    #[error(transparent)]
    Sonic(#[from] SonicError),
}

/// The switch that `login` leads to, which may take as long as `patience` to apply; it is asked nothing yet.
///
/// # Errors
/// If what the login takes is not where it should be.
pub fn open(login: &Login, patience: Duration) -> Result<Box<dyn Control>, SwitchError> {
    Ok(match login {
        Login::Nvue(login) => Box::new(Nvue::new(login, patience)?),
        Login::Sonic(login) => Box::new(Sonic::by_ssh(login, patience)),
    })
}

/// All that `switch` says, by path, for a switch whose configuration is `effective`, defaults included.
///
/// # Errors
/// If it cannot be said of that switch.
///
/// # Panics
/// If `switch` was not checked by [`longhaul_topologies::hardware::settings`].
pub fn wanted(switch: &Switch, effective: &Value) -> Result<Config, SwitchError> {
    Ok(match switch.login() {
        Login::Nvue(_) => nvue::wanted(switch, effective)?,
        Login::Sonic(_) => sonic::wanted(switch, effective)?,
    })
}

impl Control for Nvue {
    fn config(&self, view: View) -> Result<Value, SwitchError> {
        Ok(self.config(view)?)
    }

    fn set(
        &self,
        config: &Config,
        absent: &[String],
        note: &mut dyn FnMut(&str),
    ) -> Result<(), SwitchError> {
        Ok(self.set(config, absent, note)?)
    }
}

impl<S: sonic::Shell> Control for Sonic<S> {
    /// ConfigDB has no defaults.
    fn config(&self, _: View) -> Result<Value, SwitchError> {
        Ok(self.config()?)
    }

    fn set(
        &self,
        config: &Config,
        _: &[String],
        note: &mut dyn FnMut(&str),
    ) -> Result<(), SwitchError> {
        Ok(self.set(config, note)?)
    }
}
