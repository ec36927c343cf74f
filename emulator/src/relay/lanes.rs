//! Which lane of a link a packet takes.

use std::time::Duration;

use longhaul_topologies::model::{Direction, LaneState, Spread};

use super::traffic::mix;

/// What is known of a lane when a packet has to take one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneView {
    pub(super) state: LaneState,
    /// How long a packet that came now would wait for its line.
    pub(super) backlog: Duration,
}

/// The choice among the lanes of one link in one direction.
#[derive(Clone, Debug)]
pub(super) struct LaneChooser {
    spread: Spread,
    /// Mixed into every flow's hash.
    salt: u64,
    /// Where round robin goes on.
    turn: usize,
}

impl LaneChooser {
    /// For `link` in a lab seeded with `seed`: the same flows take the same lanes again.
    pub(super) fn new(spread: Spread, seed: u64, link: usize, direction: Direction) -> Self {
        let of_link = mix(seed ^ mix(link as u64));
        let salt = match spread {
            Spread::FlowHash => mix(of_link ^ (direction as u64 + 1)),
            Spread::SymmetricFlowHash | Spread::RoundRobin | Spread::LeastQueue => of_link,
        };
        LaneChooser {
            spread,
            salt,
            turn: 0,
        }
    }

    /// Whether all packets of a flow take the same lane.
    pub(super) fn keeps_flows_together(&self) -> bool {
        match self.spread {
            Spread::FlowHash | Spread::SymmetricFlowHash => true,
            Spread::RoundRobin | Spread::LeastQueue => false,
        }
    }

    /// Whether it goes by what waits on each lane.
    pub(super) fn watches_queues(&self) -> bool {
        self.spread == Spread::LeastQueue
    }

    /// The lane for a packet of `flow`. Lanes that are down are left out, as a router leaves out a port without carrier;
    /// if all are down, the first gets (and loses) it. Flows whose lane is up stay on it.
    pub(super) fn choose(&mut self, flow: u32, lanes: &[LaneView]) -> usize {
        let is_up = |&(_, lane): &(usize, &LaneView)| lane.state == LaneState::Up;
        let up = || lanes.iter().enumerate().filter(is_up);
        let chosen = match self.spread {
            // The greatest of one hash per lane (Thaler and Ravishankar 1998; "highest random weight" in RFC 2992): a lane
            // that fails moves only its own flows.
            Spread::FlowHash | Spread::SymmetricFlowHash => {
                up().max_by_key(|&(lane, _)| mix(self.salt ^ u64::from(flow) ^ (lane as u64) << 32))
            }
            Spread::RoundRobin => {
                let count = up().count().max(1);
                let turn = self.turn % count;
                self.turn = turn + 1;
                up().nth(turn)
            }
            Spread::LeastQueue => {
                // Of equal ones each gets its turn.
                let least = up().map(|(_, lane)| lane.backlog).min();
                let turn = self.turn;
                let chosen = up()
                    .filter(|(_, lane)| Some(lane.backlog) == least)
                    .min_by_key(|&(lane, _)| (lane + lanes.len() - turn) % lanes.len());
                self.turn = chosen.map_or(0, |(lane, _)| (lane + 1) % lanes.len());
                chosen
            }
        };
        chosen.map_or(0, |(lane, _)| lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: LaneView = LaneView {
        state: LaneState::Up,
        backlog: Duration::ZERO,
    };
    const DOWN: LaneView = LaneView {
        state: LaneState::Down,
        ..UP
    };

    fn chooser(spread: Spread, direction: Direction) -> LaneChooser {
        LaneChooser::new(spread, 7, 3, direction)
    }

    /// Lanes of flows 0 to 999.
    fn of_flows(mut chooser: LaneChooser, lanes: &[LaneView]) -> Vec<usize> {
        (0..1000).map(|flow| chooser.choose(flow, lanes)).collect()
    }

    #[test]
    fn flows_are_spread_evenly_and_stay_where_they_are() {
        let lanes = of_flows(chooser(Spread::FlowHash, Direction::Forward), &[UP; 4]);
        for lane in 0..4 {
            let share = lanes.iter().filter(|&&taken| taken == lane).count();
            assert!(share.abs_diff(250) < 60, "{share} flows on lane {lane}");
        }
        assert_eq!(
            lanes,
            of_flows(chooser(Spread::FlowHash, Direction::Forward), &[UP; 4])
        );
    }

    #[test]
    fn directions_hash_alike_only_if_asked() {
        let [there, back] =
            Direction::BOTH.map(|way| of_flows(chooser(Spread::SymmetricFlowHash, way), &[UP; 4]));
        assert_eq!(there, back);
        let [there, back] =
            Direction::BOTH.map(|way| of_flows(chooser(Spread::FlowHash, way), &[UP; 4]));
        let same = there.iter().zip(&back).filter(|(a, b)| a == b).count();
        assert!(same.abs_diff(250) < 60, "{same}");
    }

    #[test]
    fn a_lane_that_fails_moves_only_its_own_flows_and_gets_them_back() {
        let all = of_flows(chooser(Spread::FlowHash, Direction::Forward), &[UP; 4]);
        let without = of_flows(
            chooser(Spread::FlowHash, Direction::Forward),
            &[UP, UP, DOWN, UP],
        );
        for (before, after) in all.iter().zip(&without) {
            assert_ne!(*after, 2);
            assert!(*before == 2 || before == after);
        }
    }

    #[test]
    fn round_robin_takes_turns_and_leaves_out_what_is_down() {
        let mut chooser = chooser(Spread::RoundRobin, Direction::Forward);
        let taken: Vec<_> = (0..5).map(|_| chooser.choose(9, &[UP; 3])).collect();
        assert_eq!(taken, [0, 1, 2, 0, 1]);
        let taken: Vec<_> = (0..4).map(|_| chooser.choose(9, &[UP, DOWN, UP])).collect();
        assert_eq!(taken, [0, 2, 0, 2]);
    }

    #[test]
    fn the_least_queue_gets_the_packet_and_equal_ones_take_turns() {
        let mut chooser = chooser(Spread::LeastQueue, Direction::Forward);
        let busy = |microseconds| LaneView {
            backlog: Duration::from_micros(microseconds),
            ..UP
        };
        assert_eq!(chooser.choose(1, &[busy(5), busy(3), busy(4)]), 1);
        let taken: Vec<_> = (0..4).map(|_| chooser.choose(1, &[UP; 3])).collect();
        assert_eq!(taken, [2, 0, 1, 2]);
    }

    #[test]
    fn where_all_are_down_the_first_takes_the_loss() {
        for spread in [Spread::FlowHash, Spread::RoundRobin, Spread::LeastQueue] {
            assert_eq!(chooser(spread, Direction::Forward).choose(1, &[DOWN; 3]), 0);
        }
    }
}
