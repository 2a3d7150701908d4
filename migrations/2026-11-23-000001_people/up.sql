CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    created_at timestamptz NOT NULL,
    max_lifespan_production_days int NULL CHECK (max_lifespan_production_days BETWEEN 1 AND 90),
    max_lifespan_staging_days int NULL CHECK (max_lifespan_staging_days BETWEEN 1 AND 365),
    max_lifespan_analytics_days int NULL CHECK (max_lifespan_analytics_days BETWEEN 1 AND 90),
    unused_key_days int NULL CHECK (unused_key_days BETWEEN 30 AND 365),
    developer_scopes bigint NULL,
    reuse_policy text NOT NULL DEFAULT 'alert' CHECK (reuse_policy IN ('alert', 'kill')),
    allowed_cidrs cidr[] NULL CHECK (allowed_cidrs <> '{}' AND array_position(allowed_cidrs, NULL) IS NULL),
    seq bigint NOT NULL
);
CREATE INDEX organizations_seq ON organizations (seq);

COMMENT ON TABLE organizations IS 'Workspaces: who owns keys, people and settings';
COMMENT ON COLUMN organizations.id IS 'UUIDv7';
COMMENT ON COLUMN organizations.slug IS 'Name in URLs';
COMMENT ON COLUMN organizations.name IS 'Name for people, 1 to 100 characters';
COMMENT ON COLUMN organizations.created_at IS 'When it was made';
COMMENT ON COLUMN organizations.max_lifespan_production_days IS 'Longest life of a production key in days; null: 90';
COMMENT ON COLUMN organizations.max_lifespan_staging_days IS 'Longest life of a staging key in days; null: 365';
COMMENT ON COLUMN organizations.max_lifespan_analytics_days IS 'Longest life of an analytics key in days; null: 90';
COMMENT ON COLUMN organizations.unused_key_days IS 'Keys unused for this long are disabled; null: never';
COMMENT ON COLUMN organizations.developer_scopes IS 'Bits of the scopes that developers may grant; null: all but the management scopes';
COMMENT ON COLUMN organizations.reuse_policy IS 'What the use of a rotated-away token leads to: alert, or kill (revoke the current version too)';
COMMENT ON COLUMN organizations.allowed_cidrs IS 'Networks that every key of the organization is held to, together with its own list; null: no rule';
COMMENT ON COLUMN organizations.seq IS 'Number of the change that wrote this row, from key_feed';

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL CHECK (char_length(email) BETWEEN 3 AND 254),
    name text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz NULL
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

COMMENT ON TABLE users IS 'People who sign in to the dashboard';
COMMENT ON COLUMN users.id IS 'UUIDv7';
COMMENT ON COLUMN users.email IS 'Address as typed; unique without regard to case';
COMMENT ON COLUMN users.name IS 'Name for people';
COMMENT ON COLUMN users.password_hash IS 'Argon2id, PHC string';
COMMENT ON COLUMN users.created_at IS 'When the account was made';
COMMENT ON COLUMN users.disabled_at IS 'Since when the account is closed';

CREATE TABLE memberships (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    user_id uuid NOT NULL REFERENCES users (id),
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'auditor')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

COMMENT ON TABLE memberships IS 'Which role a person has in which organization';
COMMENT ON COLUMN memberships.organization_id IS 'The organization';
COMMENT ON COLUMN memberships.user_id IS 'The person';
COMMENT ON COLUMN memberships.role IS 'owner, admin, developer or auditor';
COMMENT ON COLUMN memberships.created_at IS 'Since when';

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    token_digest bytea NOT NULL UNIQUE CHECK (octet_length(token_digest) = 32),
    user_id uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ip inet NULL,
    user_agent text NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expires ON sessions (expires_at);

COMMENT ON TABLE sessions IS 'Signed-in browsers';
COMMENT ON COLUMN sessions.id IS 'UUIDv7';
COMMENT ON COLUMN sessions.token_digest IS 'HMAC-SHA-256 of the cookie''s value under a key derived from the master key';
COMMENT ON COLUMN sessions.user_id IS 'Who signed in';
COMMENT ON COLUMN sessions.created_at IS 'When';
COMMENT ON COLUMN sessions.last_seen_at IS 'Last request, written at most once a minute';
COMMENT ON COLUMN sessions.expires_at IS 'End, whatever happens';
COMMENT ON COLUMN sessions.ip IS 'Address at sign-in';
COMMENT ON COLUMN sessions.user_agent IS 'User agent at sign-in, escaped';

-- A crash may empty it: that forgives failures, it locks nobody out.
CREATE UNLOGGED TABLE login_failures (
    subject bytea PRIMARY KEY CHECK (octet_length(subject) = 32),
    failures int NOT NULL,
    last_at timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
);
CREATE INDEX login_failures_last ON login_failures (last_at);

COMMENT ON TABLE login_failures IS 'Back-off after failed sign-ins';
COMMENT ON COLUMN login_failures.subject IS 'Keyed digest of an account (whether it exists or not) or of a network';
COMMENT ON COLUMN login_failures.failures IS 'Failures in a row';
COMMENT ON COLUMN login_failures.last_at IS 'The last one';
COMMENT ON COLUMN login_failures.blocked_until IS 'No password is looked at before this moment';
