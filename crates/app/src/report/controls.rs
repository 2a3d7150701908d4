//! Which part of a report is evidence to which of the Trust Services Criteria.

use super::content::{Control, Evidence};

const fn shows(part: &'static str, shows: &'static str) -> Evidence {
    Evidence { part, shows }
}

/// The criteria, each with its parts.
pub(super) fn mapping() -> Vec<Control> {
    let control = |control, about, parts| Control { control, about, parts };
    vec![
        control(
            "CC6.1",
            "Logical access is restricted to those who are authorized",
            vec![
                shows("keys", "each key, what it may do, who made it, when it ends"),
                shows("rotations", "secrets are replaced"),
                shows("long_lived", "no secret outlives its limit"),
                shows("access", "members with their roles, and every change of access with who made it"),
            ],
        ),
        control(
            "CC6.6",
            "Access from outside is protected against threats",
            vec![
                shows("keys", "the networks to which keys are held"),
                shows("alerts", "uses that were refused for their address"),
                shows("access", "refused sign-ins"),
            ],
        ),
        control(
            "CC6.8",
            "Unauthorized software is prevented or found and acted upon",
            vec![
                shows("access", "apps that were registered, changed or removed, and what people let them do"),
                shows("alerts", "credentials that were leaked or used after their end"),
                shows("trail", "nothing has altered the records"),
            ],
        ),
        control(
            "CC7.2",
            "Systems are watched for anomalies",
            vec![
                shows("alerts", "what the rules have found"),
                shows("service_alerts", "what was found about the service itself"),
                shows("trail", "the records on which the rules work are whole"),
            ],
        ),
        control(
            "CC7.3",
            "Events are evaluated",
            vec![
                shows("alerts", "who took each alert, and after how long"),
                shows("service_alerts", "the same for those of the service"),
            ],
        ),
        control(
            "CC7.4",
            "Incidents are responded to",
            vec![
                shows("alerts", "how each alert was closed, by whom, and after how long"),
                shows("access", "keys and grants that were ended"),
                shows("webhooks", "whether those who had to know were told"),
            ],
        ),
    ]
}
