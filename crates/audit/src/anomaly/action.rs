//! What the opening of an alert may do to its key by itself. Off unless an organization says so.

use super::rules::AlertRule;

/// What is done to the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlertAction {
    /// Nothing.
    #[default]
    None,
    /// It is switched off.
    DisableKey,
    /// It may make that many calls a minute, at most.
    LimitRate(u32),
}

/// Calls a minute to which a key can be narrowed.
pub const LIMIT: std::ops::RangeInclusive<i64> = 1..=1_000_000;

impl AlertAction {
    /// The stable words.
    pub const WORDS: [&str; 3] = ["none", "disable_key", "limit_rate"];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::DisableKey => "disable_key",
            Self::LimitRate(_) => "limit_rate",
        }
    }

    /// Calls a minute, where it has a limit.
    #[must_use]
    pub const fn limit(self) -> Option<u32> {
        match self {
            Self::LimitRate(limit) => Some(limit),
            Self::None | Self::DisableKey => None,
        }
    }

    /// Reads the word with its limit; none for an unknown word, and where the limit is missing, needless or out of bounds.
    #[must_use]
    pub fn from_words(word: &str, limit: Option<i64>) -> Option<Self> {
        match (word, limit) {
            ("none", None) => Some(Self::None),
            ("disable_key", None) => Some(Self::DisableKey),
            ("limit_rate", Some(limit)) if LIMIT.contains(&limit) => u32::try_from(limit).ok().map(Self::LimitRate),
            _ => None,
        }
    }
}

impl AlertRule {
    /// Whether its opening may do something to the key: only what a stranger with the token brings about. The others tell of
    /// something that has ended the key already, or that is nobody's misuse of it.
    #[must_use]
    pub const fn takes_action(self) -> bool {
        matches!(
            self,
            Self::CallRate
                | Self::RateAboveUsual
                | Self::OutOfScope
                | Self::IpDenied
                | Self::ImpossibleTravel
                | Self::DormantKeyUsed
                | Self::RotatedKeyUsed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_belongs_to_the_narrowing_of_a_rate_alone() {
        let read = [("limit_rate", Some(60)), ("limit_rate", None), ("disable_key", Some(60)), ("limit_rate", Some(0))]
            .map(|(word, limit)| AlertAction::from_words(word, limit));
        assert_eq!(read, [Some(AlertAction::LimitRate(60)), None, None, None]);
    }

    #[test]
    fn a_word_is_read_back() {
        let all = [AlertAction::None, AlertAction::DisableKey, AlertAction::LimitRate(7)];
        let read = all.map(|action| AlertAction::from_words(action.as_str(), action.limit().map(i64::from)));
        assert_eq!(read, all.map(Some));
        assert_eq!(all.map(AlertAction::as_str), AlertAction::WORDS);
    }
}
