//! What documents, overrides and their errors do.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::units::Probability;

const TEXT: &str = "\
name: two
sites:
  - name: virginia
    hosts: 2
  - name: dublin
links:
  - between: [virginia, dublin]
    loss: 0.1%
";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read only for their errors")]
struct Whole {
    name: String,
    #[serde(default)]
    sites: Vec<BTreeMap<String, Value>>,
    #[serde(default)]
    links: Vec<Link>,
    kind: Option<Kind>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    between: [String; 2],
    loss: Option<Probability>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Normal,
    Uniform,
}

fn document() -> Document {
    Document::from_text("two.yaml", TEXT).unwrap()
}

fn place(segments: &[&str]) -> DocumentPath {
    segments.iter().map(|&segment| segment.to_owned()).collect()
}

#[test]
fn a_wrong_value_is_told_by_line_and_column() {
    let text = TEXT.replace("0.1%", "120%");
    let error = Document::from_text("two.yaml", &text)
        .unwrap()
        .parse::<Whole>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "two.yaml:8:11: `120%` is too large: at most 100%, which is certain"
    );
    assert_eq!(error.path, place(&["links", "0", "loss"]));
    let label = miette::Diagnostic::labels(&error).unwrap().next().unwrap();
    assert_eq!(&text[label.offset()..][..label.len()], "120%");
}

#[test]
fn text_that_yaml_takes_for_something_else_wants_quotes() {
    for wrong in ["3", "0.5", "true"] {
        let text = TEXT.replace("[virginia, dublin]", &format!("[virginia, {wrong}]"));
        let document = Document::from_text("two.yaml", &text).unwrap();
        let error = document.parse::<Whole>().unwrap_err();
        assert_eq!(error.help.as_deref(), Some("put it in quotes"), "{error}");
    }
    let text = TEXT.replace("[virginia, dublin]", "[virginia, [dublin]]");
    let document = Document::from_text("two.yaml", &text).unwrap();
    assert_eq!(document.parse::<Whole>().unwrap_err().help, None);
}

#[test]
fn an_unknown_field_is_told_at_its_key_with_the_closest_name() {
    let text = TEXT.replace("loss:", "los:");
    let error = Document::from_text("two.yaml", &text)
        .unwrap()
        .parse::<Whole>()
        .unwrap_err();
    assert_eq!(error.to_string(), "two.yaml:8:5: unknown field `los`");
    assert_eq!(
        error.help.as_deref(),
        Some("did you mean `loss`? There are: `between`, `loss`")
    );
}

#[test]
fn a_text_in_a_mapping_s_place_is_told_in_plain_words_and_not_whole() {
    let told = |text: &str| {
        let document = Document::from_text("two.yaml", text).unwrap();
        document.parse::<Whole>().unwrap_err().to_string()
    };
    assert_eq!(
        told("two"),
        "two.yaml:1:1: invalid type: string \"two\", expected a mapping"
    );
    let long = told(&"words ".repeat(1000));
    assert_eq!(
        long,
        format!(
            "two.yaml:1:1: invalid type: string \"{}word…\", expected a mapping",
            "words ".repeat(6)
        )
    );
}

#[test]
fn an_unknown_variant_is_told_at_its_value() {
    let text = format!("{TEXT}kind: norml\n");
    let error = Document::from_text("two.yaml", &text)
        .unwrap()
        .parse::<Whole>()
        .unwrap_err();
    assert_eq!(error.to_string(), "two.yaml:9:7: unknown variant `norml`");
    assert_eq!(
        error.help.as_deref(),
        Some("did you mean `normal`? There are: `normal`, `uniform`")
    );
}

#[test]
fn a_missing_field_is_told_at_the_mapping_that_lacks_it() {
    let text = TEXT.replace("between: [virginia, dublin]\n    ", "");
    let error = Document::from_text("two.yaml", &text)
        .unwrap()
        .parse::<Whole>()
        .unwrap_err();
    assert_eq!(error.to_string(), "two.yaml:7:5: missing field `between`");
}

#[test]
fn an_override_wins_and_is_named_when_it_is_wrong() {
    let mut document = document();
    document.set("links.0.loss", "1%").unwrap();
    assert_eq!(
        document.parse::<Whole>().unwrap().links[0].loss,
        Probability::new(0.01)
    );
    document.set("links.virginia-dublin.loss", "120%").unwrap();
    let error = document.parse::<Whole>().unwrap_err();
    assert_eq!(error.position, None);
    let setting = error.setting().map(ToString::to_string);
    assert_eq!(
        setting.as_deref(),
        Some("--set links.virginia-dublin.loss=120%")
    );
    assert_eq!(
        error.to_string(),
        "two.yaml with --set links.virginia-dublin.loss=120%: `120%` is too large: at most 100%, which is certain"
    );
}

#[test]
fn an_unknown_field_of_an_override_is_told_at_its_part_of_the_key() {
    for (key, unknown) in [
        ("unknown", 0..7),
        ("unknown.deep.0", 0..7),
        ("links.0.los", 8..11),
        ("links.virginia-dublin.los.deep", 22..25),
    ] {
        let mut document = document();
        document.set(key, "1").unwrap();
        let error = document.parse::<Whole>().unwrap_err();
        let told = format!("two.yaml with --set {key}=1: unknown field ");
        assert!(error.to_string().starts_with(&told), "{error}");
        let label = miette::Diagnostic::labels(&error).unwrap().next().unwrap();
        assert_eq!(
            label.offset()..label.offset() + label.len(),
            unknown,
            "{key}"
        );
    }
    // What the file has wrong is the file's.
    let mut document = Document::from_text("two.yaml", &format!("{TEXT}more: {{a: 1}}\n")).unwrap();
    document.set("more.b", "2").unwrap();
    let error = document.parse::<Whole>().unwrap_err();
    assert_eq!(error.to_string(), "two.yaml:9:1: unknown field `more`");
}

#[test]
fn list_entries_are_set_by_index_by_name_and_all_at_once() {
    let mut document = document();
    document.set("sites.dublin.hosts", "3").unwrap();
    document.set("sites.1.place", "Dublin, Ireland").unwrap();
    document.set("links.dublin-virginia.loss", "null").unwrap();
    assert_eq!(document.value()["sites"][1]["hosts"], 3);
    assert_eq!(document.value()["sites"][1]["place"], "Dublin, Ireland");
    assert!(document.value()["links"][0]["loss"].is_null());
    document.set("sites.*.hosts", "7").unwrap();
    assert_eq!(
        (
            &document.value()["sites"][0]["hosts"],
            &document.value()["sites"][1]["hosts"]
        ),
        (&7.into(), &7.into())
    );
    document.set("defaults.hosts", "[1, 2]").unwrap();
    assert_eq!(document.value()["defaults"]["hosts"][1], 2);
}

#[test]
fn an_override_of_what_is_not_there_is_refused_and_changes_nothing() {
    for (key, message) in [
        (
            "links.1.loss",
            "`links` has no entry 1: its entries are 0 to 0",
        ),
        (
            "links.*.loss.deep",
            "`links.0.loss` is \"0.1%\": there is no `deep` in it",
        ),
        (
            "sites.virgina.hosts",
            "`sites` has no entry `virgina`: did you mean `virginia`?",
        ),
        (
            "links..loss",
            "`links..loss` is not a place in the file: write for example `links.0.loss`",
        ),
    ] {
        let mut document = document();
        let error = document.set(key, "1%").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("two.yaml with --set {key}=1%: {message}")
        );
        assert_eq!(document.value(), &self::document().root);
    }
}

#[test]
fn an_empty_value_removes_nothing() {
    let mut document = document();
    let before = document.value().clone();
    for text in ["", "  "] {
        let error = document.set("name", text).unwrap_err();
        assert!(error.to_string().contains("`null`"), "{error}");
    }
    assert_eq!(*document.value(), before);
}

#[test]
fn a_part_points_into_the_whole() {
    let text = "topology:\n  name: two\n  links:\n    - between: [a, b]\n      loss: 120%\n";
    let mut whole = Document::from_text("experiment.yaml", text).unwrap();
    whole.set("topology.links.0.between", "[a, c]").unwrap();
    let mut part = whole.at(&place(&["topology"])).unwrap();
    let error = part.parse::<Whole>().unwrap_err();
    assert_eq!(error.position, Some((5, 13)));
    assert_eq!(error.path, place(&["topology", "links", "0", "loss"]));
    part.set("links.0.loss", "1%").unwrap();
    assert_eq!(part.parse::<Whole>().unwrap().links[0].between, ["a", "c"]);
    assert!(part.is_overridden(&place(&["links", "0", "between"])));
    assert!(whole.at(&place(&["topologies"])).is_none());
}

#[test]
fn yaml_errors_have_positions() {
    for (text, position) in [
        ("a: [1, 2\nb: 3\n", Some((2, 2))),
        ("a: 1\na: 2\n", Some((2, 1))),
        ("a: 1\n---\nb: 2\n", Some((3, 1))),
        ("a: *nowhere\n", Some((1, 4))),
    ] {
        let error = Document::from_text("bad.yaml", text).unwrap_err();
        assert_eq!(error.position, position, "{error}");
    }
}

#[test]
fn a_key_that_is_deeper_than_any_document_is_refused() {
    let mut document = document();
    let key = vec!["a"; 1_000_000].join(".");
    let error = document.set(&key, "1").unwrap_err();
    assert!(error.to_string().contains("too deep"), "{error}");
}

#[test]
fn limits_hold() {
    let deep = "[".repeat(40) + &"]".repeat(40);
    let laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &('b'..='h')
            .map(|name| {
                let before = char::from(name as u8 - 1);
                format!(
                    "{name}: &{name} [{}]\n",
                    vec![format!("*{before}"); 10].join(", ")
                )
            })
            .collect::<String>();
    let long = format!("a: \"{}\"", "x".repeat(source::MAX_BYTES));
    for text in [deep, laughs, long] {
        assert!(
            Document::from_text("bad.yaml", &text)
                .unwrap_err()
                .position
                .is_some()
        );
    }
}

#[test]
fn unreadable_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| Document::read(path).unwrap_err().message;
    assert_eq!(
        message(&folder.path().join("none.yaml")),
        "there is no such file"
    );
    assert_eq!(message(folder.path()), "this is a folder, not a file");
    let file = folder.path().join("latin1.yaml");
    std::fs::write(&file, b"name: caf\xe9").unwrap();
    assert_eq!(
        message(&file),
        "the file is not text: the byte at offset 9 is not UTF-8"
    );
    std::fs::write(&file, "x".repeat(source::MAX_BYTES + 1)).unwrap();
    assert_eq!(
        message(&file),
        "the file is longer than the 8388608 bytes an input file may have"
    );
}
