use std::time::Duration;

use super::*;
use crate::document::{Document, InputError};
use crate::hardware::{PasswordSource, Trust};
use crate::model::{Direction, LinkId};

const TEXT: &str = "\
name: two
sites:
  - name: a
    hosts:
      - {launch: local, address: 192.0.2.1}
      - {launch: {ssh: {destination: ops@a-1, port: 2222, identity: key}}, interface: ens1f0np0}
  - name: b
    hosts:
      - {launch: {srun: {node: n7, job: 12}}, address: 192.0.2.9, binary: /opt/longhaul}
links: [{between: [a, b], rtt: 80ms, rate: 10Gbit, forward: {loss: 1%}}]
switches: [{name: leaf, login: {nvue: {url: 'https://192.0.2.7', user: ops, password: {env: NVUE}, certificate: leaf.pem}}}]
";

fn read(text: &str) -> Result<Inventory, InputError> {
    let document = Document::from_text("two.yaml", text)?;
    Inventory::check(&document, Path::new("/lab"))
}

#[test]
fn an_inventory_is_a_topology_with_machines() {
    let inventory = read(TEXT).unwrap();
    let names: Vec<&str> = inventory
        .hosts
        .iter()
        .map(|host| host.name.as_str())
        .collect();
    assert_eq!(names, ["a-0", "a-1", "b-0"]);
    assert_eq!(inventory.topology.sites[0].hosts, 2);
    let Launch::Ssh(ssh) = &inventory.hosts[1].launch else {
        panic!("{inventory:?}")
    };
    assert_eq!(ssh.identity.as_deref(), Some(Path::new("/lab/key")));
    let channel = inventory.topology.links[0].channel(Direction::Forward);
    assert_eq!(channel.delay, Duration::from_millis(40));
    let said = |direction| {
        let said = inventory.described(LinkId(0), direction);
        said.iter().copied().collect::<Vec<_>>()
    };
    let [delay, loss, rate] = [Setting::Delay, Setting::Loss, Setting::Rate];
    assert_eq!(said(Direction::Forward), [delay, loss, rate]);
    assert_eq!(said(Direction::Reverse), [delay, rate]);
    let Login::Nvue(login) = &inventory.switches[0].login else {
        panic!("{inventory:?}")
    };
    assert_eq!(login.password, PasswordSource::Env("NVUE".to_owned()));
    assert_eq!(login.certificate, Trust::File("/lab/leaf.pem".into()));
}

#[test]
fn without_links_every_two_sites_are_joined_and_nothing_is_described() {
    let text = "name: three\nsites: [{name: a, hosts: [{launch: local, address: 192.0.2.1}]}, \
                {name: b, hosts: [{launch: local, address: 192.0.2.2}]}, \
                {name: c, hosts: [{launch: local, address: 192.0.2.3}]}]\n";
    let inventory = read(text).unwrap();
    assert_eq!(inventory.topology.links.len(), 3);
    assert!(!inventory.is_described() && read(TEXT).unwrap().is_described());
}

#[test]
fn errors_name_the_place_and_the_way_out() {
    let with = |from: &str, to: &str| {
        let text = TEXT.replace(from, to);
        assert_ne!(text, TEXT, "{from}");
        match read(&text) {
            Ok(inventory) => panic!("{inventory:?}"),
            Err(error) => match &error.help {
                Some(help) => format!("{error} [{help}]"),
                None => error.to_string(),
            },
        }
    };
    let errors = [
        with("ops@a-1", "-oProxyCommand=x"),
        with("ops@a-1", "ops@-x"),
        with("ops@a-1", "'a b'"),
        with("identity: key", "identity: 'my key'"),
        with("identity: key", "options: [x]"),
        with("port: 2222", "port: 0"),
        with("launch: local", "launch: telnet"),
        with(", interface: ens1f0np0", ""),
        with("interface: ens1f0np0", "interface: a/b"),
        with("192.0.2.9", "192.0.2.1"),
        with("192.0.2.9", "fe80::1"),
        with("192.0.2.9", "nowhere"),
        with("/opt/longhaul", "'/opt/a b'"),
        with("node: n7", "node: 'n7 -c'"),
        with("rtt: 80ms", "rtt: 80ms, queue: 1bdp"),
        with("rtt: 80ms", "rtt: 80ms, schedule: [{at: 1s, loss: 1%}]"),
        with("rtt: 80ms", "rtt: 80ms, lanes: 2"),
        with("between: [a, b]", "between: [a, c]"),
        with("https://192", "https://me:secret@192"),
        with("https:", "ftp:"),
        with("name: leaf", "name: Leaf"),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r"
two.yaml:6:38: `-oProxyCommand=x` is no destination of ssh [write `user@host`, `host` or a name of ssh's configuration, which says all else]
two.yaml:6:38: `ops@-x` is no destination of ssh [write `user@host`, `host` or a name of ssh's configuration, which says all else]
two.yaml:6:38: `a b` is no destination of ssh [write `user@host`, `host` or a name of ssh's configuration, which says all else]
two.yaml:6:69: ssh cannot be told of a file with this name [write a path without blanks, quotes and any of `% ~ $`; a relative one begins at this file]
two.yaml:6:59: unknown field `options` [there are: `destination`, `port`, `identity`, `known_hosts`, `config`, `jump`]
two.yaml:6:53: a port is 1 to 65535
two.yaml:5:18: unknown variant `telnet` [there are: `local`, `ssh`, `srun`, `mpirun`]
two.yaml:6:9: a host has either an `address` or an `interface` for its data [write for example `address: 192.0.2.1`, or `interface: ens1f0np0`]
two.yaml:6:87: `a/b` is no interface's name
two.yaml:9:56: a-0 has this address already
two.yaml:9:56: a link-local address says nothing without its interface: write `interface` in its place
two.yaml:9:56: invalid IP address syntax
two.yaml:9:75: `/opt/a b` is no path of a program there [write a whole path of letters, digits, dots, dashes and underscores: `/usr/local/bin/longhaul`]
two.yaml:9:32: `n7 -c` is no name of a machine
two.yaml:10:45: this is not measured between machines that are there [leave it out: a physical lab's links have a delay or rtt, and may have a jitter, a loss and a rate]
two.yaml:10:48: a physical lab's links cannot be changed [run it with --lab host or --lab virtual]
two.yaml:10:45: this is not measured between machines that are there [leave it out: a physical lab's links have a delay or rtt, and may have a jitter, a loss and a rate]
two.yaml:10:23: there is no site `c` [there are: `a`, `b`]
two.yaml:11:45: no user or password goes into a URL; write https://HOST:8765
two.yaml:11:45: ftp://192.0.2.7: not https; write https://HOST:8765
two.yaml:11:19: the name `Leaf` has `L` in it: write lower-case letters, digits and dashes
");
}
