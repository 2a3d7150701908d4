//! What is told to the outside, and in which form (keys §9). A closed list of stable words, like the trail's own.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Reads the word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }
    };
}

words! {
    /// The type of an event that endpoints can subscribe to.
    EventType {
        /// A key was made.
        KeyCreated = "key.created",
        /// A key got its next version from a person.
        KeyRotated = "key.rotated",
        /// A key was ended for good.
        KeyRevoked = "key.revoked",
        /// A key was switched off.
        KeyDisabled = "key.disabled",
        /// A key's end comes near: 30, 14, 7, 3 and 1 days.
        KeyExpiring = "key.expiring",
        /// Nobody uses a key; it is switched off in two weeks.
        KeyUnused = "key.unused",
        /// A key has reached its end.
        KeyExpired = "key.expired",
        /// The recipient of a key's sealed successors was set, changed or taken away.
        KeyRecipientChanged = "key.recipient_changed",
        /// A key's successor waits to be picked up.
        KeySuccessorReady = "key.successor_ready",
        /// A key's successor was picked up.
        KeySuccessorClaimed = "key.successor_claimed",
        /// A live key was reported as leaked.
        KeyLeaked = "key.leaked",
        /// The end of a client secret comes near: 7 and 1 days.
        AppSecretExpiring = "app.secret_expiring",
        /// A refresh token was used twice.
        RefreshReuseDetected = "oauth.refresh_reuse_detected",
        /// An alert was opened.
        AlertOpened = "alert.opened",
        /// An alert was resolved.
        AlertResolved = "alert.resolved",
        /// A checkpoint of the audit trail was signed.
        AuditCheckpoint = "audit.checkpoint",
        /// Somebody tries an endpoint.
        WebhookTest = "webhook.test",
    }
}

words! {
    /// The form in which an endpoint gets its events.
    EndpointKind {
        /// Standard Webhooks 1.0.0.
        Standard = "standard",
        /// Slack's incoming webhooks.
        Slack = "slack",
    }
}

words! {
    /// Why an endpoint gets nothing any more.
    DisabledReason {
        /// Somebody switched it off.
        Person = "person",
        /// It answered 410.
        Gone = "gone",
        /// It has failed for five days.
        Failing = "failing",
    }
}

words! {
    /// How one event on its way to one endpoint stands.
    DeliveryStatus {
        /// An attempt is due or under way.
        Pending = "pending",
        /// It was answered by a 2xx.
        Succeeded = "succeeded",
        /// No attempt follows, unless somebody asks for one.
        Failed = "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        assert!(EventType::ALL.iter().all(|kind| EventType::from_word(kind.as_str()) == Some(*kind)));
    }

    #[test]
    fn another_case_is_another_word() {
        assert_eq!(EventType::from_word("Key.created"), None);
    }
}
