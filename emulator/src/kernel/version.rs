//! Kernel versions, in their order.

/// The numbers that a version starts with: 6, 12, 94 of `6.12.94-rc1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(Vec<u64>);

impl Version {
    /// `None` if it does not start with a number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let numbers = text[..end].trim_end_matches('.').split('.');
        let numbers: Result<Vec<u64>, _> = numbers.map(str::parse).collect();
        numbers.ok().map(Version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let ascending = [
            "5.19", "6.1", "6.1.170", "6.8.0", "6.12-rc3", "6.12.9", "6.12.94",
        ];
        let versions: Vec<Version> = ascending
            .iter()
            .map(|text| Version::parse(text).unwrap())
            .collect();
        assert!(versions.is_sorted(), "{versions:?}");
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in ["", "-rc1", "next", "6..1", ".6", "99999999999999999999"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
