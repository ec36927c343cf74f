//! NCCL's side of the interface: the library loaded, a table of it taken, and its functions called as NCCL's proxy thread does.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::path::PathBuf;
use std::ptr;
use std::time::{Duration, Instant};

use libloading::Library;
use nccl_net_longhaul::abi::{Logger, v6, v9, v12};

/// Longer than any call's outcome takes.
const DEADLINE: Duration = Duration::from_secs(120);
/// `NCCL_NET_HANDLE_MAXSIZE`.
pub const HANDLE: usize = 128;

/// A table of the library.
#[derive(Clone, Copy)]
pub enum Table {
    V6(&'static v6::Net),
    V9(&'static v9::Net),
    V12(&'static v12::Net),
}

/// The plugin in this process, initialised.
pub struct Nccl {
    table: Table,
}

/// What a call answered, if it was not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub c_int);

/// A communicator, a listener or a request.
pub type Opaque = *mut c_void;

/// The library beside this test's executable.
pub fn library() -> &'static Library {
    let executable = std::env::current_exe().unwrap();
    let folder = executable.parent().unwrap();
    let name = "libnccl_net_longhaul.so";
    let places = [folder.join(name), folder.parent().unwrap().join(name)];
    let path: &PathBuf = places.iter().find(|path| path.exists()).unwrap();
    // SAFETY: it runs nothing when it is loaded.
    let library = unsafe { Library::new(path) };
    Box::leak(Box::new(library.unwrap()))
}

/// The table of that version.
pub fn table<T>(version: u32) -> &'static T {
    let symbol = format!("ncclNetPlugin_v{version}");
    // SAFETY: the symbol is a table of that version, and the library stays.
    unsafe {
        &*library()
            .get::<*const T>(symbol.as_bytes())
            .unwrap()
            .try_as_raw_ptr()
            .unwrap()
            .cast()
    }
}

impl Table {
    /// The newest that is like that version's.
    pub fn of(version: u32) -> Self {
        match version {
            6 => Self::V6(table(6)),
            9 => Self::V9(table(9)),
            12 => Self::V12(table(12)),
            other => panic!("no harness for version {other}"),
        }
    }
}

fn checked(outcome: c_int) -> Result<(), Refused> {
    match outcome {
        0 => Ok(()),
        other => Err(Refused(other)),
    }
}

/// Calls what has the same form in all three tables.
macro_rules! call {
    ($self:ident . $name:ident ( $($argument:expr),* )) => {
        // SAFETY: the arguments are what NCCL gives.
        checked(unsafe {
            match $self.table {
                Table::V6(net) => (net.$name)($($argument),*),
                Table::V9(net) => (net.$name)($($argument),*),
                Table::V12(net) => (net.$name)($($argument),*),
            }
        })
    };
}

impl Nccl {
    /// With what the environment says.
    pub fn new(table: Table) -> Result<Self, Refused> {
        let mut context = ptr::null_mut();
        // SAFETY: as NCCL calls it.
        checked(unsafe {
            match table {
                Table::V6(net) => (net.init)(Some(logger())),
                Table::V9(net) => (net.init)(Some(logger())),
                Table::V12(net) => {
                    (net.init)(&raw mut context, 1, ptr::null_mut(), Some(logger()), None)
                }
            }
        })?;
        Ok(Self { table })
    }

    pub fn devices(&self) -> c_int {
        let mut count = -1;
        call!(self.devices(&raw mut count)).unwrap();
        count
    }

    /// The properties as version 12 has them.
    pub fn properties(&self) -> v12::Properties {
        let Table::V12(net) = self.table else {
            panic!("not version 12")
        };
        let mut properties = std::mem::MaybeUninit::uninit();
        // SAFETY: there is room for them, and they are written on success.
        unsafe {
            checked((net.get_properties)(0, properties.as_mut_ptr())).unwrap();
            properties.assume_init()
        }
    }

    pub fn listen(&self) -> ([u8; HANDLE], Opaque) {
        let (mut handle, mut listener) = ([0xff; HANDLE], ptr::null_mut());
        let (at, out) = (handle.as_mut_ptr().cast(), &raw mut listener);
        // SAFETY: as NCCL calls it.
        checked(unsafe {
            match self.table {
                Table::V6(net) => (net.listen)(0, at, out),
                Table::V9(net) => (net.listen)(0, at, out),
                Table::V12(net) => (net.listen)(ptr::null_mut(), 0, at, out),
            }
        })
        .unwrap();
        (handle, listener)
    }

    pub fn connect(&self, mut handle: [u8; HANDLE]) -> Result<Opaque, Refused> {
        self.poll("connected", || {
            let mut comm = ptr::null_mut();
            let (at, out) = (handle.as_mut_ptr().cast(), &raw mut comm);
            // SAFETY: as NCCL calls it, with the same handle each time.
            checked(unsafe {
                match self.table {
                    Table::V6(net) => (net.connect)(0, at, out),
                    Table::V9(net) => (net.connect)(0, at, out, ptr::null_mut()),
                    Table::V12(net) => (net.connect)(ptr::null_mut(), 0, at, out, ptr::null_mut()),
                }
            })?;
            Ok((!comm.is_null()).then_some(comm))
        })
    }

    pub fn accept(&self, listener: Opaque) -> Result<Opaque, Refused> {
        self.poll("accepted", || {
            let mut comm = ptr::null_mut();
            // SAFETY: as NCCL calls it.
            checked(unsafe {
                match self.table {
                    Table::V6(net) => (net.accept)(listener, &raw mut comm),
                    Table::V9(net) => (net.accept)(listener, &raw mut comm, ptr::null_mut()),
                    Table::V12(net) => (net.accept)(listener, &raw mut comm, ptr::null_mut()),
                }
            })?;
            Ok((!comm.is_null()).then_some(comm))
        })
    }

    /// Null if too much is under way.
    pub fn try_send(&self, comm: Opaque, message: &[u8]) -> Result<Opaque, Refused> {
        let (at, size) = (message.as_ptr().cast_mut().cast(), message.len());
        let (none, mut request) = (ptr::null_mut(), ptr::null_mut());
        let out = &raw mut request;
        // SAFETY: as NCCL calls it; the tests keep messages until their requests are done or the communicator closed.
        checked(unsafe {
            match self.table {
                Table::V6(net) => (net.isend)(comm, at, size as c_int, 0, none, out),
                Table::V9(net) => (net.isend)(comm, at, size, 0, none, out),
                Table::V12(net) => (net.isend)(comm, at, size, 0, none, none, out),
            }
        })?;
        Ok(request)
    }

    /// Null if too much is under way.
    pub fn try_receive(&self, comm: Opaque, into: &mut [u8]) -> Result<Opaque, Refused> {
        let (mut at, mut size) = (into.as_mut_ptr().cast(), into.len());
        let (mut short, mut tag) = (size as c_int, 0);
        let (mut none, mut request) = (ptr::null_mut(), ptr::null_mut());
        let (data, sizes, tags) = (&raw mut at, &raw mut size, &raw mut tag);
        let (nothing, out) = (&raw mut none, &raw mut request);
        // SAFETY: as NCCL calls it; the tests keep messages until their requests are done or the communicator closed.
        checked(unsafe {
            match self.table {
                Table::V6(net) => (net.irecv)(comm, 1, data, &raw mut short, tags, nothing, out),
                Table::V9(net) => (net.irecv)(comm, 1, data, sizes, tags, nothing, out),
                Table::V12(net) => (net.irecv)(comm, 1, data, sizes, tags, nothing, nothing, out),
            }
        })?;
        Ok(request)
    }

    pub fn send(&self, comm: Opaque, message: &[u8]) -> Opaque {
        let begun = || {
            let request = self.try_send(comm, message)?;
            Ok((!request.is_null()).then_some(request))
        };
        self.poll("taken", begun).unwrap()
    }

    pub fn receive(&self, comm: Opaque, into: &mut [u8]) -> Opaque {
        let begun = || {
            let request = self.try_receive(comm, into)?;
            Ok((!request.is_null()).then_some(request))
        };
        self.poll("taken", begun).unwrap()
    }

    /// The size, if it is done.
    pub fn test(&self, request: Opaque) -> Result<Option<usize>, Refused> {
        let (mut done, mut size) = (0, 0);
        call!(self.test(request, &raw mut done, &raw mut size))?;
        Ok((done != 0).then_some(size as usize))
    }

    /// The size, once it is done.
    pub fn finish(&self, request: Opaque) -> Result<usize, Refused> {
        self.poll("done", || self.test(request))
    }

    pub fn close_send(&self, comm: Opaque) {
        call!(self.close_send(comm)).unwrap();
    }

    pub fn close_receive(&self, comm: Opaque) {
        call!(self.close_recv(comm)).unwrap();
    }

    pub fn close_listener(&self, listener: Opaque) {
        call!(self.close_listen(listener)).unwrap();
    }

    /// What `try_it` answers at last.
    fn poll<T>(
        &self,
        what: &str,
        mut try_it: impl FnMut() -> Result<Option<T>, Refused>,
    ) -> Result<T, Refused> {
        let start = Instant::now();
        loop {
            let asked = Instant::now();
            let answer = try_it()?;
            let took = asked.elapsed();
            assert!(
                took < Duration::from_secs(20),
                "a call blocked for {took:?}"
            );
            if let Some(answer) = answer {
                return Ok(answer);
            }
            assert!(start.elapsed() < DEADLINE, "it was never {what}");
            // NCCL spins here; these processes share few cores.
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

/// Writes what the plugin logs. NCCL's logger takes any arguments; the plugin gives one string.
fn logger() -> Logger {
    extern "C" fn log(
        level: c_int,
        _subsystems: c_ulong,
        _file: *const c_char,
        _line: c_int,
        format: *const c_char,
        text: *const c_char,
    ) {
        // SAFETY: both are strings, for as long as the call lasts.
        let (format, text) = unsafe { (CStr::from_ptr(format), CStr::from_ptr(text)) };
        let text = format
            .to_string_lossy()
            .replace("%s", &text.to_string_lossy());
        eprintln!("[{}] {text}", if level <= 2 { "WARN" } else { "INFO" });
    }
    type Fixed = extern "C" fn(c_int, c_ulong, *const c_char, c_int, *const c_char, *const c_char);
    // SAFETY: on 64-bit Linux, a call with variable arguments passes six such ones as a call without passes them.
    unsafe { std::mem::transmute::<Fixed, Logger>(log) }
}
