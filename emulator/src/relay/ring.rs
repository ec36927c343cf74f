//! A receive ring: an AF_PACKET socket that sees one interface of its network namespace or all, and whose packets the kernel writes into shared memory
//! (Documentation/networking/packet_mmap.rst, TPACKET_V2), each with its virtio header and its time of arrival.
//!
//! Ring memory is not bounded by `net.core.rmem_max`, which an ordinary user cannot raise and which holds no more
//! than half a dozen super-packets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::vnet::{VNET_HEADER, VnetHeader};

/// Which frames a ring takes and how much room each has. Slots are of one size, so small and large frames
/// have rings of their own: 64 KB for every acknowledgement would waste memory and cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingSpec {
    /// Frames that come by this interface (the kernel's number); by any if absent.
    pub(super) interface: Option<u32>,
    /// Frames longer than this many bytes.
    pub(super) longer_than: u32,
    /// Bytes of a slot; a multiple of [`libc::TPACKET_ALIGNMENT`].
    pub(super) slot: usize,
    /// Slots that make up one block, whose size must be whole pages.
    pub(super) slots_per_block: usize,
    /// Blocks.
    pub(super) blocks: usize,
}

/// What of a slot is not frame: `TPACKET2_HDRLEN`, the virtio header, room for the link header and alignment.
pub(super) const SLOT_OVERHEAD: usize = 128;

impl RingSpec {
    /// The longest frame that fits.
    pub(super) fn capacity(&self) -> u32 {
        (self.slot - SLOT_OVERHEAD) as u32
    }

    fn block(&self) -> usize {
        self.slot * self.slots_per_block
    }

    fn slots(&self) -> usize {
        self.slots_per_block * self.blocks
    }
}

/// The socket and the shared memory.
#[derive(Debug)]
pub(super) struct Ring {
    socket: Socket,
    memory: NonNull<u8>,
    spec: RingSpec,
    next: usize,
}

// SAFETY: the memory belongs to this value alone (the kernel's side is ordered by the slots' status words), so it may move
// to another thread.
unsafe impl Send for Ring {}

/// A frame in a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received<'a> {
    /// What is still to be done to the frame.
    pub(super) vnet: VnetHeader,
    /// The frame, or as much of it as the slot held.
    pub(super) frame: &'a [u8],
    /// Whether that is less than all of it.
    pub(super) truncated: bool,
    /// The 802.1Q tag that the kernel took out of the frame.
    pub(super) vlan: Option<[u8; 4]>,
    /// When it arrived, on `CLOCK_REALTIME`.
    pub(super) stamp: Duration,
    /// The kernel's number of the interface it came by.
    pub(super) interface: u32,
}

impl Ring {
    /// Opens a ring; frames arrive from now on. `up_to` is the longest frame it takes.
    pub(super) fn open(spec: RingSpec, up_to: u32) -> io::Result<Self> {
        let socket = packet_socket()?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &TPACKET_V2)?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
        socket.attach_filter(&by_length(spec.longer_than, up_to))?;
        let request = libc::tpacket_req {
            tp_block_size: spec.block() as u32,
            tp_block_nr: spec.blocks as u32,
            tp_frame_size: spec.slot as u32,
            tp_frame_nr: spec.slots() as u32,
        };
        set(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let length: std::num::NonZeroUsize = (spec.block() * spec.blocks)
            .try_into()
            .map_err(io::Error::other)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, over a ring of exactly this length.
        let memory =
            unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &socket, 0) }?.cast();
        // A program that is started has no use for it; and User-mode Linux loses count of a ring's pages when it forks.
        // SAFETY: the mapping has just been made, and nothing is done to what lies in it.
        unsafe { madvise(memory.cast(), length.get(), MmapAdvise::MADV_DONTFORK) }?;
        let ring = Ring {
            socket,
            memory,
            spec,
            next: 0,
        };
        ring.bind()?;
        Ok(ring)
    }

    /// The oldest frame; stays until [`release`](Self::release).
    pub(super) fn peek(&self) -> Option<Received<'_>> {
        let slot = self.slot();
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the status word says that the kernel has written this slot and left it to us; its header lies at the
        // slot's start, aligned to TPACKET_ALIGNMENT.
        let header = unsafe { slot.cast::<libc::tpacket2_hdr>().read() };
        // SAFETY: the kernel writes the address behind the header, with the alignment kept (`tpacket_rcv`).
        let address = unsafe { slot.add(ADDRESS_OFFSET).cast::<libc::sockaddr_ll>().read() };
        let interface = address.sll_ifindex as u32;
        let start = usize::from(header.tp_mac);
        let captured = header.tp_snaplen as usize;
        if start < VNET_HEADER || start + captured > self.spec.slot {
            return Some(Received {
                vnet: VnetHeader::default(),
                frame: &[],
                truncated: true,
                vlan: None,
                stamp: Duration::ZERO,
                interface,
            });
        }
        // SAFETY: within the slot, as just checked, and the kernel does not write it before `release`, which needs `self`
        // mutably.
        let bytes = unsafe {
            std::slice::from_raw_parts(slot.add(start - VNET_HEADER), VNET_HEADER + captured)
        };
        let (vnet, frame) = bytes.split_at(VNET_HEADER);
        let tagged = header.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
        Some(Received {
            vnet: bytemuck::pod_read_unaligned(vnet),
            frame,
            truncated: header.tp_len > header.tp_snaplen,
            vlan: tagged.then(|| {
                let [protocol, tag] =
                    [header.tp_vlan_tpid, header.tp_vlan_tci].map(u16::to_be_bytes);
                [protocol[0], protocol[1], tag[0], tag[1]]
            }),
            stamp: Duration::new(header.tp_sec.into(), header.tp_nsec),
            interface,
        })
    }

    /// Gives the slot of the oldest frame back.
    pub(super) fn release(&mut self) {
        self.status()
            .store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.spec.slots();
    }

    /// Frames that found no slot since the last call.
    pub(super) fn drops(&self) -> io::Result<u64> {
        let mut stats = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = size_of_val(&stats) as libc::socklen_t;
        // SAFETY: `stats` is writable for `length` bytes; a V2 ring answers with just this structure.
        let answer = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &mut length,
            )
        };
        nix::errno::Errno::result(answer)?;
        Ok(stats.tp_drops.into())
    }

    /// The error pending on the socket, if any; clears it.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    fn bind(&self) -> io::Result<()> {
        // SAFETY: an all-zero sockaddr_ll is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        // 0 is all interfaces.
        address.sll_ifindex = self.spec.interface.unwrap_or(0) as i32;
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is readable for `length` bytes.
        let answer =
            unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), length) };
        nix::errno::Errno::result(answer)?;
        Ok(())
    }

    fn slot(&self) -> *mut u8 {
        // SAFETY: `next` is below the number of slots, so this stays within the mapping. Blocks are whole slots and follow
        // each other, so slots do too.
        unsafe { self.memory.as_ptr().add(self.next * self.spec.slot) }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: the status is the header's first word, aligned, mapped as long as `self` lives, and both sides access it
        // atomically.
        unsafe { AtomicU32::from_ptr(self.slot().cast()) }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `open`, of this length; nothing borrows from it any more. It cannot fail for such a
        // mapping, and a drop has nobody to tell.
        let _ = unsafe { munmap(self.memory.cast(), self.spec.block() * self.spec.blocks) };
    }
}

/// A socket of packets with virtio headers, which receives nothing before it is bound.
pub(super) fn packet_socket() -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::PACKET,
        Type::RAW.cloexec().nonblocking(),
        Some(Protocol::from(0)),
    )?;
    set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
    Ok(socket)
}

/// Where a slot's `sockaddr_ll` is (`TPACKET_ALIGN(sizeof(struct tpacket2_hdr))`).
const ADDRESS_OFFSET: usize =
    size_of::<libc::tpacket2_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

/// `TPACKET_V2` of `enum tpacket_versions`.
const TPACKET_V2: libc::c_int = 1;

/// A classic BPF program that takes frames of `longer_than` < length ≤ `up_to` that are not a namespace's own.
fn by_length(longer_than: u32, up_to: u32) -> [SockFilter; 7] {
    let load = libc::BPF_LD | libc::BPF_W;
    let jump = |condition: u32, jt, jf, k| {
        SockFilter::new((libc::BPF_JMP | condition | libc::BPF_K) as u16, jt, jf, k)
    };
    let finish = |k| SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, k);
    let interface = (libc::SKF_AD_OFF + libc::SKF_AD_IFINDEX) as u32;
    [
        SockFilter::new((load | libc::BPF_ABS) as u16, 0, 0, interface),
        jump(libc::BPF_JEQ, 4, 0, LOOPBACK),
        SockFilter::new((load | libc::BPF_LEN) as u16, 0, 0, 0),
        jump(libc::BPF_JGT, 0, 2, longer_than),
        jump(libc::BPF_JGT, 1, 0, up_to),
        finish(u32::MAX),
        finish(0),
    ]
}

/// `LOOPBACK_IFINDEX` of net/flow.h.
const LOOPBACK: u32 = 1;

/// setsockopt(2).
pub(super) fn set<T>(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is readable for `length` bytes; the callers pass the type that the option takes.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            length,
        )
    };
    nix::errno::Errno::result(answer)?;
    Ok(())
}
