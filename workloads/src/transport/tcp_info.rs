//! What the kernel tells about a connection.

use std::io;
use std::net::TcpStream;

use super::option;

/// The fields of `struct tcp_info` (include/uapi/linux/tcp.h) up to the last one in use. Kernels only ever append; an
/// older one fills fewer, and the rest stays zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Zeroable, bytemuck::Pod)]
pub(super) struct TcpInfo {
    state_to_wscale: [u8; 8],
    rto_to_mss: [u32; 4],
    pub(super) unacked: u32,
    /// Segments that the peer has beyond one that it lacks.
    pub(super) sacked: u32,
    lost_to_fackets: [u32; 3],
    last_times: [u32; 4],
    pmtu_and_ssthresh: [u32; 2],
    /// Smoothed, microseconds.
    pub(super) rtt: u32,
    rttvar_and_ssthresh: [u32; 2],
    /// Segments of `snd_mss`.
    pub(super) snd_cwnd: u32,
    advmss_to_rcv_space: [u32; 4],
    /// Segments retransmitted over the connection's life.
    pub(super) total_retrans: u32,
    /// Bytes per second; all ones if unlimited.
    pub(super) pacing_rate: u64,
    max_pacing_rate: u64,
    pub(super) bytes_acked: u64,
    bytes_received: u64,
    segments_and_minima: [u32; 6],
    /// Bytes per second.
    pub(super) delivery_rate: u64,
}

impl TcpInfo {
    /// Reads it off a connection.
    pub(super) fn of(stream: &TcpStream) -> io::Result<Self> {
        option::get(stream, libc::IPPROTO_TCP, libc::TCP_INFO)
    }

    /// Sending maximum segment size, bytes.
    pub(super) fn snd_mss(&self) -> u32 {
        self.rto_to_mss[2]
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::mem;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn offsets_are_those_of_the_kernel_header() {
        assert_eq!(mem::offset_of!(TcpInfo, unacked), 24);
        assert_eq!(mem::offset_of!(TcpInfo, sacked), 28);
        assert_eq!(mem::offset_of!(TcpInfo, rtt), 68);
        assert_eq!(mem::offset_of!(TcpInfo, snd_cwnd), 80);
        assert_eq!(mem::offset_of!(TcpInfo, total_retrans), 100);
        assert_eq!(mem::offset_of!(TcpInfo, pacing_rate), 104);
        assert_eq!(mem::offset_of!(TcpInfo, bytes_acked), 120);
        assert_eq!(mem::offset_of!(TcpInfo, delivery_rate), 160);
    }

    #[test]
    fn acknowledged_bytes_are_those_the_peer_has_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        sender.write_all(&[7; 1000]).unwrap();
        receiver.read_exact(&mut [0; 1000]).unwrap();
        receiver.write_all(&[1]).unwrap();
        sender.read_exact(&mut [0]).unwrap();
        let info = TcpInfo::of(&sender).unwrap();
        // The SYN counts as one (tcp_ack in net/ipv4/tcp_input.c).
        assert!((1000..=1001).contains(&info.bytes_acked), "{info:?}");
        assert!(
            info.snd_cwnd > 0 && info.snd_mss() > 0 && info.rtt > 0,
            "{info:?}"
        );
    }
}
