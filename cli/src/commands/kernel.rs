//! `kernel`: the kernel that virtual labs boot, built or shown.

mod progress;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use longhaul_emulator::kernel::{
    self, Built, How, InCache, Install, Inventory, KernelError, LabKernel, Order,
};
use serde_json::json;

use self::progress::BuildProgress;
use crate::args::{KernelBuildArgs, KernelCommand};
use crate::commands::interrupt::interrupted;
use crate::commands::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::output::{Output, count};

/// Runs one of the `kernel` commands.
pub fn run(command: KernelCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        KernelCommand::Build(args) => build(args, output),
        KernelCommand::Info => info(output),
    }
}

fn build(args: KernelBuildArgs, output: Output) -> Result<Exit, Failure> {
    let named = args.source.is_some();
    let order = Order {
        source: args.source,
        install: match args.no_install {
            true => Install::Forbidden,
            false => Install::Allowed,
        },
        jobs: args
            .jobs
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN),
    };
    let began = Instant::now();
    let mut progress = BuildProgress::new(output);
    let built = runtime()?.block_on(async {
        let interrupt = interrupted().map_err(|error| Failure::new(Exit::Lacking, &error))?;
        tokio::select! {
            built = kernel::build(&order, &mut progress) => {
                built.map(Some).map_err(|error| failure(&error, named))
            }
            () = interrupt => Ok(None),
        }
    });
    progress.finish();
    let Some(built) = built? else {
        return Err(Failure::Other {
            exit: Exit::Interrupted,
            message: "interrupted: no kernel was kept".to_owned(),
            help: None,
        });
    };
    report(&built, began.elapsed(), output);
    Ok(Exit::Fine)
}

fn report(built: &Built, took: Duration, output: Output) {
    // Another one may be newer, or named by the user.
    let in_use = LabKernel::find().ok();
    output.either(
        &json!({ "kernel": built.kernel, "how": built.how, "took_s": took.as_secs_f64(), "in_use": in_use }),
        || {
            let LabKernel { path, version, key } = &built.kernel;
            let how = match built.how {
                How::Built => format!("built in {} s", took.as_secs()),
                How::Found => "there already".to_owned(),
            };
            let mut text = format!("Linux {version} ({key}), {how}: {}", path.display());
            if let Some(other) = in_use.filter(|kernel| *kernel != built.kernel) {
                text.push_str(&format!(
                    "\nvirtual labs boot another: Linux {} ({}), {}",
                    other.version,
                    other.key,
                    other.path.display()
                ));
            }
            text
        },
    );
}

fn info(output: Output) -> Result<Exit, Failure> {
    let inventory = kernel::inventory().map_err(|error| failure(&error, false))?;
    output.either(&inventory, || describe(&inventory, output.width()));
    Ok(match inventory.in_use {
        Some(_) => Exit::Fine,
        None => Exit::Lacking,
    })
}

fn describe(inventory: &Inventory, width: usize) -> String {
    let Inventory {
        in_use,
        folder,
        kernels,
        sources,
        missing,
        remedy,
    } = inventory;
    let mut text = match in_use {
        Some(kernel) => format!(
            "virtual labs boot Linux {} ({}): {}\n",
            kernel.version,
            kernel.key,
            kernel.path.display()
        ),
        None => {
            "virtual labs have no kernel to boot: build it with `longhaul kernel build`\n".into()
        }
    };
    text.push_str(&format!(
        "\n{} in {}\n",
        count(kernels.len(), "kernel"),
        folder.display()
    ));
    if !kernels.is_empty() {
        let mut listing = Listing::new(&["version", "key", "MiB", "built", "state", "source"]);
        for kernel in kernels {
            listing.row(row(kernel));
        }
        text.push_str(&listing.render(2..3, width));
        text.push('\n');
    }
    text.push_str("\nsources of the distribution: ");
    if sources.is_empty() {
        text.push_str("none");
    } else {
        let paths: Vec<String> = sources
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        text.push_str(&paths.join(", "));
    }
    match remedy {
        Some(remedy) => text.push_str(&format!(
            "\nto build one, {} missing: {remedy}",
            match &**missing {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            }
        )),
        None => text.push_str("\nto build one, nothing is missing"),
    }
    text
}

fn row(kernel: &InCache) -> [String; 6] {
    const MEBIBYTE: f64 = (1 << 20) as f64;
    let built = i64::try_from(kernel.built)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let built = built.map_or_else(String::new, |time| {
        time.to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M")
            .to_string()
    });
    let mut state = match (kernel.in_use, kernel.current) {
        (true, _) => "in use".to_owned(),
        (false, true) => "not used".to_owned(),
        (false, false) => "of another longhaul".to_owned(),
    };
    if !kernel.unknown_options.is_empty() {
        state.push_str(&format!(", without {}", kernel.unknown_options.join(" ")));
    }
    [
        kernel.kernel.version.clone(),
        kernel.kernel.key.clone(),
        format!("{:.1}", kernel.bytes as f64 / MEBIBYTE),
        built,
        state,
        kernel.source.display().to_string(),
    ]
}

/// A source that the command line names is the command line's fault; all else is the machine's.
fn failure(error: &KernelError, named: bool) -> Failure {
    let exit = match error {
        KernelError::Source { .. } if named => Exit::Usage,
        _ => Exit::Lacking,
    };
    Failure::new(exit, error)
}
