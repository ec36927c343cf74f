//! What the plugin does for NCCL, told without pointers. There is one in a process.

use std::ffi::c_int;
use std::sync::OnceLock;

use crate::abi::Logger;
use crate::comm::Comm;
use crate::device::{self, Device};
use crate::error::Error;
use crate::handle::Handle;
use crate::listen::Listener;
use crate::log;
use crate::meeting::{Terms, connect};
use crate::settings::{Settings, Transport};

/// The settings and interfaces, as they were when NCCL first asked.
#[derive(Debug)]
pub(crate) struct Plugin {
    settings: Settings,
    devices: Vec<Device>,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

impl Plugin {
    /// Reads the environment, the first time.
    pub(crate) fn initialise(logger: Option<Logger>) -> Result<(), Error> {
        log::set(logger);
        if PLUGIN.get().is_some() {
            return Ok(());
        }
        let plugin = Self {
            settings: Settings::from_environment()?,
            devices: device::find()?,
        };
        log::info(&plugin.described());
        PLUGIN.get_or_init(|| plugin);
        Ok(())
    }

    /// Once it is initialised.
    pub(crate) fn get() -> Result<&'static Self, Error> {
        PLUGIN.get().ok_or(Error::NotInitialised)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn devices(&self) -> &[Device] {
        &self.devices
    }

    pub(crate) fn device(&self, index: c_int) -> Result<&Device, Error> {
        let device = usize::try_from(index).ok();
        let device = device.and_then(|index| self.devices.get(index));
        device.ok_or(Error::Argument("there is no such device"))
    }

    pub(crate) fn listen(&self, device: c_int) -> Result<(Listener, Handle), Error> {
        let device = self.device(device)?;
        Listener::new(device.address, self.terms(device))
    }

    /// Begins to connect.
    pub(crate) fn connect(&self, device: c_int, handle: Handle) -> Result<Comm, Error> {
        let device = self.device(device)?;
        let (from, terms) = (device.address, self.terms(device));
        let name = format!("sending to {}", handle.address.ip());
        Comm::open(name, terms.patience, move |wake| {
            connect(handle, from, terms, wake)
        })
    }

    fn terms(&self, device: &Device) -> Terms {
        Terms {
            transport: self.settings.transport,
            options: self.settings.message_options(device.line_rate),
            patience: self.settings.patience,
        }
    }

    /// For the log.
    fn described(&self) -> String {
        let device =
            |device: &Device| format!("{}:{}", device.name.to_string_lossy(), device.address);
        let devices: Vec<_> = self.devices.iter().map(device).collect();
        let transport = match self.settings.transport {
            Transport::Message => format!("messages by {}", self.settings.law.name()),
            Transport::Tcp => "tcp".to_owned(),
        };
        format!("{transport} over {}", devices.join(" "))
    }
}
