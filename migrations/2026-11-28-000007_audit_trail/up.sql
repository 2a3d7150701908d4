-- The trail gets its chain: changes write into an outbox, a tailer gives every event its place, checkpoints vouch for it.

CREATE TABLE audit_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_outbox IS 'Events of changes, written in the change''s own transaction, until a tailer gives them their place';
COMMENT ON COLUMN audit_outbox.id IS 'Order of writing';
COMMENT ON COLUMN audit_outbox.event IS 'The event without its place, as the spool holds it';
COMMENT ON COLUMN audit_outbox.created_at IS 'When it was written, for the lag; not part of the event';

CREATE TABLE audit_spool (
    instance uuid NOT NULL,
    file text NOT NULL,
    "offset" bigint NOT NULL CHECK ("offset" >= 0),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (instance, file)
);
COMMENT ON TABLE audit_spool IS 'How far each spool file has come into the table: what makes the copy exactly once';
COMMENT ON COLUMN audit_spool.instance IS 'Identity of the spool, kept in its folder';
COMMENT ON COLUMN audit_spool.file IS 'Name of the file; never used twice';
COMMENT ON COLUMN audit_spool."offset" IS 'Everything before this byte is in the table';
COMMENT ON COLUMN audit_spool.updated_at IS 'When it moved last';

CREATE TABLE audit_quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream uuid NOT NULL,
    sequence bigint NOT NULL,
    source text NOT NULL CHECK (source IN ('spool', 'outbox')),
    bytes bytea NOT NULL,
    error text NOT NULL,
    quarantined_at timestamptz NOT NULL
);
COMMENT ON TABLE audit_quarantine IS 'Events that the table refused; a gap record stands in their place';
COMMENT ON COLUMN audit_quarantine.id IS 'Order of arrival';
COMMENT ON COLUMN audit_quarantine.stream IS 'Stream of the gap record';
COMMENT ON COLUMN audit_quarantine.sequence IS 'Its place there';
COMMENT ON COLUMN audit_quarantine.source IS 'spool or outbox';
COMMENT ON COLUMN audit_quarantine.bytes IS 'The event, byte for byte';
COMMENT ON COLUMN audit_quarantine.error IS 'What the database said';
COMMENT ON COLUMN audit_quarantine.quarantined_at IS 'When';

CREATE TABLE audit_streams (
    stream uuid PRIMARY KEY,
    instance uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    covered bigint NOT NULL DEFAULT 0 CHECK (covered BETWEEN 0 AND sequence),
    uncovered_since timestamptz NULL,
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX audit_streams_updated ON audit_streams (updated_at);
COMMENT ON TABLE audit_streams IS 'Heads of the chains: one stream per process start';
COMMENT ON COLUMN audit_streams.stream IS 'The stream';
COMMENT ON COLUMN audit_streams.instance IS 'The instance that writes it';
COMMENT ON COLUMN audit_streams.sequence IS 'Its last number';
COMMENT ON COLUMN audit_streams.hash IS 'Link of its last record';
COMMENT ON COLUMN audit_streams.covered IS 'Last number that a checkpoint vouches for';
COMMENT ON COLUMN audit_streams.uncovered_since IS 'Earliest time of an event behind that; null when there is none';
COMMENT ON COLUMN audit_streams.started_at IS 'When its first event was written';
COMMENT ON COLUMN audit_streams.updated_at IS 'When its last event was written';

CREATE TABLE audit_signing_keys (
    key_id text PRIMARY KEY,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    sealed bytea NOT NULL,
    master_version smallint NOT NULL,
    created_at timestamptz NOT NULL,
    replaced_at timestamptz NULL
);
CREATE UNIQUE INDEX audit_signing_keys_one ON audit_signing_keys ((true)) WHERE replaced_at IS NULL;
COMMENT ON TABLE audit_signing_keys IS 'Keys that sign checkpoints (Ed25519)';
COMMENT ON COLUMN audit_signing_keys.key_id IS 'First 16 hexadecimal digits of the public key''s SHA-256';
COMMENT ON COLUMN audit_signing_keys.public_key IS 'The public half';
COMMENT ON COLUMN audit_signing_keys.sealed IS 'The secret half, sealed under the master key';
COMMENT ON COLUMN audit_signing_keys.master_version IS 'Version of that master key';
COMMENT ON COLUMN audit_signing_keys.created_at IS 'When it was made';
COMMENT ON COLUMN audit_signing_keys.replaced_at IS 'When the next one took over; null for the one that signs';

CREATE TABLE audit_checkpoints (
    number bigint PRIMARY KEY CHECK (number > 0),
    at timestamptz NOT NULL,
    body jsonb NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    rotation_signature bytea NULL CHECK (octet_length(rotation_signature) = 64),
    since timestamptz NULL
);
CREATE INDEX audit_checkpoints_at ON audit_checkpoints (at);
COMMENT ON TABLE audit_checkpoints IS 'Signed statements of what the trail held at a time';
COMMENT ON COLUMN audit_checkpoints.number IS '1, 2, 3 without a hole';
COMMENT ON COLUMN audit_checkpoints.at IS 'When it was made';
COMMENT ON COLUMN audit_checkpoints.body IS 'What it states; signed in its canonical form (RFC 8785)';
COMMENT ON COLUMN audit_checkpoints.key_id IS 'The key that signed it';
COMMENT ON COLUMN audit_checkpoints.signature IS 'Ed25519';
COMMENT ON COLUMN audit_checkpoints.rotation_signature IS 'By the key that takes over, where one does';
COMMENT ON COLUMN audit_checkpoints.since IS 'Earliest time of an event that it newly covers: where to look for them';

-- A day whose calls have left keeps its changes and refusals.
ALTER TABLE audit_partitions DROP CONSTRAINT audit_partitions_state_check;
ALTER TABLE audit_partitions ADD CONSTRAINT audit_partitions_state_check
    CHECK (state IN ('open', 'sealed', 'reduced', 'dropped'));
ALTER TABLE audit_partitions ADD COLUMN kept bigint NULL;
COMMENT ON COLUMN audit_partitions.state IS 'open; sealed; reduced (only changes and refusals are left); dropped';
COMMENT ON COLUMN audit_partitions.kept IS 'Rows that are left of a reduced day';

-- What an installation from before the first release holds has no chain: it goes through the outbox and gets one.
INSERT INTO audit_outbox (event)
SELECT jsonb_build_object(
    'id', id, 'occurred_at', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'class', class,
    'action', action, 'outcome', outcome, 'reason', reason, 'organization_id', organization_id,
    'actor', jsonb_strip_nulls(jsonb_build_object('kind', actor_kind, 'version', actor_version))
        || jsonb_build_object('id', actor_id),
    'method', method, 'route', route, 'status', status, 'ip', host(ip), 'country', country, 'user_agent', user_agent,
    'fingerprint', encode(fingerprint, 'hex'), 'request_id', request_id, 'detail', detail)
FROM audit_events ORDER BY occurred_at, stream, sequence;
TRUNCATE audit_events;
-- What people ask beside pages and actors: what one address did, and the few actions among the many calls.
CREATE INDEX audit_events_address ON audit_events (organization_id, ip, occurred_at DESC);
CREATE INDEX audit_events_action ON audit_events (organization_id, action, occurred_at DESC) WHERE action <> 'api.call';
ALTER TABLE audit_events ALTER COLUMN leaf SET NOT NULL;
ALTER TABLE audit_events ALTER COLUMN prev SET NOT NULL;
ALTER TABLE audit_events ALTER COLUMN hash SET NOT NULL;
