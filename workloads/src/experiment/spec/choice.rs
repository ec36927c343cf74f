//! Fields with a short and a long form.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use longhaul_topologies::units::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::SizeRange;

/// One value, or a list of them; a list is a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(StrDeserializer::new(text)).map(|value| OneOrMany(vec![value]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(values)).map(OneOrMany)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// Array sizes, in ascending order as a file should have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Sizes {
    /// These.
    List(Vec<ByteSize>),
    /// By factor.
    Range(SizeRange),
}

impl Default for Sizes {
    /// nccl-tests' own default: 32 MiB.
    fn default() -> Self {
        Sizes::List(vec![ByteSize::from_bytes(32 << 20)])
    }
}

impl Sizes {
    /// Each size.
    ///
    /// # Errors
    /// If there is none, or the factor does not lead from the least to the greatest; the message says which.
    pub fn bytes(&self) -> Result<Vec<u64>, String> {
        let sizes: Vec<u64> = match self {
            Sizes::List(list) => list.iter().map(|size| size.bytes()).collect(),
            Sizes::Range(SizeRange { factor: ..2, .. }) => {
                return Err("a factor is at least 2".to_owned());
            }
            Sizes::Range(range) => {
                let grow = |size: &u64| size.checked_mul(range.factor);
                std::iter::successors(Some(range.from.bytes()).filter(|&from| from > 0), grow)
                    .take_while(|&size| size <= range.to.bytes())
                    .collect()
            }
        };
        if sizes.is_empty() || sizes.contains(&0) {
            return Err("this names no size, or one of nothing".to_owned());
        }
        Ok(sizes)
    }
}

impl<'de> Deserialize<'de> for Sizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Sizes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `16MiB`, a list of sizes, or `{from: 256KiB, to: 16MiB, factor: 4}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Sizes, E> {
                text.parse()
                    .map(|size| Sizes::List(vec![size]))
                    .map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Sizes, E> {
                Ok(Sizes::List(vec![ByteSize::from_bytes(bytes)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<Sizes, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(values)).map(Sizes::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Sizes, A::Error> {
                SizeRange::deserialize(MapAccessDeserializer::new(map)).map(Sizes::Range)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for Sizes {
    fn schema_name() -> Cow<'static, str> {
        "Sizes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<ByteSize>();
        let range = generator.subschema_for::<SizeRange>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }, range] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(yaml: serde_json::Value) -> Result<Vec<u64>, String> {
        serde_json::from_value::<Sizes>(yaml)
            .map_err(|error| error.to_string())?
            .bytes()
    }

    #[test]
    fn sizes_are_one_a_list_or_a_range() {
        assert_eq!(sizes("1MiB".into()), Ok(vec![1 << 20]));
        assert_eq!(
            sizes(serde_json::json!(["1KiB", 4096])),
            Ok(vec![1024, 4096])
        );
        let range = serde_json::json!({"from": "256KiB", "to": "16MiB", "factor": 4});
        assert_eq!(
            sizes(range),
            Ok(vec![256 << 10, 1 << 20, 4 << 20, 16 << 20])
        );
    }

    #[test]
    fn a_range_that_leads_nowhere_is_refused() {
        assert!(sizes(serde_json::json!({"from": "1MiB", "to": "1KiB"})).is_err());
        assert!(sizes(serde_json::json!({"from": "1KiB", "to": "1MiB", "factor": 1})).is_err());
        assert!(sizes(serde_json::json!({"from": 0, "to": "1MiB"})).is_err());
        assert!(sizes(serde_json::json!([])).is_err());
    }
}
