//! Gains and other factors between 0 and 1.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A factor between 0 and 1, written as papers write it: `0.0625` or `1/16`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Factor(f64);

impl Factor {
    /// `numerator` of `denominator`; the law's own figures, known to be between 0 and 1.
    pub(super) const fn of(numerator: f64, denominator: f64) -> Self {
        let factor = numerator / denominator;
        assert!(factor >= 0.0 && factor <= 1.0);
        Factor(factor)
    }

    /// Its value, 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FactorVisitor;

        impl Visitor<'_> for FactorVisitor {
            type Value = Factor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number between 0 and 1 such as `0.0625` or `1/16`")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Factor, E> {
                if (0.0..=1.0).contains(&number) {
                    Ok(Factor(number))
                } else {
                    Err(E::custom(format_args!("`{number}` is not between 0 and 1")))
                }
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Factor, E> {
                self.visit_f64(number as f64)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Factor, E> {
                self.visit_f64(number as f64)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Factor, E> {
                let number = |text: &str| text.trim().parse::<f64>().ok();
                let value = match text.split_once('/') {
                    Some((over, under)) => number(over).zip(number(under)).map(|(a, b)| a / b),
                    None => number(text),
                };
                match value {
                    Some(value) => self.visit_f64(value),
                    None => Err(E::custom(format_args!(
                        "`{text}` is not a factor: write for example `0.0625` or `1/16`"
                    ))),
                }
            }
        }

        deserializer.deserialize_any(FactorVisitor)
    }
}

impl JsonSchema for Factor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Factor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "string"],
            "description": "A factor between 0 and 1: 0.0625 or 1/16.",
            "minimum": 0,
            "maximum": 1,
            "examples": [0.0625, "1/16"],
        })
    }
}
