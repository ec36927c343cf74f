//! The firmware's register ROCE_ACCL, which no driver shows: by the vendor's `mlxreg`, or by `mstreg`, which takes the same arguments.

use std::path::PathBuf;
use std::process::Command;

use super::place::AccessError;

/// The vendor's, and the one of distributions (package mstflint).
const PROGRAMS: [&str; 2] = ["mlxreg", "mstreg"];
const REGISTER: &str = "ROCE_ACCL";

/// What `field` of the NIC at `pci` is, in decimal.
///
/// # Errors
/// If there is no tool, or it refuses.
pub(super) fn read(pci: &str, field: &str) -> Result<String, AccessError> {
    let place = || format!("{REGISTER}.{field} of {pci}");
    let printed = run(pci, &["--get"], &place())?;
    parse(&printed, field)
        .map(|number| number.to_string())
        .ok_or_else(|| AccessError::Failed {
            place: place(),
            reason: format!("the tool shows no {field}: this firmware has none"),
        })
}

/// Sets `field` of the NIC at `pci`.
///
/// # Errors
/// As [`read`].
pub(super) fn write(pci: &str, field: &str, value: &str) -> Result<(), AccessError> {
    let place = format!("{REGISTER}.{field} of {pci}");
    run(pci, &["--set", &format!("{field}={value}")], &place).map(drop)
}

fn run(pci: &str, arguments: &[&str], place: &str) -> Result<String, AccessError> {
    let program = program().ok_or_else(|| AccessError::Missing {
        place: place.to_owned(),
        way_out: "it takes `mstreg` (package mstflint) or NVIDIA's `mlxreg` (package mft) in PATH"
            .to_owned(),
    })?;
    let failed = |reason: String| AccessError::Failed {
        place: place.to_owned(),
        reason,
    };
    let ended = Command::new(&program)
        .args(["-d", pci, "--yes", "--reg_name", REGISTER])
        .args(arguments)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    match ended.status.success() {
        true => Ok(printed),
        false => {
            let complaint = String::from_utf8_lossy(&ended.stderr);
            let said = [printed.trim(), complaint.trim()].join(" ");
            Err(failed(format!("{}: {}", program.display(), said.trim())))
        }
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    PROGRAMS.iter().find_map(|name| {
        let mut candidates = folders.iter().map(|folder| folder.join(name));
        candidates.find(|candidate| candidate.is_file())
    })
}

/// `roce_adp_retrans_en | 0x00000001` (NVIDIA, "Adaptive Retransmission: Parameters Control", Sample Usage).
fn parse(printed: &str, field: &str) -> Option<u32> {
    printed.lines().find_map(|line| {
        let (name, data) = line.split_once('|')?;
        let digits = data.trim().strip_prefix("0x")?;
        (name.trim() == field).then(|| u32::from_str_radix(digits, 16).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let printed = "Sending access register...\n\nField Name | Data\n====\nroce_adp_retrans_field_select | 0x00000001\n\
                       roce_adp_retrans_en | 0x00000000\nadp_retx_base_timeout_min | 0x00000fa0\n";
        assert_eq!(parse(printed, "roce_adp_retrans_en"), Some(0));
        assert_eq!(parse(printed, "adp_retx_base_timeout_min"), Some(4000));
        assert_eq!(parse(printed, "roce_adp_retrans"), None);
    }
}
