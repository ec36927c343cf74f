//! What to say of a name that is not known.

/// Below this similarity (Jaro–Winkler, 1 is equal) a suggestion would puzzle more than help.
const LEAST_SIMILARITY: f64 = 0.75;

/// The question for the known name most like `name`, if one is like enough: ``did you mean `virginia`?``
pub fn did_you_mean(
    name: &str,
    known: impl IntoIterator<Item = impl AsRef<str>>,
) -> Option<String> {
    let close = closest(name, known)?;
    Some(format!("did you mean `{close}`?"))
}

/// The same, or else all the names there are.
pub fn way_on<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    did_you_mean(name, known.clone()).unwrap_or_else(|| format!("there are: {}", list(known)))
}

/// Names in a row.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn closest(name: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known.as_ref()), known))
        .filter(|(similarity, _)| *similarity >= LEAST_SIMILARITY)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.as_ref().to_owned())
}
