//! `ncclNetPlugin_v10`, with a configuration for each communicator and NCCL's profiler.

use std::ffi::{c_char, c_int};

use super::{
    Accept, Close, CommConfig, Consumed, Deregister, DeviceHandle, DeviceMemory, Devices, Flush,
    Listen, Logger, NAME, Opaque, Out, POINTER_HOST, Profiler, Register, RegisterDmaBuf, Test,
    VirtualDevice, c_struct, calls,
};

/// `NCCL_NET_MAX_DEVS_PER_NIC`.
const MOST_DEVICES: usize = 4;

c_struct! {
    /// `ncclNetProperties_v10_t`.
    #[derive(Debug)]
    pub struct Properties {
        pub name: *mut c_char,
        pub pci_path: *mut c_char,
        pub guid: u64,
        pub ptr_support: c_int,
        pub reg_is_global: c_int,
        pub force_flush: c_int,
        pub speed: c_int,
        pub port: c_int,
        pub latency: f32,
        pub max_comms: c_int,
        pub max_recvs: c_int,
        pub net_device_type: c_int,
        pub net_device_version: c_int,
        pub v_props: VirtualDevice<MOST_DEVICES>,
        pub max_p2p_bytes: usize,
        pub max_coll_bytes: usize,
    }
}

c_struct! {
    /// `ncclNet_v10_t`.
    pub struct Net {
        pub name: *const c_char,
        pub init: unsafe extern "C" fn(Option<Logger>, Option<Profiler>) -> c_int,
        pub devices: Devices,
        pub get_properties: unsafe extern "C" fn(c_int, *mut Properties) -> c_int,
        pub listen: Listen,
        pub connect: unsafe extern "C" fn(
            c_int,
            *mut CommConfig,
            Opaque,
            Out,
            *mut *mut DeviceHandle,
        ) -> c_int,
        pub accept: Accept,
        pub reg_mr: Register<usize>,
        pub reg_mr_dma_buf: Option<RegisterDmaBuf>,
        pub dereg_mr: Deregister,
        pub isend: unsafe extern "C" fn(Opaque, Opaque, usize, c_int, Opaque, Opaque, Out) -> c_int,
        pub irecv: unsafe extern "C" fn(
            Opaque,
            c_int,
            Out,
            *mut usize,
            *mut c_int,
            Out,
            Out,
            Out,
        ) -> c_int,
        pub iflush: Flush,
        pub test: Test,
        pub close_send: Close,
        pub close_recv: Close,
        pub close_listen: Close,
        pub get_device_mr: Option<DeviceMemory>,
        pub irecv_consumed: Option<Consumed>,
        pub make_v_device: Option<unsafe extern "C" fn(*mut c_int, *mut VirtualDevice<MOST_DEVICES>) -> c_int>,
    }
}

// SAFETY: nothing in it changes, and its name is a constant.
unsafe impl Sync for Net {}

/// What NCCL looks for.
#[unsafe(export_name = "ncclNetPlugin_v10")]
pub static PLUGIN: Net = Net {
    name: NAME,
    init: calls::init_v10,
    devices: calls::devices,
    get_properties: properties,
    listen: calls::listen,
    connect: calls::connect_v10,
    accept: calls::accept_v7,
    reg_mr: calls::register_v8,
    reg_mr_dma_buf: None,
    dereg_mr: calls::deregister,
    isend: calls::send_v10,
    irecv: calls::receive_v10,
    iflush: calls::flush,
    test: calls::test,
    close_send: calls::close,
    close_recv: calls::close,
    close_listen: calls::close_listener,
    get_device_mr: None,
    irecv_consumed: None,
    make_v_device: None,
};

unsafe extern "C" fn properties(index: c_int, into: *mut Properties) -> c_int {
    let fill = |told: &calls::Told| Properties {
        name: told.name,
        pci_path: told.pci_path,
        guid: told.guid,
        ptr_support: POINTER_HOST,
        reg_is_global: 0,
        force_flush: 0,
        speed: told.speed,
        port: 0,
        latency: told.latency,
        max_comms: calls::MOST_COMMS,
        max_recvs: calls::MOST_RECEIVES,
        net_device_type: calls::DEVICE_HOST,
        net_device_version: 0,
        v_props: VirtualDevice::of(index),
        max_p2p_bytes: calls::MOST_BYTES,
        max_coll_bytes: calls::MOST_BYTES,
    };
    // SAFETY: NCCL gives a place for the properties.
    unsafe { calls::properties(index, into, fill) }
}
