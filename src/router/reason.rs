//! Why a request could not be served in time, in the words that its client gets.
//!
//! Owns the choice among the texts when no node has given one. Must not decide when to give up.

use super::Router;
use crate::backend::TurnedAway;
use crate::reply::texts;
use crate::slot::Slot;

impl Router {
    /// The master of the slot could not be reached.
    pub(super) fn why_unreachable(&self, slot: Slot) -> &'static str {
        let shard = self.map.borrow().shard_of(slot);
        let turned_away = shard.and_then(|shard| {
            self.masters.iter().find_map(|masters| {
                let masters = masters.borrow();
                masters.get(shard)?.as_ref()?.turned_away()
            })
        });
        turned_away.map_or(texts::UNREACHABLE, text)
    }

    /// No node serves the slot, as far as the gateway has been told.
    pub(super) fn why_not_served(&self) -> &'static str {
        self.topology.turned_away().map_or(texts::NOT_SERVED, text)
    }

    /// Some slots are not served, and a command wants them all.
    pub fn why_not_complete(&self) -> &'static str {
        self.topology.turned_away().map_or(texts::NOT_COMPLETE, text)
    }
}

/// What a node that turns the gateway away means to a client.
pub(super) fn text(why: TurnedAway) -> &'static str {
    match why {
        TurnedAway::Credentials => texts::NODE_CREDENTIALS,
        TurnedAway::NoCredentials => texts::NODE_NO_CREDENTIALS,
        TurnedAway::Full => texts::NODE_FULL,
    }
}
