//! Several senders to one host, in virtual time: they meet in the queue before it.

use std::rc::Rc;
use std::time::Duration;

use super::{Lane, Link, Pair};
use crate::message::credits::Credits;
use crate::message::{Failure, Parameters};

/// Pairs whose receiving ends are one host's.
#[derive(Debug)]
pub(crate) struct Incast {
    pub(crate) pairs: Vec<Pair>,
    /// What the receiving host lets all have in flight together.
    credits: Option<Credits>,
    /// The most that all were ever allowed together.
    pub(crate) most_allowed: u64,
}

impl Incast {
    /// So many senders behind one lane.
    pub(crate) fn new(
        senders: usize,
        parameters: &Parameters,
        lane: Lane,
        credits: Option<u64>,
    ) -> Self {
        let link = |seed| Link {
            lanes: vec![lane],
            seed,
        };
        let mut pairs: Vec<_> = (0..senders)
            .map(|sender| Pair::new(parameters, link(sender as u64)))
            .collect();
        for index in 1..pairs.len() {
            pairs[index].busy_until = Rc::clone(&pairs[0].busy_until);
        }
        Self {
            pairs,
            credits: credits.map(Credits::new),
            most_allowed: 0,
        }
    }

    /// So many of them each send these messages; answers how long it took until all had arrived.
    pub(crate) fn transfer(
        &mut self,
        senders: usize,
        messages: &[Vec<u8>],
        patience: Duration,
    ) -> Result<Duration, Failure> {
        let start = self.pairs[0].now;
        for pair in &mut self.pairs[..senders] {
            for message in messages {
                pair.sender.push(pair.now, message);
            }
        }
        loop {
            if let Some(credits) = &mut self.credits {
                credits.share(self.pairs.iter_mut().map(|pair| &mut pair.receiver));
                let allowed = self.pairs.iter().map(|pair| pair.receiver.allowance);
                self.most_allowed = self.most_allowed.max(allowed.sum());
            }
            for pair in &mut self.pairs {
                pair.act()?;
            }
            let waited = self.pairs[0].now.since(start);
            if self.pairs.iter().all(|pair| pair.sender.is_drained()) || waited > patience {
                return Ok(waited);
            }
            let next = self.pairs.iter().map(Pair::next).min();
            for pair in &mut self.pairs {
                pair.move_on(next.expect("there is a pair"))?;
            }
        }
    }

    /// Packets that found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.pairs.iter().map(|pair| pair.dropped).sum()
    }
}
