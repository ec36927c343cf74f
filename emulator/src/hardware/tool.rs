//! The vendor's command-line tools, for what nothing else reaches: looked for first, given their arguments one by one.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::place::{AccessError, Place};

/// A tool by its names.
pub(super) struct Tool {
    /// The vendor's, and the one of distributions, which takes the same arguments.
    pub(super) programs: [&'static str; 2],
}

/// Reads and writes registers of the firmware.
pub(super) const REGISTERS: Tool = Tool {
    programs: ["mlxreg", "mstreg"],
};

/// Reads and writes what the firmware is configured to.
pub(super) const CONFIGURATION: Tool = Tool {
    programs: ["mlxconfig", "mstconfig"],
};

impl Tool {
    /// What it prints when it is run with `arguments` about the NIC at `pci`, for `place`.
    ///
    /// # Errors
    /// If it is not there, or ends with anything but 0.
    pub(super) fn run(
        &self,
        pci: &str,
        arguments: &[impl AsRef<OsStr>],
        place: &Place,
    ) -> Result<String, AccessError> {
        let [vendors, distributions] = self.programs;
        let program = self.find().ok_or_else(|| AccessError::Missing {
            place: place.to_string(),
            way_out: format!(
                "it takes `{distributions}` (package mstflint) or NVIDIA's `{vendors}` (package mft) in PATH"
            ),
        })?;
        let failed = |reason: String| AccessError::Failed {
            place: place.to_string(),
            reason,
        };
        let ended = Command::new(&program)
            .args(["-d", pci])
            .args(arguments)
            .stdin(Stdio::null())
            // A terminal's Ctrl-C is for longhaul, which lets a write that has begun come to its end.
            .process_group(0)
            .output()
            .map_err(|error| failed(error.to_string()))?;
        let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
        match ended.status.success() {
            true => Ok(printed),
            false => {
                let complaint = String::from_utf8_lossy(&ended.stderr);
                let reason = refusal(&[&printed, &complaint]);
                Err(failed(format!("{}: {reason}", program.display())))
            }
        }
    }

    fn find(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        self.programs.iter().find_map(|name| {
            let mut candidates = folders.iter().map(|folder| folder.join(name));
            candidates.find(|candidate| candidate.is_file())
        })
    }
}

/// What the tool complains of, which it marks, behind tables that do not matter then; all that it said if it marks nothing.
fn refusal(said: &[&str]) -> String {
    let lines = || said.iter().flat_map(|text| text.lines()).map(str::trim);
    let marked: Vec<&str> = lines()
        .filter_map(|line| line.find("-E-").map(|at| &line[at + 3..]))
        .map(str::trim)
        .collect();
    match marked.is_empty() {
        true => lines()
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("; "),
        false => marked.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_complains_of_is_told_without_its_tables() {
        let table = "Device #1:\n----------\nConfigurations: Next Boot\n";
        let complaint = "Applying... Failed!\n-E- Failed to set configuration: not valid\n";
        assert_eq!(
            refusal(&[&format!("{table}{complaint}"), ""]),
            "Failed to set configuration: not valid"
        );
        assert_eq!(refusal(&["", "no such\nthing\n"]), "no such; thing");
    }
}
