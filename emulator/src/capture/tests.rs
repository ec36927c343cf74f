//! The way of packets into files, without an engine.

use std::time::{Duration, Instant};

use longhaul_topologies::model::{Direction, LinkId};
use longhaul_topologies::{Document, validate};

use super::*;

const TEXT: &str =
    "{name: lab, sites: [{name: east-1}, {name: b}], links: [{between: [east-1, b], delay: 1ms}]}";

fn plan() -> LabPlan {
    LabPlan::new(validate::topology(&Document::from_text("lab.yaml", TEXT).unwrap()).unwrap())
}

fn channel(direction: Direction) -> ChannelId {
    ChannelId {
        link: LinkId(0),
        lane: 0,
        direction,
    }
}

/// A capture of what the reverse channel delivers, from second 5 on.
fn begin(folder: &Path) -> (Capture, Tap) {
    let options = CaptureOptions {
        folder,
        channels: &[channel(Direction::Reverse)],
        sides: &[Side::Delivered],
        bytes: 60,
        zero: 5_000_000_000,
    };
    let (capture, taps) = Capture::create(&plan(), &options).unwrap();
    let [tap] = <[_; 1]>::try_from(taps).unwrap();
    (capture, tap)
}

fn the_only<T>(items: Vec<T>) -> T {
    let [item] = <[T; 1]>::try_from(items).ok().expect("one item");
    item
}

#[test]
fn a_file_is_what_the_format_says_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (capture, mut tap) = begin(&folder.path().join("captures"));
    assert_eq!(
        tap.record(6_000_000_007, [&[1; 3], &[2; 2]])
            .map(|whole| whole.to_vec()),
        Some(vec![1, 1, 1, 2, 2])
    );
    assert_eq!(tap.record(7_500_000_000, [&[3; 58], &[4; 42]]), None);
    drop(tap);
    let file = the_only(capture.finish());
    let path = folder.path().join("captures/b_east-1_0_delivered.pcap");
    let expected = Captured {
        path: path.clone(),
        channel: channel(Direction::Reverse),
        side: Side::Delivered,
        packets: 2,
        missed: 0,
        failure: None,
    };
    assert_eq!(file, expected);
    let header = [
        &[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0][..],
        &[0; 8],
        &[60, 0, 0, 0, 1, 0, 0, 0],
    ];
    let first = [
        1, 0, 0, 0, 7, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0, 1, 1, 1, 2, 2,
    ];
    let half_second = 500_000_000_u32.to_le_bytes();
    let second = [
        &[2, 0, 0, 0][..],
        &half_second,
        &[60, 0, 0, 0, 100, 0, 0, 0],
        &[3; 58],
        &[4; 2],
    ];
    let bytes = [&header.concat()[..], &first, &second.concat()].concat();
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn a_writer_that_cannot_keep_up_costs_packets_which_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held");
    let (messages, inbox) = mpsc::channel();
    let (output, spare) = Output::new(File::create(&path).unwrap(), 0);
    let chunks = 3;
    let mut tap = Tap::new(
        (channel(Direction::Forward), Side::Offered),
        (0, MOST_BYTES),
        (0, messages.clone()),
        (spare, Arc::new(AtomicUsize::new(chunks))),
    );
    // Nobody writes, and the tap does not wait.
    let packet = vec![7; 1000];
    let fits = chunks * (CHUNK / (format::RECORD_HEADER + packet.len()));
    let kept = (0..2 * fits)
        .filter(|_| tap.record(0, [&packet, &[]]).is_some())
        .count();
    assert_eq!(kept, fits);
    // Now somebody does: the chunks come back.
    let writer = std::thread::spawn(move || writer::write(&inbox, vec![output]));
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut lost = fits;
    while tap.record(0, [&packet, &[]]).is_none() {
        lost += 1;
        assert!(Instant::now() < deadline, "no chunk came back");
        std::thread::yield_now();
    }
    let seen = tap.seen();
    drop(tap);
    messages.send(Message::Stop).unwrap();
    let written = the_only(writer.join().unwrap());
    assert_eq!(written.packets, fits as u64 + 1);
    assert_eq!(seen.load(Ordering::Relaxed) - written.packets, lost as u64);
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(
        length,
        written.packets * (format::RECORD_HEADER + 1000) as u64
    );
}

#[test]
fn a_full_disk_ends_a_file_and_is_told() {
    // Every write to it fails with ENOSPC (full(4)).
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (messages, inbox) = mpsc::channel();
    let (output, _spare) = Output::new(full, 0);
    for packets in [2, 3] {
        let bytes = vec![0; 10];
        let file = 0;
        messages
            .send(Message::Chunk {
                file,
                packets,
                bytes,
            })
            .unwrap();
    }
    messages.send(Message::Stop).unwrap();
    let written = the_only(writer::write(&inbox, vec![output]));
    assert_eq!(written.packets, 0);
    let failure = written.failure.expect("a failure");
    assert_eq!(failure.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn what_a_tap_still_holds_at_the_end_counts_as_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (capture, mut tap) = begin(folder.path());
    tap.record(6_000_000_000, [&[1], &[]]);
    // So late that the first goes to the writer.
    tap.record(7_000_000_000, [&[2], &[]]);
    tap.missed(3);
    let file = the_only(capture.finish());
    assert_eq!((file.packets, file.missed), (1, 4));
    // An engine that goes on does no harm.
    tap.record(9_000_000_000, [&[3], &[]]);
}

#[test]
fn an_older_capture_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path()).0.finish();
    let options = CaptureOptions {
        folder: folder.path(),
        channels: &[channel(Direction::Reverse)],
        sides: &[Side::Delivered],
        bytes: DEFAULT_BYTES,
        zero: 0,
    };
    let error = Capture::create(&plan(), &options).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot make ") && error.contains("b_east-1_0_delivered.pcap"),
        "{error}"
    );
}
