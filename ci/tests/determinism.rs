//! Two results, compared: each kind of difference is found and told by its place, and equal results are equal.

use std::fs;
use std::path::Path;

use longhaul_ci::determinism::{CompareError, Comparison, PacketPart, Place, compare};
use proptest::prelude::*;
use tempfile::TempDir;

const RESULT: &str = r#"{
  "schema_version": 2,
  "run_details": null,
  "seed": 7,
  "points": [
    {
      "stack": "cubic",
      "samples": [
        { "time_us": 10.5 },
        { "time_us": 11.0 }
      ]
    }
  ]
}
"#;

const SAMPLES: &str = "point,stack,time_us\n0,cubic,10.5\n0,cubic,11.0\n";

/// A result's folder of these files; `result.json` is there in any case.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("result.json"), RESULT).unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// Compares folders of these files; the other way round there must be as many differences.
fn compared(a: &[(&str, &[u8])], b: &[(&str, &[u8])]) -> Comparison {
    let (a, b) = (folder(a), folder(b));
    let there = compare(a.path(), b.path()).unwrap();
    let back = compare(b.path(), a.path()).unwrap();
    assert_eq!(there.count, back.count);
    there
}

/// What was found in one file: `place: a | b`.
fn found(name: &str, a: &[u8], b: &[u8]) -> Vec<String> {
    let comparison = compared(&[(name, a)], &[(name, b)]);
    assert!(comparison.differing.iter().all(|file| file.file == name));
    told(&comparison)
}

fn told(comparison: &Comparison) -> Vec<String> {
    let differences = comparison.differing.iter().flat_map(|file| &file.first);
    differences
        .map(|difference| {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
            let (a, b) = (side(&difference.a), side(&difference.b));
            format!("{}: {a} | {b}", difference.place)
        })
        .collect()
}

/// A capture with nanoseconds: the packets' nanosecond, length on the wire and kept bytes.
fn capture(packets: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
    bytes.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([96_u32, 1].map(u32::to_le_bytes).concat());
    for (nanosecond, length, kept) in packets {
        let header = [1_700_000_000, *nanosecond, kept.len() as u32, *length];
        bytes.extend(header.map(u32::to_le_bytes).concat());
        bytes.extend(*kept);
    }
    bytes
}

#[test]
fn equal_results_are_the_same() {
    let capture = capture(&[(5, 60, b"abc"), (6, 1514, b"defg")]);
    let files: [(&str, &[u8]); 6] = [
        ("samples.csv", SAMPLES.as_bytes()),
        ("telemetry.csv", b"time_s,point\n"),
        ("captures/a-b.pcap", &capture),
        ("charts/delay.svg", b"<svg/>\n"),
        ("charts/delay.png", &[0x89, 0, 255]),
        ("logs/a-0.log", b"hello"),
    ];
    let comparison = compared(&files, &files);
    assert!(comparison.same() && comparison.differing.is_empty());
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(
        (comparison.files, comparison.bytes),
        (7, (bytes + RESULT.len()) as u64)
    );
}

#[test]
fn what_may_differ_is_left_out_and_said_to_be() {
    let details = r#"{ "command": "longhaul run x", "machine": { "cpus": 64 } }"#;
    let completed = RESULT.replace(
        "\"run_details\": null",
        &format!("\"run_details\": {details}"),
    );
    let comparison = compared(
        &[("report.html", b"a"), (".result.json.new", b"{")],
        &[("result.json", completed.as_bytes()), ("report.html", b"b")],
    );
    assert!(comparison.same(), "{comparison:?}");
    let text = comparison.text(100);
    for what in [
        "result.json: run_details (",
        "report.html (",
        ".result.json.new (",
    ] {
        assert!(text.contains(&format!("# left out: {what}")), "{text}");
    }
}

#[test]
fn of_version_1_the_wall_clocks_fields_are_left_out() {
    let version_1 = |fields: &str| {
        let text = RESULT.replace("\"schema_version\": 2", "\"schema_version\": 1");
        text.replace("\"run_details\": null", fields)
    };
    let a = version_1(r#""command": "x", "started": "2026", "finished": null"#);
    let b = version_1(r#""command": "yy", "started": "2027", "finished": "2028""#);
    let same = compared(
        &[("result.json", a.as_bytes())],
        &[("result.json", b.as_bytes())],
    );
    assert!(same.same(), "{same:?}");
}

#[test]
fn values_of_the_result_are_told_by_their_path() {
    let other = RESULT
        .replace("11.0", "11.25")
        .replace("\"cubic\"", "\"bbr\"");
    assert_eq!(
        found("result.json", RESULT.as_bytes(), other.as_bytes()),
        [
            r#"points[0].stack: "cubic" | "bbr""#,
            "points[0].samples[1].time_us: 11.0 | 11.25",
        ]
    );
}

#[test]
fn what_one_result_lacks_is_told_by_its_path() {
    let other = RESULT
        .replace(",\n        { \"time_us\": 11.0 }", "")
        .replace("\"seed\": 7,", "");
    assert_eq!(
        found("result.json", RESULT.as_bytes(), other.as_bytes()),
        [
            "seed: 7 | nothing",
            "points[0].samples[1]: an object of 1 | nothing",
        ]
    );
}

#[test]
fn the_same_values_in_another_spelling_are_not_the_same_bytes() {
    let other = RESULT.replace("10.5 }", "10.50 }");
    let found = found("result.json", RESULT.as_bytes(), other.as_bytes());
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("line 9: ") && found[0].contains("10.50"),
        "{found:?}"
    );
}

#[test]
fn a_result_that_is_none_is_compared_as_text() {
    let found = found("result.json", RESULT.as_bytes(), b"{\n  oops\n");
    assert!(found[0].starts_with("line 2: "), "{found:?}");
}

#[test]
fn tables_are_told_by_line_and_column() {
    let other = SAMPLES
        .replace("11.0", "11.5")
        .replace("0,cubic,10.5", "0,reno,10");
    assert_eq!(
        found("samples.csv", SAMPLES.as_bytes(), other.as_bytes()),
        [
            "line 2, stack: cubic | reno",
            "line 2, time_us: 10.5 | 10",
            "line 3, time_us: 11.0 | 11.5",
        ]
    );
}

#[test]
fn lines_that_one_table_lacks_or_that_are_cut_off_are_told() {
    let against = |other: &str| found("samples.csv", SAMPLES.as_bytes(), other.as_bytes());
    let (two_lines, _) = SAMPLES.split_at(SAMPLES.rfind("0,cubic").unwrap());
    assert_eq!(against(two_lines), ["line 3: 0,cubic,11.0 | nothing"]);
    assert_eq!(
        against(&SAMPLES[..SAMPLES.len() - 2]),
        ["line 3, time_us: 11.0 | 11."]
    );
    assert_eq!(
        against(SAMPLES.trim_end()),
        ["line 3: 0,cubic,11.0 | 0,cubic,11.0 (no line feed)"]
    );
}

#[test]
fn captures_are_told_by_packet() {
    let a = capture(&[(5, 60, b"abc"), (6, 1514, b"defg"), (7, 60, b"hi")]);
    let b = capture(&[(5, 60, b"abX"), (60, 1500, b"def")]);
    assert_eq!(
        found("captures/a-b.pcap", &a, &b),
        [
            "packet 1, byte 2: 0x63 | 0x58",
            "packet 2, time: 1700000000.000000006 s | 1700000000.000000060 s",
            "packet 2, length: 1514 | 1500",
            "packet 2, kept length: 4 | 3",
            "packet 3: 60 bytes at 1700000000.000000007 s | nothing",
        ]
    );
}

#[test]
fn captures_of_another_kind_or_cut_off_are_told() {
    let a = capture(&[(5, 60, b"abc"), (6, 60, b"def")]);
    let mut other = a.clone();
    other[0] = 0xd4;
    assert_eq!(
        found("x.pcap", &a, &other),
        ["the header, byte 0: 0x4d | 0xd4"]
    );
    assert_eq!(
        found("x.pcap", &a, &a[..a.len() - 1]),
        ["packet 2: 60 bytes at 1700000000.000000006 s | no whole packet, 18 bytes of it"]
    );
}

#[test]
fn behind_what_is_no_packet_a_capture_is_compared_as_bytes() {
    let mut a = capture(&[(5, 60, b"abc")]);
    // Too long to be a packet's length.
    a.extend([0, 0, u32::MAX, 0].map(u32::to_le_bytes).concat());
    a.resize(a.len() + 300_000, 0);
    let mut b = a.clone();
    let last = b.len() - 1;
    b[last] = 1;
    assert_eq!(
        found("x.pcap", &a, &b),
        [format!("byte {last}: 0x00 | 0x01")]
    );
}

#[test]
fn logs_and_drawings_are_told_by_line_and_pictures_by_byte() {
    assert_eq!(
        found("logs/a-0.log", b"one\ntwo\n", b"one\ntoo\n"),
        ["line 2: two | too"]
    );
    assert_eq!(found("charts/x.svg", b"<svg>", b"<SVG>").len(), 1);
    assert_eq!(
        found("charts/x.png", &[1, 2, 3], &[1, 2, 4, 5]),
        ["byte 2: 0x03 | 0x04"]
    );
    assert_eq!(
        found("charts/x.png", &[1, 2, 3], &[1, 2]),
        ["byte 2: 0x03 | nothing"]
    );
}

#[test]
fn a_file_in_one_folder_only_is_a_difference() {
    let comparison = compared(&[("logs/a.log", b"x")], &[("logs", b"x"), ("b", b"")]);
    let files = comparison.differing.iter().map(|file| file.file.as_str());
    assert_eq!(files.collect::<Vec<_>>(), ["b", "logs", "logs/a.log"]);
    assert_eq!(
        told(&comparison),
        [
            "the file: nothing | a file",
            "the file: a folder | a file",
            "the file: a file | nothing",
        ]
    );
}

#[test]
fn a_link_is_not_followed() {
    let (a, b) = (folder(&[]), folder(&[]));
    for folder in [&a, &b] {
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("x.log")).unwrap();
    }
    let comparison = compare(a.path(), b.path()).unwrap();
    assert_eq!(
        told(&comparison),
        ["the file: no regular file | no regular file"]
    );
}

#[test]
fn the_first_differences_are_told_and_all_are_counted() {
    let table = |value: &str| format!("x\n{}", format!("{value}\n").repeat(1000));
    let other = RESULT.replace('7', "8");
    let comparison = compared(
        &[("a.csv", table("1").as_bytes())],
        &[
            ("a.csv", table("2").as_bytes()),
            ("result.json", other.as_bytes()),
        ],
    );
    assert_eq!(comparison.count, 1001);
    let table = &comparison.differing[0];
    assert_eq!((table.count, table.first.len()), (1000, 20));
    assert_eq!(
        table.first[19].place,
        Place::Cell {
            line: 21,
            column: "x".to_owned()
        }
    );
    let text = comparison.text(100);
    assert!(
        text.starts_with("NOT the same: 1001 differences in 2 of 2 files\n"),
        "{text}"
    );
    assert!(text.contains(" and 980 more"), "{text}");
    assert!(text.contains(" result.json  seed"), "{text}");
}

#[test]
fn a_comparison_is_read_back_from_its_json() {
    let capture_of = |byte: u8| capture(&[(5, 60, &[byte])]);
    let files = |byte: u8| {
        [
            ("x.pcap", capture_of(byte)),
            ("x.csv", vec![b'a', b'\n', byte]),
            ("x.png", vec![byte]),
        ]
    };
    let (a, b) = (files(b'1'), files(b'2'));
    fn as_slices<'a>(files: &'a [(&'a str, Vec<u8>)]) -> Vec<(&'a str, &'a [u8])> {
        let slice = |(name, bytes): &'a (&'a str, Vec<u8>)| (*name, bytes.as_slice());
        files.iter().map(slice).collect()
    }
    let comparison = compared(&as_slices(&a), &as_slices(&b));
    let json = serde_json::to_string(&comparison).unwrap();
    let place = r#""place":{"kind":"packet","packet":1,"part":"bytes","offset":0}"#;
    assert!(json.contains(place), "{json}");
    assert_eq!(
        serde_json::from_str::<Comparison>(&json).unwrap(),
        comparison
    );
    assert_eq!(
        comparison.differing[1].first[0].place,
        Place::Packet {
            packet: 1,
            part: PacketPart::Bytes { offset: 0 }
        }
    );
}

#[test]
fn a_folder_without_a_result_gets_the_way_out() {
    let (a, empty) = (folder(&[]), tempfile::tempdir().unwrap());
    for (a, b) in [(a.path(), empty.path()), (Path::new("/nowhere"), a.path())] {
        let error = compare(a, b).unwrap_err();
        assert!(matches!(error, CompareError::NoResult(_)), "{error}");
        assert!(error.to_string().contains("longhaul run"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However a file is read: only equal bytes are the same.
    #[test]
    fn any_other_byte_is_found(
        ending in prop::sample::select(vec!["csv", "pcap", "log", "bin", "pcap-with-header"]),
        bytes in prop::collection::vec(
            prop_oneof![Just(b'\n'), Just(b','), Just(b'"'), any::<u8>()],
            1..200,
        ),
        at: prop::sample::Index,
        mask in prop::option::of(1..=255_u8),
    ) {
        let name = format!("x.{}", ending.trim_end_matches("-with-header"));
        let mut a = match ending {
            "pcap-with-header" => capture(&[(1, 60, b"abc")]),
            _ => Vec::new(),
        };
        a.extend(bytes);
        prop_assert!(compared(&[(&name, &a)], &[(&name, &a)]).same());
        let (at, mut b) = (at.index(a.len()), a.clone());
        match mask {
            Some(mask) => b[at] ^= mask,
            None => b.truncate(at),
        }
        let comparison = compared(&[(&name, &a)], &[(&name, &b)]);
        prop_assert!(!comparison.same(), "{a:?} {b:?}");
        prop_assert!(!comparison.text(80).is_empty());
    }
}
