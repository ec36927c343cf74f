//! CPUs with more registers than Debian's User-mode Linux knows; the lab kernel knows them all.

use std::{fs, io};

/// The tunable (GLIBC_TUNABLES) that keeps the C library from registers wider than SSE's.
pub const NARROW: &str =
    "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS";

/// Whether the CPU's register file is larger than User-mode Linux before 6.14 knows (AMX): it then cannot restore a
/// program's registers ("ptrace set fp regs failed") and no program runs.
pub fn are_wide() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("amx_tile"))
}

/// Makes the kernel fall back to the registers up to SSE, by refusing it the ptrace request that shows more. What a program has
/// in wider ones is lost to another thread of its process, and at every page fault (`get_skas_faultinfo` of the kernel's
/// arch/um/os-Linux/skas/process.c runs a signal handler in it, and puts back what it knows of): a copy that meets a page for the first time
/// would have zeros in it. [`NARROW`] keeps the C library from using them, in init as in all others.
///
/// To be called between fork and exec: it makes two system calls, and neither allocates nor locks.
///
/// # Errors
/// If the kernel refuses.
pub fn hide_wide() -> io::Result<()> {
    const PTRACE_GETREGSET: u32 = 0x4204;
    // Offsets into struct seccomp_data: the call's number, and the lower half of its first argument.
    const NUMBER: u32 = 0;
    const FIRST_ARGUMENT: u32 = 16;
    let statement = |code: u32, skip: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: skip,
        k,
    };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset);
    let skip_unless =
        |value, skip| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip, value);
    let answer = |action| statement(libc::BPF_RET | libc::BPF_K, 0, action);
    let mut program = [
        load(NUMBER),
        skip_unless(libc::SYS_ptrace as u32, 3),
        load(FIRST_ARGUMENT),
        skip_unless(PTRACE_GETREGSET, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EIO as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: `filter` and the program that it points to outlive the call, which copies them.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const filter,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}
