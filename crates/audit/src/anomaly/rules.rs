//! The rules that open alerts, as data. A change of what a rule means, or of its threshold, raises its version: the evidence
//! of an alert names the version by which it was opened.

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Low,
    /// To be looked at.
    Medium,
    /// To be looked at today.
    High,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// All of them, the least urgent first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Reads the stable word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

/// What the number of an alert means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Happenings since it was opened: each one adds.
    Happenings,
    /// The most that was seen within the rule's window: instances that see the same add nothing.
    Peak,
}

/// What a rule says.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The stable word.
    pub word: &'static str,
    /// Of wording and thresholds.
    pub version: u32,
    /// A rate opens at more than this, happenings at as many.
    pub threshold: u64,
    /// Within which time, in seconds; 0 where the first happening opens.
    pub window_seconds: u32,
    /// See [`Counting`].
    pub counting: Counting,
    /// Severity, and from which count on it is a higher one.
    pub severity: (Severity, Option<(i64, Severity)>),
    /// The criteria of SOC 2 (Trust Services Criteria) to which it is evidence.
    pub controls: &'static [&'static str],
    /// What it tells of, for people.
    pub title: &'static str,
    /// What to do, for people.
    pub advice: &'static str,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $rule:expr,)+) => {
        /// A rule that opens alerts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum AlertRule { $($(#[$doc])* $variant,)+ }

        impl AlertRule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// What it says.
            #[must_use]
            pub const fn rule(self) -> &'static Rule {
                match self { $(Self::$variant => const { &$rule },)+ }
            }
        }
    };
}

/// A rule whose first happening opens an alert.
const FIRST: Rule = Rule {
    word: "",
    version: 1,
    threshold: 1,
    window_seconds: 0,
    counting: Counting::Happenings,
    severity: (Severity::High, None),
    controls: &["CC6.1", "CC7.2"],
    title: "",
    advice: "",
};

rules! {
    /// A key makes more than 5,000 calls in any 60 s.
    CallRate = Rule {
        word: "call_rate",
        version: 1,
        threshold: 5_000,
        window_seconds: 60,
        counting: Counting::Peak,
        severity: (Severity::High, None),
        controls: &["CC7.2", "CC7.3"],
        title: "Calls far above what one key may need",
        advice: "Look at the sources and routes of the key's calls; set a rate limit, or disable the key if nobody knows them.",
    },
    /// A key makes several times as many calls a minute as it usually does.
    RateAboveUsual = Rule {
        word: "rate_above_usual",
        version: 1,
        threshold: 10,
        window_seconds: 60,
        counting: Counting::Peak,
        severity: (Severity::Low, None),
        controls: &["CC7.2"],
        title: "Calls far above what this key usually makes",
        advice: "Ask the holder whether something new uses the key; set a rate limit near its usual rate.",
    },
    /// A key was refused for scope.
    OutOfScope = Rule {
        word: "out_of_scope",
        severity: (Severity::Medium, Some((100, Severity::High))),
        title: "Calls outside of the declared scope",
        advice: "Compare the refused routes with what the key is for: grant the scope if it is missing, rotate the key if the calls are not the holder's.",
        ..FIRST
    },
    /// A key was refused for its address, again and again.
    IpDenied = Rule {
        word: "ip_denied",
        threshold: 5,
        window_seconds: 600,
        controls: &["CC6.6", "CC7.2"],
        title: "Calls from addresses that are not on the allowlist",
        advice: "Add the network if it is yours; otherwise somebody else has the key: rotate it.",
        ..FIRST
    },
    /// An accepted call came from a country from which this key has not been used for 30 days.
    NewCountry = Rule {
        word: "new_country",
        severity: (Severity::Low, None),
        controls: &["CC7.2"],
        title: "First use from another country",
        advice: "Ask the holder whether the key is used there; an allowlist would have refused the call.",
        ..FIRST
    },
    /// Two accepted calls came from places that are too far apart for the time between them.
    ImpossibleTravel = Rule {
        word: "impossible_travel",
        severity: (Severity::Medium, None),
        controls: &["CC6.1", "CC7.2"],
        title: "Use from two places at once",
        advice: "Two holders use the key. If only one of them is known, rotate it; give each place a key of its own.",
        ..FIRST
    },
    /// A key that nobody has used for 30 days was used.
    DormantKeyUsed = Rule {
        word: "dormant_key_used",
        severity: (Severity::Medium, None),
        controls: &["CC6.1", "CC7.2"],
        title: "A key that slept was used",
        advice: "Ask the holder whether the use is theirs; revoke keys that are no longer needed.",
        ..FIRST
    },
    /// The token of a rotated-away version was used after its end.
    RotatedKeyUsed = Rule {
        word: "rotated_key_used",
        title: "A token that was rotated away was used",
        advice: "Find the deployment that still has the old token; if there is none, somebody has copied it.",
        ..FIRST
    },
    /// The token of a revoked key was used.
    RevokedKeyUsed = Rule {
        word: "revoked_key_used",
        severity: (Severity::Medium, None),
        title: "A revoked key was used",
        advice: "Remove the token from where it is still deployed; an unknown source has copied it.",
        ..FIRST
    },
    /// A live credential was reported as leaked.
    LeakedKey = Rule {
        word: "leaked_key",
        severity: (Severity::Critical, None),
        controls: &["CC6.1", "CC7.3", "CC7.4"],
        title: "A live credential was found in public",
        advice: "It is revoked. Look through its calls since it was published, and replace it where it was used.",
        ..FIRST
    },
    /// A honeytoken was used.
    CanaryUsed = Rule {
        word: "canary_used",
        severity: (Severity::Critical, None),
        controls: &["CC6.1", "CC7.3", "CC7.4"],
        title: "A honeytoken was used",
        advice: "Somebody has read the place where it lies. Replace every secret that lies there, and look for how they came in.",
        ..FIRST
    },
    /// A live key stood in a URL.
    CredentialInUrl = Rule {
        word: "credential_in_url",
        severity: (Severity::Medium, None),
        controls: &["CC6.1", "CC7.3", "CC7.4"],
        title: "A live key stood in a URL",
        advice: "URLs end in logs: rotate the key, and let the caller send it in the header `Authorization`.",
        ..FIRST
    },
    /// A stored hash doesn't fit its token or isn't one of ours, or the audit trail contradicts itself: somebody has changed
    /// the table.
    Integrity = Rule {
        word: "integrity",
        severity: (Severity::Critical, None),
        controls: &["CC7.2", "CC7.3"],
        title: "Stored data was changed by somebody else",
        advice: "Keep the database as it is, find out who could write to it, and verify the trail against a copy of the checkpoints.",
        ..FIRST
    },
    /// A refresh token that was used before was used again.
    RefreshReuse = Rule {
        word: "refresh_reuse",
        title: "A refresh token was used twice",
        advice: "The grant is revoked. Ask the app's publisher whether it stores tokens safely; the user authorizes it anew.",
        ..FIRST
    },
    /// An authorization code that was redeemed was presented again, with everything that belongs to it.
    CodeReplay = Rule {
        word: "code_replay",
        title: "An authorization code was used twice",
        advice: "Its tokens are revoked. Look for how codes leave the app: referrers, logs, or an open redirect.",
        ..FIRST
    },
    /// Many people have authorized an app that is new.
    ConsentSurge = Rule {
        word: "consent_surge",
        threshold: 10,
        window_seconds: 86_400,
        controls: &["CC6.1", "CC6.8", "CC7.2"],
        title: "Many people authorize a new app",
        advice: "Look at the app's publisher, scopes and redirect addresses; suspend it if it passes itself off as another.",
        ..FIRST
    },
    /// One network tries made-up tokens.
    UnknownTokens = Rule {
        word: "unknown_tokens",
        version: 1,
        threshold: 1_000,
        window_seconds: 60,
        counting: Counting::Peak,
        severity: (Severity::Medium, None),
        controls: &["CC6.6", "CC7.2"],
        title: "One network tries tokens",
        advice: "Guessing a token is hopeless, but it costs you: let the proxy refuse the network.",
    },
    /// Events were lost.
    AuditGap = Rule {
        word: "audit_gap",
        severity: (Severity::Critical, None),
        controls: &["CC7.2", "A1.2"],
        title: "Audit events were lost",
        advice: "The gap record says how many and when; look at the disk of the instance and at the quarantine.",
        ..FIRST
    },
    /// What watches, or tells people, doesn't work.
    WatchImpaired = Rule {
        word: "watch_impaired",
        controls: &["CC7.2", "A1.2"],
        title: "The watch itself is impaired",
        advice: "The evidence names what fails; until it works, look at what it would tell by hand.",
        ..FIRST
    },
}

impl AlertRule {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.rule().word
    }

    /// Reads the stable word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.as_str() == word)
    }

    /// The severity at a count.
    #[must_use]
    pub const fn severity(self, count: i64) -> Severity {
        match self.rule().severity {
            (_, Some((from, higher))) if count >= from => higher,
            (severity, _) => severity,
        }
    }

    /// See [`Rule::controls`].
    #[must_use]
    pub const fn controls(self) -> &'static [&'static str] {
        self.rule().controls
    }

    /// The count of an alert that was at `held` and is told `fresh` more.
    #[must_use]
    pub fn counted(self, held: i64, fresh: i64) -> i64 {
        match self.rule().counting {
            Counting::Happenings => held.saturating_add(fresh),
            Counting::Peak => held.max(fresh),
        }
    }

    /// Whether a threshold of an organization's own means something: those of single happenings are facts, not rates, and
    /// whoever tries tokens belongs to no organization.
    #[must_use]
    pub const fn has_threshold(self) -> bool {
        self.rule().window_seconds > 0 && !matches!(self, Self::UnknownTokens)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// spec: audit A27
    #[test]
    fn a_hundred_refusals_for_scope_are_of_high_severity() {
        let severities = [1, 99, 100].map(|count| AlertRule::OutOfScope.severity(count));
        assert_eq!(severities, [Severity::Medium, Severity::Medium, Severity::High]);
    }

    #[test]
    fn every_rule_has_a_word_of_its_own_and_is_read_back() {
        let words: HashSet<_> = AlertRule::ALL.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(words.len(), AlertRule::ALL.len());
        assert!(AlertRule::ALL.iter().all(|rule| AlertRule::from_word(rule.as_str()) == Some(*rule)));
    }

    #[test]
    fn every_rule_says_what_to_do_and_for_which_control_it_is_evidence() {
        let silent = |rule: &&AlertRule| {
            let rule = rule.rule();
            rule.title.is_empty() || !rule.advice.ends_with('.') || rule.controls.is_empty() || rule.version == 0
        };
        assert_eq!(AlertRule::ALL.iter().find(silent), None);
    }

    #[test]
    fn an_organization_sets_thresholds_of_what_belongs_to_it() {
        let set: Vec<&str> =
            AlertRule::ALL.iter().filter(|rule| rule.has_threshold()).map(|rule| rule.as_str()).collect();
        assert_eq!(set, ["call_rate", "rate_above_usual", "ip_denied", "consent_surge"]);
    }

    #[test]
    fn a_rate_that_several_instances_see_is_counted_once() {
        let counted = [AlertRule::CallRate, AlertRule::OutOfScope].map(|rule| rule.counted(5_001, 5_001));
        assert_eq!(counted, [5_001, 10_002]);
    }
}
