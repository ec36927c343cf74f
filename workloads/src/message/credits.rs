//! Credits against incast: what all senders to one host together may have in flight.
//!
//! Whoever sends shares them evenly. A share grows by what arrives, as a window in slow start does, and shrinks at once: of senders
//! that begin together, the first would else be given what the others are about to take. Who is silent may begin with what it had
//! if all sent; so there may be twice the credits in flight for a round trip, where one sends and all others begin, and
//! not more.

use super::receiver::Receiver;

/// What is shared, and what has come so far: the clock by which a sender is silent.
#[derive(Debug)]
pub(crate) struct Credits {
    bytes: u64,
    came: u64,
}

/// What the credits know of one sender.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Bytes that came since they were last shared.
    pub(super) fresh: u64,
    /// What had come of all when this one was last heard.
    heard: Option<u64>,
}

impl Credits {
    /// So many bytes for all.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { bytes, came: 0 }
    }

    /// Sets what each may have in flight.
    pub(crate) fn share<'a>(&mut self, receivers: impl Iterator<Item = &'a mut Receiver>) {
        let mut receivers: Vec<_> = receivers.collect();
        let first = (self.bytes / receivers.len().max(1) as u64).max(1);
        for receiver in &mut receivers {
            let fresh = self.hear(&mut receiver.account);
            receiver.allowance = receiver.allowance.saturating_add(fresh).max(first);
        }
        let sends = |receiver: &Receiver| receiver.is_receiving() || self.hears(&receiver.account);
        let sending = receivers.iter().filter(|receiver| sends(receiver)).count();
        let share = (self.bytes / sending.max(1) as u64).max(1);
        for receiver in receivers {
            let most = if sends(receiver) { share } else { first };
            receiver.allowance = receiver.allowance.min(most);
        }
    }

    /// Takes what has come of one since the last time.
    fn hear(&mut self, account: &mut Account) -> u64 {
        let fresh = std::mem::take(&mut account.fresh);
        self.came += fresh;
        if fresh > 0 {
            account.heard = Some(self.came);
        }
        fresh
    }

    /// Whether one was heard since all brought what may be in flight: between two messages, a sender is not silent.
    fn hears(&self, account: &Account) -> bool {
        account
            .heard
            .is_some_and(|heard| self.came - heard <= self.bytes)
    }
}
