//! netem for real.
#[path = "support/uml.rs"]
mod uml;
use std::path::Path;
fn main() {
    uml::init_if_guest();
    let out = uml::boot(
        Path::new("/bin/sh"),
        &[
            "-c",
            "id -u; lsmod | wc -l; ip link; tc qdisc add dev lo root netem delay 10ms; tc qdisc; ls /dev/shm; echo err >&2; exit 3",
        ],
        "512M",
        std::time::Duration::from_secs(30),
    );
    match out {
        Ok(o) => println!("{o:?}"),
        Err(e) => println!("ERR {e}"),
    }
}
