CREATE UNLOGGED TABLE usage_seconds (
    key_id uuid NOT NULL,
    second bigint NOT NULL,
    instance uuid NOT NULL,
    calls bigint NOT NULL CHECK (calls > 0),
    PRIMARY KEY (key_id, second, instance)
);
CREATE INDEX usage_seconds_second ON usage_seconds (second);
COMMENT ON TABLE usage_seconds IS 'Calls of busy keys by second and instance, kept for five minutes; not logged, so that a crash empties it';
COMMENT ON COLUMN usage_seconds.key_id IS 'The key; no reference, since its counts are gone in minutes';
COMMENT ON COLUMN usage_seconds.second IS 'Seconds since 1970';
COMMENT ON COLUMN usage_seconds.instance IS 'The process that has counted';
COMMENT ON COLUMN usage_seconds.calls IS 'Calls that named the key in that second, whatever became of them';

CREATE TABLE usage_hours (
    key_id uuid NOT NULL REFERENCES keys (id),
    hour timestamptz NOT NULL,
    calls bigint NOT NULL CHECK (calls >= 0),
    refused bigint NOT NULL CHECK (refused >= 0),
    busiest_minute bigint NOT NULL CHECK (busiest_minute >= 0),
    PRIMARY KEY (key_id, hour)
);
CREATE INDEX usage_hours_hour ON usage_hours (hour);
COMMENT ON TABLE usage_hours IS 'Calls of each key by the hour: what is usual for it';
COMMENT ON COLUMN usage_hours.key_id IS 'The key';
COMMENT ON COLUMN usage_hours.hour IS 'Begin of the hour, UTC';
COMMENT ON COLUMN usage_hours.calls IS 'Calls that named it';
COMMENT ON COLUMN usage_hours.refused IS 'Those of them that were refused';
COMMENT ON COLUMN usage_hours.busiest_minute IS 'The most calls within a minute that one instance has counted';

CREATE TABLE key_places (
    key_id uuid NOT NULL REFERENCES keys (id),
    country text NOT NULL CHECK (char_length(country) = 2),
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    latitude double precision NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision NULL CHECK (longitude BETWEEN -180 AND 180),
    CHECK ((latitude IS NULL) = (longitude IS NULL)),
    PRIMARY KEY (key_id, country)
);
COMMENT ON TABLE key_places IS 'Countries from which calls of a key were accepted';
COMMENT ON COLUMN key_places.key_id IS 'The key';
COMMENT ON COLUMN key_places.country IS 'Two letters, from the geo database';
COMMENT ON COLUMN key_places.first_seen_at IS 'First accepted call from there';
COMMENT ON COLUMN key_places.last_seen_at IS 'Last accepted call from there';
COMMENT ON COLUMN key_places.latitude IS 'Where the last one came from, in degrees; null when the geo database has no coordinates';
COMMENT ON COLUMN key_places.longitude IS 'See latitude';

CREATE TABLE alert_settings (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    rule text NOT NULL,
    key_id uuid NULL REFERENCES keys (id),
    threshold bigint NULL CHECK (threshold BETWEEN 1 AND 1000000000),
    action text NOT NULL DEFAULT 'none' CHECK (action IN ('none', 'disable_key', 'limit_rate')),
    action_limit int NULL CHECK (action_limit BETWEEN 1 AND 1000000),
    CHECK ((action = 'limit_rate') = (action_limit IS NOT NULL)),
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL
);
CREATE UNIQUE INDEX alert_settings_one
    ON alert_settings (organization_id, rule, coalesce(key_id, '00000000-0000-0000-0000-000000000000'));
COMMENT ON TABLE alert_settings IS 'Where an organization, or one of its keys, departs from the rules of alerts';
COMMENT ON COLUMN alert_settings.organization_id IS 'Whose';
COMMENT ON COLUMN alert_settings.rule IS 'The rule';
COMMENT ON COLUMN alert_settings.key_id IS 'For one key alone; null for all of the organization';
COMMENT ON COLUMN alert_settings.threshold IS 'Opens at more (rates) or as many (happenings) as this; null for the default of the rule';
COMMENT ON COLUMN alert_settings.action IS 'What the opening does to the key by itself: none, disable_key or limit_rate';
COMMENT ON COLUMN alert_settings.action_limit IS 'Calls a minute to which limit_rate narrows the key';
COMMENT ON COLUMN alert_settings.updated_at IS 'Last change';
COMMENT ON COLUMN alert_settings.updated_by IS 'Who changed it: a user id or an operator';

ALTER TABLE alerts
    ADD COLUMN busy_at timestamptz NULL,
    ADD COLUMN acknowledged_operator text NULL,
    ADD COLUMN action_taken text NULL,
    ADD COLUMN escalations smallint NOT NULL DEFAULT 0,
    ADD COLUMN escalated_at timestamptz NULL;
CREATE INDEX alerts_unresolved ON alerts (rule, last_seen_at) WHERE status <> 'resolved';
CREATE INDEX alerts_subject ON alerts (rule, subject, resolved_at DESC);
COMMENT ON COLUMN alerts.busy_at IS 'When its cause was last seen to go on, also after a person has resolved it';
COMMENT ON COLUMN alerts.acknowledged_operator IS 'The operator who took it at the command line';
COMMENT ON COLUMN alerts.action_taken IS 'What its opening has done to the key by itself';
COMMENT ON COLUMN alerts.escalations IS 'How often people were told again, since nobody took it';
COMMENT ON COLUMN alerts.escalated_at IS 'When they were told last';

ALTER TABLE webhook_events ADD COLUMN alert_id uuid NULL REFERENCES alerts (id);
CREATE INDEX webhook_events_alert ON webhook_events (alert_id) WHERE alert_id IS NOT NULL;
COMMENT ON COLUMN webhook_events.alert_id IS 'The alert that it tells of';

CREATE INDEX audit_events_denied_address ON audit_events (actor_id, occurred_at) WHERE reason = 'ip_not_allowed';
