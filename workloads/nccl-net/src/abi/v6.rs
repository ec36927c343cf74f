//! `ncclNetPlugin_v6`, the first with DMA-BUF, which this plugin has no use for.

use std::ffi::{c_char, c_int};

use super::{
    Close, Deregister, Devices, Flush, Listen, Logger, NAME, Opaque, Out, POINTER_HOST, Register,
    RegisterDmaBuf, Test, c_struct, calls,
};

c_struct! {
    /// `ncclNetProperties_v6_t`.
    #[derive(Debug)]
    pub struct Properties {
        pub name: *mut c_char,
        pub pci_path: *mut c_char,
        pub guid: u64,
        pub ptr_support: c_int,
        pub speed: c_int,
        pub port: c_int,
        pub latency: f32,
        pub max_comms: c_int,
        pub max_recvs: c_int,
    }
}

c_struct! {
    /// `ncclNet_v6_t`.
    pub struct Net {
        pub name: *const c_char,
        pub init: unsafe extern "C" fn(Option<Logger>) -> c_int,
        pub devices: Devices,
        pub get_properties: unsafe extern "C" fn(c_int, *mut Properties) -> c_int,
        pub listen: Listen,
        pub connect: unsafe extern "C" fn(c_int, Opaque, Out) -> c_int,
        pub accept: unsafe extern "C" fn(Opaque, Out) -> c_int,
        pub reg_mr: Register<c_int>,
        pub reg_mr_dma_buf: Option<RegisterDmaBuf>,
        pub dereg_mr: Deregister,
        pub isend: unsafe extern "C" fn(Opaque, Opaque, c_int, c_int, Opaque, Out) -> c_int,
        pub irecv: unsafe extern "C" fn(
            Opaque,
            c_int,
            Out,
            *mut c_int,
            *mut c_int,
            Out,
            Out,
        ) -> c_int,
        pub iflush: Flush,
        pub test: Test,
        pub close_send: Close,
        pub close_recv: Close,
        pub close_listen: Close,
    }
}

// SAFETY: nothing in it changes, and its name is a constant.
unsafe impl Sync for Net {}

/// What NCCL looks for.
#[unsafe(export_name = "ncclNetPlugin_v6")]
pub static PLUGIN: Net = Net {
    name: NAME,
    init: calls::init,
    devices: calls::devices,
    get_properties: properties,
    listen: calls::listen,
    connect: calls::connect_v6,
    accept: calls::accept_v6,
    reg_mr: calls::register_v6,
    reg_mr_dma_buf: None,
    dereg_mr: calls::deregister,
    isend: calls::send_v6,
    irecv: calls::receive_v6,
    iflush: calls::flush,
    test: calls::test,
    close_send: calls::close,
    close_recv: calls::close,
    close_listen: calls::close_listener,
};

unsafe extern "C" fn properties(index: c_int, into: *mut Properties) -> c_int {
    let fill = |told: &calls::Told| Properties {
        name: told.name,
        pci_path: told.pci_path,
        guid: told.guid,
        ptr_support: POINTER_HOST,
        speed: told.speed,
        port: 0,
        latency: told.latency,
        max_comms: calls::MOST_COMMS,
        max_recvs: calls::MOST_RECEIVES,
    };
    // SAFETY: NCCL gives a place for the properties.
    unsafe { calls::properties(index, into, fill) }
}
