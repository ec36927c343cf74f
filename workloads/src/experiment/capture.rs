//! Which lanes are captured while workloads run, and what is told of it.

use std::path::Path;

use longhaul_emulator::capture::{self, Captured, Side};
use longhaul_emulator::plan::{ChannelId, LabPlan};
use longhaul_reports::result::{CaptureFile, CaptureSide};
use longhaul_topologies::InputError;

use super::bound::channel_name;
use super::points::Experiment;

/// What is captured; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct CapturePlan {
    /// Of each topology of the experiment; none if nothing is captured.
    channels: Vec<Vec<ChannelId>>,
    /// How many bytes of each packet.
    pub(super) bytes: u32,
}

impl CapturePlan {
    /// Of the lanes that `lanes` names (see [`capture::channels`]), `bytes` of each packet. A lane that is in some of the experiment's
    /// topologies only is captured there.
    ///
    /// # Errors
    /// If none of the topologies has such a lane.
    pub fn new(lanes: &[String], bytes: u32, experiment: &Experiment) -> Result<Self, InputError> {
        let mut channels = vec![Vec::new(); experiment.topologies.len()];
        for lane in lanes {
            let mut unknown = None;
            let mut known = false;
            for (topology, channels) in experiment.topologies.iter().zip(&mut channels) {
                match capture::channels(lane, topology) {
                    Ok(named) => {
                        known = true;
                        channels.extend(named);
                    }
                    Err(error) => unknown = unknown.or(Some(error)),
                }
            }
            if let Some(error) = unknown.filter(|_| !known) {
                return Err(error);
            }
        }
        for channels in &mut channels {
            channels.sort_unstable();
            channels.dedup();
        }
        Ok(CapturePlan { channels, bytes })
    }

    /// The channels of the experiment's `topology`th topology that are captured.
    pub(super) fn channels(&self, topology: usize) -> &[ChannelId] {
        self.channels.get(topology).map_or(&[], Vec::as_slice)
    }
}

/// A file as it stands in a result whose folder is `folder`.
pub(super) fn file(captured: &Captured, plan: &LabPlan, folder: &Path) -> CaptureFile {
    let id = captured.channel;
    let path = captured.path.strip_prefix(folder);
    CaptureFile {
        file: path.unwrap_or(&captured.path).display().to_string(),
        link: channel_name(&plan.topology, id.link, id.direction),
        lane: id.lane,
        direction: id.direction.into(),
        side: match captured.side {
            Side::Offered => CaptureSide::Offered,
            Side::Delivered => CaptureSide::Delivered,
        },
        packets: captured.packets,
        missed: captured.missed,
    }
}

/// What a reader of the file has to know, if there is anything.
pub(super) fn note(captured: &Captured, file: &CaptureFile) -> Option<String> {
    let CaptureFile {
        file,
        packets,
        missed,
        ..
    } = file;
    match &captured.failure {
        Some(failure) => Some(format!(
            "{file} ends after {packets} packets, and {missed} are missing: it cannot be written: {failure}"
        )),
        None if *missed > 0 => Some(format!(
            "{file} lacks {missed} of {} packets: writing did not keep up; capture fewer lanes or fewer bytes, or write to a faster disk",
            packets + missed
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{Direction, LinkId};

    use super::*;

    fn told(packets: u64, missed: u64, failure: Option<&str>) -> Option<String> {
        let captured = Captured {
            path: "/results/captures/a_b_0_delivered.pcap".into(),
            channel: ChannelId {
                link: LinkId(0),
                lane: 0,
                direction: Direction::Forward,
            },
            side: Side::Delivered,
            packets,
            missed,
            failure: failure.map(str::to_owned),
        };
        let text =
            "{name: lab, sites: [{name: a}, {name: b}], links: [{between: [a, b], delay: 1ms}]}";
        let document = longhaul_topologies::Document::from_text("lab.yaml", text).unwrap();
        let plan = LabPlan::new(longhaul_topologies::validate::topology(&document).unwrap());
        let file = file(&captured, &plan, Path::new("/results"));
        assert_eq!(file.file, "captures/a_b_0_delivered.pcap");
        assert_eq!(file.link, "a>b");
        note(&captured, &file)
    }

    #[test]
    fn a_whole_file_is_not_worth_a_note() {
        assert_eq!(told(10, 0, None), None);
    }

    #[test]
    fn missing_packets_are_told_with_the_reason() {
        let slow = told(10, 2, None).unwrap();
        assert!(
            slow.starts_with("captures/a_b_0_delivered.pcap lacks 2 of 12 packets: "),
            "{slow}"
        );
        let full = told(10, 2, Some("No space left on device")).unwrap();
        assert!(
            full.contains("2 are missing") && full.contains("No space left"),
            "{full}"
        );
    }
}
