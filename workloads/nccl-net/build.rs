//! How the plugin is linked.

fn main() {
    // The name that NCCL looks for.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libnccl-net-longhaul.so");
    // NCCL unloads a plugin that it has done with; a thread may still be greeting a peer that never came.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
