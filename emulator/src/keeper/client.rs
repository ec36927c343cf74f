//! The user's end of the control socket: what the CLI calls.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use longhaul_topologies::adjust::{Adjustment, Named};
use longhaul_topologies::spec::TopologySpec;
use longhaul_topologies::way_on;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::KeeperError;
use super::links::{AdjustedChannel, LinkStatus, Refusal};
use super::name::LabName;
use super::reading::LabReading;
use super::registry::{Cleaned, Entry, LabRecord, Life, Place, Purpose, Registry};
use super::wire::{Answer, LabDetail, Namespaces, Request, VirtualStatus, Wire};
use crate::guest::SessionSpec;
use crate::pidfd::PidFd;

/// How long a keeper may take to answer: reading the counters of the largest lab takes milliseconds, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a lab may take to go down by itself before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How long the kernel may take to end what was killed.
const REAPING: Duration = Duration::from_secs(10);

/// One lab, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabStatus {
    /// Its name.
    pub name: LabName,
    /// Whether its processes live.
    pub life: Life,
    /// What it is; missing while it starts, or if it died then.
    pub record: Option<LabRecord>,
    /// What its keeper says; a dead lab has none, and a run nothing to say while no workload runs.
    pub detail: Option<LabDetail>,
    /// What is known of a virtual lab without asking inside.
    #[serde(rename = "virtual", default, skip_serializing_if = "Option::is_none")]
    pub virtual_lab: Option<VirtualStatus>,
    /// Why the keeper of a living lab says nothing, or what a dead lab died from, where that is known.
    pub trouble: Option<String>,
}

/// All labs of this user, by name.
///
/// # Errors
/// If the registry cannot be read.
pub fn status() -> Result<Vec<LabStatus>, KeeperError> {
    let entries = Registry::open()?.entries()?;
    Ok(entries.into_iter().filter_map(LabStatus::of).collect())
}

/// The lab that is meant when none is named: the only one that is up.
///
/// # Errors
/// If there is none, or more than one.
pub fn only_lab() -> Result<LabName, KeeperError> {
    only(living(Purpose::Up)?)
}

/// The lab whose links are meant when none is named: the only one that is up; where none is, the only run.
///
/// # Errors
/// If there is none, or more than one.
pub fn only_with_links() -> Result<LabName, KeeperError> {
    let labs = living(Purpose::Up)?;
    only(if labs.is_empty() {
        living(Purpose::Run)?
    } else {
        labs
    })
}

/// Whether the lab of that name is a virtual one that takes sessions (see [`visit`](super::visit)).
///
/// # Errors
/// If no such lab lives.
pub fn is_virtual(name: &LabName) -> Result<bool, KeeperError> {
    let entry = Registry::open()?.live(name)?;
    Ok(entry
        .record
        .is_some_and(|record| record.lab == Place::Virtual && record.purpose == Purpose::Up))
}

/// The labs of that kind whose processes live.
fn living(purpose: Purpose) -> Result<Vec<LabName>, KeeperError> {
    let is_meant = |entry: &Entry| {
        entry.life == Life::Up
            && entry
                .record
                .as_ref()
                .is_some_and(|record| record.purpose == purpose)
    };
    let entries = Registry::open()?.entries()?.into_iter();
    Ok(entries.filter(is_meant).map(|entry| entry.name).collect())
}

fn only(mut names: Vec<LabName>) -> Result<LabName, KeeperError> {
    match (names.pop(), names.is_empty()) {
        (None, _) => Err(KeeperError::NoLab),
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            names.push(last);
            Err(KeeperError::SeveralLabs { names })
        }
    }
}

/// The channels of a lab or run as they are; those of one link, if one is named.
///
/// # Errors
/// If no such lab or link is there.
pub fn links(name: &LabName, link: Option<&Named>) -> Result<Vec<LinkStatus>, KeeperError> {
    let mut keeper = Connection::open(&Registry::open()?, name)?;
    let request = Request::Links {
        link: link.cloned(),
    };
    match keeper.ask(&request)? {
        (Answer::Links(links), _) => Ok(links),
        (answer, _) => Err(keeper.unexpected(answer)),
    }
}

/// A lab or run at this instant.
///
/// # Errors
/// If no such lab is there, or it cannot be read. A virtual lab is read from inside of it.
pub fn reading(name: &LabName) -> Result<LabReading, KeeperError> {
    let mut keeper = Connection::open(&Registry::open()?, name)?;
    match keeper.ask(&Request::Reading)? {
        (Answer::Reading(reading), _) => Ok(*reading),
        (answer, _) => Err(keeper.unexpected(answer)),
    }
}

/// What the registry says of a lab that lives.
///
/// # Errors
/// If no such lab lives, or it is still starting.
pub fn record(name: &LabName) -> Result<LabRecord, KeeperError> {
    let entry = Registry::open()?.live(name)?;
    entry
        .record
        .ok_or_else(|| KeeperError::Starting { name: name.clone() })
}

/// Lays settings over a link of a lab or run; what changed.
///
/// # Errors
/// If no such lab is there, a name or setting is wrong, or the lab's engine cannot do it: then nothing has changed.
pub fn adjust(
    name: &LabName,
    adjustment: &Adjustment,
) -> Result<Vec<AdjustedChannel>, KeeperError> {
    let mut keeper = Connection::open(&Registry::open()?, name)?;
    match keeper.ask(&Request::Adjust(adjustment.clone()))? {
        (Answer::Adjusted(changes), _) => Ok(changes),
        (answer, _) => Err(keeper.unexpected(answer)),
    }
}

/// Takes a lab down, or interrupts a run; returns once nothing of it is left. A lab that does not react in ten
/// seconds is killed.
///
/// # Errors
/// If no such lab is up, or what is left of it cannot be removed.
pub fn down(name: &LabName) -> Result<(), KeeperError> {
    let registry = Registry::open()?;
    let entry = registry.live(name)?;
    let Some(record) = entry.record else {
        return Err(KeeperError::Starting { name: name.clone() });
    };
    let front =
        PidFd::open(record.pid).map_err(|e| KeeperError::lab("find the processes of", name, e))?;
    // The lab lived after its front's id was looked up, so that id was not another process's.
    registry.live(name)?;
    let begun = Instant::now();
    let asked = match record.purpose {
        Purpose::Up => Connection::open(&registry, name)
            .and_then(|mut keeper| keeper.ask(&Request::Down))
            .map(drop),
        Purpose::Run => front
            .signal(Signal::SIGTERM)
            .map_err(|e| KeeperError::lab("interrupt", name, e)),
    };
    // A keeper that did not answer has used some of it already.
    let gone = front
        .wait(GRACE.saturating_sub(begun.elapsed()))
        .map_err(|e| KeeperError::lab("wait for the end of", name, e));
    if asked.is_err() || !gone? {
        front
            .signal(Signal::SIGKILL)
            .map_err(|e| KeeperError::lab("kill", name, e))?;
    }
    // The front gives the name back as the last thing it does. Killed, it cannot, and the others take a moment to die.
    let deadline = Instant::now() + REAPING;
    while !registry.remove_dead(name)? {
        if Instant::now() > deadline {
            return Err(KeeperError::lab(
                "kill",
                name,
                io::ErrorKind::TimedOut.into(),
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Removes what labs left that were killed; never touches one that lives.
///
/// # Errors
/// If something of it cannot be removed.
pub fn clean() -> Result<Cleaned, KeeperError> {
    Registry::open()?.clean()
}

impl LabStatus {
    /// `None` of a lab that has gone meanwhile.
    fn of(entry: Entry) -> Option<Self> {
        let has_begun = entry.record.is_some();
        let mut status = LabStatus {
            name: entry.name,
            life: entry.life,
            record: entry.record,
            detail: None,
            virtual_lab: None,
            trouble: entry.reason,
        };
        if status.life == Life::Up && has_begun {
            match Registry::open()
                .and_then(|registry| Connection::open(&registry, &status.name)?.status())
            {
                Ok(Told::Detail(detail)) => status.detail = Some(*detail),
                Ok(Told::Virtual(told)) => status.virtual_lab = Some(told),
                // A run between two workloads is none the worse for it.
                Err(KeeperError::Refused {
                    refusal: Refusal::NotNow(_),
                    ..
                }) => {}
                // It came to its end between the two looks.
                Err(KeeperError::NoSuchLab { .. }) => return None,
                Err(KeeperError::Dead { reason, .. }) => {
                    status.life = Life::Dead;
                    status.trouble = Some(reason);
                }
                Err(error) => status.trouble = Some(error.to_string()),
            }
        }
        Some(status)
    }
}

/// What a keeper says of its lab.
enum Told {
    Detail(Box<LabDetail>),
    Virtual(VirtualStatus),
}

/// A connection to a lab's keeper.
pub(super) struct Connection {
    name: LabName,
    wire: Wire,
}

impl Connection {
    /// Connects to a lab that takes programs.
    pub(super) fn open_lab(registry: &Registry, name: &LabName) -> Result<Self, KeeperError> {
        match registry.live(name)?.record {
            Some(record) if record.purpose == Purpose::Run => {
                Err(KeeperError::IsRun { name: name.clone() })
            }
            _ => Self::open(registry, name),
        }
    }

    /// Connects to a lab or run that lives.
    pub(super) fn open(registry: &Registry, name: &LabName) -> Result<Self, KeeperError> {
        let entry = registry.live(name)?;
        let wire = UnixStream::connect(entry.folder.join("control"))
            .and_then(|stream| Wire::new(stream, PATIENCE));
        Ok(Connection {
            name: name.clone(),
            wire: wire.map_err(|e| KeeperError::unresponsive(name, e))?,
        })
    }

    /// The namespaces of `node`.
    pub(super) fn namespaces(&mut self, node: &str) -> Result<Namespaces, KeeperError> {
        match self.ask(&Request::Enter {
            node: node.to_owned(),
        })? {
            (Answer::Entered, descriptors) => {
                Namespaces::from_descriptors(descriptors).ok_or_else(|| {
                    KeeperError::lab(
                        "enter",
                        &self.name,
                        io::Error::other("its keeper passed too few namespaces"),
                    )
                })
            }
            (Answer::NoSuchNode(nodes), _) => Err(KeeperError::NoSuchNode {
                lab: self.name.clone(),
                node: node.to_owned(),
                way_on: way_on(node, nodes.iter().map(String::as_str)),
            }),
            (answer, _) => Err(self.unexpected(answer)),
        }
    }

    /// Its topology, every default filled in.
    pub(super) fn topology(&mut self) -> Result<TopologySpec, KeeperError> {
        match self.ask(&Request::Topology)? {
            (Answer::Topology(topology), _) => Ok(*topology),
            (answer, _) => Err(self.unexpected(answer)),
        }
    }

    /// Everything there is to show.
    pub(super) fn detail(&mut self) -> Result<LabDetail, KeeperError> {
        match self.ask(&Request::Status)? {
            (Answer::Status(detail), _) => Ok(detail),
            (answer, _) => Err(self.unexpected(answer)),
        }
    }

    /// Everything there is to show; of a virtual lab, what its keeper knows.
    fn status(&mut self) -> Result<Told, KeeperError> {
        match self.ask(&Request::Status)? {
            (Answer::Status(detail), _) => Ok(Told::Detail(Box::new(detail))),
            (Answer::Virtual(told), _) => Ok(Told::Virtual(told)),
            (answer, _) => Err(self.unexpected(answer)),
        }
    }

    /// Enters a virtual lab: frames come next.
    pub(super) fn visit(mut self, session: SessionSpec) -> Result<UnixStream, KeeperError> {
        match self.ask(&Request::Visit(Box::new(session)))? {
            (Answer::Welcome, _) => {}
            (answer, _) => return Err(self.unexpected(answer)),
        }
        let stream = self.wire.into_stream();
        stream.map_err(|e| KeeperError::unresponsive(&self.name, e))
    }

    fn ask(&mut self, request: &Request) -> Result<(Answer, Vec<OwnedFd>), KeeperError> {
        let answer = self
            .wire
            .send(request, &[])
            .and_then(|()| self.wire.receive());
        let error = match answer {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", PATIENCE.as_secs()),
            ),
            Err(error) => error,
        };
        // One that has died meanwhile: what from says more.
        Registry::open()?.live(&self.name)?;
        Err(KeeperError::unresponsive(&self.name, error))
    }

    fn unexpected(&self, answer: Answer) -> KeeperError {
        let reason = match answer {
            Answer::Refused(refusal) => {
                return KeeperError::Refused {
                    name: self.name.clone(),
                    refusal,
                };
            }
            other => {
                format!("it answers {other:?}, which this version of longhaul does not understand")
            }
        };
        KeeperError::unresponsive(&self.name, io::Error::other(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineChoice;

    #[test]
    fn a_lab_that_ends_while_it_is_asked_is_not_shown_as_one_that_lives() {
        let name: LabName = "gone-meanwhile".parse().unwrap();
        let entry = Entry {
            name: name.clone(),
            folder: "/nowhere".into(),
            life: Life::Up,
            record: Some(LabRecord {
                name,
                purpose: Purpose::Up,
                lab: Place::Host,
                subject: "lab".to_owned(),
                engine: EngineChoice::Relay,
                pid: 1,
                started: 0,
            }),
            reason: None,
        };
        assert_eq!(LabStatus::of(entry), None);
    }
}
