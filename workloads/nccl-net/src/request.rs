//! What is under way on a communicator.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Mutex, PoisonError};

use crate::error::Outcome;

/// Requests of one communicator at once: NCCL starts up to 32 (`NCCL_NET_MAX_REQUESTS`), and is told to try again beyond.
pub(crate) const REQUESTS: usize = 64;

/// A message's memory, which belongs to NCCL.
#[derive(Debug)]
pub(crate) struct Memory {
    at: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is used by one thread at a time: by NCCL's before the request is made and after it is done, by the
// communicator's in between, as `Memory::new` asks for.
unsafe impl Send for Memory {}

impl Memory {
    /// The `length` bytes at `at`; `None` if there is nothing at `at`.
    ///
    /// # Safety
    /// They are there, to be read and, if a message is received into them, to be written; and nobody else uses them until this
    /// is dropped.
    pub(crate) unsafe fn new(at: *mut c_void, length: usize) -> Option<Self> {
        let at = match length {
            0 => NonNull::dangling(),
            _ => NonNull::new(at.cast())?,
        };
        Some(Self { at, length })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `new` was promised that they are there and that nobody else uses them.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.length) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `new` was promised that they are there and that nobody else uses them.
        unsafe { slice::from_raw_parts_mut(self.at.as_ptr(), self.length) }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

/// One of a communicator's places for a request.
#[derive(Debug, Default)]
pub(crate) struct Request(Mutex<State>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    UnderWay,
    /// So many bytes were moved.
    Done(usize),
    Failed(Outcome),
}

impl Request {
    /// The bytes moved, if it is done; `None` while it is under way. One that is done is then free for another.
    pub(crate) fn test(&self) -> Result<Option<usize>, Outcome> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::UnderWay => Ok(None),
            State::Done(bytes) => {
                *state = State::Free;
                Ok(Some(bytes))
            }
            State::Failed(outcome) => Err(outcome),
            State::Free => Err(Outcome::InvalidArgument),
        }
    }

    pub(crate) fn finish(&self, bytes: usize) {
        self.set(|_| Some(State::Done(bytes)));
    }

    /// If it is under way.
    pub(crate) fn fail(&self, outcome: Outcome) {
        self.set(|state| (state == State::UnderWay).then_some(State::Failed(outcome)));
    }

    pub(crate) fn is_under_way(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == State::UnderWay
    }

    /// Takes it if it is free; tells whether it was.
    pub(crate) fn take(&self) -> bool {
        self.set(|state| (state == State::Free).then_some(State::UnderWay))
    }

    fn set(&self, next: impl FnOnce(State) -> Option<State>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next(*state);
        *state = next.unwrap_or(*state);
        next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_free_again_once_its_end_was_told() {
        let request = Request::default();
        assert_eq!(request.test(), Err(Outcome::InvalidArgument));
        assert!(request.take() && !request.take());
        assert_eq!(request.test(), Ok(None));
        request.finish(7);
        assert!(!request.take(), "not told yet");
        assert_eq!(request.test(), Ok(Some(7)));
        assert!(request.take());
        request.fail(Outcome::RemoteError);
        assert_eq!(request.test(), Err(Outcome::RemoteError));
        assert!(!request.take(), "a failed one stays so");
    }

    #[test]
    fn what_was_done_before_a_failure_is_done() {
        let request = Request::default();
        request.take();
        request.finish(1);
        request.fail(Outcome::RemoteError);
        assert_eq!(request.test(), Ok(Some(1)));
    }

    #[test]
    fn memory_of_no_bytes_need_not_be_anywhere() {
        // SAFETY: neither has bytes that would be used.
        let (none, missing) = unsafe {
            let nowhere = std::ptr::null_mut();
            (Memory::new(nowhere, 0), Memory::new(nowhere, 1))
        };
        assert!(none.is_some_and(|memory| memory.bytes().is_empty()));
        assert!(missing.is_none());
    }
}
