//! Step marking: a packet that finds more than a threshold is marked (DCTCP; RFC 8257 section 3.1).
//!
//! The queue is judged as it is, not by an average: the point of DCTCP is to react to it at once. A packet that is not
//! ECN-capable is let in, as in the RFC; only the limit drops.

use longhaul_topologies::model::Step;

use super::Ecn;
use super::depth::Depth;
use super::ecn::Fate;

/// What becomes of a packet that finds `found` before it.
pub(super) fn judge(step: &Step, found: Depth, ecn: Ecn) -> Fate {
    match ecn {
        Ecn::Ect0 | Ecn::Ect1 if found.exceeds(step.at) => Fate::Mark,
        Ecn::NotEct | Ecn::Ce | Ecn::Ect0 | Ecn::Ect1 => Fate::Pass,
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{QueueDiscipline, QueueLimit};
    use longhaul_topologies::units::ByteSize;

    use super::super::tests::{BUSY, at, drain, queue, rng, traffic};
    use super::super::{Arrival, Marking, QueueCounters};
    use super::*;

    #[test]
    fn exactly_those_that_find_more_than_the_threshold_are_marked() {
        for at_limit in [
            QueueLimit::Packets(10),
            QueueLimit::Bytes(ByteSize::from_bytes(10 * 1514)),
        ] {
            let mut queue = queue(QueueDiscipline::Step(Step { at: at_limit }), None);
            queue.offer(
                &Arrival::whole(at(0), &1, traffic(45, Ecn::Ect0, 0)),
                BUSY,
                &mut rng(),
            );
            let trains: Vec<_> = drain(&mut queue)
                .into_iter()
                .map(|train| (train.segments, train.marking))
                .collect();
            // Segment n finds n: the eleventh finds ten, which is not more than ten.
            let expected = [(0..11, Marking::Unmarked), (11..45, Marking::Marked)];
            assert_eq!(trains, expected);
            assert_eq!(queue.counters().marked, 34);
        }
    }

    #[test]
    fn what_cannot_be_marked_is_let_in() {
        let discipline = QueueDiscipline::Step(Step {
            at: QueueLimit::Packets(0),
        });
        for ecn in [Ecn::NotEct, Ecn::Ce] {
            let mut queue = queue(discipline, None);
            queue.offer(
                &Arrival::whole(at(0), &1, traffic(45, ecn, 0)),
                BUSY,
                &mut rng(),
            );
            let trains = drain(&mut queue);
            assert_eq!(trains.len(), 1);
            assert_eq!(trains[0].marking, Marking::Unmarked);
            assert_eq!(queue.counters(), QueueCounters::default());
        }
    }
}
