//! One rank's file as nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use longhaul_topologies::InputError;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{File, VERSION};
use crate::collective::Collective;
use crate::replay::file::{LONGEST_COMPUTE, MOST_NODES};

/// A node of one rank.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RankNode {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its dependencies, control and data alike, as indices into the rank's nodes.
    pub(super) after: Vec<usize>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Nothing; others may wait for what it waits for.
    Metadata,
    Compute {
        lasts: Duration,
        /// On the processor beside the accelerator, which has a stream of its own.
        is_host: bool,
    },
    Collective {
        collective: Collective,
        /// As Chakra counts: the rank's input.
        size: u64,
        group: String,
    },
    Send {
        to: usize,
        tag: u64,
        size: u64,
    },
    Receive {
        from: usize,
        tag: u64,
        size: u64,
    },
}

impl Kind {
    pub(super) fn is_transfer(&self) -> bool {
        matches!(self, Self::Send { .. } | Self::Receive { .. })
    }
}

/// protobuf's JSON of a `GlobalMetadata`, and what tells other files from one.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    version: String,
    workload_graph: Option<Value>,
    nodes: Option<Value>,
}

/// protobuf's JSON of a `Node`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(default)]
    id: Integer,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, alias = "ctrl_deps")]
    ctrl_deps: Vec<Integer>,
    #[serde(default, alias = "data_deps")]
    data_deps: Vec<Integer>,
    #[serde(default, alias = "duration_micros")]
    duration_micros: Integer,
    #[serde(default)]
    attr: Vec<Attribute>,
}

/// protobuf's JSON of an `AttributeProto`, as far as attributes of these kinds are read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    #[serde(default)]
    name: String,
    #[serde(alias = "int32_val")]
    int32_val: Option<Integer>,
    #[serde(alias = "int64_val")]
    int64_val: Option<Integer>,
    #[serde(alias = "uint32_val")]
    uint32_val: Option<Integer>,
    #[serde(alias = "uint64_val")]
    uint64_val: Option<Integer>,
    #[serde(alias = "bool_val")]
    bool_val: Option<bool>,
    #[serde(alias = "string_val")]
    string_val: Option<String>,
}

/// A number that is not negative: protobuf writes those of 64 bits as strings.
#[derive(Clone, Copy, Debug, Default)]
struct Integer(i128);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Integer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or one in quotes")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Integer, E> {
                Ok(Integer(number.into()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Integer, E> {
                Ok(Integer(number.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Integer, E> {
                let refused = |_| E::custom(format!("`{text}` is no whole number"));
                text.parse().map(Integer).map_err(refused)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// Reads a file.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn read(file: &File) -> Result<Vec<RankNode>, InputError> {
    let reader = Reader { file };
    if !file.text.trim_start().starts_with('{') {
        let error = reader.error("this does not begin with a JSON object");
        return Err(error.with_help(Reader::form()));
    }
    let mut values = serde_json::Deserializer::from_str(&file.text);
    reader.check(&Metadata::deserialize(&mut values).map_err(|error| reader.malformed(&error))?)?;
    let mut nodes: Vec<Node> = Vec::new();
    while values.end().is_err() {
        if nodes.len() == MOST_NODES {
            return Err(reader.error(format!("there are more than {MOST_NODES} nodes")));
        }
        let node = Node::deserialize(&mut values);
        nodes.push(node.map_err(|error| reader.malformed(&error))?);
    }
    if nodes.is_empty() {
        return Err(reader.error("there are no nodes"));
    }
    let mut places = BTreeMap::new();
    for (place, node) in nodes.iter().enumerate() {
        if places.insert(node.id.0, place).is_some() {
            return Err(reader.error(format!("there are two nodes of id {}", node.id.0)));
        }
    }
    nodes
        .iter()
        .map(|node| reader.node(node, &places))
        .collect()
}

struct Reader<'a> {
    file: &'a File,
}

impl Reader<'_> {
    fn error(&self, message: impl Into<String>) -> InputError {
        InputError::new(&self.file.name, message)
    }

    fn form() -> String {
        format!("this is read as Chakra's JSON of schema {VERSION}, as `chakra_jsonizer` writes it")
    }

    fn malformed(&self, error: &serde_json::Error) -> InputError {
        let text = error.to_string();
        // The position stands before the message.
        let message = text.split(" at line ").next().unwrap_or(&text);
        let mut refused = self.error(message).with_help(Self::form());
        refused.position = Some((error.line(), error.column()));
        refused
    }

    /// Refuses what is no trace of the schema that is read, with the way to one.
    fn check(&self, metadata: &Metadata) -> Result<(), InputError> {
        let (message, help) = if metadata.workload_graph.is_some() {
            (
                "this is the `workload_graph` that Chakra's feeder reads, which names no process groups".to_owned(),
                "convert the trace with `chakra_jsonizer`",
            )
        } else if metadata.nodes.is_some() {
            (
                "this is a PyTorch execution trace, before its conversion to Chakra's schema"
                    .to_owned(),
                "link it with `chakra_trace_link`, convert it with `chakra_converter PyTorch`, then with `chakra_jsonizer`",
            )
        } else if metadata.version != VERSION {
            (
                format!(
                    "the schema's version is `{}`; {VERSION} is read",
                    metadata.version
                ),
                "the file begins with a GlobalMetadata, as `chakra_jsonizer` writes it",
            )
        } else {
            return Ok(());
        };
        Err(self.error(message).with_help(help))
    }

    fn node(&self, node: &Node, places: &BTreeMap<i128, usize>) -> Result<RankNode, InputError> {
        let id = node.id.0;
        let refuse = |message: String| self.error(format!("node {id} (`{}`) {message}", node.name));
        let whole = |what: &str, number: i128| {
            u64::try_from(number).map_err(|_| refuse(format!("has a {what} of {number}")))
        };
        let attribute = |name: &str| node.attr.iter().find(|one| one.name == name);
        let number = |name: &str| attribute(name).and_then(Attribute::number);
        let needed = |name: &str| {
            let number = number(name).ok_or_else(|| refuse(format!("has no `{name}`")))?;
            whole(name, number)
        };
        let rank = |name: &str| {
            let rank = needed(name)?;
            usize::try_from(rank).map_err(|_| refuse(format!("has a `{name}` of {rank}")))
        };
        let tag = || whole("comm_tag", number("comm_tag").unwrap_or_default());
        let kind = match node.kind.as_str() {
            "METADATA_NODE" => Kind::Metadata,
            "COMP_NODE" => {
                let micros = whole("duration", node.duration_micros.0)?;
                let lasts = Duration::from_micros(micros);
                if lasts > LONGEST_COMPUTE {
                    return Err(refuse("computes for more than an hour".to_owned()));
                }
                let is_host = attribute("is_cpu_op").and_then(|one| one.bool_val);
                Kind::Compute {
                    lasts,
                    is_host: is_host.unwrap_or(false),
                }
            }
            "COMM_COLL_NODE" => Kind::Collective {
                collective: collective(needed("comm_type")?).map_err(refuse)?,
                size: match needed("comm_type")? {
                    BARRIER => 0,
                    _ => needed("comm_size")?,
                },
                group: attribute("pg_name")
                    .and_then(|one| one.string_val.clone())
                    .unwrap_or_default(),
            },
            "COMM_SEND_NODE" => Kind::Send {
                to: rank("comm_dst")?,
                tag: tag()?,
                size: needed("comm_size")?,
            },
            "COMM_RECV_NODE" => Kind::Receive {
                from: rank("comm_src")?,
                tag: tag()?,
                size: needed("comm_size")?,
            },
            other => {
                let message = format!("is of the type `{other}`, which is not replayed");
                return Err(refuse(message).with_help(
                    "replayed are COMP_NODE, COMM_COLL_NODE, COMM_SEND_NODE, COMM_RECV_NODE and METADATA_NODE; make other \
                     nodes with a duration COMP_NODEs",
                ));
            }
        };
        let after = node.ctrl_deps.iter().chain(&node.data_deps);
        let after = after.map(|earlier| {
            let place = places.get(&earlier.0).copied();
            place
                .ok_or_else(|| refuse(format!("depends on node {}, which is not there", earlier.0)))
        });
        Ok(RankNode {
            id: whole("id", id)?,
            name: node.name.clone(),
            kind,
            after: after.collect::<Result<_, _>>()?,
        })
    }
}

impl Attribute {
    /// Its number: producers differ in how many bits they give it, and whether with a sign.
    fn number(&self) -> Option<i128> {
        let kinds = [
            self.int64_val,
            self.uint64_val,
            self.int32_val,
            self.uint32_val,
        ];
        kinds.into_iter().flatten().next().map(|number| number.0)
    }
}

/// Of `CollectiveCommType`: what carries no data.
const BARRIER: u64 = 9;

/// Of `CollectiveCommType`.
fn collective(number: u64) -> Result<Collective, String> {
    let missing = |name: &str| {
        Err(format!(
            "is a {name}, which longhaul has no collective for: leave it out, or make it a broadcast or an all_reduce"
        ))
    };
    match number {
        // A barrier is the least all-reduce: nobody has its sum before all have begun.
        0 | BARRIER => Ok(Collective::AllReduce),
        2 => Ok(Collective::AllGather),
        5 => Ok(Collective::Broadcast),
        6 => Ok(Collective::AllToAll),
        7 | 8 => Ok(Collective::ReduceScatter),
        1 => missing("reduce"),
        3 => missing("gather"),
        4 => missing("scatter"),
        other => Err(format!("has a `comm_type` of {other}, which is none")),
    }
}
