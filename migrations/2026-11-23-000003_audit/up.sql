CREATE TABLE audit_events (
    id uuid NOT NULL,
    stream uuid NOT NULL,
    sequence bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    class smallint NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('allowed', 'denied', 'failed')),
    reason text NULL,
    organization_id uuid NULL,
    actor_kind text NOT NULL,
    actor_id text NULL,
    actor_version int NULL,
    method text NULL,
    route text NULL,
    status smallint NULL,
    ip inet NULL,
    ip_commit bytea NULL,
    salt bytea NULL,
    country text NULL,
    user_agent text NULL,
    user_agent_commit bytea NULL,
    fingerprint bytea NULL,
    request_id uuid NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    leaf bytea NULL,
    prev bytea NULL,
    hash bytea NULL,
    UNIQUE (occurred_at, stream, sequence)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX audit_events_time ON audit_events USING brin (occurred_at);
CREATE INDEX audit_events_organization ON audit_events (organization_id, occurred_at DESC, sequence DESC);
CREATE INDEX audit_events_actor ON audit_events (actor_id, occurred_at DESC);

COMMENT ON TABLE audit_events IS 'The audit trail, one row a happening, in daily partitions';
COMMENT ON COLUMN audit_events.id IS 'UUIDv7 made when it was judged';
COMMENT ON COLUMN audit_events.stream IS 'The process that wrote it';
COMMENT ON COLUMN audit_events.sequence IS 'Rising number within the stream';
COMMENT ON COLUMN audit_events.occurred_at IS 'When it happened';
COMMENT ON COLUMN audit_events.recorded_at IS 'When it was written';
COMMENT ON COLUMN audit_events.class IS '1 change or log-in, 2 refusal or read, 3 allowed call';
COMMENT ON COLUMN audit_events.action IS 'What happened, from a closed list';
COMMENT ON COLUMN audit_events.outcome IS 'allowed, denied or failed';
COMMENT ON COLUMN audit_events.reason IS 'Decision code or reason of the refusal';
COMMENT ON COLUMN audit_events.organization_id IS 'To whom it belongs';
COMMENT ON COLUMN audit_events.actor_kind IS 'api_key, access_token, user, app, operator, system or unknown';
COMMENT ON COLUMN audit_events.actor_id IS 'Who';
COMMENT ON COLUMN audit_events.actor_version IS 'Version of the key that was presented';
COMMENT ON COLUMN audit_events.method IS 'Method of the call';
COMMENT ON COLUMN audit_events.route IS 'Pattern of the route, never the raw path';
COMMENT ON COLUMN audit_events.status IS 'What was answered';
COMMENT ON COLUMN audit_events.ip IS 'Client address; null when unknown or erased';
COMMENT ON COLUMN audit_events.ip_commit IS 'Commitment to the address, so that it can be erased';
COMMENT ON COLUMN audit_events.salt IS 'Salt of the commitments';
COMMENT ON COLUMN audit_events.country IS 'Two letters, from the geo database';
COMMENT ON COLUMN audit_events.user_agent IS 'User agent, escaped, at most 512 bytes of it';
COMMENT ON COLUMN audit_events.user_agent_commit IS 'Commitment to the user agent';
COMMENT ON COLUMN audit_events.fingerprint IS 'Keyed digest of what the request looked like';
COMMENT ON COLUMN audit_events.request_id IS 'X-Request-Id of the answer';
COMMENT ON COLUMN audit_events.detail IS 'Ids, names of fields and numbers that belong to it';
COMMENT ON COLUMN audit_events.leaf IS 'Digest of the record';
COMMENT ON COLUMN audit_events.prev IS 'Link to the record before';
COMMENT ON COLUMN audit_events.hash IS 'Link of the chain';

CREATE TABLE audit_partitions (
    day date PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('open', 'sealed', 'dropped')),
    rows bigint NULL,
    root bytea NULL,
    sealed_at timestamptz NULL,
    dropped_at timestamptz NULL,
    archive text NULL
);
COMMENT ON TABLE audit_partitions IS 'Days of the audit trail';
COMMENT ON COLUMN audit_partitions.day IS 'The day, UTC';
COMMENT ON COLUMN audit_partitions.state IS 'open, sealed or dropped';
COMMENT ON COLUMN audit_partitions.rows IS 'Rows when it was sealed';
COMMENT ON COLUMN audit_partitions.root IS 'Merkle root when it was sealed';
COMMENT ON COLUMN audit_partitions.sealed_at IS 'When it was sealed';
COMMENT ON COLUMN audit_partitions.dropped_at IS 'When it left the table';
COMMENT ON COLUMN audit_partitions.archive IS 'Name of the archive file';

CREATE TABLE alerts (
    id uuid PRIMARY KEY,
    organization_id uuid NULL REFERENCES organizations (id),
    rule text NOT NULL,
    subject_kind text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    status text NOT NULL CHECK (status IN ('open', 'acknowledged', 'resolved')),
    opened_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    count bigint NOT NULL,
    evidence jsonb NOT NULL,
    acknowledged_at timestamptz NULL,
    acknowledged_by uuid NULL REFERENCES users (id),
    resolved_at timestamptz NULL,
    resolution jsonb NULL
);
CREATE UNIQUE INDEX alerts_one_unresolved
    ON alerts (coalesce(organization_id, '00000000-0000-0000-0000-000000000000'), rule, subject) WHERE status <> 'resolved';
CREATE INDEX alerts_organization ON alerts (organization_id, opened_at DESC, id DESC);

COMMENT ON TABLE alerts IS 'Alerts: one per organization, rule and subject while it is not resolved';
COMMENT ON COLUMN alerts.id IS 'UUIDv7';
COMMENT ON COLUMN alerts.organization_id IS 'Whose; null for the service itself';
COMMENT ON COLUMN alerts.rule IS 'The rule that opened it';
COMMENT ON COLUMN alerts.subject_kind IS 'What the subject is: key, instance, network';
COMMENT ON COLUMN alerts.subject IS 'Id of what it is about';
COMMENT ON COLUMN alerts.severity IS 'low, medium, high or critical';
COMMENT ON COLUMN alerts.status IS 'open, acknowledged or resolved';
COMMENT ON COLUMN alerts.opened_at IS 'First happening';
COMMENT ON COLUMN alerts.last_seen_at IS 'Last happening';
COMMENT ON COLUMN alerts.count IS 'Happenings';
COMMENT ON COLUMN alerts.evidence IS 'Rule version, threshold, window, routes, sources, controls';
COMMENT ON COLUMN alerts.acknowledged_at IS 'When somebody took it';
COMMENT ON COLUMN alerts.acknowledged_by IS 'Who took it';
COMMENT ON COLUMN alerts.resolved_at IS 'When it was closed';
COMMENT ON COLUMN alerts.resolution IS 'How it was closed';
