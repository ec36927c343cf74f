//! Laws by name: how an experiment's file tells them.

mod range;

use std::fmt;

use longhaul_emulator::time::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Bbr, Conditions, Controller, Cubic, Dcqcn, Dctcp, Distance, DocaRtt, FixedWindow, Gemini, Hpcc,
    Swift, Timely, Uno,
};

/// One list of laws for the type, its text form, its schema and its beginning.
macro_rules! laws {
    ($($(#[$doc:meta])* $name:literal $law:ident,)*) => {
        /// A law by name with its parameters. In YAML a bare name (`dcqcn`) is the law as its source has it, and a
        /// mapping of one (`{dcqcn: {g: 1/16}}`) sets what is to be different.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Law {
            $($(#[$doc])* $law($law),)*
        }

        impl Law {
            /// What laws are called in files and tables.
            pub const NAMES: &[&str] = &[$($name),*];

            /// What this one is called.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Law::$law(_) => $name,)*
                }
            }

            /// The law at work on a path of these `conditions`, from `now` on.
            pub fn start(&self, conditions: Conditions, now: Time) -> Box<dyn Controller> {
                match self {
                    $(Law::$law(parameters) => Box::new(parameters.start(conditions, now)),)*
                }
            }
        }

        impl Serialize for Law {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(1))?;
                match self {
                    $(Law::$law(parameters) => map.serialize_entry($name, parameters)?,)*
                }
                map.end()
            }
        }

        impl<'de> Visitor<'de> for LawVisitor {
            type Value = Law;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a law's name, or a mapping of its name to its parameters")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Law, E> {
                let nothing = MapDeserializer::new(std::iter::empty::<(&str, &str)>());
                match name {
                    $($name => $law::deserialize(nothing).map(Law::$law),)*
                    _ => Err(E::unknown_variant(name, Law::NAMES)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Law, A::Error> {
                let Some(name) = map.next_key::<String>()? else {
                    return Err(A::Error::custom("name a law: the mapping is empty"));
                };
                let law = match name.as_str() {
                    $($name => Law::$law(map.next_value()?),)*
                    _ => return Err(A::Error::unknown_variant(&name, Law::NAMES)),
                };
                law.check().map_err(A::Error::custom)?;
                match map.next_key::<String>()? {
                    None => Ok(law),
                    Some(second) => Err(A::Error::custom(format_args!(
                        "`{second}` beside `{name}`: one law at a time, its parameters below its name"
                    ))),
                }
            }
        }

        impl JsonSchema for Law {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                "Law".into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let forms = [
                    json_schema!({ "enum": Law::NAMES }),
                    $(json_schema!({
                        "type": "object",
                        "properties": { $name: generator.subschema_for::<$law>() },
                        "required": [$name],
                        "additionalProperties": false,
                    }),)*
                ];
                json_schema!({
                    "description": "A congestion-control law, by its name or with parameters.",
                    "oneOf": forms,
                })
            }
        }
    };
}

laws! {
    /// Learns each path's round trip and scales itself to it; ours.
    "distance" Distance,
    /// Of RoCE hardware: rate by congestion notifications and timers.
    "dcqcn" Dcqcn,
    /// Window by the fraction of marks.
    "dctcp" Dctcp,
    /// Rate by the gradient of the round trip.
    "timely" Timely,
    /// Window by a target delay.
    "swift" Swift,
    /// Window by in-band telemetry.
    "hpcc" Hpcc,
    /// Pace and window by a model of the path.
    "bbr" Bbr,
    /// Window by the time since the last loss.
    "cubic" Cubic,
    /// Window by marks and delay in short epochs.
    "uno" Uno,
    /// Window by marks and delay, for paths between data centres.
    "gemini" Gemini,
    /// Rate by a fixed round trip.
    "doca-rtt" DocaRtt,
    /// So many bytes in flight, whatever happens.
    "fixed-window" FixedWindow,
}

struct LawVisitor;

impl<'de> Deserialize<'de> for Law {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LawVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Law, String> {
        serde_json::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bare_name_is_the_law_as_its_source_has_it() {
        for name in Law::NAMES {
            if *name != "fixed-window" {
                let law = read(&format!("\"{name}\"")).unwrap();
                assert_eq!(law.name(), *name);
                assert_eq!(read(&format!("{{\"{name}\": {{}}}}")), Ok(law.clone()));
                let written = serde_json::to_string(&law).unwrap();
                assert_eq!(read(&written), Ok(law), "{written}");
            }
        }
    }

    #[test]
    fn a_mapping_sets_parameters() {
        let law = read(r#"{"dcqcn": {"g": "1/16", "cnp_interval": "4us"}}"#).unwrap();
        let Law::Dcqcn(parameters) = law else {
            panic!("{law:?}");
        };
        assert_eq!(parameters.g.get(), 1.0 / 16.0);
        assert_eq!(parameters.cnp_interval.to_string(), "4us");
        assert_eq!(parameters.rate_timer, Dcqcn::default().rate_timer);
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (text, names) in [
            (r#""dcqcm""#, "dcqcm"),
            (r#"{"dcqcn": {"gg": 1}}"#, "gg"),
            (r#"{"dcqcn": {"g": 1.5}}"#, "1.5"),
            (r#"{"dcqcn": {}, "bbr": {}}"#, "bbr"),
            (r#""fixed-window""#, "window"),
            (r#"{"swift": {"base_target": 25}}"#, "25ms"),
            (
                r#"{"bbr": {"pacing_margin": 100}}"#,
                "`pacing_margin` is 100, and may be 0 to 20",
            ),
            (r#"{"bbr": {"high_gain": 0}}"#, "`high_gain` is 0"),
            (
                r#"{"bbr": {"rtt_window": "0s"}}"#,
                "must be longer than `probe_rtt`, 200ms",
            ),
            (r#"{"cubic": {"c": -1}}"#, "`c` is -1"),
            (
                r#"{"gemini": {"most_increase": 0.01}}"#,
                "`most_increase` is 0.01, and may be 0.1 to 1000",
            ),
            (r#"{"swift": {"additive": -1}}"#, "`additive` is -1"),
            (r#"{"hpcc": {"eta": 0}}"#, "`eta` is 0"),
            (r#"{"doca-rtt": {"min_rate": 0}}"#, "`min_rate` is 0"),
            (r#"{}"#, "name a law"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(names), "{text}: {error}");
        }
    }

    #[test]
    fn the_schema_lets_pass_what_is_read() {
        let schema = serde_json::to_value(schemars::schema_for!(Law)).unwrap();
        let forms = schema["oneOf"].as_array().unwrap();
        assert_eq!(forms.len(), Law::NAMES.len() + 1);
    }
}
