//! The exit codes: documented and stable.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went as asked.
    Fine,
    /// An expectation or a gate did not hold: a wrong result, a failed workload.
    NotHeld,
    /// The command line or a file is wrong.
    Usage,
    /// This machine lacks something; the message says what and how to get it.
    Lacking,
    /// The lab's links were not what was asked for.
    Unfaithful,
    /// A gate has too few repeats to tell.
    Undecided,
    /// This commit cannot be judged: what `git bisect run` takes for "skip it" (git-bisect(1), "Bisect run").
    Skip,
    /// No commit can be judged: what ends `git bisect run`.
    EndBisection,
    /// Ended by Ctrl-C or a signal.
    Interrupted,
    /// The code of the program that `exec` ran.
    Program(u8),
}

/// The same, for `--help` and the manual page.
pub const HELP: &str = "\
Exit codes:
  0    all went as asked
  1    an expectation or gate did not hold (a wrong result, a failed workload)
  2    the command line or a file is wrong
  3    this machine lacks something; the message says what and how to get it
  4    the lab was not faithful: a link was not what was asked for
  5    a gate cannot tell: it takes more repeats, and says how many
  130  interrupted
  gate --bisect exits with 125 instead of 2, 4 and 5: this commit cannot be judged; with 128 if no commit can.
  exec passes on the exit code of its program (128 + n if signal n ended it).";

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::NotHeld => 1,
            Exit::Usage => 2,
            Exit::Lacking => 3,
            Exit::Unfaithful => 4,
            Exit::Undecided => 5,
            Exit::Skip => 125,
            Exit::EndBisection => 128,
            Exit::Interrupted => 130,
            Exit::Program(code) => code,
        }
    }

    /// This one, unless all went as asked: then `other`.
    pub fn unless_fine(self, other: Exit) -> Exit {
        match self.code() {
            0 => other,
            _ => self,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
