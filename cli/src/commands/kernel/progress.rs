//! A build's steps as a progress bar on a terminal, or as plain lines in a pipe; on standard error either way.

use std::io::Write;

use indicatif::ProgressBar;
use longhaul_emulator::kernel::{Event, Observer, Step};

use crate::output::Output;
use crate::progress::{spinner, style};

/// While there is nothing to count.
const WAITING: &str = "{spinner} {elapsed:>4} {wide_msg}";
/// While there is.
const COUNTING: &str = "{spinner} {elapsed:>4} {bar:30} {percent:>3} % {wide_msg}";

/// Shows a build.
#[derive(Debug)]
pub struct BuildProgress {
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    /// JSON is asked for: standard output is not ours, and nobody watches.
    Silent,
    Lines,
    Bar(ProgressBar),
}

impl BuildProgress {
    /// As `output` has it.
    pub fn new(output: Output) -> Self {
        let sink = if output.is_json() {
            Sink::Silent
        } else if output.is_terminal() {
            Sink::Bar(spinner(WAITING))
        } else {
            Sink::Lines
        };
        BuildProgress { sink }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Sink::Bar(bar) = &self.sink {
            bar.finish_and_clear();
        }
    }

    fn doing(&self, text: &str) {
        match &self.sink {
            Sink::Silent => {}
            Sink::Lines => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            Sink::Bar(bar) => {
                bar.set_style(style(WAITING));
                bar.set_message(text.to_owned());
            }
        }
    }

    fn counted(&self, done: u64, of: u64) {
        if let Sink::Bar(bar) = &self.sink {
            if bar.length() != Some(of) {
                bar.set_length(of);
            }
            bar.set_position(done);
            bar.set_style(style(COUNTING));
        }
    }
}

impl Observer for BuildProgress {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Installing(packages) => {
                self.doing(&format!("installing {}", packages.join(" ")));
            }
            Event::Waiting => self.doing("waiting for another build to end"),
            Event::Step(step) => self.doing(&match step {
                Step::Read(source) => format!("reading {}", source.display()),
                Step::Unpack(source) => format!("unpacking {}", source.display()),
                Step::Patch => "patching".to_owned(),
                Step::Configure => "configuring".to_owned(),
                Step::Compile => "compiling".to_owned(),
                Step::Keep => "keeping the kernel".to_owned(),
            }),
            Event::Progress { done, of } => self.counted(done, of),
        }
    }
}
