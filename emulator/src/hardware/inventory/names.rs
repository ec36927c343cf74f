//! What PCI devices are called: by the list that most machines have, else by the table of the mlx5 driver.

use std::path::Path;

use super::super::tree::Tree;
use super::{Nic, driver};

/// The PCI ID repository's list, where Debian and Fedora put it.
const LISTS: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

/// PCI vendor: Mellanox, now NVIDIA.
const MELLANOX: &str = "15b3";

/// `mlx5_core_pci_table` (drivers/net/ethernet/mellanox/mlx5/core/main.c).
const CONNECTX: [(&str, &str); 14] = [
    ("1013", "ConnectX-4"),
    ("1015", "ConnectX-4 Lx"),
    ("1017", "ConnectX-5"),
    ("1019", "ConnectX-5 Ex"),
    ("101b", "ConnectX-6"),
    ("101d", "ConnectX-6 Dx"),
    ("101e", "ConnectX virtual function"),
    ("101f", "ConnectX-6 Lx"),
    ("1021", "ConnectX-7"),
    ("1023", "ConnectX-8"),
    ("1025", "ConnectX-9"),
    ("a2d6", "BlueField-2 with ConnectX-6 Dx"),
    ("a2dc", "BlueField-3 with ConnectX-7"),
    ("a2df", "BlueField-4 with ConnectX-8"),
];

/// Says who made the PCI function at `function`, what it is and, if nobody has yet, what drives it.
pub(super) fn fill(tree: &Tree, nic: &mut Nic, function: &Path) {
    nic.driver = nic.driver.take().or_else(|| driver(tree, function));
    let number = |file: &str| {
        let text = tree.text(function.join(file))?;
        Some(text.strip_prefix("0x").unwrap_or(&text).to_lowercase())
    };
    let (Some(vendor), Some(device)) = (number("vendor"), number("device")) else {
        return;
    };
    let list = LISTS.iter().find_map(|list| tree.text(list));
    let (by_list, model) = list.map_or((None, None), |list| look_up(&list, &vendor, &device));
    let table = CONNECTX.iter().find(|(id, _)| *id == device);
    let table = table.filter(|_| vendor == MELLANOX);
    nic.vendor = Some(match (by_list, vendor.as_str()) {
        (Some(name), _) => name,
        (None, MELLANOX) => "NVIDIA (Mellanox)".to_owned(),
        (None, _) => format!("PCI vendor {vendor}"),
    });
    nic.model = Some(match (table, model) {
        (Some((_, name)), _) => (*name).to_owned(),
        (None, Some(name)) => name,
        (None, None) => format!("PCI device {device}"),
    });
}

/// A vendor's line begins with its number, those of its devices with a tab and theirs (pci.ids(5)).
fn look_up(list: &str, vendor: &str, device: &str) -> (Option<String>, Option<String>) {
    let named = |line: &str, number: &str| {
        let rest = line.strip_prefix(number)?.strip_prefix("  ")?;
        Some(rest.trim().to_owned())
    };
    let mut lines = list.lines();
    let Some(maker) = lines.find_map(|line| named(line, vendor)) else {
        return (None, None);
    };
    let model = lines
        .take_while(|line| line.starts_with(['\t', '#']) || line.is_empty())
        .filter_map(|line| line.strip_prefix('\t'))
        .find_map(|line| named(line, device));
    (Some(maker), model)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# a comment\n1234  First\n\t1021  not this one\n15b3  Mellanox Technologies\n\t0001  old\n\t\t1021 1021  a subsystem\n\t1021  MT2910 Family [ConnectX-7]\n8086  Intel\n\t1592  E810\n";

    #[test]
    fn a_device_is_looked_up_below_its_vendor_alone() {
        let both = |vendor, device| look_up(LIST, vendor, device);
        let connectx = Some("MT2910 Family [ConnectX-7]".to_owned());
        assert_eq!(
            both("15b3", "1021"),
            (Some("Mellanox Technologies".into()), connectx)
        );
        assert_eq!(
            both("15b3", "1592"),
            (Some("Mellanox Technologies".into()), None)
        );
        assert_eq!(both("ffff", "1021"), (None, None));
    }
}
