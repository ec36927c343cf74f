//! The labs of this user: a folder each, in the runtime folder.
//!
//! ```text
//! NAME/lab.json   what it is: see LabRecord
//! NAME/lock       locked (flock) by every process of the lab's sandbox: free means dead, whatever it died from
//! NAME/control    the keeper's socket
//! NAME/guest/     what a virtual lab shares with its kernel (see crate::guest)
//! NAME/log        what the keeper printed (`up` only)
//! NAME/died       what it died from, if its keeper saw it
//! NAME/names      the names it has in /run/netns, one a line (see super::names)
//! .registry       locked while any of this is read or changed
//! ```

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::lookout::Lookout;
use super::name::LabName;
use super::{KeeperError, names};
use crate::engine::EngineChoice;
use crate::sandbox::{self, Privilege, Sandbox, SandboxError, runtime};

/// What the registry tells of a lab, alive or dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabRecord {
    /// Its name.
    pub name: LabName,
    /// What it is up for.
    pub purpose: Purpose,
    /// Whose kernel it is on.
    #[serde(default)]
    pub lab: Place,
    /// The name of its topology or, of a run, its experiment.
    pub subject: String,
    /// The engine that was asked for.
    pub engine: EngineChoice,
    /// The process that all of it ends with.
    pub pid: i32,
    /// When it was started, in seconds since 1970 (UTC).
    pub started: u64,
}

/// Whose kernel a lab is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The machine's.
    #[default]
    Host,
    /// One of its own, in virtual time.
    Virtual,
    /// Those of machines that are there.
    Physical,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Host => "host",
            Place::Virtual => "virtual",
            Place::Physical => "physical",
        })
    }
}

/// What a lab is up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To stay until it is taken down.
    Up,
    /// For one run: its links can be set from outside, but no programs be started.
    Run,
}

/// Whether a lab's processes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Life {
    /// They do.
    Up,
    /// They were killed; `clean` removes what they left.
    Dead,
}

/// The folder of all labs of this user.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    folder: PathBuf,
}

/// One lab in it.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: LabName,
    pub folder: PathBuf,
    pub life: Life,
    /// Missing if it died before it wrote one.
    pub record: Option<LabRecord>,
    /// What a dead one died from, if its keeper saw it.
    pub reason: Option<String>,
}

/// A name claimed for a lab. Dropping it gives the name back, with all that the registry has under it.
#[derive(Debug)]
pub struct Registration {
    registry: Registry,
    record: LabRecord,
    /// Held while the lab lives; none once handed over to another process.
    lock: Option<File>,
}

impl Registry {
    pub(super) fn open() -> Result<Self, KeeperError> {
        Ok(Registry {
            folder: runtime::folder().map_err(SandboxError::from)?,
        })
    }

    pub(super) fn folder_of(&self, name: &LabName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// All labs, by name.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, KeeperError> {
        let _guard = self.guard()?;
        self.entries_guarded()
    }

    /// The lab of that name, if it lives.
    pub(super) fn live(&self, name: &LabName) -> Result<Entry, KeeperError> {
        let entry = self
            .entries()?
            .into_iter()
            .find(|entry| entry.name == *name);
        match entry {
            Some(entry) if entry.life == Life::Up => Ok(entry),
            Some(entry) => Err(KeeperError::Dead {
                name: entry.name,
                reason: entry.reason.unwrap_or_else(|| "it was killed".to_owned()),
            }),
            None => Err(KeeperError::NoSuchLab { name: name.clone() }),
        }
    }

    /// Removes what dead labs left; their names, and those of their namespaces.
    pub(super) fn clean(&self) -> Result<Cleaned, KeeperError> {
        let _guard = self.guard()?;
        let (live, dead): (Vec<_>, Vec<_>) = self
            .entries_guarded()?
            .into_iter()
            .partition(|e| e.life == Life::Up);
        let mut cleaned = Cleaned::default();
        for entry in dead {
            cleaned.namespaces.extend(remove(&entry.folder)?);
            cleaned.labs.push(entry.name);
        }
        let live: Vec<LabName> = live.into_iter().map(|entry| entry.name).collect();
        cleaned.namespaces.extend(names::remove_orphans(&live)?);
        Ok(cleaned)
    }

    /// Removes the lab of that name if it is dead; whether there is none of that name any more.
    pub(super) fn remove_dead(&self, name: &LabName) -> Result<bool, KeeperError> {
        let _guard = self.guard()?;
        match self
            .entries_guarded()?
            .into_iter()
            .find(|entry| entry.name == *name)
        {
            Some(entry) if entry.life == Life::Up => Ok(false),
            Some(entry) => remove(&entry.folder).map(|_| true),
            None => Ok(true),
        }
    }

    fn entries_guarded(&self) -> Result<Vec<Entry>, KeeperError> {
        let listing =
            fs::read_dir(&self.folder).map_err(|e| KeeperError::path("list", &self.folder, e))?;
        let mut entries = Vec::new();
        for item in listing {
            let item = item.map_err(|e| KeeperError::path("list", &self.folder, e))?;
            let Some(name) = item
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<LabName>().ok())
            else {
                continue;
            };
            let folder = item.path();
            let life = match File::open(folder.join("lock")).map(|lock| lock.try_lock_shared()) {
                Ok(Err(TryLockError::WouldBlock)) => Life::Up,
                _ => Life::Dead,
            };
            let record = fs::read(folder.join("lab.json"))
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok());
            let reason = match life {
                Life::Up => None,
                Life::Dead => fs::read_to_string(folder.join("died")).ok(),
            };
            entries.push(Entry {
                name,
                folder,
                life,
                record,
                reason,
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Keeps other longhaul processes from changing the registry until dropped. Nobody holds it for longer than a few
    /// file operations.
    fn guard(&self) -> Result<File, KeeperError> {
        let path = self.folder.join(".registry");
        let error = |source| KeeperError::path("lock", &path, source);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(error)?;
        file.lock().map_err(error)?;
        Ok(file)
    }
}

/// What [`clean`](super::clean) removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// Dead labs.
    pub labs: Vec<LabName>,
    /// Names in /run/netns that belonged to no lab that lives.
    pub namespaces: Vec<String>,
}

impl Registration {
    /// Claims `name` for a lab that is about to start. What a dead lab left under that name goes.
    ///
    /// # Errors
    /// If a living lab has that name, or the runtime folder cannot be used.
    pub fn claim(
        name: LabName,
        purpose: Purpose,
        subject: &str,
        engine: EngineChoice,
    ) -> Result<Self, KeeperError> {
        let registry = Registry::open()?;
        let _guard = registry.guard()?;
        let folder = registry.folder_of(&name);
        match registry
            .entries_guarded()?
            .into_iter()
            .find(|entry| entry.name == name)
        {
            Some(Entry { life: Life::Up, .. }) => return Err(KeeperError::NameTaken { name }),
            Some(Entry {
                life: Life::Dead, ..
            }) => drop(remove(&folder)?),
            None => {}
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|e| KeeperError::path("create", &folder, e))?;
        let path = folder.join("lock");
        let lock = File::create_new(&path).map_err(|e| KeeperError::path("create", &path, e))?;
        lock.try_lock()
            .map_err(|e| KeeperError::path("lock", &path, e.into()))?;

        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let record = LabRecord {
            name,
            purpose,
            lab: Place::Host,
            subject: subject.to_owned(),
            engine,
            pid: 0,
            started,
        };
        let registration = Registration {
            registry: registry.clone(),
            record,
            lock: Some(lock),
        };
        Ok(registration)
    }

    /// Notes that the lab has a kernel of its own.
    #[must_use]
    pub fn on_a_lab_kernel(mut self) -> Self {
        self.record.lab = Place::Virtual;
        self
    }

    /// The lab's name.
    pub fn name(&self) -> &LabName {
        &self.record.name
    }

    /// The lab's folder in the registry.
    pub(super) fn folder(&self) -> PathBuf {
        self.registry.folder_of(&self.record.name)
    }

    /// Enters a sandbox (see [`sandbox::enter_with`]) that holds the registration: its front gives the name back
    /// when the lab is gone.
    ///
    /// # Errors
    /// If there is no sandbox to be had, or the registry cannot be written.
    pub fn enter(mut self, privilege: Privilege) -> Result<Sandbox, KeeperError> {
        self.hold()?;
        Ok(sandbox::enter_with(privilege, move || drop(self))?)
    }

    /// Says that this process is the one that the lab ends with; the lab's own folder, which goes with the registration.
    ///
    /// # Errors
    /// If the registry cannot be written.
    pub fn hold(&mut self) -> Result<PathBuf, KeeperError> {
        self.record.pid = std::process::id().cast_signed();
        let folder = self.folder();
        let path = folder.join("lab.json");
        let _guard = self.registry.guard()?;
        let text = serde_json::to_vec_pretty(&self.record)
            .map_err(|e| KeeperError::path("write", &path, e.into()))?;
        fs::write(&path, text).map_err(|e| KeeperError::path("write", &path, e))?;
        Ok(folder)
    }

    /// As [`enter`](Self::enter), for a run: with a desk for those who ask about it. Starts a thread.
    ///
    /// # Errors
    /// As [`enter`](Self::enter), or if there can be no desk.
    pub fn enter_run(self, privilege: Privilege) -> Result<(Sandbox, Desk), KeeperError> {
        let name = self.name().clone();
        let listener = self.listen()?;
        let sandbox = self.enter(privilege)?;
        let desk = Desk::open(listener).map_err(|e| KeeperError::lab("listen for", &name, e))?;
        Ok((sandbox, desk))
    }

    /// As [`hold`](Self::hold), for a run on machines that are there: with a desk for those who ask how far it is. Starts a thread.
    ///
    /// # Errors
    /// As [`hold`](Self::hold), or if there can be no desk.
    pub fn hold_there(&mut self) -> Result<(PathBuf, Desk), KeeperError> {
        self.record.lab = Place::Physical;
        let desk = Desk::open_there(self.listen()?);
        let desk = desk.map_err(|e| KeeperError::lab("listen for", self.name(), e))?;
        Ok((self.hold()?, desk))
    }

    /// A lookout for those who watch a run in the guest whose shared folder will be `guest`. Starts a thread.
    ///
    /// # Errors
    /// If there can be none.
    pub fn look_out(&self, guest: &Path) -> Result<Lookout, KeeperError> {
        let listener = self.listen()?;
        Lookout::open(listener, guest).map_err(|e| KeeperError::lab("listen for", self.name(), e))
    }

    /// The control socket. To be made before the sandbox is entered: inside, the folder is out of sight.
    pub(super) fn listen(&self) -> Result<UnixListener, KeeperError> {
        let path = self.folder().join("control");
        UnixListener::bind(&path).map_err(|e| KeeperError::path("listen on", &path, e))
    }

    /// Leaves what there is, for a lab that has died from something that its user should know.
    pub(super) fn leave_dead(mut self, reason: &str) {
        // Without it, it was killed.
        let _ = fs::write(self.folder().join("died"), reason);
        self.lock = None;
    }

    /// Leaves it to a forked process that has it, too.
    pub(super) fn hand_over(mut self) {
        self.lock = None;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        // What cannot be removed here, `clean` will name.
        if let Ok(_guard) = self.registry.guard() {
            let _ = remove(&self.folder());
        }
    }
}

/// Removes a lab's folder, its names in /run/netns first; those names. Under the registry's guard only.
fn remove(folder: &Path) -> Result<Vec<String>, KeeperError> {
    let names = names::remove_listed(folder)?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(KeeperError::path("remove", folder, error))
        }
        _ => Ok(names),
    }
}
