//! The layout, held against sizes and offsets worked out by hand from NCCL's headers by C's rules; and the headers' text, where there is
//! a copy of them.

use std::fs;
use std::path::Path;

use super::*;

/// A struct of a version: its name there, its fields and its size.
type Struct = (&'static str, &'static [(&'static str, usize)], usize);

macro_rules! version {
    ($version:ident) => {
        [
            (
                concat!("ncclNetProperties_", stringify!($version), "_t"),
                $version::Properties::FIELDS,
                size_of::<$version::Properties>(),
            ),
            (
                concat!("ncclNet_", stringify!($version), "_t"),
                $version::Net::FIELDS,
                size_of::<$version::Net>(),
            ),
        ]
    };
}

fn versions() -> [(&'static str, [Struct; 2]); 7] {
    [
        ("v6", version!(v6)),
        ("v7", version!(v7)),
        ("v8", version!(v8)),
        ("v9", version!(v9)),
        ("v10", version!(v10)),
        ("v11", version!(v11)),
        ("v12", version!(v12)),
    ]
}

/// `get_properties` as C has it.
fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(1);
        name + &head.to_uppercase() + tail
    })
}

#[test]
fn sizes_are_those_of_a_c_compiler() {
    // Properties and table, in bytes, of 64-bit Linux.
    let expected = [
        ("v6", 48, 17 * 8),
        ("v7", 56, 19 * 8),
        ("v8", 64, 19 * 8),
        ("v9", 104, 20 * 8),
        ("v10", 104, 20 * 8),
        ("v11", 112, 22 * 8),
        ("v12", 128, 22 * 8),
    ];
    let ours = versions().map(|(name, [properties, net])| (name, properties.2, net.2));
    assert_eq!(ours, expected);
    assert_eq!(size_of::<DeviceHandle>(), 32);
    assert_eq!(size_of::<CommConfig>(), 4);
    assert_eq!(size_of::<VirtualDevice<4>>(), 20);
}

#[test]
fn fields_lie_where_a_c_compiler_puts_them() {
    let at = |fields: &[(&str, usize)], name: &str| {
        fields
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, at)| *at)
    };
    let v12 = v12::Properties::FIELDS;
    let offsets = [
        "guid",
        "ptr_support",
        "force_flush",
        "speed",
        "latency",
        "v_props",
    ];
    let offsets = offsets.map(|name| at(v12, name));
    assert_eq!(offsets, [16, 24, 32, 36, 44, 64].map(Some));
    let offsets = [
        "max_p2p_bytes",
        "max_coll_bytes",
        "max_multi_request_size",
        "rail_id",
    ];
    let offsets = offsets.map(|name| at(v12, name));
    assert_eq!(offsets, [104, 112, 120, 124].map(Some));
    assert_eq!(at(v8::Properties::FIELDS, "speed"), Some(32));
    assert_eq!(at(v6::Properties::FIELDS, "speed"), Some(28));
}

/// `NCCL_NET_HEADERS` is the folder `src/include/plugin/net` of NCCL's sources; they are not part of these.
#[test]
fn fields_come_in_the_order_of_nccls_headers() {
    let Some(folder) = std::env::var_os("NCCL_NET_HEADERS") else {
        println!("skipped: NCCL_NET_HEADERS names no copy of NCCL's src/include/plugin/net");
        return;
    };
    for (version, structs) in versions() {
        let header = Path::new(&folder).join(format!("net_{version}.h"));
        let text = fs::read_to_string(&header).unwrap();
        for (name, fields, _) in structs {
            let ours: Vec<String> = fields.iter().map(|(field, _)| camel(field)).collect();
            assert_eq!(ours, declared(&text, name), "{name}");
        }
    }
}

/// The fields of a struct in a header's text.
fn declared(text: &str, name: &str) -> Vec<String> {
    let before = text.split(&format!("}} {name};")).next().unwrap();
    let body = before.rsplit("typedef struct {").next().unwrap();
    let lines = body
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join(" ");
    // What stands behind the end of each block comment, and what stands before the first.
    let code: String = code
        .split("/*")
        .map(|part| part.split_once("*/").map_or(part, |(_, rest)| rest))
        .collect();
    let declarations = code.split(';');
    let field = |declaration: &str| {
        let function = declaration
            .split("(*")
            .nth(1)
            .and_then(|rest| rest.split(')').next());
        let variable = || declaration.split_whitespace().next_back();
        Some(function.or_else(variable)?.trim_matches('*').to_owned())
    };
    declarations.filter_map(field).collect()
}

#[test]
fn a_declaration_is_read_whatever_stands_around_it() {
    let text = "typedef struct { int other; } o_t;\ntypedef struct {\n  // A name; of it\n  const char* name;\n  \
                ncclResult_t (*init)(int a,\n    int b); // x\n  /* y; */\n  size_t maxBytes;\n} n_t;";
    assert_eq!(declared(text, "n_t"), ["name", "init", "maxBytes"]);
}
