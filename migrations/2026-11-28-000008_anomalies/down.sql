DROP INDEX audit_events_denied_address;
DROP INDEX webhook_events_alert;
ALTER TABLE webhook_events DROP COLUMN alert_id;
DROP INDEX alerts_subject;
DROP INDEX alerts_unresolved;
ALTER TABLE alerts
    DROP COLUMN busy_at,
    DROP COLUMN acknowledged_operator,
    DROP COLUMN action_taken,
    DROP COLUMN escalations,
    DROP COLUMN escalated_at;
DROP TABLE alert_settings;
DROP TABLE key_places;
DROP TABLE usage_hours;
DROP TABLE usage_seconds;
