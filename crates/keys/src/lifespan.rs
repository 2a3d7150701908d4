//! How long a key may live (keys §4): at creation, at a change, and again at every check.

use chrono::{DateTime, Duration, Utc};
use statuspulse_policy::Environment;

/// A day in seconds. Days are added in Rust: PostgreSQL's `interval '90 days'` is an hour off across a change of clocks.
pub const DAY_SECONDS: i64 = 86_400;

/// The longest lifespans that an organization allows, in days, never above those of the environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifespanCaps {
    /// Production: 1 to 90 days.
    pub production: u32,
    /// Staging: 1 to 365 days.
    pub staging: u32,
    /// Analytics: 1 to 90 days.
    pub analytics: u32,
}

impl Default for LifespanCaps {
    fn default() -> Self {
        Self {
            production: Environment::Production.max_lifespan_days(),
            staging: Environment::Staging.max_lifespan_days(),
            analytics: Environment::Analytics.max_lifespan_days(),
        }
    }
}

impl LifespanCaps {
    /// The cap of an environment in days. A stored value above the environment's own maximum gains nothing.
    #[must_use]
    pub fn days(&self, environment: Environment) -> u32 {
        let wanted = match environment {
            Environment::Production => self.production,
            Environment::Staging => self.staging,
            Environment::Analytics => self.analytics,
        };
        wanted.min(environment.max_lifespan_days())
    }

    /// The cap of an environment as a duration.
    #[must_use]
    pub fn lifespan(&self, environment: Environment) -> Duration {
        Duration::seconds(i64::from(self.days(environment)) * DAY_SECONDS)
    }

    /// Judges the days that a caller asks for; nothing asked for means the maximum.
    ///
    /// # Errors
    /// [`LifespanError`] when it is not from 1 to the maximum.
    pub fn choose(&self, environment: Environment, asked_days: Option<i64>) -> Result<Duration, LifespanError> {
        let max_days = self.days(environment);
        match asked_days {
            None => Ok(self.lifespan(environment)),
            Some(days) if (1..=i64::from(max_days)).contains(&days) => Ok(Duration::seconds(days * DAY_SECONDS)),
            Some(_) => Err(LifespanError { environment, max_days }),
        }
    }

    /// When a version really ends: at what was set, or at its creation plus today's cap, whichever comes first. So
    /// tightening the setting ends old keys too, without touching their rows.
    #[must_use]
    pub fn effective_end(
        &self,
        environment: Environment,
        created_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> DateTime<Utc> {
        expires_at.min(created_at + self.lifespan(environment))
    }
}

/// Judges the days that a caller asks for while the environment is unknown.
///
/// # Errors
/// [`NowhereAllowed`] for days that no environment allows.
pub fn judge_anywhere(asked_days: Option<i64>) -> Result<(), NowhereAllowed> {
    let max_days = Environment::ALL.map(Environment::max_lifespan_days).into_iter().max().unwrap_or_default();
    match asked_days {
        Some(days) if !(1..=i64::from(max_days)).contains(&days) => Err(NowhereAllowed { max_days }),
        _ => Ok(()),
    }
}

/// A lifespan outside the bounds of every environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key lives 1 to {max_days} days at most, less in some environments")]
pub struct NowhereAllowed {
    /// The longest of the environments' maxima, in days.
    pub max_days: u32,
}

/// A lifespan outside the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {} key lives 1 to {max_days} days", environment.as_str())]
pub struct LifespanError {
    /// The environment whose bound was broken.
    pub environment: Environment,
    /// Its maximum for this organization, in days.
    pub max_days: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec: keys K18
    #[test]
    fn a_production_key_lives_one_to_ninety_days() {
        let caps = LifespanCaps::default();
        let judged = [Some(91), Some(0), Some(-1), Some(i64::MAX), Some(1), Some(90), None]
            .map(|days| caps.choose(Environment::Production, days).is_ok());
        assert_eq!(judged, [false, false, false, false, true, true, true]);
    }

    #[test]
    fn without_an_environment_only_days_that_none_allows_are_refused() {
        let judged =
            [Some(366), Some(0), Some(i64::MIN), Some(1), Some(365), None].map(|days| judge_anywhere(days).is_ok());
        assert_eq!(judged, [false, false, false, true, true, true]);
    }

    /// spec: keys K19
    #[test]
    fn ninety_days_are_the_same_number_of_seconds_at_any_time_of_year() {
        let lifespan = LifespanCaps::default().choose(Environment::Production, Some(90)).unwrap();
        assert_eq!(lifespan.num_seconds(), 7_776_000);
    }

    #[test]
    fn an_organization_can_lower_but_not_raise_the_maximum() {
        let caps = LifespanCaps { production: 30, staging: 9_999, analytics: 90 };
        assert_eq!([caps.days(Environment::Production), caps.days(Environment::Staging)], [30, 365]);
    }

    /// spec: keys K21
    #[test]
    fn a_lowered_maximum_ends_keys_that_are_older() {
        let caps = LifespanCaps { production: 30, ..LifespanCaps::default() };
        let made = DateTime::UNIX_EPOCH;
        let end = caps.effective_end(Environment::Production, made, made + Duration::days(60));
        assert_eq!(end, made + Duration::days(30));
    }
}
