//! Settings that are written as one word or as a mapping. `#[serde(untagged)]` would read them too, but lose where
//! in the mapping an error is and what it was.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::{JitterSpec, LanesSpec, LossSpec, QueueSpec, RateSpec};

impl<'de> Deserialize<'de> for JitterSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a deviation such as `0.2ms`, or a mapping with `deviation`, `distribution` and `order`, or with `table` or `trace`";
        either(
            deserializer,
            expecting,
            JitterSpec::Deviation,
            JitterSpec::Full,
        )
    }
}

impl<'de> Deserialize<'de> for LossSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a probability such as `0.01%`, or a mapping with `gilbert_elliott`, `four_state`, `packets`, `trace` or `pattern`";
        either(
            deserializer,
            expecting,
            LossSpec::Independent,
            LossSpec::Model,
        )
    }
}

impl<'de> Deserialize<'de> for RateSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting =
            "a rate such as `500Mbit`, `unlimited`, or a mapping with `csv`, `mahimahi` or `steps`";
        either(deserializer, expecting, RateSpec::Word, RateSpec::Trace)
    }
}

impl<'de> Deserialize<'de> for QueueSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a queue size such as `1bdp`, or a mapping with `limit` and one of `red`, `step`, `codel`, `fq_codel`, `pie` and `dualpi2`";
        either(deserializer, expecting, QueueSpec::Limit, QueueSpec::Full)
    }
}

impl<'de> Deserialize<'de> for LanesSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lanes;

        impl<'de> Visitor<'de> for Lanes {
            type Value = LanesSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of lanes, or a list of what is different on each")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<LanesSpec, E> {
                usize::deserialize(number.into_deserializer()).map(LanesSpec::Count)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<LanesSpec, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(access)).map(LanesSpec::Each)
            }
        }

        deserializer.deserialize_any(Lanes)
    }
}

fn either<'de, D, W, M, T>(
    deserializer: D,
    expecting: &'static str,
    from_word: fn(W) -> T,
    from_mapping: fn(M) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    W: Deserialize<'de>,
    M: Deserialize<'de>,
{
    deserializer.deserialize_any(Either {
        expecting,
        from_word,
        from_mapping,
        lifetime: PhantomData,
    })
}

struct Either<'de, W, M, T> {
    expecting: &'static str,
    from_word: fn(W) -> T,
    from_mapping: fn(M) -> T,
    lifetime: PhantomData<&'de ()>,
}

impl<'de, W: Deserialize<'de>, M: Deserialize<'de>, T> Either<'de, W, M, T> {
    fn word<V, E>(self, value: V) -> Result<T, E>
    where
        V: IntoDeserializer<'de, E>,
        E: de::Error,
    {
        W::deserialize(value.into_deserializer()).map(self.from_word)
    }
}

impl<'de, W: Deserialize<'de>, M: Deserialize<'de>, T> Visitor<'de> for Either<'de, W, M, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<T, E> {
        self.word(value.to_owned())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        self.word(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        self.word(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        self.word(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(access)).map(self.from_mapping)
    }
}
