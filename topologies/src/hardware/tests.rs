use super::*;

const WHOLE: &str = "
nics:
  - name: mlx5_0
    roce: v2
    type_of_service: 106
    traffic_class: 106
    trust: dscp
    dscp: {26: 3, 48: 6}
    trust_order: [dscp, stream-port, pcp]
    buffers: [{size: 256KiB}, {size: 128KiB, priorities: [3]}]
    pfc: [3]
    ecn: [3, 4]
    congestion: {rp_time_reset: 300us, rp_ai_rate: 5Mbit, np_cnp_dscp: 48, rp_min_dec_fac: 50%, rp_max_rate: 0}
    retransmission: {adaptive: enabled, slow_restart: disabled}
    firmware: {legacy_dcqcn: disabled, programmable_congestion_control: enabled}
    controllers: {ZTR_RTTCC: {state: enabled, parameters: {ALPHA: 6553, 2: 1}}, 15: {state: disabled}}
switches:
  - name: leaf1
    login: {nvue: {url: https://leaf1, user: longhaul, password: {env: LEAF1_PASSWORD}, certificate: leaf1.pem}}
    roce: lossless-single-ipool
    adaptive_routing: {state: enabled, interfaces: [swp1]}
    ecn: [{traffic_class: 3, min: 150000, max: 1500000, probability: 50}]
  - name: leaf2
    login: {sonic: {destination: admin@leaf2, identity: key}}
    ecn: [{profile: AZURE_LOSSLESS, min: 150000, max: 1500000, probability: 5}]
";

fn read(text: &str) -> Result<Settings, InputError> {
    settings(
        &Document::from_text("hardware.yaml", text).unwrap(),
        Path::new("/lab"),
    )
}

/// What is wrong, with its place and the way out.
fn refusal(text: &str) -> String {
    let error = read(text).unwrap_err();
    format!("{}: {} ({:?})", error.path, error.message, error.help)
}

fn nic(settings: &str) -> String {
    format!("nics: [{{name: mlx5_0, {settings}}}]")
}

fn switch(settings: &str) -> String {
    format!(
        "switches: [{{name: a, login: {{nvue: {{url: 'https://a', user: u, password: {{env: P}}, certificate: c}}}}, {settings}}}]"
    )
}

fn sonic(settings: &str) -> String {
    format!("switches: [{{name: a, login: {{sonic: {{destination: b}}}}, {settings}}}]")
}

/// The login of the first switch.
fn nvue(settings: &Settings) -> &NvueLogin {
    match settings.switches[0].login() {
        Login::Nvue(nvue) => nvue,
        Login::Sonic(ssh) => panic!("{ssh:?}"),
    }
}

#[test]
fn settings_read_back_as_they_are_written() {
    let settings = read(WHOLE).unwrap();
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(read(&text).unwrap(), settings);
    assert_eq!(nvue(&settings).url.to_string(), "https://leaf1:8765");
}

#[test]
fn the_schema_takes_what_is_read() {
    let schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let value = serde_json::to_value(read(WHOLE).unwrap()).unwrap();
    assert!(validator.is_valid(&value));
}

#[test]
fn a_map_of_dscps_is_whole_and_what_it_does_not_name_has_its_class() {
    let of = |settings: &str| read(&nic(settings)).unwrap().nics[0].priorities();
    assert_eq!(of("roce: v2"), None);
    assert_eq!(of("trust: pcp"), Some(BTreeMap::new()));
    let map = of("trust: dscp, dscp: {26: 5, 0: 1}").unwrap();
    assert_eq!(map.len(), 64);
    let priority = |dscp: u16| map[&Dscp::try_from(dscp).unwrap()].number();
    assert_eq!([0, 1, 26, 27, 48, 63].map(priority), [1, 0, 5, 3, 6, 7]);
}

#[test]
fn a_parameter_takes_its_unit_and_shows_it_again() {
    for (parameter, text, number) in [
        (Parameter::TimeReset, "0.3ms", 300),
        (Parameter::AdditiveRate, "1Gbit", 1000),
        (Parameter::MaxRate, "0", 0),
        (Parameter::MinDecrease, "50", 50),
        (Parameter::ByteReset, "32767", 32767),
        (Parameter::CnpDscp, "63", 63),
    ] {
        assert_eq!(parameter.read(text), Ok(number), "{text}");
    }
    for &parameter in Parameter::ALL {
        let most = parameter.range().into_inner().1;
        assert_eq!(parameter.read(&parameter.show(most)), Ok(most));
    }
}

#[test]
fn what_a_parameter_cannot_be_is_refused_where_it_stands() {
    for (settings, expected) in [
        ("congestion: {rp_time_reset: 300}", "does not say its unit"),
        (
            "congestion: {rp_time_reset: 1500ns}",
            "whole number of microseconds",
        ),
        ("congestion: {rp_ai_rate: 5kbit}", "whole number of Mbit"),
        ("congestion: {np_cnp_dscp: 64}", "0 to 63"),
        ("congestion: {rp_min_rate: 0}", "1Mbit to"),
        ("congestion: {rp_dce_tcp_rtt: 1s}", "1us to 131.071ms"),
        (
            "congestion: {rp_tme_reset: 1us}",
            "did you mean `rp_time_reset`",
        ),
        (
            "congestion: {np_cnp_prio: 6, np_cnp_prio_mode: 1}",
            "cannot both be set",
        ),
        ("pfc: [8]", "0 to 7"),
        ("traffic_class: 256", "traffic_class"),
        ("trust: vlan", "unknown variant"),
        ("dscp: {26: 3}", "write `trust: dscp`"),
        ("trust: pcp, dscp: {26: 3}", "write `trust: dscp`"),
        ("trust: dscp, dscp: {64: 3}", "0 to 63"),
        ("trust: dscp, dscp: {26: 8}", "0 to 7"),
        ("trust_order: [vlan]", "unknown variant"),
        (
            "trust_order: [dscp, pcp, dscp]",
            "trust_order.2: this mark is here a second time",
        ),
        ("buffers: [{size: 0}]", "less than 4 GiB"),
        ("buffers: [{size: 4GiB}]", "less than 4 GiB"),
        ("buffers: [{priorities: [3]}]", "missing field `size`"),
        (
            "buffers: [{size: 1}, {size: 1, priorities: [3]}, {size: 1, priorities: [3]}]",
            "buffers.2.priorities: priority 3 has a buffer already",
        ),
        (
            "buffers: [{size: 1}, {size: 1}, {size: 1}, {size: 1}, {size: 1}, {size: 1}, {size: 1}, {size: 1}, {size: 1}]",
            "8 buffers at most",
        ),
        ("rtt_controller: on", "unknown field"),
    ] {
        let refused = refusal(&nic(settings));
        assert!(refused.starts_with("nics.0."), "{refused}");
        assert!(refused.contains(expected), "{settings}: {refused}");
    }
}

/// A name becomes part of a path.
#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../etc", "..", "a/b", "", "a b", "mlx5_0\\n"] {
        let refused = refusal(&format!("nics: [{{name: \"{name}\"}}]"));
        assert!(refused.contains("is no device"), "{name}: {refused}");
    }
}

#[test]
fn a_switch_is_reached_over_an_encrypted_way_or_a_tunnel() {
    for (url, expected) in [
        ("http://leaf1:8765", "read the password"),
        ("https://u:p@leaf1", "no user or password"),
        ("leaf1", "no URL"),
        ("ftp://leaf1", "not https"),
        ("https://leaf1/nvue_v1", "more than a host"),
        ("https://leaf1:99999", "no such port"),
    ] {
        let refused = url.parse::<SwitchUrl>().unwrap_err();
        assert!(refused.contains(expected), "{url}: {refused}");
        assert!(refused.contains("https://HOST:8765"), "{url}: {refused}");
    }
    for (url, authority) in [
        ("http://127.0.0.1:1", "127.0.0.1:1"),
        ("https://[fe80::1]/", "[fe80::1]:8765"),
    ] {
        assert_eq!(url.parse::<SwitchUrl>().unwrap().authority(), authority);
    }
}

#[test]
fn a_password_has_no_place_in_the_file_and_is_not_repeated() {
    let with = |password: &str| {
        format!(
            "switches: [{{name: a, login: {{nvue: {{url: 'https://a', user: u, password: {password}, certificate: c}}}}}}]"
        )
    };
    for password in ["hunter2", "1234"] {
        let refused = refusal(&with(password));
        assert!(refused.contains("no place in this file"), "{refused}");
        assert!(
            refused.starts_with("switches.0.login.nvue.password"),
            "{refused}"
        );
        assert!(!refused.contains(password), "{refused}");
        let excerpt = read(&with(password)).unwrap_err();
        let excerpt = format!("{:?}", miette::Report::new(excerpt));
        assert!(!excerpt.contains(password), "{excerpt}");
    }
    let refused = refusal(&with("{evn: X}"));
    assert!(refused.contains("there are: `env`, `file`"), "{refused}");
}

#[test]
fn thresholds_are_in_order_and_once() {
    let one = "{traffic_class: 3, min: 1, max: 2}";
    for (ecn, expected) in [
        (
            "ecn: [{traffic_class: 3, min: 2, max: 2}]".to_owned(),
            "not below",
        ),
        (format!("ecn: [{one}, {one}]"), "second time"),
        (
            "ecn: [{traffic_class: 3, min: 1, max: 2, probability: 101}]".to_owned(),
            "0 to 100",
        ),
    ] {
        let refused = refusal(&switch(&ecn));
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn another_kind_of_switch_is_refused_with_what_there_is() {
    let refused = refusal("switches: [{name: a, login: {junos: {}}}]");
    assert!(refused.contains("there are: `nvue`, `sonic`"), "{refused}");
}

#[test]
fn a_switch_takes_what_it_has() {
    let [class, profile] = [
        "ecn: [{traffic_class: 3, min: 1, max: 2}]",
        "ecn: [{profile: AZURE_LOSSLESS, min: 1, max: 2}]",
    ];
    read(&switch(class)).unwrap();
    read(&sonic(profile)).unwrap();
    for (text, expected) in [
        (switch(profile), "NVUE marks by traffic class"),
        (sonic(class), "SONiC marks by profiles"),
        (
            switch("ecn: [{min: 1, max: 2}]"),
            "write `traffic_class: 3`",
        ),
        (
            sonic("ecn: [{profile: A, traffic_class: 3, min: 1, max: 2}]"),
            "and no `traffic_class`",
        ),
        (
            sonic("ecn: [{profile: a/b, min: 1, max: 2}]"),
            "is no profile",
        ),
        (sonic("roce: lossless"), "no such setting"),
        (
            sonic("adaptive_routing: {state: enabled}"),
            "no such setting",
        ),
        (
            sonic("").replace("destination: b", "destination: -oProxyCommand=x"),
            "no destination of ssh",
        ),
        (
            sonic("").replace("destination: b", "password: b"),
            "unknown field",
        ),
    ] {
        let refused = refusal(&text);
        assert!(refused.contains(expected), "{text}: {refused}");
    }
}

#[test]
fn how_a_switch_is_reached_stands_in_the_inventory_once() {
    let folder = tempfile::tempdir().unwrap();
    let inventory = "sites: [{name: a, hosts: [{launch: local, address: 192.0.2.1}]}]\n\
                     switches: [{name: leaf1, login: {sonic: {destination: leaf1, identity: key}}}]\n";
    std::fs::write(folder.path().join("lab.yaml"), inventory).unwrap();
    let read = |text: &str| {
        settings(
            &Document::from_text("hardware.yaml", text).unwrap(),
            folder.path(),
        )
    };
    let found = read("inventory: lab.yaml\nswitches: [{name: leaf1}]").unwrap();
    let Login::Sonic(ssh) = found.switches[0].login() else {
        panic!("{found:?}")
    };
    assert_eq!(ssh.identity, Some(folder.path().join("key")));
    let told = |text: &str| {
        let error = read(text).unwrap_err();
        format!("{error} [{}]", error.help.as_deref().unwrap_or_default())
    };
    let other = told("inventory: lab.yaml\nswitches: [{name: leaf2}]");
    assert!(
        other.contains("has no switch `leaf2`") && other.contains("there are: leaf1"),
        "{other}"
    );
    let none = told("switches: [{name: leaf1}]");
    assert!(none.contains("name the `inventory`"), "{none}");
    let missing = told("inventory: elsewhere.yaml\nswitches: [{name: leaf1}]");
    assert!(missing.contains("elsewhere.yaml"), "{missing}");
    // What is wrong in the inventory is told where it stands there.
    std::fs::write(
        folder.path().join("lab.yaml"),
        inventory.replace("key", "'my key'"),
    )
    .unwrap();
    let wrong = told("inventory: lab.yaml\nswitches: [{name: leaf1}]");
    assert!(wrong.contains("lab.yaml:2:"), "{wrong}");
}

#[test]
fn a_device_named_twice_or_nothing_at_all_is_refused() {
    assert!(refusal("nics: [{name: a}, {name: a}]").contains("second time"));
    assert!(refusal("nics: []").contains("nothing to set"));
}

#[test]
fn files_lie_beside_the_file_that_names_them() {
    let text = switch("").replace("{env: P}", "{file: p}");
    let found = read(&text.replace("certificate: c", "certificate: /etc/c")).unwrap();
    let login = nvue(&found);
    assert_eq!(login.password, PasswordSource::File("/lab/p".into()));
    assert_eq!(login.certificate, Trust::File("/etc/c".into()));
}

/// What people copy.
#[test]
fn the_documents_example_is_read() {
    let text = include_str!("../../../docs/hardware.md");
    let (_, example) = text.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let settings = read(example).unwrap();
    let has_row = |name: &str| {
        let mut rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.any(|row| row.contains(&format!("`{name}`")))
    };
    let nic = serde_json::to_value(&settings.nics[0]).unwrap();
    for name in nic
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| *name != "name")
    {
        assert!(has_row(name), "docs/hardware.md has no row for {name}");
    }
}

#[test]
fn what_the_firmware_would_refuse_is_refused_where_it_stands() {
    for (text, path, expected) in [
        (
            "firmware: {legacy_dcqcn: enabled, programmable_congestion_control: enabled}",
            "firmware.programmable_congestion_control",
            "nothing else runs beside",
        ),
        (
            "controllers: {RTT: {}}",
            "controllers.RTT",
            "nothing to set",
        ),
        (
            "controllers: {RTT: {parameters: {ALPHA: -1}}}",
            "controllers.RTT.parameters.ALPHA",
            "",
        ),
        (
            "controllers: {\"a\\nb\": {}}",
            "controllers",
            "plain characters",
        ),
    ] {
        let refused = refusal(&nic(text));
        assert!(
            refused.starts_with(&format!("nics.0.{path}")) && refused.contains(expected),
            "{refused}"
        );
    }
}

#[test]
fn a_label_means_a_number_or_a_name() {
    let label = |text: &str| text.parse::<Label>().unwrap();
    assert!(label("15").means(15, Some("DCQCN")) && !label("15").means(1, Some("15")));
    assert!(label("ztr_rttcc").means(0, Some("ZTR_RTTCC")));
    assert!(!label("ztr_rttcc").means(0, None));
}

#[test]
fn a_mark_is_read_by_its_name() {
    for mark in Mark::ALL {
        assert_eq!(serde_json::to_value(mark).unwrap(), mark.name());
    }
}
