//! What becomes of an alert (audit §7): open, acknowledged, resolved. A resolved one stays as it is; what happens later
//! opens another.

use chrono::{DateTime, Duration, Utc};

use super::rules::{AlertRule, Counting, Severity};

/// Characters of the note with which an alert is resolved.
pub const NOTE: std::ops::RangeInclusive<usize> = 1..=2_000;
/// `call_rate` counts as over while it stays below this.
pub const CALM_BELOW: u64 = 4_000;
/// After that long a new happening opens another alert, even if the cause of one that a person has resolved never ceased.
pub const REOPENS_AFTER: Duration = Duration::minutes(15);

/// Where an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nobody has taken it.
    Open,
    /// Somebody looks after it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// How an alert ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// A person has closed it.
    Manual,
    /// Its cause has ceased for long enough.
    Automatic,
}

impl Resolution {
    /// Reads the contract's word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Manual, Self::Automatic].into_iter().find(|resolution| resolution.as_str() == word)
    }

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }
}

/// What of an alert decides its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// The rule.
    pub rule: AlertRule,
    /// Where it is.
    pub status: Status,
    /// Since when.
    pub opened_at: DateTime<Utc>,
    /// When its cause was last seen to go on.
    pub busy_at: DateTime<Utc>,
    /// How it ended, and when.
    pub resolved: Option<(Resolution, DateTime<Utc>)>,
}

/// The alert is resolved, and stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the alert is resolved; what happens later opens another one")]
pub struct AlreadyResolved;

impl Incident {
    /// Takes it. One that somebody has taken may be taken over.
    ///
    /// # Errors
    /// [`AlreadyResolved`].
    pub fn acknowledge(&self) -> Result<Status, AlreadyResolved> {
        match self.status {
            Status::Open | Status::Acknowledged => Ok(Status::Acknowledged),
            Status::Resolved => Err(AlreadyResolved),
        }
    }

    /// Closes it.
    ///
    /// # Errors
    /// [`AlreadyResolved`].
    pub fn resolve(&self) -> Result<Status, AlreadyResolved> {
        match self.status {
            Status::Open | Status::Acknowledged => Ok(Status::Resolved),
            Status::Resolved => Err(AlreadyResolved),
        }
    }

    /// Whether its cause has ceased for so long that it resolves itself.
    #[must_use]
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.status != Status::Resolved && now - self.busy_at >= quiet(self.rule)
    }

    /// Whether a happening of the same rule and subject still belongs to it although a person has resolved it: its cause has
    /// not ceased since. It is kept from opening another one.
    #[must_use]
    pub fn covers(&self, first_at: DateTime<Utc>) -> bool {
        let Some((Resolution::Manual, at)) = self.resolved else { return false };
        first_at - self.busy_at < ceased(self.rule) && first_at - at < REOPENS_AFTER
    }
}

/// How long a cause must have ceased until its alert resolves itself.
#[must_use]
pub const fn quiet(rule: AlertRule) -> Duration {
    match rule {
        AlertRule::CallRate => Duration::minutes(5),
        _ => Duration::hours(24),
    }
}

/// How long nothing may be seen of a cause until it counts as ceased once.
const fn ceased(rule: AlertRule) -> Duration {
    match rule.rule().counting {
        // Looked at each second, with room for a slow look.
        Counting::Peak => Duration::seconds(5),
        Counting::Happenings => Duration::seconds(60),
    }
}

/// When people are told again of an alert that nobody has taken, for the `told`th time; none when they were told often enough
/// or it is not worth it.
#[must_use]
pub fn escalates_at(severity: Severity, opened_at: DateTime<Utc>, told: i16) -> Option<DateTime<Utc>> {
    /// How often.
    const TIMES: i16 = 3;
    let first = match severity {
        Severity::Critical => Duration::minutes(15),
        Severity::High => Duration::hours(1),
        Severity::Medium => Duration::hours(24),
        Severity::Low => return None,
    };
    // Each pause is twice the one before.
    (0..TIMES).contains(&told).then(|| opened_at + first * ((1 << (told + 1)) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn incident(rule: AlertRule) -> Incident {
        Incident { rule, status: Status::Open, opened_at: at(0), busy_at: at(0), resolved: None }
    }

    fn resolved(rule: AlertRule, how: Resolution, when: i64) -> Incident {
        Incident { status: Status::Resolved, resolved: Some((how, at(when))), busy_at: at(when), ..incident(rule) }
    }

    /// spec: audit A28
    #[test]
    fn what_is_resolved_stays_resolved() {
        let steps = [Status::Open, Status::Acknowledged, Status::Resolved].map(|status| {
            let incident = Incident { status, ..incident(AlertRule::OutOfScope) };
            (incident.acknowledge().is_ok(), incident.resolve().is_ok())
        });
        assert_eq!(steps, [(true, true), (true, true), (false, false)]);
    }

    /// spec: audit A26
    #[test]
    fn a_rate_resolves_itself_after_five_calm_minutes_and_the_rest_after_a_day() {
        let over = |rule, seconds| incident(rule).is_over(at(seconds));
        assert_eq!([over(AlertRule::CallRate, 299), over(AlertRule::CallRate, 300)], [false, true]);
        assert_eq!([over(AlertRule::OutOfScope, 86_399), over(AlertRule::OutOfScope, 86_400)], [false, true]);
    }

    #[test]
    fn a_cause_that_goes_on_does_not_open_another_alert_as_soon_as_one_is_resolved() {
        let excess = resolved(AlertRule::CallRate, Resolution::Manual, 0);
        assert_eq!([excess.covers(at(1)), excess.covers(at(5))], [true, false]);
        let goes_on = Incident { busy_at: at(899), ..excess };
        assert_eq!([goes_on.covers(at(899)), goes_on.covers(at(900))], [true, false]);
    }

    #[test]
    fn what_has_resolved_itself_covers_nothing() {
        assert!(!resolved(AlertRule::CallRate, Resolution::Automatic, 0).covers(at(1)));
    }

    #[test]
    fn people_are_told_again_at_growing_pauses() {
        let minutes = |severity| {
            (0..5).map(|told| escalates_at(severity, at(0), told).map(|when| (when - at(0)).num_minutes())).collect()
        };
        let expected: Vec<Option<i64>> = vec![Some(15), Some(45), Some(105), None, None];
        let told: Vec<Option<i64>> = minutes(Severity::Critical);
        assert_eq!((told, escalates_at(Severity::Low, at(0), 0)), (expected, None));
    }
}
