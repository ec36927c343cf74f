//! Pairs of hosts, for programs that have a client and a server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::program::{Output, ProgramError, Refusal, check_hosts};

/// Two hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The one that asks.
    pub from: String,
    /// The one that answers.
    pub to: String,
}

impl Pair {
    /// `a-0>b-0`, as figures name it.
    pub fn name(&self) -> String {
        format!("{}>{}", self.from, self.to)
    }
}

/// `given`, or if there are none the first host and the last: the farthest apart as the topology lists them.
pub fn or_first_and_last(given: &[Pair], hosts: &[String]) -> Vec<Pair> {
    match (given, hosts) {
        ([], [first, .., last]) => vec![Pair {
            from: first.clone(),
            to: last.clone(),
        }],
        _ => given.to_vec(),
    }
}

/// What `parse` makes of the output of `program` for each pair, in their order.
pub(super) fn read<T>(
    pairs: &[Pair],
    outputs: &[Output],
    program: &'static str,
    parse: impl Fn(&str, &str) -> Result<T, String>,
) -> Result<Vec<T>, ProgramError> {
    let read = |(pair, output): (&Pair, &Output)| {
        parse(&output.text, &pair.name()).map_err(|problem| ProgramError::Output {
            program,
            host: output.host.clone(),
            problem,
        })
    };
    pairs.iter().zip(outputs).map(read).collect()
}

/// Checks that the pairs are of different hosts that are there.
pub fn check(given: &[Pair], hosts: &[String]) -> Result<(), Refusal> {
    if hosts.len() < 2 {
        let message = "this takes two hosts, and the topology has one";
        return Err(Refusal::of("", message));
    }
    for (index, pair) in given.iter().enumerate() {
        let field = format!("pairs.{index}");
        let both = [pair.from.clone(), pair.to.clone()];
        check_hosts("", &both, hosts).map_err(|refusal| Refusal::of(&field, refusal.message))?;
        if given[..index].contains(pair) {
            let message = format!("{} is named twice", pair.name());
            return Err(Refusal::of(&field, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::tests::hosts;

    fn pair(from: &str, to: &str) -> Pair {
        Pair {
            from: from.into(),
            to: to.into(),
        }
    }

    #[test]
    fn without_pairs_it_is_the_first_and_the_last_host() {
        assert_eq!(or_first_and_last(&[], &hosts()), [pair("a-0", "b-0")]);
    }

    #[test]
    fn pairs_are_of_two_hosts_that_are_there() {
        let message = |given: &[Pair]| check(given, &hosts()).unwrap_err().message;
        assert_eq!(
            message(&[pair("a-0", "c-0")]),
            "there is no host `c-0`; there are a-0, b-0"
        );
        assert_eq!(message(&[pair("a-0", "a-0")]), "`a-0` is named twice");
        let twice = [pair("a-0", "b-0"), pair("a-0", "b-0")];
        assert_eq!(message(&twice), "a-0>b-0 is named twice");
    }
}
