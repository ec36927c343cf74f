//! A lab kernel built: from what there is, if it must be.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cache::{Bench, Cache, Record};
use super::process::{Ending, Log, run};
use super::source::Source;
use super::workshop::Workshop;
use super::{
    Built, Event, How, Install, KernelError, LabKernel, Observer, Order, Step, architecture,
    recipe, tools,
};

/// How many files a build compiles, archives and links if no earlier one tells: 1228 with Linux 6.12.
const USUAL_OBJECTS: u64 = 1228;

/// How often a build that waits for another looks whether that has ended.
const POLL: Duration = Duration::from_millis(200);

/// What a source's bytes tell before they are unpacked.
struct Identity {
    /// The key of the kernel that it makes.
    key: String,
    /// How many there are.
    bytes: u64,
}

/// Builds a lab kernel and keeps it in the user's cache, or finds that it is there. Dropping the future ends all programs that
/// it has started and leaves nothing behind.
///
/// # Errors
/// If something is missing, or a step fails: the log of it is kept, and nothing else.
pub async fn build(order: &Order, observer: &mut dyn Observer) -> Result<Built, KernelError> {
    architecture()?;
    let cache = Cache::of_this_user()?;
    let mut source = match &order.source {
        Some(path) => Some(Source::named(path)?),
        None => packaged(),
    };
    let identity = match &source {
        Some(source) => Some(identify(source, observer).await?),
        None => None,
    };
    let kept = match &identity {
        Some(identity) => cache.kernel(&identity.key),
        // A machine that has only the cache, such as a CI runner's, needs no source.
        None => cache.in_use(),
    };
    if let Some(kept) = kept {
        return Ok(found(kept.kernel));
    }
    let bench = claim(&cache, observer).await?;
    provide(&bench, &mut source, order.install, observer).await?;
    let source = source.ok_or_else(|| tools::lacking(&tools::missing(None)))?;
    let Identity { key, bytes } = match identity {
        Some(identity) => identity,
        None => identify(&source, observer).await?,
    };
    // Another process may have built it meanwhile.
    if let Some(kept) = cache.kernel(&key) {
        return Ok(found(kept.kernel));
    }
    let expected = cache
        .kept()
        .first()
        .map_or(USUAL_OBJECTS, |kept| kept.record.objects);

    let mut workshop = Workshop::open(bench, observer)?;
    workshop.unpack(&source, bytes).await?;
    let version = workshop.version().await?;
    workshop.patch(&source, &version).await?;
    let unknown_options = workshop.configure(&version).await?;
    let objects = workshop.compile(order.jobs, expected).await?;
    let compiler = workshop.compiler().await?;
    let record = Record {
        version,
        recipe: recipe::recipe(),
        source: source.path,
        longhaul: env!("CARGO_PKG_VERSION").to_owned(),
        compiler,
        built: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        bytes: 0,
        objects,
        unknown_options,
    };
    let kernel = workshop.keep(&key, record)?;
    Ok(Built {
        kernel,
        how: How::Built,
    })
}

fn found(kernel: LabKernel) -> Built {
    Built {
        kernel,
        how: How::Found,
    }
}

fn packaged() -> Option<Source> {
    Source::packaged(Path::new("/")).into_iter().next()
}

async fn identify(source: &Source, observer: &mut dyn Observer) -> Result<Identity, KernelError> {
    observer.event(Event::Step(Step::Read(&source.path)));
    let (digest, bytes) = source.digest().await?;
    Ok(Identity {
        key: recipe::key(&digest),
        bytes,
    })
}

/// Waits for its turn to build.
async fn claim(cache: &Cache, observer: &mut dyn Observer) -> Result<Bench, KernelError> {
    let mut waits = false;
    loop {
        if let Some(bench) = cache.claim()? {
            return Ok(bench);
        }
        if !waits {
            observer.event(Event::Waiting);
            waits = true;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Sees to it that everything is there that a build from `source` needs, a source included.
async fn provide(
    bench: &Bench,
    source: &mut Option<Source>,
    install: Install,
    observer: &mut dyn Observer,
) -> Result<(), KernelError> {
    let missing = tools::missing(source.as_ref());
    if missing.is_empty() {
        return Ok(());
    }
    let installation = match install {
        Install::Allowed => tools::installation(&missing),
        Install::Forbidden => None,
    };
    let Some((packages, commands)) = installation else {
        return Err(tools::lacking(&missing));
    };
    observer.event(Event::Installing(&packages));
    let mut log = Log::create(bench.failure_log())?;
    for command in commands {
        let status = run(command, Ending::Interrupt, &mut log, |_| {}).await?;
        if !status.success() {
            return Err(KernelError::Failed {
                step: format!("installing {}", packages.join(" ")),
                tail: log.tail(),
                log: bench.failure_log(),
            });
        }
    }
    let _ = std::fs::remove_file(bench.failure_log());
    if source.is_none() {
        *source = packaged();
    }
    match tools::missing(source.as_ref()) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(tools::lacking(&missing)),
    }
}
