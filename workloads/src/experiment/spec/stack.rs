//! A stack: a transport with its congestion control, and how lanes are chosen.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use longhaul_emulator::probe::EcnField;
use longhaul_topologies::units::{ByteSize, TimeSpan};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::congestion::Law;
use crate::message::{
    self, Erasure, MOST_PATHS, MOST_SHARDS, PathChoice, Paths, Recovery, least_mtu, wire,
};
use crate::transport::datagram::endpoint::JUMBO;
use crate::world::MessageOptions;

/// A transport with its settings. The short form is a congestion control's name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StackSpec {
    /// What tables and charts call it.
    pub name: String,
    /// What carries the bytes.
    #[serde(skip_serializing_if = "Transport::is_tcp")]
    pub transport: Transport,
    /// The congestion control; the kernel's default if absent.
    pub congestion_control: Option<CongestionControl>,
    /// TCP connections per pair of ranks that talk.
    pub connections: usize,
    /// Explicit socket buffers; the kernel's autotuning if absent.
    pub socket_buffer: Option<ByteSize>,
    /// Bytes of a pipelined chunk.
    pub chunk: ByteSize,
    /// How the message transport repeats what is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// The message transport's erasure code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure: Option<Erasure>,
    /// The message transport's paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Paths>,
    /// Bytes of the message transport's packets, headers included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<ByteSize>,
    /// Hops that write in-band telemetry into the message transport's packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry_hops: Option<u8>,
    /// Bytes that all senders to one rank together may have in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<ByteSize>,
    /// When messages are handed over, after they were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playout: Option<TimeSpan>,
    /// Swept places and their values at which alone it runs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<String, Vec<Value>>,
}

/// What carries the bytes between ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Kernel TCP.
    #[default]
    Tcp,
    /// Our reliable message transport over UDP: what an RDMA network card does.
    Message,
}

impl Transport {
    fn is_tcp(&self) -> bool {
        *self == Transport::Tcp
    }
}

/// The full packets that a stack's bytes travel in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packets {
    /// Bytes of each from the IP header on.
    pub bytes: u32,
    /// Of those, bytes of what is carried.
    pub payload: u32,
    /// The code whose parity goes beside them.
    pub erasure: Option<Erasure>,
}

/// IPv4 without options, TCP with the timestamp option that Linux always negotiates.
const TCP_HEADERS: u32 = 20 + 20 + 12;
/// IPv4 without options, UDP.
const UDP_HEADERS: usize = 20 + 8;

/// A congestion control.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CongestionControl {
    /// By name: one of the kernel's, or a law with every default.
    Name(String),
    /// A law of the message transport with its parameters.
    Law(Law),
}

/// Long enough that headers and system calls do not count, short enough that a ring's steps overlap: NCCL's
/// NCCL_P2P_NET_CHUNKSIZE is 128 KiB, its ring slice (NCCL_BUFFSIZE / 8) 512 KiB.
const DEFAULT_CHUNK: ByteSize = ByteSize::from_bytes(256 << 10);

/// Hops of in-band telemetry at most: what leaves room for a message in a packet of Ethernet's size.
const MOST_HOPS: u8 = 16;

impl StackSpec {
    /// `congestion_control` of the kernel with every default.
    pub fn of(congestion_control: &str) -> Self {
        StackSpec {
            name: congestion_control.to_owned(),
            transport: Transport::Tcp,
            congestion_control: Some(CongestionControl::Name(congestion_control.to_owned())),
            connections: 1,
            socket_buffer: None,
            chunk: DEFAULT_CHUNK,
            recovery: None,
            erasure: None,
            paths: None,
            mtu: None,
            telemetry_hops: None,
            credits: None,
            playout: None,
            only: BTreeMap::new(),
        }
    }

    /// The congestion control that the kernel must have.
    pub fn kernel_congestion_control(&self) -> Option<&str> {
        match (self.transport, &self.congestion_control) {
            (Transport::Tcp, Some(CongestionControl::Name(name))) => Some(name),
            _ => None,
        }
    }

    /// What its data says in its ECN field.
    pub fn ecn_field(&self) -> EcnField {
        match (self.transport, self.kernel_congestion_control()) {
            (Transport::Message, _) => EcnField::Ect0,
            // It asks for ECN whatever `tcp_ecn` says (TCP_CONG_NEEDS_ECN, net/ipv4/tcp_dctcp.c).
            (Transport::Tcp, Some("dctcp")) => EcnField::Ect0,
            // `net.ipv4.tcp_ecn` is 2 in a network namespace that nobody has set up otherwise: accepted, not asked for.
            (Transport::Tcp, _) => EcnField::NotEct,
        }
    }

    /// Lanes of a link that one pair of ranks can fill: flows of TCP, or paths.
    pub fn lanes(&self) -> usize {
        match self.transport {
            Transport::Tcp => self.connections,
            Transport::Message => match self.paths.unwrap_or_default() {
                Paths {
                    choice: PathChoice::Hash,
                    ..
                } => 1,
                Paths { count, .. } => count.into(),
            },
        }
    }

    /// Its full packets over links of this MTU.
    pub fn packets(&self, mtu: u32) -> Packets {
        let (bytes, payload) = match self.transport {
            Transport::Tcp => (mtu, mtu - TCP_HEADERS),
            Transport::Message => {
                let own = self.mtu.map_or(JUMBO as u64, ByteSize::bytes);
                let datagram = own.min(mtu.into()) as usize - UDP_HEADERS;
                let hops = self.telemetry_hops.unwrap_or_default();
                let datagram = datagram.max(wire::least_datagram(hops));
                let payload = message::piece(datagram, hops, self.erasure);
                ((datagram + UDP_HEADERS) as u32, payload as u32)
            }
        };
        Packets {
            bytes,
            payload,
            erasure: self.erasure,
        }
    }

    /// The message transport's settings, if it is that, with ports drawn from `ports`.
    pub fn message_options(&self, ports: u64) -> Option<MessageOptions> {
        let law = match self.transport {
            Transport::Tcp => return None,
            Transport::Message => self.law().ok()?,
        };
        Some(MessageOptions {
            law,
            line_rate: None,
            recovery: self.recovery.unwrap_or_default(),
            erasure: self.erasure,
            paths: self.paths.unwrap_or_default(),
            mtu: self.mtu.map(ByteSize::bytes),
            hops: self.telemetry_hops.unwrap_or_default(),
            credits: self.credits.map(ByteSize::bytes),
            playout: self.playout.map(TimeSpan::duration),
            ports: Some(ports),
        })
    }

    /// Whether the settings fit together; if not, why, and the way out.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        match self.transport {
            Transport::Tcp => self.check_tcp(),
            Transport::Message => self.check_message(),
        }
    }

    fn check_tcp(&self) -> Result<(), (String, &'static str)> {
        let others = [
            ("recovery", self.recovery.is_some()),
            ("erasure", self.erasure.is_some()),
            ("paths", self.paths.is_some()),
            ("mtu", self.mtu.is_some()),
            ("telemetry_hops", self.telemetry_hops.is_some()),
            ("credits", self.credits.is_some()),
            ("playout", self.playout.is_some()),
        ];
        if let Some((field, _)) = others.iter().find(|(_, given)| *given) {
            let message =
                format!("`{field}` is the message transport's, and this stack is kernel TCP");
            return Err((message, "write `transport: message`, or leave it out"));
        }
        match self.congestion_control {
            Some(CongestionControl::Law(_)) => Err((
                "a congestion control with parameters is the message transport's".into(),
                "write `transport: message`, or the name of one of the kernel's",
            )),
            _ => Ok(()),
        }
    }

    fn check_message(&self) -> Result<(), (String, &'static str)> {
        const LEAVE_OUT: &str =
            "leave it out: `paths` says how many there are, and buffers follow the window";
        if self.connections != 1 || self.socket_buffer.is_some() {
            let message = "`connections` and `socket_buffer` are TCP's".to_owned();
            return Err((message, LEAVE_OUT));
        }
        self.law().map_err(|error| {
            let help = "write for example `congestion_control: distance`";
            (error, help)
        })?;
        let Paths { choice, count } = self.paths.unwrap_or_default();
        if !(1..=MOST_PATHS).contains(&count) {
            let message = format!("there are 1 to {MOST_PATHS} paths");
            return Err((
                message,
                "write for example `paths: {choice: adaptive, count: 4}`",
            ));
        }
        if choice == PathChoice::Hash && count != 1 {
            let message = "with `choice: hash` there is one path".to_owned();
            return Err((message, "take `spray` or `adaptive` for several"));
        }
        if self.erasure.is_some_and(|erasure| !erasure.is_valid()) {
            let message =
                format!("an erasure code has 1 to {MOST_SHARDS} packets of data and of parity");
            return Err((
                message,
                "write for example `erasure: {data: 16, parity: 2}`",
            ));
        }
        if self.erasure.is_some() && self.recovery == Some(Recovery::GoBackN) {
            let message = "with `recovery: go-back-n` the receiver keeps nothing to compute a lost packet from".to_owned();
            return Err((message, "take `selective-repeat`, or leave `erasure` out"));
        }
        let hops = self.telemetry_hops.unwrap_or_default();
        if hops > MOST_HOPS {
            let message = format!("in-band telemetry has room for {MOST_HOPS} hops at most");
            return Err((message, "count the links on the longest way"));
        }
        let range = least_mtu(hops)..=u64::from(u16::MAX);
        if self.mtu.is_some_and(|mtu| !range.contains(&mtu.bytes())) {
            let message = format!("an MTU is {} to {} here", range.start(), range.end());
            return Err((message, "leave it out to take the interface's"));
        }
        match self.credits {
            Some(credits) if credits.bytes() == 0 => Err((
                "credits of nothing let nothing be sent".into(),
                "write for example `credits: 4MiB`, or leave it out",
            )),
            _ => Ok(()),
        }
    }

    fn law(&self) -> Result<Law, String> {
        match &self.congestion_control {
            Some(CongestionControl::Law(law)) => Ok(law.clone()),
            Some(CongestionControl::Name(name)) => {
                serde_json::from_value(Value::String(name.clone()))
                    .or_else(|_| serde_json::from_value(json!({ name: {} })))
                    .map_err(|error| {
                        format!("the message transport's congestion control `{name}`: {error}")
                    })
            }
            None => Err("the message transport needs a `congestion_control`".into()),
        }
    }
}

/// A transport written out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StackFields")]
struct Long {
    /// What tables and charts call it; the congestion control's name if absent.
    name: Option<String>,
    /// What carries the bytes; `tcp` if absent.
    transport: Option<Transport>,
    /// A name, or with the message transport a law with its parameters. Kernel TCP takes the kernel's default if absent.
    congestion_control: Option<CongestionControl>,
    /// TCP connections per pair of ranks that talk; 1 if absent.
    #[schemars(range(min = 1))]
    connections: Option<usize>,
    /// Explicit TCP socket buffers; the kernel's autotuning if absent.
    socket_buffer: Option<ByteSize>,
    /// Bytes of a pipelined chunk; 256 KiB if absent.
    chunk: Option<ByteSize>,
    /// How the message transport repeats what is lost; `selective-repeat` if absent.
    recovery: Option<Recovery>,
    /// The message transport's erasure code; none if absent.
    erasure: Option<Erasure>,
    /// The message transport's paths; one if absent.
    paths: Option<Paths>,
    /// Bytes of the message transport's packets, headers included; the interface's MTU, up to 9000, if absent.
    mtu: Option<ByteSize>,
    /// Hops that write in-band telemetry into the message transport's packets; none if absent.
    telemetry_hops: Option<u8>,
    /// Bytes that all senders to one rank together may have in flight (message transport); no limit if absent.
    credits: Option<ByteSize>,
    /// Messages are handed over so long after they were sent (message transport); as soon as they are whole if absent.
    playout: Option<TimeSpan>,
    /// It runs where the sweep's places have these values alone (`{topology.links.0.delay: [5us, 50us]}`); everywhere if absent.
    #[serde(default)]
    only: BTreeMap<String, Vec<Value>>,
}

impl JsonSchema for StackSpec {
    fn schema_name() -> Cow<'static, str> {
        "Stack".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Long>();
        json_schema!({ "anyOf": [{ "type": "string", "description": "A congestion control." }, long] })
    }
}

impl<'de> Deserialize<'de> for StackSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = StackSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a congestion control's name, or a mapping such as `{name: bbr-4, congestion_control: bbr, connections: 4}`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<StackSpec, E> {
                Ok(StackSpec::of(name))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StackSpec, A::Error> {
                let long = Long::deserialize(MapAccessDeserializer::new(map))?;
                let own = match &long.congestion_control {
                    Some(CongestionControl::Name(name)) => Some(name.clone()),
                    Some(CongestionControl::Law(_)) | None => None,
                };
                let name = long.name.or(own);
                Ok(StackSpec {
                    name: name.ok_or_else(|| Error::missing_field("name"))?,
                    transport: long.transport.unwrap_or_default(),
                    congestion_control: long.congestion_control,
                    connections: long.connections.unwrap_or(1),
                    socket_buffer: long.socket_buffer,
                    chunk: long.chunk.unwrap_or(DEFAULT_CHUNK),
                    recovery: long.recovery,
                    erasure: long.erasure,
                    paths: long.paths,
                    mtu: long.mtu,
                    telemetry_hops: long.telemetry_hops,
                    credits: long.credits,
                    playout: long.playout,
                    only: long.only,
                })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for CongestionControl {
    fn schema_name() -> Cow<'static, str> {
        "CongestionControl".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let law = generator.subschema_for::<Law>();
        json_schema!({ "anyOf": [{ "type": "string", "description": "A name." }, law] })
    }
}

impl<'de> Deserialize<'de> for CongestionControl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = CongestionControl;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a congestion control's name, or a law with its parameters such as `{dcqcn: {g: 1/16}}`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<CongestionControl, E> {
                Ok(CongestionControl::Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CongestionControl, A::Error> {
                Law::deserialize(MapAccessDeserializer::new(map)).map(CongestionControl::Law)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_a_name_or_a_mapping() {
        let short: StackSpec = serde_json::from_value("bbr".into()).unwrap();
        assert_eq!(short, StackSpec::of("bbr"));
        let long: StackSpec = serde_json::from_value(
            json!({"name": "bbr-4", "congestion_control": "bbr", "connections": 4}),
        )
        .unwrap();
        assert_eq!(
            (long.name.as_str(), long.connections, long.chunk),
            ("bbr-4", 4, DEFAULT_CHUNK)
        );
    }

    #[test]
    fn probes_say_of_ecn_what_the_data_says() {
        let message = json!({"name": "m", "transport": "message", "congestion_control": "cubic"});
        let stacks = [json!("cubic"), json!("dctcp"), message];
        let fields = stacks.map(|stack| {
            let stack: StackSpec = serde_json::from_value(stack).unwrap();
            stack.ecn_field()
        });
        assert_eq!(fields, [EcnField::NotEct, EcnField::Ect0, EcnField::Ect0]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let stack = StackSpec {
            socket_buffer: Some(ByteSize::from_bytes(4096)),
            ..StackSpec::of("cubic")
        };
        let text = serde_json::to_value(&stack).unwrap();
        assert_eq!(serde_json::from_value::<StackSpec>(text).unwrap(), stack);
        let given = json!({
            "name": "queue pairs",
            "transport": "message",
            "congestion_control": {"fixed-window": {"window": "4MiB"}},
            "recovery": "go-back-n",
            "paths": {"choice": "adaptive", "count": 4},
            "playout": "40ms",
        });
        let stack: StackSpec = serde_json::from_value(given).unwrap();
        assert_eq!(stack.check(), Ok(()));
        assert_eq!(
            (stack.lanes(), stack.kernel_congestion_control()),
            (4, None)
        );
        let text = serde_json::to_value(&stack).unwrap();
        assert_eq!(serde_json::from_value::<StackSpec>(text).unwrap(), stack);
    }
}
