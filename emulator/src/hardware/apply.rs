//! A plan carried out: the old value on disk, then the write, then a look whether it took.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::journal::{Entry, Journal, JournalError, Write};
use super::place::{Access, AccessError};
use super::plan::{Plan, Step};

/// How far it came.
#[derive(Debug)]
pub struct Applied {
    /// How many steps are done, from the first.
    pub done: usize,
    /// Why the next is not; none if all are.
    pub stopped: Option<Stopped>,
}

/// Why a step is not done.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// What is there is not what the plan saw.
    #[error(
        "{place} is {found} and no longer {planned}: somebody else is setting it; look at the plan again"
    )]
    Moved {
        /// Where.
        place: String,
        /// What is there.
        found: String,
        /// What was there.
        planned: String,
    },
    /// It was taken, but something else is there now.
    #[error("{place} took {asked} and reads {found}")]
    NotKept {
        /// Where.
        place: String,
        /// What was written.
        asked: String,
        /// What is there.
        found: String,
    },
    /// It could not be read or written.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Its old value could not be kept, so it was not tried.
    #[error("the old value could not be kept: {0}")]
    Journal(JournalError),
    /// It was written, and that could not be.
    #[error("what came of a write could not be logged: {0}")]
    Unlogged(JournalError),
    /// The user wants no more.
    #[error("interrupted")]
    Interrupted,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It is set.
    Done,
    /// It was tried; what is there now is not sure.
    Failed,
    /// It was not tried.
    NotTried,
}

impl Applied {
    /// How the step at `index` ended.
    pub fn state(&self, index: usize) -> StepState {
        let tried_next = matches!(
            self.stopped,
            Some(Stopped::NotKept { .. } | Stopped::Access(_) | Stopped::Unlogged(_))
        );
        match index {
            _ if index < self.done => StepState::Done,
            _ if index == self.done && tried_next => StepState::Failed,
            _ => StepState::NotTried,
        }
    }
}

/// Carries `plan` out, step by step, until one fails or `stop` is set. `done` is told each step that is done.
pub fn apply(
    plan: &Plan,
    access: &mut dyn Access,
    journal: &mut Journal,
    stop: &AtomicBool,
    done: &mut dyn FnMut(&Step),
) -> Applied {
    for (index, step) in plan.steps.iter().enumerate() {
        let outcome = match stop.load(Ordering::Relaxed) {
            true => Err(Stopped::Interrupted),
            false => carry_out(step, index + 1, access, journal),
        };
        if let Err(stopped) = outcome {
            return Applied {
                done: index,
                stopped: Some(stopped),
            };
        }
        done(step);
    }
    Applied {
        done: plan.steps.len(),
        stopped: None,
    }
}

fn carry_out(
    step: &Step,
    number: usize,
    access: &mut dyn Access,
    journal: &mut Journal,
) -> Result<(), Stopped> {
    let Step {
        place, old, new, ..
    } = step;
    let found = access.read(place)?;
    if !found.is_same(old) {
        return Err(Stopped::Moved {
            place: place.to_string(),
            found: found.to_string(),
            planned: old.to_string(),
        });
    }
    let entry = Entry::Write(Box::new(Write {
        number,
        place: place.clone(),
        old: old.clone(),
        new: new.clone(),
        also: step.also.clone(),
    }));
    journal.append(entry).map_err(Stopped::Journal)?;
    let outcome = write(step, number, access, journal);
    let entry = match &outcome {
        Ok(()) => Entry::Wrote { number },
        Err(stopped) => Entry::Failed {
            number,
            reason: stopped.to_string(),
        },
    };
    let kept = journal.append(entry);
    outcome?;
    kept.map_err(Stopped::Unlogged)
}

fn write(
    step: &Step,
    number: usize,
    access: &mut dyn Access,
    journal: &mut Journal,
) -> Result<(), Stopped> {
    let mut unkept = Ok(());
    let written = access.write(&step.place, &step.new, &mut |text| {
        let text = text.to_owned();
        if unkept.is_ok() {
            unkept = journal.append(Entry::Note { number, text });
        }
    });
    written?;
    unkept.map_err(Stopped::Unlogged)?;
    let found = access.read(&step.place)?;
    match found.is_same(&step.new) {
        true => Ok(()),
        false => Err(Stopped::NotKept {
            place: step.place.to_string(),
            asked: step.new.to_string(),
            found: found.to_string(),
        }),
    }
}
