//! What there is: kernels, sources, and what is missing to build one.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cache::Cache;
use super::source::Source;
use super::{KernelError, LabKernel, architecture, recipe, tools};

/// What there is.
#[derive(Clone, Debug, Serialize)]
pub struct Inventory {
    /// The kernel that virtual labs boot.
    pub in_use: Option<LabKernel>,
    /// Where kernels are kept.
    pub folder: PathBuf,
    /// Those that are kept there, the newest first.
    pub kernels: Vec<InCache>,
    /// Sources that the distribution has put on this machine, the newest first.
    pub sources: Vec<PathBuf>,
    /// What is missing to build a kernel.
    pub missing: Vec<String>,
    /// How to get it.
    pub remedy: Option<String>,
}

/// A kernel in the cache.
#[derive(Clone, Debug, Serialize)]
pub struct InCache {
    /// It.
    #[serde(flatten)]
    pub kernel: LabKernel,
    /// Whether it has the options and the patch of this longhaul.
    pub current: bool,
    /// Whether virtual labs boot it.
    pub in_use: bool,
    /// The executable's size.
    pub bytes: u64,
    /// When it was built, in seconds since 1970 (UTC).
    pub built: u64,
    /// Where its source lay.
    pub source: PathBuf,
    /// Names of options that it is too old for.
    pub unknown_options: Vec<String>,
}

/// Looks.
///
/// # Errors
/// If this machine can have no lab kernel, no folder to keep one in, or `$LONGHAUL_KERNEL` is wrong.
pub fn inventory() -> Result<Inventory, KernelError> {
    architecture()?;
    let cache = Cache::of_this_user()?;
    let in_use = match LabKernel::find() {
        Ok(kernel) => Some(kernel),
        Err(KernelError::Missing { .. }) => None,
        Err(error) => return Err(error),
    };
    let recipe = recipe::recipe();
    let kernels = cache.kept().into_iter().map(|kept| InCache {
        current: kept.record.recipe == recipe,
        in_use: in_use.as_ref() == Some(&kept.kernel),
        bytes: kept.record.bytes,
        built: kept.record.built,
        source: kept.record.source,
        unknown_options: kept.record.unknown_options,
        kernel: kept.kernel,
    });
    let kernels = kernels.collect();
    let sources = Source::packaged(Path::new("/"));
    let missing = tools::missing(sources.first());
    Ok(Inventory {
        in_use,
        folder: cache.folder().to_owned(),
        kernels,
        remedy: (!missing.is_empty()).then(|| tools::remedy(&missing)),
        missing: missing.into_iter().map(|need| need.what).collect(),
        sources: sources.into_iter().map(|source| source.path).collect(),
    })
}
