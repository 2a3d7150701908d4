-- OAuth 2: apps, what people have authorized, and the digests of codes and tokens. A token is judged by token, grant and
-- app, so ending a grant or an app is one row. No table here holds a secret in a readable form.

CREATE TABLE oauth_apps (
    id uuid PRIMARY KEY,
    client_id text NOT NULL UNIQUE CHECK (client_id ~ '^sp_app_[A-Za-z0-9_-]{22}$'),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    kind text NOT NULL CHECK (kind IN ('confidential', 'public')),
    require_state boolean NOT NULL,
    require_pkce boolean NOT NULL,
    access_token_format text NOT NULL CHECK (access_token_format IN ('opaque', 'jwt')),
    scopes bigint NOT NULL,
    default_scopes bigint NOT NULL CHECK (default_scopes & ~scopes = 0),
    refresh_retry_seconds int NOT NULL CHECK (refresh_retry_seconds BETWEEN 0 AND 60),
    allowed_cidrs cidr[] NULL CHECK (array_position(allowed_cidrs, NULL) IS NULL),
    any_port_on_localhost boolean NOT NULL,
    audiences text[] NOT NULL CHECK (array_position(audiences, NULL) IS NULL),
    status text NOT NULL CHECK (status IN ('active', 'suspended')),
    tokens_valid_from timestamptz NOT NULL,
    created_by text NOT NULL,
    created_by_kind text NOT NULL CHECK (created_by_kind IN ('user', 'operator')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz NULL,
    last_used_at timestamptz NULL,
    seq bigint NOT NULL,
    CHECK (kind = 'confidential' OR require_pkce)
);
CREATE INDEX oauth_apps_organization ON oauth_apps (organization_id, created_at DESC, id DESC);
CREATE INDEX oauth_apps_seq ON oauth_apps (seq);

COMMENT ON TABLE oauth_apps IS 'Registered OAuth apps; a deleted one stays, since the audit trail and grants speak of it';
COMMENT ON COLUMN oauth_apps.id IS 'UUIDv7';
COMMENT ON COLUMN oauth_apps.client_id IS 'Public name of the app';
COMMENT ON COLUMN oauth_apps.organization_id IS 'Its publisher';
COMMENT ON COLUMN oauth_apps.name IS '1 to 100 characters, shown to people';
COMMENT ON COLUMN oauth_apps.kind IS 'confidential (has secrets) or public (has none)';
COMMENT ON COLUMN oauth_apps.require_state IS 'Whether a request without state is refused';
COMMENT ON COLUMN oauth_apps.require_pkce IS 'Whether a request without a code challenge is refused; always for public apps';
COMMENT ON COLUMN oauth_apps.access_token_format IS 'opaque, or jwt (RFC 9068)';
COMMENT ON COLUMN oauth_apps.scopes IS 'Bits of the catalog that it may ask for';
COMMENT ON COLUMN oauth_apps.default_scopes IS 'Bits that it gets when it asks for nothing; 0 for no default';
COMMENT ON COLUMN oauth_apps.refresh_retry_seconds IS 'For how long a used refresh token gives the same successor again';
COMMENT ON COLUMN oauth_apps.allowed_cidrs IS 'Networks from which it, and its tokens, may be used; null: any';
COMMENT ON COLUMN oauth_apps.any_port_on_localhost IS 'Whether a registered localhost matches any port';
COMMENT ON COLUMN oauth_apps.audiences IS 'What it stands for when it asks about tokens; empty: the public URL';
COMMENT ON COLUMN oauth_apps.status IS 'active or suspended';
COMMENT ON COLUMN oauth_apps.tokens_valid_from IS 'What was issued before is dead; set by suspending';
COMMENT ON COLUMN oauth_apps.created_by IS 'Id of the user, or name of the operator''s account';
COMMENT ON COLUMN oauth_apps.created_by_kind IS 'user or operator';
COMMENT ON COLUMN oauth_apps.created_at IS 'When it was registered';
COMMENT ON COLUMN oauth_apps.updated_at IS 'Last change';
COMMENT ON COLUMN oauth_apps.deleted_at IS 'Since when it is gone for good';
COMMENT ON COLUMN oauth_apps.last_used_at IS 'Last exchange, to the minute';
COMMENT ON COLUMN oauth_apps.seq IS 'Number of the change that wrote this row, from key_feed';

CREATE TABLE oauth_app_secrets (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES oauth_apps (id),
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    key_version smallint NOT NULL,
    last4 text NOT NULL CHECK (char_length(last4) = 4),
    label text NULL CHECK (char_length(label) BETWEEN 1 AND 100),
    created_by text NOT NULL,
    created_by_kind text NOT NULL CHECK (created_by_kind IN ('user', 'operator')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NULL,
    revoked_at timestamptz NULL,
    last_used_at timestamptz NULL
);
CREATE INDEX oauth_app_secrets_app ON oauth_app_secrets (app_id, created_at DESC);

COMMENT ON TABLE oauth_app_secrets IS 'Client secrets: digests under a key derived from the master key';
COMMENT ON COLUMN oauth_app_secrets.id IS 'UUIDv7';
COMMENT ON COLUMN oauth_app_secrets.app_id IS 'Whose';
COMMENT ON COLUMN oauth_app_secrets.digest IS 'HMAC-SHA-256 of the secret';
COMMENT ON COLUMN oauth_app_secrets.key_version IS 'Version of the master key of the digest';
COMMENT ON COLUMN oauth_app_secrets.last4 IS 'Last four characters, for people';
COMMENT ON COLUMN oauth_app_secrets.label IS 'Name for people';
COMMENT ON COLUMN oauth_app_secrets.created_by IS 'Id of the user, or name of the operator''s account';
COMMENT ON COLUMN oauth_app_secrets.created_by_kind IS 'user or operator';
COMMENT ON COLUMN oauth_app_secrets.created_at IS 'When it was made';
COMMENT ON COLUMN oauth_app_secrets.expires_at IS 'End of its overlap with a newer one; null: none set';
COMMENT ON COLUMN oauth_app_secrets.revoked_at IS 'Since when it is ended by somebody';
COMMENT ON COLUMN oauth_app_secrets.last_used_at IS 'Last use, to the minute';

CREATE TABLE oauth_redirect_uris (
    app_id uuid NOT NULL REFERENCES oauth_apps (id),
    uri text NOT NULL CHECK (octet_length(uri) BETWEEN 1 AND 2048),
    position smallint NOT NULL,
    PRIMARY KEY (app_id, uri)
);

COMMENT ON TABLE oauth_redirect_uris IS 'Where an app may send people back to; compared byte for byte';
COMMENT ON COLUMN oauth_redirect_uris.app_id IS 'Whose';
COMMENT ON COLUMN oauth_redirect_uris.uri IS 'As registered';
COMMENT ON COLUMN oauth_redirect_uris.position IS 'Order in which they were given';

CREATE TABLE oauth_grants (
    id uuid PRIMARY KEY,
    user_id uuid NULL REFERENCES users (id),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    app_id uuid NOT NULL REFERENCES oauth_apps (id),
    scopes bigint NOT NULL,
    resources text[] NOT NULL CHECK (array_position(resources, NULL) IS NULL),
    status text NOT NULL CHECK (status IN ('pending', 'active', 'revoked')),
    revoked_reason text NULL,
    revoked_at timestamptz NULL,
    generation bigint NOT NULL DEFAULT 0 CHECK (generation >= 0),
    created_at timestamptz NOT NULL,
    last_refresh_at timestamptz NULL,
    absolute_expires_at timestamptz NULL,
    last_used_at timestamptz NULL,
    last_used_ips inet[] NOT NULL DEFAULT '{}' CHECK (array_position(last_used_ips, NULL) IS NULL),
    seq bigint NOT NULL DEFAULT 0,
    CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    CHECK ((user_id IS NULL) = (absolute_expires_at IS NULL))
);
CREATE INDEX oauth_grants_user ON oauth_grants (user_id, created_at DESC, id DESC);
CREATE INDEX oauth_grants_app ON oauth_grants (app_id, created_at DESC, id DESC);
CREATE INDEX oauth_grants_organization ON oauth_grants (organization_id, created_at DESC, id DESC);
CREATE INDEX oauth_grants_seq ON oauth_grants (seq) WHERE seq > 0;
CREATE INDEX oauth_grants_ended ON oauth_grants (coalesce(revoked_at, absolute_expires_at));
-- An app that acts for itself has one grant at a time, however many of its processes ask at once.
CREATE UNIQUE INDEX oauth_grants_own ON oauth_grants (app_id) WHERE user_id IS NULL AND status = 'active';

COMMENT ON TABLE oauth_grants IS 'What a person, or an app for itself, has authorized; every code and token belongs to one';
COMMENT ON COLUMN oauth_grants.id IS 'UUIDv7; the credential id of its access tokens';
COMMENT ON COLUMN oauth_grants.user_id IS 'Who decided; null: the app acts for itself';
COMMENT ON COLUMN oauth_grants.organization_id IS 'For which organization';
COMMENT ON COLUMN oauth_grants.app_id IS 'For which app';
COMMENT ON COLUMN oauth_grants.scopes IS 'Bits of the catalog that were granted';
COMMENT ON COLUMN oauth_grants.resources IS 'For which resources (RFC 8707)';
COMMENT ON COLUMN oauth_grants.status IS 'pending until its code is redeemed, active, revoked';
COMMENT ON COLUMN oauth_grants.revoked_reason IS 'Why it ended';
COMMENT ON COLUMN oauth_grants.revoked_at IS 'When it ended';
COMMENT ON COLUMN oauth_grants.generation IS 'Rotations of the refresh token so far';
COMMENT ON COLUMN oauth_grants.created_at IS 'When it was decided';
COMMENT ON COLUMN oauth_grants.last_refresh_at IS 'Last rotation';
COMMENT ON COLUMN oauth_grants.absolute_expires_at IS 'End of the chain; null: the app acts for itself';
COMMENT ON COLUMN oauth_grants.last_used_at IS 'Last accepted call, written every 10 s';
COMMENT ON COLUMN oauth_grants.last_used_ips IS 'Last five distinct addresses of accepted calls, newest first';
COMMENT ON COLUMN oauth_grants.seq IS 'Number of the change that ended it, from key_feed; 0 while it lives';

CREATE TABLE oauth_codes (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    grant_id uuid NOT NULL REFERENCES oauth_grants (id),
    app_id uuid NOT NULL REFERENCES oauth_apps (id),
    redirect_uri text NOT NULL,
    challenge text NULL CHECK (challenge ~ '^[A-Za-z0-9_-]{43}$'),
    scopes bigint NOT NULL,
    resources text[] NOT NULL CHECK (array_position(resources, NULL) IS NULL),
    expires_at timestamptz NOT NULL,
    redeemed_at timestamptz NULL
);
CREATE INDEX oauth_codes_grant ON oauth_codes (grant_id);
CREATE INDEX oauth_codes_unredeemed ON oauth_codes (expires_at) WHERE redeemed_at IS NULL;

COMMENT ON TABLE oauth_codes IS 'Authorization codes; one that was redeemed stays with its grant, so that a replay is recognised';
COMMENT ON COLUMN oauth_codes.digest IS 'HMAC-SHA-256 of the code';
COMMENT ON COLUMN oauth_codes.grant_id IS 'Its grant';
COMMENT ON COLUMN oauth_codes.app_id IS 'The app that it was given to';
COMMENT ON COLUMN oauth_codes.redirect_uri IS 'That of its request';
COMMENT ON COLUMN oauth_codes.challenge IS 'Code challenge, S256; null where the request had none';
COMMENT ON COLUMN oauth_codes.scopes IS 'Bits of the catalog that were granted';
COMMENT ON COLUMN oauth_codes.resources IS 'For which resources';
COMMENT ON COLUMN oauth_codes.expires_at IS 'End: 300 s after the decision';
COMMENT ON COLUMN oauth_codes.redeemed_at IS 'When it was redeemed; decides who of many was first';

CREATE TABLE oauth_refresh_tokens (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    grant_id uuid NOT NULL REFERENCES oauth_grants (id),
    generation bigint NOT NULL CHECK (generation >= 0),
    scopes bigint NOT NULL,
    issued_at timestamptz NOT NULL,
    idle_expires_at timestamptz NOT NULL,
    rotated_at timestamptz NULL,
    successor_sealed bytea NULL,
    successor_used_at timestamptz NULL,
    -- Never two live chains of one grant.
    UNIQUE (grant_id, generation)
);

CREATE INDEX oauth_refresh_tokens_sealed ON oauth_refresh_tokens (rotated_at) WHERE successor_sealed IS NOT NULL;

COMMENT ON TABLE oauth_refresh_tokens IS 'Refresh tokens; used ones stay until 30 days after their grant''s end, so that reuse is recognised';
COMMENT ON COLUMN oauth_refresh_tokens.digest IS 'HMAC-SHA-256 of the token';
COMMENT ON COLUMN oauth_refresh_tokens.grant_id IS 'Its grant';
COMMENT ON COLUMN oauth_refresh_tokens.generation IS 'Which of the grant''s it is, from 0';
COMMENT ON COLUMN oauth_refresh_tokens.scopes IS 'Bits of the catalog that were granted';
COMMENT ON COLUMN oauth_refresh_tokens.issued_at IS 'When it was issued';
COMMENT ON COLUMN oauth_refresh_tokens.idle_expires_at IS 'End, unless it is used before';
COMMENT ON COLUMN oauth_refresh_tokens.rotated_at IS 'When it was used';
COMMENT ON COLUMN oauth_refresh_tokens.successor_sealed IS 'Its successor under a key that only the token itself gives; while the retry window is open';
COMMENT ON COLUMN oauth_refresh_tokens.successor_used_at IS 'When its successor was used';

CREATE TABLE oauth_access_tokens (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    grant_id uuid NOT NULL REFERENCES oauth_grants (id),
    jti text NULL,
    scopes bigint NOT NULL,
    audiences text[] NOT NULL CHECK (array_position(audiences, NULL) IS NULL),
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NULL,
    seq bigint NOT NULL DEFAULT 0
);
CREATE INDEX oauth_access_tokens_grant ON oauth_access_tokens (grant_id);
CREATE INDEX oauth_access_tokens_expires ON oauth_access_tokens (expires_at);
CREATE INDEX oauth_access_tokens_seq ON oauth_access_tokens (seq) WHERE seq > 0;

COMMENT ON TABLE oauth_access_tokens IS 'Access tokens of the last day';
COMMENT ON COLUMN oauth_access_tokens.digest IS 'HMAC-SHA-256 of the token, or of the id of a signed one';
COMMENT ON COLUMN oauth_access_tokens.grant_id IS 'Its grant';
COMMENT ON COLUMN oauth_access_tokens.jti IS 'Id of a signed token; null: opaque';
COMMENT ON COLUMN oauth_access_tokens.scopes IS 'Bits of the catalog';
COMMENT ON COLUMN oauth_access_tokens.audiences IS 'For whom it is meant';
COMMENT ON COLUMN oauth_access_tokens.issued_at IS 'When it was issued';
COMMENT ON COLUMN oauth_access_tokens.expires_at IS 'End: 7200 s later';
COMMENT ON COLUMN oauth_access_tokens.revoked_at IS 'Since when this one alone is ended';
COMMENT ON COLUMN oauth_access_tokens.seq IS 'Number of the change that ended it, from key_feed; 0 while it lives';

CREATE TABLE oauth_signing_keys (
    kid text PRIMARY KEY,
    public_x text NOT NULL,
    public_y text NOT NULL,
    private_sealed bytea NOT NULL,
    key_version smallint NOT NULL,
    publish_at timestamptz NOT NULL,
    sign_from timestamptz NOT NULL,
    sign_until timestamptz NOT NULL,
    publish_until timestamptz NOT NULL,
    seq bigint NOT NULL
);
CREATE INDEX oauth_signing_keys_seq ON oauth_signing_keys (seq);

COMMENT ON TABLE oauth_signing_keys IS 'Keys of signed access tokens (ES256), the same for every instance';
COMMENT ON COLUMN oauth_signing_keys.kid IS 'RFC 7638 thumbprint of the public key';
COMMENT ON COLUMN oauth_signing_keys.public_x IS 'Coordinate x, base64url';
COMMENT ON COLUMN oauth_signing_keys.public_y IS 'Coordinate y, base64url';
COMMENT ON COLUMN oauth_signing_keys.private_sealed IS 'PKCS #8 under a key derived from the master key';
COMMENT ON COLUMN oauth_signing_keys.key_version IS 'Version of the master key that seals it';
COMMENT ON COLUMN oauth_signing_keys.publish_at IS 'Published from then on';
COMMENT ON COLUMN oauth_signing_keys.sign_from IS 'Signs from then on';
COMMENT ON COLUMN oauth_signing_keys.sign_until IS 'Signs no more from then on';
COMMENT ON COLUMN oauth_signing_keys.publish_until IS 'Published no more from then on';
COMMENT ON COLUMN oauth_signing_keys.seq IS 'Number of the change that wrote this row, from key_feed';

CREATE TABLE oauth_requests (
    handle_digest bytea PRIMARY KEY CHECK (octet_length(handle_digest) = 32),
    session_id uuid NULL,
    user_id uuid NULL,
    app_id uuid NOT NULL REFERENCES oauth_apps (id),
    parameters text NOT NULL CHECK (octet_length(parameters) <= 8192),
    expires_at timestamptz NOT NULL,
    used_at timestamptz NULL
);
CREATE INDEX oauth_requests_expires ON oauth_requests (expires_at);

COMMENT ON TABLE oauth_requests IS 'Authorization requests that wait for a sign-in or a decision, each under a one-time handle';
COMMENT ON COLUMN oauth_requests.handle_digest IS 'HMAC-SHA-256 of the handle';
COMMENT ON COLUMN oauth_requests.session_id IS 'The session that was asked; null: waits for a sign-in';
COMMENT ON COLUMN oauth_requests.user_id IS 'Who was asked; null: waits for a sign-in';
COMMENT ON COLUMN oauth_requests.app_id IS 'The app that asks';
COMMENT ON COLUMN oauth_requests.parameters IS 'The query as it came';
COMMENT ON COLUMN oauth_requests.expires_at IS 'End';
COMMENT ON COLUMN oauth_requests.used_at IS 'When it served';

CREATE TABLE leases (
    name text PRIMARY KEY,
    holder uuid NOT NULL,
    until timestamptz NOT NULL
);

COMMENT ON TABLE leases IS 'Work that one instance at a time does';
COMMENT ON COLUMN leases.name IS 'The work';
COMMENT ON COLUMN leases.holder IS 'The instance that does it';
COMMENT ON COLUMN leases.until IS 'Another one may take it over from then on';

-- The page of an app's refused exchanges reads the trail by app.
CREATE INDEX audit_events_app_failures ON audit_events ((detail ->> 'app_id'), occurred_at DESC, id DESC)
    WHERE outcome <> 'allowed' AND action LIKE 'oauth.%';

-- Rows that are edited by hand must reach the instances too, as with keys.
CREATE TRIGGER oauth_apps_stamp BEFORE UPDATE OF
    client_id, organization_id, kind, scopes, allowed_cidrs, audiences, status, tokens_valid_from, deleted_at ON oauth_apps
    FOR EACH ROW WHEN (NEW.seq = OLD.seq) EXECUTE FUNCTION stamp_row();
CREATE TRIGGER oauth_grants_stamp BEFORE UPDATE OF status, revoked_at, absolute_expires_at ON oauth_grants
    FOR EACH ROW WHEN (NEW.seq = OLD.seq AND NEW.status = 'revoked') EXECUTE FUNCTION stamp_row();
CREATE TRIGGER oauth_access_tokens_stamp BEFORE UPDATE OF revoked_at ON oauth_access_tokens
    FOR EACH ROW WHEN (NEW.seq = OLD.seq AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION stamp_row();

-- Somebody who leaves an organization, or whose account is closed, leaves no app behind that acts in his name.
CREATE FUNCTION end_grants_of_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE oauth_grants SET status = 'revoked', revoked_at = clock_timestamp(), revoked_reason = 'user_removed'
        WHERE user_id = OLD.user_id AND organization_id = OLD.organization_id AND status <> 'revoked';
    RETURN NULL;
END $$;
COMMENT ON FUNCTION end_grants_of_member() IS 'Ends what a member has authorized for an organization';
CREATE FUNCTION end_grants_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE oauth_grants SET status = 'revoked', revoked_at = clock_timestamp(), revoked_reason = 'user_removed'
        WHERE user_id = NEW.id AND status <> 'revoked';
    RETURN NULL;
END $$;
COMMENT ON FUNCTION end_grants_of_user() IS 'Ends everything that a person has authorized';
CREATE TRIGGER memberships_end_grants AFTER DELETE ON memberships
    FOR EACH ROW EXECUTE FUNCTION end_grants_of_member();
CREATE TRIGGER users_end_grants AFTER UPDATE OF disabled_at ON users
    FOR EACH ROW WHEN (NEW.disabled_at IS NOT NULL AND OLD.disabled_at IS NULL) EXECUTE FUNCTION end_grants_of_user();
