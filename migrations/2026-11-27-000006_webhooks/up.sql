-- What tells people and programs in time: endpoints, the outbox, its deliveries, and which notices have gone out.

CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    key_id uuid NULL REFERENCES keys (id),
    url text NOT NULL CHECK (char_length(url) <= 2048),
    kind text NOT NULL CHECK (kind IN ('standard', 'slack')),
    events text[] NOT NULL CHECK (cardinality(events) > 0 AND array_position(events, NULL) IS NULL),
    status text NOT NULL CHECK (status IN ('active', 'disabled')),
    disabled_reason text NULL CHECK (disabled_reason IN ('person', 'gone', 'failing')),
    CHECK ((status = 'disabled') = (disabled_reason IS NOT NULL)),
    secret_sealed bytea NOT NULL,
    secret_key_version smallint NOT NULL,
    previous_sealed bytea NULL,
    previous_key_version smallint NULL,
    previous_until timestamptz NULL,
    CHECK ((previous_sealed IS NULL) = (previous_until IS NULL) AND (previous_sealed IS NULL) = (previous_key_version IS NULL)),
    failing_since timestamptz NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    created_by_kind text NOT NULL CHECK (created_by_kind IN ('user', 'operator'))
);
CREATE INDEX webhook_endpoints_organization ON webhook_endpoints (organization_id, created_at DESC, id DESC);

COMMENT ON TABLE webhook_endpoints IS 'Where events of an organization, or of one key, are sent; hangs on the key and not on its version';
COMMENT ON COLUMN webhook_endpoints.id IS 'UUIDv7';
COMMENT ON COLUMN webhook_endpoints.organization_id IS 'Owner';
COMMENT ON COLUMN webhook_endpoints.key_id IS 'Only events of this key; null: of the whole organization';
COMMENT ON COLUMN webhook_endpoints.url IS 'Where to, as it was given';
COMMENT ON COLUMN webhook_endpoints.kind IS 'standard (Standard Webhooks 1.0.0) or slack';
COMMENT ON COLUMN webhook_endpoints.events IS 'Types of events that it gets';
COMMENT ON COLUMN webhook_endpoints.status IS 'active or disabled';
COMMENT ON COLUMN webhook_endpoints.disabled_reason IS 'person, gone (it answered 410) or failing (for five days)';
COMMENT ON COLUMN webhook_endpoints.secret_sealed IS 'Signing secret, sealed under the master key';
COMMENT ON COLUMN webhook_endpoints.secret_key_version IS 'Version of that master key';
COMMENT ON COLUMN webhook_endpoints.previous_sealed IS 'The secret before, which signs too until previous_until';
COMMENT ON COLUMN webhook_endpoints.previous_key_version IS 'Version of the master key that seals it';
COMMENT ON COLUMN webhook_endpoints.previous_until IS 'When the secret before stops signing';
COMMENT ON COLUMN webhook_endpoints.failing_since IS 'First failure since the last success';
COMMENT ON COLUMN webhook_endpoints.created_at IS 'When it was made';
COMMENT ON COLUMN webhook_endpoints.created_by IS 'Id of the user, or name of the operator''s account';
COMMENT ON COLUMN webhook_endpoints.created_by_kind IS 'user or operator';

CREATE TABLE webhook_events (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    -- Not a reference: a key's first event is written before its row, since the row takes the feed's number and everybody's turn.
    key_id uuid NULL,
    type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    sealed_until timestamptz NULL
);
CREATE INDEX webhook_events_occurred ON webhook_events (occurred_at);
CREATE INDEX webhook_events_sealed ON webhook_events (sealed_until) WHERE sealed_until IS NOT NULL;

COMMENT ON TABLE webhook_events IS 'The outbox: events, written in the transaction of what they tell';
COMMENT ON COLUMN webhook_events.id IS 'UUIDv7; the header webhook-id of every delivery';
COMMENT ON COLUMN webhook_events.sequence IS 'Order of events of one key; a receiver that sees a lower one later has got an old one';
COMMENT ON COLUMN webhook_events.organization_id IS 'Whose';
COMMENT ON COLUMN webhook_events.key_id IS 'The key it is about, where there is one';
COMMENT ON COLUMN webhook_events.type IS 'key.created and so on, from a closed list';
COMMENT ON COLUMN webhook_events.occurred_at IS 'When it happened';
COMMENT ON COLUMN webhook_events.data IS 'The body''s data; never a secret but in the sealed form';
COMMENT ON COLUMN webhook_events.sealed_until IS 'When data.sealed is deleted: the end of the version before';

CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    event_id uuid NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE,
    status text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NULL,
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL)),
    claimed_by uuid NULL,
    claimed_until timestamptz NULL,
    last_attempt_at timestamptz NULL,
    response_status smallint NULL,
    response_excerpt text NULL,
    error text NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (endpoint_id, event_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (event_id);

COMMENT ON TABLE webhook_deliveries IS 'One event on its way to one endpoint';
COMMENT ON COLUMN webhook_deliveries.id IS 'UUIDv7';
COMMENT ON COLUMN webhook_deliveries.organization_id IS 'Whose';
COMMENT ON COLUMN webhook_deliveries.endpoint_id IS 'Where to';
COMMENT ON COLUMN webhook_deliveries.event_id IS 'What';
COMMENT ON COLUMN webhook_deliveries.status IS 'pending, succeeded or failed';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'Attempts that were begun';
COMMENT ON COLUMN webhook_deliveries.next_attempt_at IS 'When it is due; null when it is over';
COMMENT ON COLUMN webhook_deliveries.claimed_by IS 'Instance that is sending it';
COMMENT ON COLUMN webhook_deliveries.claimed_until IS 'From when on another instance may take it over';
COMMENT ON COLUMN webhook_deliveries.last_attempt_at IS 'When the last attempt began';
COMMENT ON COLUMN webhook_deliveries.response_status IS 'Status that was answered';
COMMENT ON COLUMN webhook_deliveries.response_excerpt IS 'First KiB of what was answered';
COMMENT ON COLUMN webhook_deliveries.error IS 'Why the last attempt failed, as a stable word';
COMMENT ON COLUMN webhook_deliveries.created_at IS 'When the event happened';

CREATE TABLE key_notices (
    key_version_id uuid NOT NULL REFERENCES key_versions (id) ON DELETE CASCADE,
    threshold_days smallint NOT NULL CHECK (threshold_days >= 0),
    sent_at timestamptz NOT NULL,
    skipped boolean NOT NULL DEFAULT false,
    PRIMARY KEY (key_version_id, threshold_days)
);
COMMENT ON TABLE key_notices IS 'Notices of a version''s end that have gone out, each once';
COMMENT ON COLUMN key_notices.key_version_id IS 'The version';
COMMENT ON COLUMN key_notices.threshold_days IS '30, 14, 7, 3 or 1 days before the end, or 0 for the end itself';
COMMENT ON COLUMN key_notices.sent_at IS 'When its event was written, or when it was passed over';
COMMENT ON COLUMN key_notices.skipped IS 'Passed over: a nearer one was reached already';

CREATE TABLE oauth_secret_notices (
    secret_id uuid NOT NULL REFERENCES oauth_app_secrets (id) ON DELETE CASCADE,
    threshold_days smallint NOT NULL CHECK (threshold_days > 0),
    sent_at timestamptz NOT NULL,
    skipped boolean NOT NULL DEFAULT false,
    PRIMARY KEY (secret_id, threshold_days)
);
COMMENT ON TABLE oauth_secret_notices IS 'Notices of a client secret''s end that have gone out, each once';
COMMENT ON COLUMN oauth_secret_notices.secret_id IS 'The secret';
COMMENT ON COLUMN oauth_secret_notices.threshold_days IS '7 or 1 days before the end';
COMMENT ON COLUMN oauth_secret_notices.sent_at IS 'When its event was written, or when it was passed over';
COMMENT ON COLUMN oauth_secret_notices.skipped IS 'Passed over: a nearer one was reached already';

CREATE TABLE key_idle_notices (
    key_id uuid PRIMARY KEY REFERENCES keys (id),
    since timestamptz NOT NULL,
    warned_at timestamptz NULL
);
COMMENT ON TABLE key_idle_notices IS 'Keys that nobody uses: whether their owners were warned before they are switched off';
COMMENT ON COLUMN key_idle_notices.key_id IS 'The key';
COMMENT ON COLUMN key_idle_notices.since IS 'Since when it is idle, as far as the warning knows; a later use makes the warning void';
COMMENT ON COLUMN key_idle_notices.warned_at IS 'When its owners were warned; null where somebody has just switched it on again';
