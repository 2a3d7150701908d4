CREATE TABLE environments (
    name text PRIMARY KEY,
    position smallint NOT NULL UNIQUE,
    prefix text NOT NULL CHECK (prefix IN ('sp_live_', 'sp_test_')),
    read_only boolean NOT NULL,
    max_lifespan_days int NOT NULL CHECK (max_lifespan_days > 0)
);
INSERT INTO environments (name, position, prefix, read_only, max_lifespan_days) VALUES
    ('production', 1, 'sp_live_', false, 90),
    ('staging', 2, 'sp_test_', false, 365),
    ('analytics', 3, 'sp_live_', true, 90);

COMMENT ON TABLE environments IS 'What a key is for; a closed set';
COMMENT ON COLUMN environments.name IS 'production, staging or analytics';
COMMENT ON COLUMN environments.position IS 'Order in lists';
COMMENT ON COLUMN environments.prefix IS 'How tokens of its keys begin';
COMMENT ON COLUMN environments.read_only IS 'Whether its keys are masked to read-only scopes';
COMMENT ON COLUMN environments.max_lifespan_days IS 'Longest life of a key in days';

CREATE TABLE key_feed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq bigint NOT NULL
);
INSERT INTO key_feed (seq) VALUES (0);

COMMENT ON TABLE key_feed IS 'The change feed''s counter: exactly one row, whose lock makes number order equal commit order';
COMMENT ON COLUMN key_feed.only_row IS 'Keeps the table at one row';
COMMENT ON COLUMN key_feed.seq IS 'Number of the last change';

CREATE TABLE keys (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    environment text NOT NULL REFERENCES environments (name),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    scopes bigint NOT NULL,
    allowed_cidrs cidr[] NULL CHECK (array_position(allowed_cidrs, NULL) IS NULL),
    allow_any boolean NOT NULL DEFAULT false,
    allowlist_notes jsonb NOT NULL DEFAULT '{}' CHECK (
        jsonb_typeof(allowlist_notes) = 'object'
        AND NOT jsonb_path_exists(allowlist_notes, '$.* ? (@.type() != "string")')
    ),
    rate_limit_per_minute int NULL CHECK (rate_limit_per_minute BETWEEN 1 AND 1000000),
    lifespan_seconds int NOT NULL CHECK (lifespan_seconds > 0),
    auto_rotate boolean NOT NULL DEFAULT false,
    successor_public_key text NULL,
    canary boolean NOT NULL DEFAULT false,
    current_version int NOT NULL CHECK (current_version > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    created_by_kind text NOT NULL CHECK (created_by_kind IN ('user', 'operator')),
    CHECK (created_by_kind <> 'user' OR created_by ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
    disabled_at timestamptz NULL,
    revoked_at timestamptz NULL,
    revoke_reason text NULL,
    last_used_at timestamptz NULL,
    last_used_ips inet[] NOT NULL DEFAULT '{}' CHECK (array_position(last_used_ips, NULL) IS NULL),
    seq bigint NOT NULL
);
CREATE INDEX keys_organization ON keys (organization_id, created_at DESC, id DESC);
CREATE INDEX keys_seq ON keys (seq);

COMMENT ON TABLE keys IS 'API keys: what people name, scope, restrict and see in lists; policy hangs here';
COMMENT ON COLUMN keys.id IS 'UUIDv7, the same through every rotation';
COMMENT ON COLUMN keys.organization_id IS 'Owner';
COMMENT ON COLUMN keys.environment IS 'What it is for; never changes';
COMMENT ON COLUMN keys.name IS '1 to 100 characters, need not be unique';
COMMENT ON COLUMN keys.scopes IS 'Bits of the catalog';
COMMENT ON COLUMN keys.allowed_cidrs IS 'Networks from which it may be used, in the order given; null: any';
COMMENT ON COLUMN keys.allow_any IS 'Whether wide networks were allowed on purpose';
COMMENT ON COLUMN keys.allowlist_notes IS 'Text by network';
COMMENT ON COLUMN keys.rate_limit_per_minute IS 'Accepted calls in any 60 s; null: no limit';
COMMENT ON COLUMN keys.lifespan_seconds IS 'Life of a new version';
COMMENT ON COLUMN keys.auto_rotate IS 'Whether a successor is prepared before the end';
COMMENT ON COLUMN keys.successor_public_key IS 'age recipient of sealed successors';
COMMENT ON COLUMN keys.canary IS 'Honeytoken: never accepted, its use is an alert';
COMMENT ON COLUMN keys.current_version IS 'Number of the version that is shown';
COMMENT ON COLUMN keys.created_at IS 'When it was made';
COMMENT ON COLUMN keys.created_by IS 'Id of the user, or name of the operator''s account';
COMMENT ON COLUMN keys.created_by_kind IS 'user or operator';
COMMENT ON COLUMN keys.disabled_at IS 'Since when it is switched off';
COMMENT ON COLUMN keys.revoked_at IS 'Since when it is dead for good';
COMMENT ON COLUMN keys.revoke_reason IS 'Why';
COMMENT ON COLUMN keys.last_used_at IS 'Last accepted call, written every 10 s';
COMMENT ON COLUMN keys.last_used_ips IS 'Last five distinct addresses of accepted calls, newest first';
COMMENT ON COLUMN keys.seq IS 'Number of the change that wrote this row, from key_feed';

CREATE TABLE key_versions (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    key_id uuid NOT NULL REFERENCES keys (id),
    version int NOT NULL CHECK (version > 0),
    state text NOT NULL CHECK (state IN ('pending', 'live', 'superseded', 'revoked')),
    lookup_id bytea NULL UNIQUE CHECK (octet_length(lookup_id) = 32),
    pepper_version smallint NOT NULL,
    secret_hash text NULL,
    hash_scheme text NOT NULL,
    hint text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    claimed_at timestamptz NULL,
    seq bigint NOT NULL,
    UNIQUE (key_id, version)
);
CREATE UNIQUE INDEX key_versions_one_pending ON key_versions (key_id) WHERE state = 'pending';
CREATE INDEX key_versions_pepper ON key_versions (pepper_version, valid_until) WHERE lookup_id IS NOT NULL;

COMMENT ON TABLE key_versions IS 'Secrets of keys: one row a version, no token and nothing of one beyond the hint';
COMMENT ON COLUMN key_versions.id IS 'UUIDv7';
COMMENT ON COLUMN key_versions.organization_id IS 'Owner, as on the key';
COMMENT ON COLUMN key_versions.key_id IS 'The key';
COMMENT ON COLUMN key_versions.version IS 'Number within the key, from 1';
COMMENT ON COLUMN key_versions.state IS 'pending, live, superseded or revoked';
COMMENT ON COLUMN key_versions.lookup_id IS 'HMAC-SHA-256 of the token under the pepper; null while a slot has no secret';
COMMENT ON COLUMN key_versions.pepper_version IS 'The pepper of lookup_id';
COMMENT ON COLUMN key_versions.secret_hash IS 'bcrypt of a SHA-256 of the token; null while a slot has no secret';
COMMENT ON COLUMN key_versions.hash_scheme IS 'How secret_hash was made';
COMMENT ON COLUMN key_versions.hint IS 'Prefix and first four characters of the token';
COMMENT ON COLUMN key_versions.created_at IS 'When it was made';
COMMENT ON COLUMN key_versions.expires_at IS 'The end that people set';
COMMENT ON COLUMN key_versions.valid_until IS 'The moment it stops: the earlier of expires_at and the end of its overlap';
COMMENT ON COLUMN key_versions.claimed_at IS 'When a prepared successor was picked up';
COMMENT ON COLUMN key_versions.seq IS 'Number of the change that wrote this row, from key_feed';

CREATE TABLE idempotency_keys (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    caller text NOT NULL,
    idempotency_key text NOT NULL CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
    request_digest bytea NOT NULL,
    key_id uuid NOT NULL REFERENCES keys (id),
    version int NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, caller, idempotency_key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

COMMENT ON TABLE idempotency_keys IS 'Requests that made a token, for 24 hours: a repeat makes no second one';
COMMENT ON COLUMN idempotency_keys.organization_id IS 'Where';
COMMENT ON COLUMN idempotency_keys.caller IS 'Who asked';
COMMENT ON COLUMN idempotency_keys.idempotency_key IS 'The header''s value';
COMMENT ON COLUMN idempotency_keys.request_digest IS 'SHA-256 of what was asked';
COMMENT ON COLUMN idempotency_keys.key_id IS 'The key that was made or rotated';
COMMENT ON COLUMN idempotency_keys.version IS 'The version that was made';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When';

CREATE TABLE master_keys (
    version smallint PRIMARY KEY,
    check_value bytea NOT NULL CHECK (octet_length(check_value) = 16),
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE master_keys IS 'Which master keys this database was used with; a server with another one does not start';
COMMENT ON COLUMN master_keys.version IS 'Version of the master key';
COMMENT ON COLUMN master_keys.check_value IS 'Derived value that tells keys apart and gives nothing away';
COMMENT ON COLUMN master_keys.created_at IS 'When it was first seen';

CREATE TABLE pepper_versions (
    version smallint PRIMARY KEY CHECK (version > 0),
    master_key_version smallint NOT NULL REFERENCES master_keys (version),
    created_at timestamptz NOT NULL,
    retired_at timestamptz NULL,
    seq bigint NOT NULL
);
COMMENT ON TABLE pepper_versions IS 'Peppers of the look-up digests: the highest is current, one before it may still be in force';
COMMENT ON COLUMN pepper_versions.version IS 'From 1';
COMMENT ON COLUMN pepper_versions.master_key_version IS 'The master key from which it is derived';
COMMENT ON COLUMN pepper_versions.created_at IS 'When it was started';
COMMENT ON COLUMN pepper_versions.retired_at IS 'Since when it is no longer looked up';
COMMENT ON COLUMN pepper_versions.seq IS 'Number of the change that wrote this row, from key_feed';

CREATE TABLE instances (
    id uuid PRIMARY KEY,
    applied_seq bigint NOT NULL,
    applied_at timestamptz NOT NULL,
    max_staleness_seconds int NOT NULL,
    started_at timestamptz NOT NULL
);
COMMENT ON TABLE instances IS 'Running instances and how far each has followed the change feed';
COMMENT ON COLUMN instances.id IS 'Kept in the data directory, so that a restart is the same instance';
COMMENT ON COLUMN instances.applied_seq IS 'Every change up to this one is in force there';
COMMENT ON COLUMN instances.applied_at IS 'Last successful poll';
COMMENT ON COLUMN instances.max_staleness_seconds IS 'How long it answers from memory without the database';
COMMENT ON COLUMN instances.started_at IS 'When the process started';
