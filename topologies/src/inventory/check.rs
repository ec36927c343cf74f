//! From an inventory's file to its model: every check of meaning.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::spec::{HostSpec, InventorySpec, LaunchSpec, SshSpec, SwitchSpec};
use super::{Data, Host, Inventory, Launch, Mpirun, Setting, Srun, Switch};
use crate::document::{Document, DocumentPath, InputError};
use crate::model::SiteId;
use crate::spec::{ChannelSpec, LinkSpec, RateSpec, SiteSpec, TopologySpec};
use crate::units::TimeSpan;
use crate::validate;

/// The kernel's own limit, IFNAMSIZ of include/uapi/linux/if.h, less the byte that ends it.
const LONGEST_INTERFACE: usize = 15;
/// The longest name of a host that DNS has (RFC 1035, section 2.3.4), with room for a user's before it.
const LONGEST_DESTINATION: usize = 320;
const LONGEST_SWITCH: usize = 60;

/// Of machines that are there, nothing is made to change.
const UNCHANGEABLE: &str = "a physical lab's links cannot be changed";

pub(super) fn inventory(document: &Document, folder: &Path) -> Result<Inventory, InputError> {
    let file: InventorySpec = document.parse()?;
    let reader = Reader { document, folder };
    let root = DocumentPath::root();
    let sites = root.key("sites");
    for (index, site) in file.sites.iter().enumerate() {
        if site.hosts.is_empty() {
            let path = sites.index(index).key("hosts");
            return Err(document
                .error(&path, "a site has at least one host")
                .with_help("write for example `- {launch: local, address: 192.0.2.1}`"));
        }
    }
    for (index, link) in file.links.iter().enumerate() {
        reader.measurable(link, &root.key("links").index(index))?;
    }
    let spec = topology_spec(&file);
    let topology = validate::of_spec(document, spec.clone())?;
    let mut hosts: Vec<Host> = Vec::new();
    for (number, site) in file.sites.iter().enumerate() {
        for (index, host) in site.hosts.iter().enumerate() {
            let path = sites.index(number).key("hosts").index(index);
            let name = format!("{}-{index}", site.name);
            let host = reader.host(name, SiteId(number), host, &path)?;
            if let Some(first) = hosts.iter().find(|known| known.shares_address(&host)) {
                let message = format!("{} has this address already", first.name);
                return Err(document.error(&path.key("address"), message));
            }
            hosts.push(host);
        }
    }
    let mut switches: Vec<Switch> = Vec::new();
    for (index, switch) in file.switches.iter().enumerate() {
        let path = root.key("switches").index(index);
        let switch = reader.switch(switch, &path)?;
        if switches.iter().any(|known| known.name == switch.name) {
            let message = format!("there are two switches named `{}`", switch.name);
            return Err(document.error(&path.key("name"), message));
        }
        switches.push(switch);
    }
    let described = match file.links.len() {
        0 => vec![Default::default(); spec.links.len()],
        _ => file.links.iter().map(described).collect(),
    };
    Ok(Inventory {
        topology,
        spec,
        hosts,
        described,
        switches,
    })
}

/// Checks a login by ssh that stands at `path`; the same with its files from the root, which are relative to `folder`.
pub(crate) fn ssh(
    document: &Document,
    folder: &Path,
    ssh: &SshSpec,
    path: &DocumentPath,
) -> Result<SshSpec, InputError> {
    Reader { document, folder }.ssh(ssh, path)
}

impl Host {
    fn shares_address(&self, other: &Host) -> bool {
        matches!(self.data, Data::Address(_)) && self.data == other.data
    }
}

/// What a topology file would say.
fn topology_spec(file: &InventorySpec) -> TopologySpec {
    let site = |site: &super::spec::SiteSpec| SiteSpec {
        name: site.name.clone(),
        place: site.place.clone(),
        latitude: site.latitude,
        longitude: site.longitude,
        hosts: Some(site.hosts.len()),
        fabric: None,
    };
    let links = match file.links.len() {
        0 => every_two(file),
        _ => file.links.clone(),
    };
    TopologySpec {
        name: file.name.clone(),
        description: file.description.clone(),
        mtu: file.mtu,
        defaults: None,
        sites: file.sites.iter().map(site).collect(),
        links,
    }
}

/// A link of no delay between every two sites, for a file that describes none.
fn every_two(file: &InventorySpec) -> Vec<LinkSpec> {
    let names: Vec<&String> = file.sites.iter().map(|site| &site.name).collect();
    let link = |a: &String, b: &String| LinkSpec {
        between: [a.clone(), b.clone()],
        rtt: Some(TimeSpan::default()),
        ..LinkSpec::default()
    };
    let pairs = names.iter().enumerate();
    pairs
        .flat_map(|(index, a)| names[index + 1..].iter().map(move |b| link(a, b)))
        .collect()
}

/// What a link was described by, forward and reverse. A link has a delay, or it is refused.
fn described(link: &LinkSpec) -> [BTreeSet<Setting>; 2] {
    let both = link.channel();
    [&link.forward, &link.reverse].map(|way| {
        let way = way.as_ref();
        let said = |has: fn(&ChannelSpec) -> bool| has(&both) || way.is_some_and(has);
        let settings = [
            (Setting::Delay, true),
            (Setting::Jitter, said(|channel| channel.jitter.is_some())),
            (Setting::Loss, said(|channel| channel.loss.is_some())),
            (Setting::Rate, said(|channel| channel.rate.is_some())),
        ];
        let said = settings.into_iter().filter(|(_, said)| *said);
        said.map(|(setting, _)| setting).collect()
    })
}

/// The file and where it lies.
struct Reader<'a> {
    document: &'a Document,
    folder: &'a Path,
}

impl Reader<'_> {
    /// Refuses what of a link cannot be measured between machines, or would have to be made.
    fn measurable(&self, link: &LinkSpec, path: &DocumentPath) -> Result<(), InputError> {
        let refuse = |path: &DocumentPath, message: &str, help: &str| {
            Err(self.document.error(path, message).with_help(help))
        };
        if !link.schedule.is_empty() {
            let path = path.key("schedule");
            return refuse(
                &path,
                UNCHANGEABLE,
                "run it with --lab host or --lab virtual",
            );
        }
        let both = link.channel();
        let ways = [
            (Some(&both), path.clone()),
            (link.forward.as_ref(), path.key("forward")),
            (link.reverse.as_ref(), path.key("reverse")),
        ];
        let of_link = [
            ("lanes", link.lanes.is_some()),
            ("spread", link.spread.is_some()),
        ];
        let unmeasured = of_link.into_iter().map(|(key, said)| (path.key(key), said));
        let each = ways
            .iter()
            .filter_map(|(channel, path)| Some(((*channel)?, path)));
        let of_ways = each.flat_map(|(channel, path)| {
            [
                ("state", channel.state.is_some()),
                ("duplication", channel.duplication.is_some()),
                ("corruption", channel.corruption.is_some()),
                ("reordering", channel.reordering.is_some()),
                ("queue", channel.queue.is_some()),
                ("rate", matches!(channel.rate, Some(RateSpec::Trace(_)))),
            ]
            .map(|(key, said)| (path.key(key), said))
        });
        match unmeasured.chain(of_ways).find(|(_, said)| *said) {
            None => Ok(()),
            Some((path, _)) => refuse(
                &path,
                "this is not measured between machines that are there",
                "leave it out: a physical lab's links have a delay or rtt, and may have a jitter, a loss and a rate",
            ),
        }
    }

    fn host(
        &self,
        name: String,
        site: SiteId,
        host: &HostSpec,
        path: &DocumentPath,
    ) -> Result<Host, InputError> {
        Ok(Host {
            name,
            site,
            launch: self.launch(&host.launch, &path.key("launch"))?,
            data: self.data(host, path)?,
            binary: match &host.binary {
                None => None,
                Some(binary) => Some(self.binary(binary, &path.key("binary"))?),
            },
        })
    }

    fn data(&self, host: &HostSpec, path: &DocumentPath) -> Result<Data, InputError> {
        match (host.address, &host.interface) {
            (Some(address), None) => match fault_of_address(address) {
                None => Ok(Data::Address(address)),
                Some(fault) => Err(self.document.error(&path.key("address"), fault)),
            },
            (None, Some(interface)) => {
                let allowed = |c: char| c.is_ascii_graphic() && c != '/';
                let fits = (1..=LONGEST_INTERFACE).contains(&interface.len());
                if fits && interface.chars().all(allowed) {
                    return Ok(Data::Interface(interface.clone()));
                }
                let message = format!("`{}` is no interface's name", interface.escape_debug());
                Err(self.document.error(&path.key("interface"), message))
            }
            (None, None) | (Some(_), Some(_)) => Err(self
                .document
                .error(
                    path,
                    "a host has either an `address` or an `interface` for its data",
                )
                .with_help("write for example `address: 192.0.2.1`, or `interface: ens1f0np0`")),
        }
    }

    fn binary(&self, binary: &str, path: &DocumentPath) -> Result<String, InputError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        if binary.starts_with('/') && binary.chars().all(allowed) {
            return Ok(binary.to_owned());
        }
        let message = format!("`{}` is no path of a program there", binary.escape_debug());
        Err(self
            .document
            .error(path, message)
            .with_help("write a whole path of letters, digits, dots, dashes and underscores: `/usr/local/bin/longhaul`"))
    }

    fn launch(&self, launch: &LaunchSpec, path: &DocumentPath) -> Result<Launch, InputError> {
        match launch {
            LaunchSpec::Local => Ok(Launch::Local),
            LaunchSpec::Ssh(ssh) => self.ssh(ssh, &path.key("ssh")).map(Launch::Ssh),
            LaunchSpec::Srun(srun) => Ok(Launch::Srun(Srun {
                node: self.machine(&srun.node, &path.key("srun").key("node"))?,
                job: srun.job,
            })),
            LaunchSpec::Mpirun(mpirun) => Ok(Launch::Mpirun(Mpirun {
                host: self.machine(&mpirun.host, &path.key("mpirun").key("host"))?,
            })),
        }
    }

    /// The same with its files from the root.
    fn ssh(&self, ssh: &SshSpec, path: &DocumentPath) -> Result<SshSpec, InputError> {
        if ssh.port == Some(0) {
            return Err(self
                .document
                .error(&path.key("port"), "a port is 1 to 65535"));
        }
        let file = |file: &Option<PathBuf>, key: &str| match file {
            None => Ok(None),
            Some(file) => self.file(file, &path.key(key)).map(Some),
        };
        Ok(SshSpec {
            destination: self.destination(&ssh.destination, &path.key("destination"))?,
            port: ssh.port,
            identity: file(&ssh.identity, "identity")?,
            known_hosts: file(&ssh.known_hosts, "known_hosts")?,
            config: file(&ssh.config, "config")?,
            jump: match &ssh.jump {
                None => None,
                Some(jump) => Some(self.destination(jump, &path.key("jump"))?),
            },
        })
    }

    /// `user@host` or `host`, nothing that ssh could take for an option.
    fn destination(&self, text: &str, path: &DocumentPath) -> Result<String, InputError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+:%".contains(c);
        let part =
            |part: &str| !part.is_empty() && !part.starts_with('-') && part.chars().all(allowed);
        let whole = match text.split_once('@') {
            Some((user, host)) => part(user) && part(host),
            None => part(text),
        };
        if whole && text.len() <= LONGEST_DESTINATION {
            return Ok(text.to_owned());
        }
        let message = format!("`{}` is no destination of ssh", text.escape_debug());
        Err(self.document.error(path, message).with_help(
            "write `user@host`, `host` or a name of ssh's configuration, which says all else",
        ))
    }

    /// The name or address of a machine.
    fn machine(&self, text: &str, path: &DocumentPath) -> Result<String, InputError> {
        match self.destination(text, path) {
            Ok(name) if !name.contains(['@', '%']) => Ok(name),
            _ => {
                let message = format!("`{}` is no name of a machine", text.escape_debug());
                Err(self.document.error(path, message))
            }
        }
    }

    /// A file beside this one. Not read here: ssh does, as far as it needs it.
    fn file(&self, file: &Path, path: &DocumentPath) -> Result<PathBuf, InputError> {
        // ssh_config(5): a blank separates files, a per cent sign begins a token, a tilde is the home folder.
        let text = file.to_string_lossy();
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || "%\"'~$".contains(c)) {
            return Err(self
                .document
                .error(path, "ssh cannot be told of a file with this name")
                .with_help("write a path without blanks, quotes and any of `% ~ $`; a relative one begins at this file"));
        }
        let joined = self.folder.join(file);
        std::path::absolute(&joined).map_err(|error| {
            let message = format!("cannot tell where {} is: {error}", joined.display());
            self.document.error(path, message)
        })
    }

    fn switch(&self, switch: &SwitchSpec, path: &DocumentPath) -> Result<Switch, InputError> {
        if let Some(fault) = validate::fault_of_name(&switch.name, LONGEST_SWITCH) {
            return Err(self.document.error(&path.key("name"), fault));
        }
        let login = switch.login.clone();
        Ok(Switch {
            name: switch.name.clone(),
            login: login.checked(self.document, self.folder, &path.key("login"))?,
        })
    }
}

/// What is wrong with `address` as one that data go by, if anything.
fn fault_of_address(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() || address.is_multicast() {
        Some("this is the address of no machine")
    } else if link_local {
        Some(
            "a link-local address says nothing without its interface: write `interface` in its place",
        )
    } else {
        None
    }
}
