//! NCCL's interface for network plugins: the tables of functions that it looks for, newest first, and uses the first it finds.
//!
//! The structures are those of NCCL's `src/include/plugin/net/net_v*.h`, under its names as Rust writes them; versions share what
//! is the same in them. `calls` has the functions. What each is for is told in NCCL's headers.

mod calls;
pub mod v10;
pub mod v11;
pub mod v12;
pub mod v6;
pub mod v7;
pub mod v8;
pub mod v9;

use std::ffi::{c_char, c_int, c_ulong, c_void};

/// `ncclDebugLogger_t`.
pub type Logger = unsafe extern "C" fn(c_int, c_ulong, *const c_char, c_int, *const c_char, ...);

/// `ncclProfilerCallback_t`.
pub type Profiler =
    unsafe extern "C" fn(*mut *mut c_void, c_int, *mut c_void, i64, *mut c_void) -> c_int;

/// What NCCL or the plugin made, as the other sees it.
pub type Opaque = *mut c_void;

/// Where such a thing is to be put.
pub type Out = *mut *mut c_void;

/// `NCCL_PTR_HOST`: memory of the host.
pub const POINTER_HOST: c_int = 1;

/// `devices`.
pub type Devices = unsafe extern "C" fn(*mut c_int) -> c_int;
/// `regMr` with a size of so many bits.
pub type Register<Size> = unsafe extern "C" fn(Opaque, Opaque, Size, c_int, Out) -> c_int;
/// `regMrDmaBuf`.
pub type RegisterDmaBuf =
    unsafe extern "C" fn(Opaque, Opaque, usize, c_int, u64, c_int, Out) -> c_int;
/// `deregMr`.
pub type Deregister = unsafe extern "C" fn(Opaque, Opaque) -> c_int;
/// `listen` without a context.
pub type Listen = unsafe extern "C" fn(c_int, Opaque, Out) -> c_int;
/// `accept` with a device handle.
pub type Accept = unsafe extern "C" fn(Opaque, Out, *mut *mut DeviceHandle) -> c_int;
/// `iflush`.
pub type Flush = unsafe extern "C" fn(Opaque, c_int, Out, *mut c_int, Out, Out) -> c_int;
/// `test`.
pub type Test = unsafe extern "C" fn(Opaque, *mut c_int, *mut c_int) -> c_int;
/// `closeSend`, `closeRecv`, `closeListen`.
pub type Close = unsafe extern "C" fn(Opaque) -> c_int;
/// `getDeviceMr`.
pub type DeviceMemory = unsafe extern "C" fn(Opaque, Opaque, Out) -> c_int;
/// `irecvConsumed`.
pub type Consumed = unsafe extern "C" fn(Opaque, c_int, Opaque) -> c_int;

/// A struct as C has it, and its fields for the tests that hold it against NCCL's headers.
macro_rules! c_struct {
    ($(#[$meta:meta])* pub struct $name:ident { $(pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[allow(missing_docs, reason = "named and told in NCCL's headers")]
        #[repr(C)]
        pub struct $name { $(pub $field: $type,)* }

        impl $name {
            /// The fields in order, and where each begins.
            pub const FIELDS: &[(&str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field)),)*];
        }
    };
}
use c_struct;

c_struct! {
    /// `ncclNetDeviceHandle_v7_t` and all later: of plugins that receive by the GPU itself, which this one does not.
    pub struct DeviceHandle {
        pub net_device_type: c_int,
        pub net_device_version: c_int,
        pub handle: Opaque,
        pub size: usize,
        pub needs_proxy_progress: c_int,
    }
}

c_struct! {
    /// `ncclNetCommConfig_v10_t` and all later.
    pub struct CommConfig {
        pub traffic_class: c_int,
    }
}

/// `ncclNetVDeviceProps_v9_t` and later, with room for so many devices.
#[allow(missing_docs, reason = "named and told in NCCL's headers")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VirtualDevice<const MOST: usize> {
    pub ndevs: c_int,
    pub devs: [c_int; MOST],
}

impl<const MOST: usize> VirtualDevice<MOST> {
    /// One that is the device `index` alone.
    fn of(index: c_int) -> Self {
        let mut devs = [0; MOST];
        devs[0] = index;
        Self { ndevs: 1, devs }
    }
}

/// The plugin's name, as NCCL shows it and as NCCL_NET chooses it.
const NAME: *const c_char = c"longhaul".as_ptr();

#[cfg(test)]
mod tests;
