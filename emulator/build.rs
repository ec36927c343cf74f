//! Compiles the `distance` law for the kernel, if the feature `bpf` asks for it; nothing else of the build needs clang.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "src/kernel_law/distance.bpf.c";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CLANG");
    if env::var_os("CARGO_FEATURE_BPF").is_none() {
        return;
    }
    let object = folder("OUT_DIR").join("distance.bpf.o");
    let map = map_name(&fs::read(SOURCE).expect("the law's source is beside this script"));
    compile(&map, &object);
    println!("cargo::rustc-env=LONGHAUL_LAW_MAP={map}");
    println!("cargo::rustc-env=LONGHAUL_LAW_OBJECT={}", object.display());
}

/// What the law's map is named: a digest of the law, as long as a name in the kernel may be (BPF_OBJ_NAME_LEN).
fn map_name(source: &[u8]) -> String {
    // FNV-1a, 64 bit: draft-eastlake-fnv.
    let digest = source
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, &byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("lh_{:012x}", digest >> 16)
}

fn compile(map: &str, object: &Path) {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    // libbpf-sys brings the headers of the libbpf that will load the law.
    let headers = folder("DEP_BPF_INCLUDE");
    let status = Command::new(&clang)
        // The first with 32-bit comparisons and atomics (Linux 5.12); the law needs a newer kernel anyway.
        .args(["--target=bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror"])
        .arg(format!("-DLAW_MAP={map}"))
        .arg("-I")
        .arg(headers)
        .args(["-c", SOURCE, "-o"])
        .arg(object)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!(
            "{clang} could not compile {SOURCE} ({status}): its messages are above; clang 14 is known to work"
        ),
        Err(error) => panic!(
            "cannot run {clang}: {error}; install it (`apt install clang`), name another in $CLANG, or build without the feature `bpf`"
        ),
    }
}

fn folder(variable: &str) -> PathBuf {
    env::var_os(variable)
        .unwrap_or_else(|| panic!("cargo sets {variable}"))
        .into()
}
