//! What devices tell of themselves by devlink: firmware that runs and firmware that waits for a restart, serial numbers.
//!
//! Generic netlink: the family `devlink` is asked for its number, then for what its devices tell. Numbers are of linux/genetlink.h and
//! linux/devlink.h.

use std::collections::BTreeMap;
use std::io;

use rtnetlink::sys::protocols::NETLINK_GENERIC;
use serde::Serialize;

use super::netlink::{Answers, Socket, attributes, find, text, text_attribute};

/// `struct genlmsghdr`: command, version, two bytes of nothing.
const HEADER: usize = 4;
/// GENL_ID_CTRL.
const CONTROLLER: u16 = 16;
/// CTRL_CMD_GETFAMILY.
const GET_FAMILY: u8 = 3;
/// CTRL_ATTR_FAMILY_ID.
const FAMILY_ID: u16 = 1;
/// CTRL_ATTR_FAMILY_NAME.
const FAMILY_NAME: u16 = 2;
/// DEVLINK_CMD_INFO_GET.
const INFO_GET: u8 = 51;
/// DEVLINK_ATTR_DEV_NAME.
const DEVICE_NAME: u16 = 2;
/// DEVLINK_ATTR_INFO_SERIAL_NUMBER.
const SERIAL_NUMBER: u16 = 99;
/// DEVLINK_ATTR_INFO_VERSION_FIXED.
const VERSION_FIXED: u16 = 100;
/// DEVLINK_ATTR_INFO_VERSION_RUNNING.
const VERSION_RUNNING: u16 = 101;
/// DEVLINK_ATTR_INFO_VERSION_STORED.
const VERSION_STORED: u16 = 102;
/// DEVLINK_ATTR_INFO_VERSION_NAME.
const VERSION_NAME: u16 = 103;
/// DEVLINK_ATTR_INFO_VERSION_VALUE.
const VERSION_VALUE: u16 = 104;

/// What a device tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// Its address on its bus.
    pub name: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// What never changes: `fw.psid`.
    pub fixed: BTreeMap<String, String>,
    /// What runs: `fw.version`.
    pub running: BTreeMap<String, String>,
    /// What runs from the next restart on.
    pub stored: BTreeMap<String, String>,
}

/// Every device of this machine that tells.
///
/// # Errors
/// If the kernel has no devlink.
pub fn devices() -> io::Result<Vec<DeviceInfo>> {
    let mut socket = Socket::open(NETLINK_GENERIC)?;
    let mut question = vec![GET_FAMILY, 1, 0, 0];
    question.extend(text_attribute(FAMILY_NAME, "devlink"));
    let answer = socket.exchange(CONTROLLER, &question, Answers::One)?;
    let family = answer
        .first()
        .and_then(|answer| find(answer.get(HEADER..)?, FAMILY_ID))
        .and_then(|number| Some(u16::from_ne_bytes(number.try_into().ok()?)))
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let answers = socket.exchange(family, &[INFO_GET, 1, 0, 0], Answers::All)?;
    Ok(answers.iter().filter_map(|answer| parse(answer)).collect())
}

/// A device out of a message behind its netlink header.
fn parse(message: &[u8]) -> Option<DeviceInfo> {
    let bytes = message.get(HEADER..)?;
    let mut info = DeviceInfo {
        name: text(find(bytes, DEVICE_NAME)?),
        ..DeviceInfo::default()
    };
    for (kind, value) in attributes(bytes) {
        let versions = match kind {
            SERIAL_NUMBER => {
                info.serial = Some(text(value));
                continue;
            }
            VERSION_FIXED => &mut info.fixed,
            VERSION_RUNNING => &mut info.running,
            VERSION_STORED => &mut info.stored,
            _ => continue,
        };
        if let (Some(name), Some(version)) = (find(value, VERSION_NAME), find(value, VERSION_VALUE))
        {
            versions.insert(text(name), text(version));
        }
    }
    Some(info)
}

#[cfg(test)]
mod tests {
    use super::super::netlink::attribute;
    use super::*;

    /// DEVLINK_ATTR_BUS_NAME and DEVLINK_ATTR_INFO_DRIVER_NAME.
    const OTHERS: [(u16, &str); 2] = [(1, "pci"), (98, "mlx5_core")];

    fn version(kind: u16, name: &str, value: &str) -> Vec<u8> {
        let inner = [
            text_attribute(VERSION_NAME, name),
            text_attribute(VERSION_VALUE, value),
        ];
        attribute(kind, &inner.concat())
    }

    /// As mlx5 fills it (Documentation/networking/devlink/mlx5.rst, "Info versions").
    #[test]
    fn a_connectx_tells_what_runs_and_what_waits() {
        let mut message = vec![INFO_GET, 1, 0, 0];
        for (kind, value) in OTHERS {
            message.extend(text_attribute(kind, value));
        }
        message.extend(text_attribute(DEVICE_NAME, "0000:17:00.0"));
        message.extend(text_attribute(SERIAL_NUMBER, "MT2245X00000"));
        message.extend(version(VERSION_FIXED, "fw.psid", "MT_0000000838"));
        message.extend(version(VERSION_RUNNING, "fw.version", "28.39.1002"));
        message.extend(version(VERSION_STORED, "fw.version", "28.40.1000"));
        let info = parse(&message).unwrap();
        assert_eq!(info.name, "0000:17:00.0");
        assert_eq!(info.serial.as_deref(), Some("MT2245X00000"));
        assert_eq!(info.fixed["fw.psid"], "MT_0000000838");
        assert_eq!(info.running["fw.version"], "28.39.1002");
        assert_eq!(info.stored["fw.version"], "28.40.1000");
    }

    #[test]
    fn a_message_that_is_cut_off_tells_nothing() {
        assert_eq!(parse(&[INFO_GET]), None);
        assert_eq!(parse(&[INFO_GET, 1, 0, 0, 9, 0]), None);
    }

    /// With devlink or without: whatever this kernel has.
    #[test]
    fn this_kernel_is_asked_without_waiting_for_ever() {
        match devices() {
            Ok(devices) => assert!(devices.iter().all(|device| !device.name.is_empty())),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
        }
    }
}
