//! The firmware's register ROCE_ACCL, which no driver shows, and what all registers have in common.

use super::place::{AccessError, Place};
use super::tool::REGISTERS;

const ROCE_ACCL: &str = "ROCE_ACCL";

/// What `field` of the NIC at `pci` is, in decimal. Errors are about `place`.
///
/// # Errors
/// If there is no tool, or it refuses.
pub(super) fn read(place: &Place, pci: &str, field: &str) -> Result<String, AccessError> {
    let printed = get(pci, ROCE_ACCL, &[], place)?;
    value(&printed, field, place).map(|number| number.to_string())
}

/// Sets `field` of the NIC at `pci`.
///
/// # Errors
/// As [`read`].
pub(super) fn write(place: &Place, pci: &str, field: &str, value: &str) -> Result<(), AccessError> {
    set(pci, ROCE_ACCL, &format!("{field}={value}"), &[], place)
}

/// The fields of `register` as the tool prints them. `arguments` say of which of its instances.
pub(super) fn get(
    pci: &str,
    register: &str,
    arguments: &[&str],
    place: &Place,
) -> Result<String, AccessError> {
    let all = [&["--yes", "--reg_name", register, "--get"], arguments].concat();
    REGISTERS.run(pci, &all, place)
}

/// Sends `register` with these `fields`.
pub(super) fn set(
    pci: &str,
    register: &str,
    fields: &str,
    arguments: &[&str],
    place: &Place,
) -> Result<(), AccessError> {
    let all = [
        &["--yes", "--reg_name", register, "--set", fields],
        arguments,
    ]
    .concat();
    REGISTERS.run(pci, &all, place).map(drop)
}

/// The number of `field` in what the tool printed.
pub(super) fn value(printed: &str, field: &str, place: &Place) -> Result<u32, AccessError> {
    let mut fields = fields(printed);
    fields
        .find_map(|(name, number)| (name == field).then_some(number))
        .ok_or_else(|| AccessError::Failed {
            place: place.to_string(),
            reason: format!("the tool shows no {field}: this firmware has none"),
        })
}

/// `roce_adp_retrans_en | 0x00000001` (NVIDIA, "Adaptive Retransmission: Parameters Control", Sample Usage).
pub(super) fn fields(printed: &str) -> impl Iterator<Item = (&str, u32)> {
    printed.lines().filter_map(|line| {
        let (name, data) = line.split_once('|')?;
        let digits = data.trim().strip_prefix("0x")?;
        Some((name.trim(), u32::from_str_radix(digits, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let printed = "Sending access register...\n\nField Name | Data\n====\nroce_adp_retrans_field_select | 0x00000001\n\
                       roce_adp_retrans_en | 0x00000000\nadp_retx_base_timeout_min | 0x00000fa0\n";
        let place = Place::Register {
            pci: "0000:19:00.0".to_owned(),
            field: String::new(),
        };
        let value = |field: &str| value(printed, field, &place).ok();
        assert_eq!(value("roce_adp_retrans_en"), Some(0));
        assert_eq!(value("adp_retx_base_timeout_min"), Some(4000));
        assert_eq!(value("roce_adp_retrans"), None);
    }
}
