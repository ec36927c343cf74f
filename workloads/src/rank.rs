//! What runs inside a rank's process.
//!
//! A rank reads requests from its control connection, does each and answers it, on one thread. Beside it, another says now
//! and then that the rank is at work, and ends the process when the world is gone.

mod control;
mod session;

use control::Control;
use session::Session;

use crate::world::clock;
use crate::world::protocol::{Reply, Request};

/// The body of `longhaul __rank`: serves the control connection it inherited until told to stop. Returns the exit code.
pub fn main() -> i32 {
    let mut control = match Control::inherited() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("{error}");
            return 2;
        }
    };
    let mut session: Option<Session> = None;
    loop {
        if let (Some(session), Some(awaited)) = (&mut session, control.awaited())
            && let Err(error) = session.serve(awaited)
            && control.send(&error.into()).is_err()
        {
            return 0;
        }
        let request = match control.next_request() {
            Ok(Some(request)) => request,
            Ok(None) => {
                if let Some(session) = session {
                    session.leave();
                }
                return 0;
            }
            Err(error) => {
                eprintln!("cannot read the control connection: {error}");
                return 1;
            }
        };
        if let Request::Clock = request {
            let now_ns = clock::now_ns();
            if control.send(&Reply::Clock { now_ns }).is_err() {
                return 0;
            }
            continue;
        }
        let answer = match (&mut session, request) {
            (Some(session), request) => session.answer(request),
            (None, Request::SetClock { behind_ns }) => {
                clock::set_behind(behind_ns);
                Ok(None)
            }
            (None, request) => Session::join(request).map(|(joined, reply)| {
                session = Some(joined);
                Some(reply)
            }),
        };
        let sent = match answer {
            Ok(None) => Ok(()),
            Ok(Some(reply)) => control.send(&reply),
            Err(error) => control.send(&error.into()),
        };
        if sent.is_err() {
            // The world is gone: nobody is left to tell.
            return 0;
        }
    }
}
