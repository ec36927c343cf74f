//! The functions in the tables. Each takes NCCL's pointers apart, and hands the rest to the plugin; none lets a panic out.

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::{CommConfig, DeviceHandle, Logger, Opaque, Out, POINTER_HOST, Profiler};
use crate::comm::{Comm, Stage};
use crate::device::Device;
use crate::error::{Error, Outcome};
use crate::handle::{self, Bytes, Handle};
use crate::listen::Listener;
use crate::log;
use crate::plugin::Plugin;
use crate::request::{Memory, Request};

/// Communicators at most, as NCCL's own socket transport has it.
pub(super) const MOST_COMMS: c_int = 65_536;
/// Messages that are received by one request.
pub(super) const MOST_RECEIVES: c_int = 1;
/// Bytes of a message at most: `NCCL_MAX_NET_SIZE_BYTES`.
pub(super) const MOST_BYTES: usize = 1 << 40;
/// `NCCL_NET_DEVICE_HOST`, of no version.
pub(super) const DEVICE_HOST: c_int = 0;
/// `NCCL_NET_ID_UNDEF`.
pub(super) const NO_ID: i16 = -1;

/// What NCCL is told of a device, whatever the version.
pub(super) struct Told {
    pub(super) name: *mut c_char,
    pub(super) pci_path: *mut c_char,
    pub(super) guid: u64,
    pub(super) speed: c_int,
    pub(super) latency: f32,
}

impl Told {
    /// The strings are the plugin's, and stay.
    fn of(plugin: &'static Plugin, index: c_int, device: &'static Device) -> Self {
        let pci_path = device.pci_path.as_ref();
        let latency = plugin.settings().latency.unwrap_or_default();
        Self {
            name: device.name.as_ptr().cast_mut(),
            pci_path: pci_path.map_or(ptr::null_mut(), |path| path.as_ptr().cast_mut()),
            guid: u64::from(index.unsigned_abs()),
            speed: device.speed,
            latency: latency.as_secs_f32() * 1e6,
        }
    }
}

/// Runs a call; what goes wrong is logged and becomes one of NCCL's results.
fn guard(call: &str, body: impl FnOnce() -> Result<(), Error>) -> c_int {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Error::Panic));
    let outcome = match result {
        Ok(()) => Outcome::Success,
        Err(error) => {
            if !matches!(error, Error::Told(_)) {
                log::warn(&format!("{call}: {error}"));
            }
            error.outcome()
        }
    };
    outcome.into()
}

/// Writes an answer where NCCL wants it.
///
/// # Safety
/// `place` is null or may be written.
unsafe fn answer<T>(place: *mut T, value: T) -> Result<(), Error> {
    if place.is_null() {
        return Err(Error::Argument("there is no place for the answer"));
    }
    // SAFETY: it is not null, and then may be written.
    unsafe { place.write(value) };
    Ok(())
}

/// What NCCL was given before.
///
/// # Safety
/// `pointer` is null or what this plugin made of a `T` that has not been closed.
unsafe fn given<'a, T>(pointer: Opaque) -> Result<&'a T, Error> {
    // SAFETY: as asked for.
    unsafe { pointer.cast::<T>().as_ref() }.ok_or(Error::Argument("there is a null pointer"))
}

// `init`.

pub(super) unsafe extern "C" fn init(logger: Option<Logger>) -> c_int {
    guard("init", || Plugin::initialise(logger))
}

pub(super) unsafe extern "C" fn init_v10(
    logger: Option<Logger>,
    _profiler: Option<Profiler>,
) -> c_int {
    guard("init", || Plugin::initialise(logger))
}

pub(super) unsafe extern "C" fn init_v11(
    context: Out,
    _comm: u64,
    _config: *mut CommConfig,
    logger: Option<Logger>,
    _profiler: Option<Profiler>,
) -> c_int {
    guard("init", || {
        Plugin::initialise(logger)?;
        // SAFETY: NCCL gives a place for the context, of which there is none.
        unsafe { answer(context, ptr::null_mut()) }
    })
}

pub(super) unsafe extern "C" fn finalize(_context: Opaque) -> c_int {
    Outcome::Success.into()
}

// What there is.

pub(super) unsafe extern "C" fn devices(count: *mut c_int) -> c_int {
    guard("devices", || {
        let devices = Plugin::get()?.devices().len();
        let devices = c_int::try_from(devices).unwrap_or(c_int::MAX);
        // SAFETY: NCCL gives a place for the number.
        unsafe { answer(count, devices) }
    })
}

/// Tells of a device as `fill` has it.
///
/// # Safety
/// `properties` is null or may be written.
pub(super) unsafe fn properties<T>(
    index: c_int,
    properties: *mut T,
    fill: impl FnOnce(&Told) -> T,
) -> c_int {
    guard("getProperties", || {
        let plugin = Plugin::get()?;
        let told = Told::of(plugin, index, plugin.device(index)?);
        // SAFETY: as asked for.
        unsafe { answer(properties, fill(&told)) }
    })
}

// How two ends meet.

pub(super) unsafe extern "C" fn listen(device: c_int, handle: Opaque, comm: Out) -> c_int {
    guard("listen", || {
        let (listener, told) = Plugin::get()?.listen(device)?;
        // SAFETY: NCCL gives NCCL_NET_HANDLE_MAXSIZE bytes for the handle, and a place for the listener.
        unsafe {
            answer(handle.cast::<Bytes>(), told.to_bytes())?;
            answer(comm, Box::into_raw(Box::new(listener)).cast())
        }
    })
}

pub(super) unsafe extern "C" fn listen_v11(
    _context: Opaque,
    device: c_int,
    handle: Opaque,
    comm: Out,
) -> c_int {
    // SAFETY: the same is asked for.
    unsafe { listen(device, handle, comm) }
}

pub(super) unsafe extern "C" fn connect_v6(device: c_int, handle: Opaque, comm: Out) -> c_int {
    guard("connect", || {
        // SAFETY: NCCL gives the NCCL_NET_HANDLE_MAXSIZE bytes that the listening end made, the same at every try.
        let bytes = unsafe { handle.cast::<Bytes>().as_mut() };
        let bytes = bytes.ok_or(Error::Argument("there is no handle"))?;
        // SAFETY: NCCL gives a place for the communicator.
        unsafe { answer(comm, ptr::null_mut()) }?;
        if handle::own(bytes) == 0 {
            let told = Handle::from_bytes(bytes)
                .ok_or(Error::Argument("the handle is not this plugin's"))?;
            let begun = Box::new(Plugin::get()?.connect(device, told)?);
            handle::set_own(bytes, Box::into_raw(begun).expose_provenance());
        }
        let begun: *mut Comm = ptr::with_exposed_provenance_mut(handle::own(bytes));
        // SAFETY: it was made above, in this try or an earlier one, and is taken out of the handle before NCCL gets it.
        match unsafe { &*begun }.stage() {
            Stage::Opening => Ok(()),
            Stage::Open => {
                handle::set_own(bytes, 0);
                // SAFETY: NCCL gives a place for the communicator.
                unsafe { answer(comm, begun.cast()) }
            }
            stage @ (Stage::Failed(_) | Stage::Dismissed) => {
                handle::set_own(bytes, 0);
                // SAFETY: it was made of a box, and nothing points to it any more.
                drop(unsafe { Box::from_raw(begun) });
                Err(Error::Told(match stage {
                    Stage::Failed(outcome) => outcome,
                    _ => Outcome::RemoteError,
                }))
            }
        }
    })
}

pub(super) unsafe extern "C" fn connect_v7(
    device: c_int,
    handle: Opaque,
    comm: Out,
    _device_handle: *mut *mut DeviceHandle,
) -> c_int {
    // SAFETY: the same is asked for.
    unsafe { connect_v6(device, handle, comm) }
}

pub(super) unsafe extern "C" fn connect_v10(
    device: c_int,
    _config: *mut CommConfig,
    handle: Opaque,
    comm: Out,
    _device_handle: *mut *mut DeviceHandle,
) -> c_int {
    // SAFETY: the same is asked for.
    unsafe { connect_v6(device, handle, comm) }
}

pub(super) unsafe extern "C" fn connect_v11(
    _context: Opaque,
    device: c_int,
    handle: Opaque,
    comm: Out,
    _device_handle: *mut *mut DeviceHandle,
) -> c_int {
    // SAFETY: the same is asked for.
    unsafe { connect_v6(device, handle, comm) }
}

pub(super) unsafe extern "C" fn accept_v6(listener: Opaque, comm: Out) -> c_int {
    guard("accept", || {
        // SAFETY: NCCL gives the listener that it got from `listen`, one call at a time, and a place for the communicator.
        unsafe {
            answer(comm, ptr::null_mut())?;
            let listener = listener.cast::<Listener>().as_mut();
            let listener = listener.ok_or(Error::Argument("there is no listener"))?;
            match listener.accept()? {
                Some(accepted) => answer(comm, Box::into_raw(Box::new(accepted)).cast()),
                None => Ok(()),
            }
        }
    })
}

pub(super) unsafe extern "C" fn accept_v7(
    listener: Opaque,
    comm: Out,
    _device_handle: *mut *mut DeviceHandle,
) -> c_int {
    // SAFETY: the same is asked for.
    unsafe { accept_v6(listener, comm) }
}

// Memory: nothing is to be prepared.

fn register(kind: c_int, memory: Out) -> c_int {
    guard("regMr", || {
        if kind != POINTER_HOST {
            return Err(Error::Argument("only memory of the host can be used"));
        }
        // SAFETY: NCCL gives a place for what the plugin keeps of the memory, which is nothing.
        unsafe { answer(memory, ptr::null_mut()) }
    })
}

pub(super) unsafe extern "C" fn register_v6(
    _comm: Opaque,
    _data: Opaque,
    _size: c_int,
    kind: c_int,
    memory: Out,
) -> c_int {
    register(kind, memory)
}

pub(super) unsafe extern "C" fn register_v8(
    _comm: Opaque,
    _data: Opaque,
    _size: usize,
    kind: c_int,
    memory: Out,
) -> c_int {
    register(kind, memory)
}

pub(super) unsafe extern "C" fn deregister(_comm: Opaque, _memory: Opaque) -> c_int {
    Outcome::Success.into()
}

// Messages.

/// Begins to send or to receive.
///
/// # Safety
/// `comm` is null or an open communicator; the memory is as [`Memory::new`] asks until the request is done or the communicator
/// closed; `request` is null or may be written.
unsafe fn begin(
    call: &str,
    comm: Opaque,
    data: *mut c_void,
    size: Option<usize>,
    request: Out,
) -> c_int {
    guard(call, || {
        let size = size.ok_or(Error::Argument("a size is below zero"))?;
        // SAFETY: as asked for.
        unsafe {
            answer(request, ptr::null_mut())?;
            let comm = given::<Comm>(comm)?;
            let memory = Memory::new(data, size).ok_or(Error::Argument("a message is nowhere"))?;
            match comm.begin(memory)? {
                Some(begun) => answer(request, ptr::from_ref(begun).cast_mut().cast()),
                None => Ok(()),
            }
        }
    })
}

pub(super) unsafe extern "C" fn send_v6(
    comm: Opaque,
    data: Opaque,
    size: c_int,
    _tag: c_int,
    _memory: Opaque,
    request: Out,
) -> c_int {
    // SAFETY: NCCL leaves the memory alone until the request is done, and gives a place for the request.
    unsafe { begin("isend", comm, data, usize::try_from(size).ok(), request) }
}

pub(super) unsafe extern "C" fn send_v9(
    comm: Opaque,
    data: Opaque,
    size: usize,
    _tag: c_int,
    _memory: Opaque,
    request: Out,
) -> c_int {
    // SAFETY: NCCL leaves the memory alone until the request is done, and gives a place for the request.
    unsafe { begin("isend", comm, data, Some(size), request) }
}

pub(super) unsafe extern "C" fn send_v10(
    comm: Opaque,
    data: Opaque,
    size: usize,
    tag: c_int,
    memory: Opaque,
    _profiled: Opaque,
    request: Out,
) -> c_int {
    // SAFETY: the same is asked for.
    unsafe { send_v9(comm, data, size, tag, memory, request) }
}

/// Begins to receive the one message that a request may be of.
///
/// # Safety
/// As [`begin`]; `data` and `sizes` have `count` entries.
unsafe fn receive<Size: Copy + TryInto<usize>>(
    comm: Opaque,
    count: c_int,
    data: Out,
    sizes: *mut Size,
    request: Out,
) -> c_int {
    if count != MOST_RECEIVES || data.is_null() || sizes.is_null() {
        return guard("irecv", || {
            Err(Error::Argument("a request is to receive one message"))
        });
    }
    // SAFETY: as asked for, and there is one entry.
    unsafe { begin("irecv", comm, *data, (*sizes).try_into().ok(), request) }
}

pub(super) unsafe extern "C" fn receive_v6(
    comm: Opaque,
    count: c_int,
    data: Out,
    sizes: *mut c_int,
    _tags: *mut c_int,
    _memories: Out,
    request: Out,
) -> c_int {
    // SAFETY: NCCL gives `count` entries, leaves the memory alone until the request is done, and gives a place for the request.
    unsafe { receive(comm, count, data, sizes, request) }
}

pub(super) unsafe extern "C" fn receive_v9(
    comm: Opaque,
    count: c_int,
    data: Out,
    sizes: *mut usize,
    _tags: *mut c_int,
    _memories: Out,
    request: Out,
) -> c_int {
    // SAFETY: NCCL gives `count` entries, leaves the memory alone until the request is done, and gives a place for the request.
    unsafe { receive(comm, count, data, sizes, request) }
}

pub(super) unsafe extern "C" fn receive_v10(
    comm: Opaque,
    count: c_int,
    data: Out,
    sizes: *mut usize,
    _tags: *mut c_int,
    _memories: Out,
    _profiled: Out,
    request: Out,
) -> c_int {
    // SAFETY: NCCL gives `count` entries, leaves the memory alone until the request is done, and gives a place for the request.
    unsafe { receive(comm, count, data, sizes, request) }
}

/// What is received into the host's memory needs no flush.
pub(super) unsafe extern "C" fn flush(
    _comm: Opaque,
    _count: c_int,
    _data: Out,
    _sizes: *mut c_int,
    _memories: Out,
    request: Out,
) -> c_int {
    guard("iflush", || {
        // SAFETY: NCCL gives a place for the request, of which there is none.
        unsafe { answer(request, ptr::null_mut()) }
    })
}

pub(super) unsafe extern "C" fn test(request: Opaque, done: *mut c_int, size: *mut c_int) -> c_int {
    guard("test", || {
        // SAFETY: NCCL gives a request that it got from a communicator which is not closed, and a place for the answer.
        unsafe {
            answer(done, 0)?;
            if let Some(bytes) = given::<Request>(request)?.test().map_err(Error::Told)? {
                answer(done, 1)?;
                if !size.is_null() {
                    answer(size, c_int::try_from(bytes).unwrap_or(c_int::MAX))?;
                }
            }
        }
        Ok(())
    })
}

// The end.

pub(super) unsafe extern "C" fn close(comm: Opaque) -> c_int {
    guard("close", || {
        if !comm.is_null() {
            // SAFETY: NCCL closes a communicator once, and uses neither it nor its requests after that.
            unsafe { Box::from_raw(comm.cast::<Comm>()) }.close();
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn close_listener(listener: Opaque) -> c_int {
    guard("closeListen", || {
        if !listener.is_null() {
            // SAFETY: NCCL closes a listener once, and does not use it after that.
            drop(unsafe { Box::from_raw(listener.cast::<Listener>()) });
        }
        Ok(())
    })
}
