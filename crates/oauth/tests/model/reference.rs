//! What the spec says, in as few words as it takes: numbers for times, bits for scopes, no type of the crate.

use crate::world::{Answer, How};

const DAY: i64 = 86_400;

/// The chain of one grant.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    scopes: u8,
    pkce: bool,
    decided: i64,
    redeemed: bool,
    ended: bool,
    /// When each refresh token was issued; the last one is the current one.
    issued: Vec<i64>,
    /// When the one before the last was used, if its successor was kept for a retry.
    retry_from: Option<i64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) now: i64,
    pub(crate) app_scopes: u8,
    pub(crate) window: i64,
    pub(crate) active: bool,
    pub(crate) member: bool,
    pub(crate) valid_from: i64,
    pub(crate) chains: Vec<Chain>,
}

impl Reference {
    pub(crate) fn consent(&mut self, scopes: u8, pkce: bool) {
        let decided = self.now;
        let chain =
            Chain { scopes, pkce, decided, redeemed: false, ended: false, issued: Vec::new(), retry_from: None };
        self.chains.push(chain);
    }

    pub(crate) fn revoke(&mut self, chain: usize) {
        self.chains[chain].ended = true;
    }

    fn lives(&self, chain: &Chain) -> bool {
        !chain.ended && self.member && chain.decided >= self.valid_from && self.now < chain.decided + 180 * DAY
    }

    pub(crate) fn redeem(&mut self, chain: usize, how: How) -> Answer {
        let held = &self.chains[chain];
        // Without a challenge the right way is to send no verifier.
        let fits = how == How::Right || (how == How::NoVerifier && !held.pkce);
        if !self.active || !fits {
            return Answer::Refuse;
        }
        if held.redeemed {
            self.chains[chain].ended = true;
            return Answer::Kill;
        }
        let scopes = held.scopes & self.app_scopes;
        if self.now >= held.decided + 300 || !self.lives(held) || scopes == 0 {
            return Answer::Refuse;
        }
        self.chains[chain].redeemed = true;
        self.chains[chain].issued.push(self.now);
        Answer::Issue { scopes }
    }

    /// How many refresh tokens a chain has had.
    pub(crate) fn count(&self, chain: usize) -> usize {
        self.chains[chain].issued.len()
    }

    pub(crate) fn refresh(&mut self, chain: usize, number: usize, asked: Option<u8>, how: How) -> Answer {
        let held = &self.chains[chain];
        if !self.active || matches!(how, How::OtherApp | How::WrongSecret) || !self.lives(held) {
            return Answer::Refuse;
        }
        let last = held.issued.len() - 1;
        let open = held.retry_from.is_some_and(|from| self.now < from + self.window);
        if number < last && !(number + 1 == last && open) {
            self.chains[chain].ended = true;
            return Answer::Kill;
        }
        if number == last && self.now >= held.issued[last] + 30 * DAY {
            return Answer::Refuse;
        }
        let scopes = match asked {
            None => held.scopes & self.app_scopes,
            Some(asked) if asked & !(held.scopes & self.app_scopes) == 0 => asked,
            Some(_) => 0,
        };
        if scopes == 0 || how == How::ForeignResource {
            return Answer::Refuse;
        }
        if number < last {
            return Answer::Retry { scopes };
        }
        let (now, window) = (self.now, self.window);
        let held = &mut self.chains[chain];
        held.issued.push(now);
        held.retry_from = (window > 0).then_some(now);
        Answer::Issue { scopes }
    }
}
