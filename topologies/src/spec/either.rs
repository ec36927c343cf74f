//! Settings that are written as one word or as a mapping. `#[serde(untagged)]` would read them too, but lose where
//! in the mapping an error is and what it was.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, Visitor};

use super::{JitterSpec, LossSpec};

impl<'de> Deserialize<'de> for JitterSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a deviation such as `0.2ms`, or a mapping with `deviation`, `distribution` and `order`";
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
        let expecting = "a probability such as `0.01%`, or a mapping with `gilbert_elliott`";
        either(
            deserializer,
            expecting,
            LossSpec::Independent,
            LossSpec::Model,
        )
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
