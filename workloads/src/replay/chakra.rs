//! Chakra execution traces (MLCommons) as JSON, schema 0.0.4.
//!
//! The form read is the one that Chakra's `chakra_jsonizer` writes: protobuf's JSON of the `GlobalMetadata` and of every
//! `Node` of `et_def.proto`, one after another. A file is one rank's; a single file is every rank's.
//!
//! What ranks do together is matched as NCCL would: the n-th collective of a process group on one rank is the n-th on all
//! others, the n-th send from one rank to another with a tag is the n-th receive. A process group is who names it.

mod json;
mod merge;

use longhaul_topologies::InputError;

use self::json::RankNode;
use super::trace::Trace;

/// The version of the schema, as `GlobalMetadata` has it.
const VERSION: &str = "0.0.4";

/// One file.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Its path.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
}

/// Reads the trace of all ranks, a file each in their order.
///
/// # Errors
/// The first thing that is wrong, in which file, at which line or node.
pub(super) fn read(name: &str, files: &[File]) -> Result<Trace, InputError> {
    let ranks = files.iter().map(json::read);
    let ranks: Vec<Vec<RankNode>> = ranks.collect::<Result<_, _>>()?;
    let documents: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    merge::merge(name, &documents, &ranks)
}

/// Reads the trace of `ranks` ranks that all do the same.
///
/// # Errors
/// As [`read`]; also if it has sends or receives, which no two ranks do alike.
pub(super) fn read_alike(name: &str, file: &File, ranks: usize) -> Result<Trace, InputError> {
    let nodes = json::read(file)?;
    if let Some(node) = nodes.iter().find(|node| node.kind.is_transfer()) {
        let message = format!("node {} sends or receives, as only some ranks do", node.id);
        return Err(InputError::new(&file.name, message).with_help(
            "name a folder with a file for every rank: `NAME.0.json`, `NAME.1.json`, …",
        ));
    }
    let documents = vec![file.name.as_str(); ranks];
    merge::merge(name, &documents, &vec![nodes; ranks])
}

#[cfg(test)]
mod tests;
