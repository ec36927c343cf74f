//! The congestion controls that a ConnectX's firmware has, and their parameters: register PPCC, by the vendor's tool.
//!
//! Which one is in which slot, and what the parameters of each are called and may be, differs between firmware and documents: the register
//! tells it, and is asked. Its layout and commands are those of mstflint's `register_access_table.adb` (`ppcc_reg_ext`).

use serde::Serialize;

use super::place::{AccessError, Place};
use super::register;

const REGISTER: &str = "PPCC";
/// Bits of `algo_slot`.
const SLOTS: u8 = 16;

/// `cmd_type` of the register.
#[derive(Clone, Copy)]
enum Command {
    /// Which one is in a slot: its number, and its name where the firmware tells it.
    Algorithm = 0x0,
    Enable = 0x1,
    Disable = 0x2,
    IsEnabled = 0x3,
    ParameterCount = 0x4,
    /// A parameter's name, default, bounds and rights.
    Parameter = 0x5,
    Get = 0x6,
    Set = 0x8,
}

/// A congestion control in one of the slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Controller {
    /// Which.
    pub slot: u8,
    /// The firmware's number of it, with its version.
    pub number: u32,
    /// What the firmware calls it, if it tells.
    pub name: Option<String>,
}

/// A parameter of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Counted from 0.
    pub index: u16,
    /// What the firmware calls it, if it tells.
    pub name: Option<String>,
    /// What it is unless it is set.
    pub default: u32,
    /// The lowest that it may be.
    pub least: u32,
    /// The highest.
    pub most: u32,
    /// Whether it can be set.
    pub is_writable: bool,
}

/// All that settings can call what has this number, and this name if the firmware tells one: `ZTR_RTTCC (0)`.
pub fn called(number: u16, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{name} ({number})"),
        None => number.to_string(),
    }
}

/// Those of the NIC at `pci`.
///
/// # Errors
/// If there is no tool, or it refuses: firmware may have none.
pub fn controllers(pci: &str) -> Result<Vec<Controller>, AccessError> {
    let mut all = Vec::new();
    for slot in 0..SLOTS {
        let place = place(pci, slot);
        let printed = ask(pci, Command::Algorithm, slot, 0, &place)?;
        match register::value(&printed, "value", &place)? {
            0 => {}
            number => all.push(Controller {
                slot,
                number,
                name: name(&printed),
            }),
        }
    }
    Ok(all)
}

/// The parameters of that in `slot`.
///
/// # Errors
/// As [`controllers`].
pub fn parameters(pci: &str, slot: u8) -> Result<Vec<Parameter>, AccessError> {
    let place = place(pci, slot);
    let printed = ask(pci, Command::ParameterCount, slot, 0, &place)?;
    let count = register::value(&printed, "value", &place)?;
    let one = |index| {
        let printed = ask(pci, Command::Parameter, slot, index, &place)?;
        let value = |field| register::value(&printed, field, &place);
        Ok(Parameter {
            index,
            name: name(&printed),
            default: value("param_value1")?,
            least: value("param_value2")?,
            most: value("param_value3")?,
            is_writable: value("prm")? == 1,
        })
    };
    (0..u16::try_from(count).unwrap_or(u16::MAX))
        .map(one)
        .collect()
}

/// Whether that in `slot` may be used: 1 or 0. Errors are about `place`.
///
/// # Errors
/// As [`controllers`].
pub(super) fn is_enabled(place: &Place, pci: &str, slot: u8) -> Result<String, AccessError> {
    let printed = ask(pci, Command::IsEnabled, slot, 0, place)?;
    register::value(&printed, "value", place).map(|number| number.to_string())
}

/// Lets it be used, or not.
///
/// # Errors
/// As [`controllers`].
pub(super) fn enable(place: &Place, pci: &str, slot: u8, value: &str) -> Result<(), AccessError> {
    let command = match value {
        "0" => Command::Disable,
        _ => Command::Enable,
    };
    order(pci, command, slot, 0, "", place)
}

/// What a parameter is.
///
/// # Errors
/// As [`controllers`].
pub(super) fn parameter(
    place: &Place,
    pci: &str,
    slot: u8,
    index: u16,
) -> Result<String, AccessError> {
    let printed = ask(pci, Command::Get, slot, index, place)?;
    register::value(&printed, "value", place).map(|number| number.to_string())
}

/// Sets it. One that the firmware does not take it ignores in silence.
///
/// # Errors
/// As [`controllers`].
pub(super) fn set_parameter(
    place: &Place,
    pci: &str,
    slot: u8,
    index: u16,
    value: &str,
) -> Result<(), AccessError> {
    let value = format!(",value={value}");
    order(pci, Command::Set, slot, index, &value, place)
}

fn place(pci: &str, slot: u8) -> Place {
    let pci = pci.to_owned();
    Place::Controller { pci, slot }
}

/// As NVIDIA's documentation has it ("ZTR-RTT CC Parameter and Counter Configuration"); each PCI function's port is its port 1.
fn indexes(slot: u8, index: u16) -> String {
    format!("local_port=1,pnat=0,lp_msb=0,algo_slot={slot},algo_param_index={index}")
}

fn ask(
    pci: &str,
    command: Command,
    slot: u8,
    index: u16,
    place: &Place,
) -> Result<String, AccessError> {
    let command = format!("cmd_type={}", command as u8);
    let indexes = indexes(slot, index);
    let arguments = ["--op", &command, "--indexes", &indexes];
    register::get(pci, REGISTER, &arguments, place)
}

fn order(
    pci: &str,
    command: Command,
    slot: u8,
    index: u16,
    value: &str,
    place: &Place,
) -> Result<(), AccessError> {
    let fields = format!("cmd_type={}{value}", command as u8);
    let indexes = indexes(slot, index);
    register::set(pci, REGISTER, &fields, &["--indexes", &indexes], place)
}

/// The text of the register up to its comma, behind which there is a description: four characters in each word, the first highest.
fn name(printed: &str) -> Option<String> {
    let words = register::fields(printed).filter(|(name, _)| name.starts_with("text["));
    let bytes: Vec<u8> = words.flat_map(|(_, word)| word.to_be_bytes()).collect();
    let end = bytes.iter().position(|byte| matches!(byte, 0 | b','));
    let name = String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]);
    let name = name.trim();
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    is_plain.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_out_of_the_registers_words() {
        let printed = "value       | 0x00000001\ntext_length | 0x00000012\ntext[0]     | 0x5a54525f\ntext[1]     | 0x52545443\n\
                       text[2]     | 0x432c2072\ntext[3]     | 0x74740000\n";
        assert_eq!(name(printed).as_deref(), Some("ZTR_RTTCC"));
        assert_eq!(name("text[0] | 0x00000000\n"), None);
        assert_eq!(name("text[0] | 0xff000000\n"), None);
    }
}
