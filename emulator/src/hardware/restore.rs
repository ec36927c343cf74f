//! What was applied, put back: the last first, whatever ended `apply`, as often as it takes.

use serde::Serialize;

use super::journal::{Entry, Journal, JournalError, Write, Written};
use super::place::{Access, Place, Value};

/// What is to be done about a write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Return {
    /// Which, counted from 1.
    pub number: usize,
    /// Where.
    pub place: Place,
    /// What is there.
    pub found: Option<Value>,
    /// What was there before.
    pub old: Value,
    /// What that makes to do.
    pub state: ReturnState,
}

/// What is to be done about a write, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnState {
    /// The old value is there.
    ThereAlready,
    /// The old value will be written.
    ToWrite,
    /// Somebody else has set it since.
    Moved,
    /// It was written.
    Restored,
    /// It could not be read or written.
    Failed(String),
}

/// Whether what somebody else has set since is written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It stays, and so does everything.
    Refuse,
    /// It is.
    Write,
}

/// What would be done about `writes`, the last first. Nothing is written.
pub fn look(writes: &[Written], access: &mut dyn Access) -> Vec<Return> {
    writes
        .iter()
        .rev()
        .map(|written| {
            let write = &written.write;
            let found = access.read(&write.place);
            let state = match &found {
                Err(error) => ReturnState::Failed(error.to_string()),
                Ok(found) => state(written, found, access),
            };
            Return {
                number: write.number,
                place: write.place.clone(),
                found: found.ok(),
                old: write.old.clone(),
                state,
            }
        })
        .collect()
}

fn state(written: &Written, found: &Value, access: &mut dyn Access) -> ReturnState {
    let Written { write, is_sure } = written;
    if found.is_same(&write.old) {
        let differs = write.also.iter().any(|kept| {
            !access
                .read(&kept.place)
                .is_ok_and(|now| now.is_same(&kept.old))
        });
        return match differs {
            true => ReturnState::ToWrite,
            false => ReturnState::ThereAlready,
        };
    }
    // A write that was not seen to be there may have left anything.
    match *is_sure && !found.is_same(&write.new) {
        true => ReturnState::Moved,
        false => ReturnState::ToWrite,
    }
}

/// Puts `writes` back, the last first, and says so in `journal`. If one fails, or the journal cannot be written, the others are put back
/// all the same. What was done, and why not all of it is in the journal.
pub fn restore(
    writes: &[Written],
    over: Over,
    access: &mut dyn Access,
    journal: &mut Journal,
) -> (Vec<Return>, Option<JournalError>) {
    let mut returns = look(writes, access);
    let moved = |one: &Return| one.state == ReturnState::Moved;
    if over == Over::Refuse && returns.iter().any(moved) {
        return (returns, None);
    }
    let mut unlogged = None;
    for (one, written) in returns.iter_mut().zip(writes.iter().rev()) {
        let Written { write, .. } = written;
        let number = write.number;
        // What could not be read before may be read now, and be somebody else's.
        if over == Over::Refuse && matches!(one.state, ReturnState::Failed(_)) {
            let found = access.read(&write.place);
            if found.is_ok_and(|found| state(written, &found, access) == ReturnState::Moved) {
                one.state = ReturnState::Failed("somebody else has set it since".to_owned());
                continue;
            }
        }
        if one.state != ReturnState::ThereAlready {
            one.state = match put_back(write, access, journal) {
                Ok(()) => ReturnState::Restored,
                Err(reason) => ReturnState::Failed(reason),
            };
        }
        if !matches!(one.state, ReturnState::Failed(_))
            && let Err(error) = journal.append(Entry::Restored { number })
        {
            unlogged.get_or_insert(error);
        }
    }
    (returns, unlogged)
}

fn put_back(write: &Write, access: &mut dyn Access, journal: &mut Journal) -> Result<(), String> {
    let number = write.number;
    set(&write.place, &write.old, number, access, journal)?;
    for kept in &write.also {
        set(&kept.place, &kept.old, number, access, journal)?;
    }
    Ok(())
}

/// Writes a value if another is there, and looks whether it took.
fn set(
    place: &Place,
    value: &Value,
    number: usize,
    access: &mut dyn Access,
    journal: &mut Journal,
) -> Result<(), String> {
    let read = |access: &mut dyn Access| access.read(place).map_err(|error| error.to_string());
    if read(access)?.is_same(value) {
        return Ok(());
    }
    access
        .write(place, value, &mut |text| {
            // What it says is told on failure, too: without it nothing is lost.
            let text = text.to_owned();
            let _ = journal.append(Entry::Note { number, text });
        })
        .map_err(|error| error.to_string())?;
    let found = read(access)?;
    match found.is_same(value) {
        true => Ok(()),
        false => Err(format!("{place} took {value} and reads {found}")),
    }
}
