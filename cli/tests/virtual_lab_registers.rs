//! What a program in a virtual lab has in its widest vector registers is there again after whatever its kernel does in between:
//! User-mode Linux of itself loses it on CPUs that have AMX, and in any signal handler what is beyond AVX2's.
#![cfg(target_arch = "x86_64")]

mod host;

use std::arch::asm;
use std::process::Command;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Set where this program runs in the lab.
const INSIDE: &str = "LONGHAUL_TEST_INSIDE";

/// How often each of them is tried, and how many bytes there are in a page and in the widest register.
const TRIES: usize = 200;
const PAGE: usize = 4096;
const WIDEST: usize = 64;

#[test]
fn vector_registers_keep_what_is_in_them() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if !host::has_lab_kernel() {
        return;
    }
    if !is_x86_feature_detected!("avx") {
        println!("skipped: the CPU has no registers wider than SSE's");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let experiment = format!(
        "
name: registers
description: this program in a virtual lab
topology: {{name: pair, sites: [{{name: a, hosts: 1}}, {{name: b, hosts: 1}}], links: [{{between: [a, b], rate: 100Mbit, delay: 5ms}}]}}
stacks: [cubic]
workload: {{command: {{command: ['{}', --exact, vector_registers_keep_what_is_in_them, --nocapture], hosts: [a-0]}}}}
",
        this.display()
    );
    std::fs::write(folder.path().join("registers.yaml"), experiment).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_longhaul"))
        .args(["run", "registers.yaml", "--lab", "virtual", "--out", "out"])
        .args(["--env", &format!("{INSIDE}=1"), "--no-charts"])
        .current_dir(folder.path())
        .env("LONGHAUL_RUNTIME_DIR", folder.path().join("runtime"))
        .output()
        .unwrap();
    let log = std::fs::read_to_string(folder.path().join("out/logs/a-0.log")).unwrap_or_default();
    assert!(
        output.status.success() && log.contains("1 passed"),
        "{log}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn inside() {
    let action = SigAction::new(
        SigHandler::Handler(disturb),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler changes registers, which the kernel restores, and nothing else.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();

    let lost: Vec<&str> = [
        ("a page that is touched for the first time", pages()),
        ("other threads", threads()),
        ("signal handlers", signals()),
    ]
    .into_iter()
    .filter_map(|(what, kept)| (!kept).then_some(what))
    .collect();
    assert!(lost.is_empty(), "lost to {}", lost.join(", "));
}

/// Whether all is kept where a page is touched for the first time.
fn pages() -> bool {
    let length = std::num::NonZero::new(TRIES * PAGE).unwrap();
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the place, and nothing refers to it once it is given back.
    let pages = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE) }.unwrap();
    let first: *mut u8 = pages.as_ptr().cast();
    let kept = (0..TRIES).all(|page| {
        // SAFETY: within what was mapped.
        let page = unsafe { first.add(page * PAGE) };
        is_kept(page, [libc::SYS_getpid, 0, 0, 0])
    });
    // SAFETY: it was mapped above, in this length.
    unsafe { munmap(pages, length.get()) }.unwrap();
    kept
}

/// Whether all is kept while other threads that do the same have their turns.
fn threads() -> bool {
    let yields = || {
        let mut byte = 0;
        (0..TRIES).all(|_| is_kept(&mut byte, [libc::SYS_sched_yield, 0, 0, 0]))
    };
    std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(yields));
        threads.map(|thread| thread.join().unwrap()) == [true; 3]
    })
}

/// Whether all is kept while a signal is handled.
fn signals() -> bool {
    let this = [
        i64::from(std::process::id()),
        i64::from(nix::unistd::gettid().as_raw()),
        i64::from(libc::SIGUSR1),
    ];
    let mut byte = 0;
    (0..TRIES).all(|_| is_kept(&mut byte, [libc::SYS_tgkill, this[0], this[1], this[2]]))
}

extern "C" fn disturb(_: libc::c_int) {
    let mut byte = 0;
    is_kept(&mut byte, [libc::SYS_getpid, 0, 0, 0]);
}

/// Whether the widest register that this CPU has holds what it held before a byte is written to and the kernel is called.
fn is_kept(byte: *mut u8, call: [i64; 4]) -> bool {
    // Of the stack's and the call's addresses, so no two threads' and no two handlers' are the same.
    let mut before = [0_u8; WIDEST];
    let seed = (&raw const before).addr().to_le_bytes();
    for (at, byte) in before.iter_mut().enumerate() {
        *byte = seed[at % seed.len()].wrapping_add(at as u8);
    }
    let mut after = before;
    macro_rules! held {
        ($load:literal, $store:literal) => {
            // SAFETY: `byte` may be written to by what its callers say, `before` and `after` are as long as any register, and
            // the calls touch no memory.
            unsafe {
                asm!(
                    $load,
                    "mov byte ptr [{byte}], 1",
                    "syscall",
                    $store,
                    before = in(reg) &raw const before,
                    after = in(reg) &raw mut after,
                    byte = in(reg) byte,
                    inout("rax") call[0] => _,
                    in("rdi") call[1],
                    in("rsi") call[2],
                    in("rdx") call[3],
                    out("rcx") _,
                    out("r11") _,
                    out("xmm5") _,
                )
            }
        };
    }
    if is_x86_feature_detected!("avx512f") {
        held!("vmovdqu64 zmm5, [{before}]", "vmovdqu64 [{after}], zmm5");
    } else {
        held!("vmovdqu ymm5, [{before}]", "vmovdqu [{after}], ymm5");
    }
    before == after
}
