//! The closest known name to a misspelt one.

/// Below this similarity (Jaro–Winkler, 1 is equal) a suggestion would puzzle more than help.
const LEAST_SIMILARITY: f64 = 0.75;

/// The known name most like `name`, if one is like enough.
pub fn closest(name: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known.as_ref()), known))
        .filter(|(similarity, _)| *similarity >= LEAST_SIMILARITY)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.as_ref().to_owned())
}
