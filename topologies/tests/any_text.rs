//! Whatever the text, the reader answers: a topology, or an error that says where it is.

use longhaul_topologies::{Document, InputError, Topology, catalogue, validate};
use miette::Diagnostic;
use proptest::prelude::*;

fn read(text: &str) -> Result<Topology, InputError> {
    validate::topology(&Document::from_text("any.yaml", text)?)
}

/// The error points into the text, and can be shown.
fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(error) = read(text) else {
        return Ok(());
    };
    let lines = text.split(['\n', '\r']).count();
    let (line, column) = error.position.expect("a position");
    prop_assert!((1..=lines + 1).contains(&line), "{error}");
    prop_assert!(column >= 1, "{error}");
    prop_assert!(!error.message.is_empty());
    let label = error
        .labels()
        .and_then(|mut labels| labels.next())
        .expect("a label");
    prop_assert!(
        text.get(label.offset()..label.offset() + label.len())
            .is_some(),
        "{error}"
    );
    let source = error.source_code().expect("the text");
    prop_assert!(source.read_span(label.inner(), 1, 1).is_ok(), "{error}");
    Ok(())
}

/// One small harm to a text.
#[derive(Clone, Debug)]
enum Harm {
    FlipBits(usize, u8),
    Truncate(usize),
    RepeatLine(usize),
    DropLine(usize),
    Insert(usize, char),
}

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let harm = prop_oneof![
        (any::<usize>(), 1u8..=255).prop_map(|(at, bits)| Harm::FlipBits(at, bits)),
        any::<usize>().prop_map(Harm::Truncate),
        any::<usize>().prop_map(Harm::RepeatLine),
        any::<usize>().prop_map(Harm::DropLine),
        (
            any::<usize>(),
            prop::sample::select(
                "{}[]:,-&*!|>'\"%@`#\t\n\r?~é\u{0}\u{feff}"
                    .chars()
                    .collect::<Vec<_>>()
            )
        )
            .prop_map(|(at, c)| Harm::Insert(at, c)),
    ];
    proptest::collection::vec(harm, 1..4)
}

fn harmed(text: &str, harm: &Harm) -> String {
    let place = |at: usize, of: usize| at % of.max(1);
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    match *harm {
        Harm::FlipBits(at, bits) => {
            let mut bytes = text.as_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(place(at, text.len())) {
                *byte ^= bits;
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Harm::Truncate(at) => text.chars().take(place(at, text.len())).collect(),
        Harm::RepeatLine(at) if !lines.is_empty() => {
            let line = place(at, lines.len());
            lines.insert(line, lines[line]);
            lines.concat()
        }
        Harm::DropLine(at) if !lines.is_empty() => {
            lines.remove(place(at, lines.len()));
            lines.concat()
        }
        Harm::RepeatLine(_) | Harm::DropLine(_) => text.to_owned(),
        Harm::Insert(at, c) => {
            let mut chars: Vec<char> = text.chars().collect();
            chars.insert(place(at, chars.len()), c);
            chars.into_iter().collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_text_is_answered(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn text_of_yamls_own_characters_is_answered(text in "[a-z0-9 \\n\\t:,\\[\\]{}&*!|>'\"%?#-]{0,60}") {
        check(&text)?;
    }

    #[test]
    fn a_harmed_topology_is_answered(entry in prop::sample::select(catalogue::entries()), harms in harms()) {
        let text = harms.iter().fold(entry.text.to_owned(), |text, harm| harmed(&text, harm));
        check(&text)?;
    }

    #[test]
    fn any_override_is_answered(
        entry in prop::sample::select(catalogue::entries()),
        key in "(sites|links|defaults|name)(\\.([0-2]|\\*|virginia|[a-z]{1,5})){0,3}",
        value in "[a-z0-9.%\\[\\]{}:&* -]{0,12}",
    ) {
        let mut document = Document::from_text(entry.name, entry.text).unwrap();
        let result = document.set(&key, &value).and_then(|()| validate::topology(&document));
        if let Err(error) = result {
            prop_assert!(error.position.is_some() || error.setting().is_some(), "{}", error);
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
