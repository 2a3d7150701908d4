//! The tables as Diesel sees them.

diesel::table! {
    organizations (id) {
        id -> Uuid,
        slug -> Text,
        name -> Text,
        created_at -> Timestamptz,
        max_lifespan_production_days -> Nullable<Int4>,
        max_lifespan_staging_days -> Nullable<Int4>,
        max_lifespan_analytics_days -> Nullable<Int4>,
        unused_key_days -> Nullable<Int4>,
        developer_scopes -> Nullable<Int8>,
        reuse_policy -> Text,
        allowed_cidrs -> Nullable<Array<Cidr>>,
        seq -> Int8,
    }
}

diesel::table! {
    users (id) {
        id -> Uuid,
        email -> Text,
        name -> Text,
        password_hash -> Text,
        created_at -> Timestamptz,
        disabled_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    memberships (organization_id, user_id) {
        organization_id -> Uuid,
        user_id -> Uuid,
        role -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        token_digest -> Bytea,
        user_id -> Uuid,
        created_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        expires_at -> Timestamptz,
        ip -> Nullable<Inet>,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    login_failures (subject) {
        subject -> Bytea,
        failures -> Int4,
        last_at -> Timestamptz,
        blocked_until -> Timestamptz,
    }
}

diesel::table! {
    keys (id) {
        id -> Uuid,
        organization_id -> Uuid,
        environment -> Text,
        name -> Text,
        scopes -> Int8,
        allowed_cidrs -> Nullable<Array<Cidr>>,
        allow_any -> Bool,
        allowlist_notes -> Jsonb,
        rate_limit_per_minute -> Nullable<Int4>,
        lifespan_seconds -> Int4,
        auto_rotate -> Bool,
        successor_public_key -> Nullable<Text>,
        canary -> Bool,
        current_version -> Int4,
        created_at -> Timestamptz,
        created_by -> Text,
        created_by_kind -> Text,
        disabled_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        revoke_reason -> Nullable<Text>,
        last_used_at -> Nullable<Timestamptz>,
        last_used_ips -> Array<Inet>,
        seq -> Int8,
    }
}

diesel::table! {
    key_versions (id) {
        id -> Uuid,
        organization_id -> Uuid,
        key_id -> Uuid,
        version -> Int4,
        state -> Text,
        lookup_id -> Nullable<Bytea>,
        pepper_version -> Int2,
        secret_hash -> Nullable<Text>,
        hash_scheme -> Text,
        hint -> Text,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        valid_until -> Timestamptz,
        claimed_at -> Nullable<Timestamptz>,
        seq -> Int8,
    }
}

diesel::table! {
    idempotency_keys (organization_id, caller, idempotency_key) {
        organization_id -> Uuid,
        caller -> Text,
        idempotency_key -> Text,
        request_digest -> Bytea,
        key_id -> Uuid,
        version -> Int4,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    master_keys (version) {
        version -> Int2,
        check_value -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    pepper_versions (version) {
        version -> Int2,
        master_key_version -> Int2,
        created_at -> Timestamptz,
        retired_at -> Nullable<Timestamptz>,
        seq -> Int8,
    }
}

diesel::table! {
    instances (id) {
        id -> Uuid,
        applied_seq -> Int8,
        applied_at -> Timestamptz,
        max_staleness_seconds -> Int4,
        started_at -> Timestamptz,
    }
}

diesel::table! {
    audit_events (occurred_at, stream, sequence) {
        id -> Uuid,
        stream -> Uuid,
        sequence -> Int8,
        occurred_at -> Timestamptz,
        recorded_at -> Timestamptz,
        class -> Int2,
        action -> Text,
        outcome -> Text,
        reason -> Nullable<Text>,
        organization_id -> Nullable<Uuid>,
        actor_kind -> Text,
        actor_id -> Nullable<Text>,
        actor_version -> Nullable<Int4>,
        method -> Nullable<Text>,
        route -> Nullable<Text>,
        status -> Nullable<Int2>,
        ip -> Nullable<Inet>,
        ip_commit -> Nullable<Bytea>,
        salt -> Nullable<Bytea>,
        country -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        user_agent_commit -> Nullable<Bytea>,
        fingerprint -> Nullable<Bytea>,
        request_id -> Nullable<Uuid>,
        detail -> Jsonb,
        leaf -> Bytea,
        prev -> Bytea,
        hash -> Bytea,
    }
}

diesel::table! {
    alerts (id) {
        id -> Uuid,
        organization_id -> Nullable<Uuid>,
        rule -> Text,
        subject_kind -> Text,
        subject -> Text,
        severity -> Text,
        status -> Text,
        opened_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        count -> Int8,
        evidence -> Jsonb,
    }
}

diesel::table! {
    oauth_apps (id) {
        id -> Uuid,
        client_id -> Text,
        organization_id -> Uuid,
        name -> Text,
        kind -> Text,
        require_state -> Bool,
        require_pkce -> Bool,
        access_token_format -> Text,
        scopes -> Int8,
        default_scopes -> Int8,
        refresh_retry_seconds -> Int4,
        allowed_cidrs -> Nullable<Array<Cidr>>,
        any_port_on_localhost -> Bool,
        audiences -> Array<Text>,
        status -> Text,
        tokens_valid_from -> Timestamptz,
        created_by -> Text,
        created_by_kind -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        seq -> Int8,
    }
}

diesel::table! {
    oauth_app_secrets (id) {
        id -> Uuid,
        app_id -> Uuid,
        digest -> Bytea,
        key_version -> Int2,
        last4 -> Text,
        label -> Nullable<Text>,
        created_by -> Text,
        created_by_kind -> Text,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    oauth_redirect_uris (app_id, uri) {
        app_id -> Uuid,
        uri -> Text,
        position -> Int2,
    }
}

diesel::table! {
    oauth_grants (id) {
        id -> Uuid,
        user_id -> Nullable<Uuid>,
        organization_id -> Uuid,
        app_id -> Uuid,
        scopes -> Int8,
        resources -> Array<Text>,
        status -> Text,
        revoked_reason -> Nullable<Text>,
        revoked_at -> Nullable<Timestamptz>,
        generation -> Int8,
        created_at -> Timestamptz,
        last_refresh_at -> Nullable<Timestamptz>,
        absolute_expires_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        last_used_ips -> Array<Inet>,
        seq -> Int8,
    }
}

diesel::table! {
    oauth_codes (digest) {
        digest -> Bytea,
        grant_id -> Uuid,
        app_id -> Uuid,
        redirect_uri -> Text,
        challenge -> Nullable<Text>,
        scopes -> Int8,
        resources -> Array<Text>,
        expires_at -> Timestamptz,
        redeemed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    oauth_refresh_tokens (digest) {
        digest -> Bytea,
        grant_id -> Uuid,
        generation -> Int8,
        scopes -> Int8,
        issued_at -> Timestamptz,
        idle_expires_at -> Timestamptz,
        rotated_at -> Nullable<Timestamptz>,
        successor_sealed -> Nullable<Bytea>,
        successor_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    oauth_access_tokens (digest) {
        digest -> Bytea,
        grant_id -> Uuid,
        jti -> Nullable<Text>,
        scopes -> Int8,
        audiences -> Array<Text>,
        issued_at -> Timestamptz,
        expires_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
        seq -> Int8,
    }
}

diesel::table! {
    oauth_signing_keys (kid) {
        kid -> Text,
        public_x -> Text,
        public_y -> Text,
        private_sealed -> Bytea,
        key_version -> Int2,
        publish_at -> Timestamptz,
        sign_from -> Timestamptz,
        sign_until -> Timestamptz,
        publish_until -> Timestamptz,
        seq -> Int8,
    }
}

diesel::table! {
    oauth_requests (handle_digest) {
        handle_digest -> Bytea,
        session_id -> Nullable<Uuid>,
        user_id -> Nullable<Uuid>,
        app_id -> Uuid,
        parameters -> Text,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(memberships -> organizations (organization_id));
diesel::joinable!(memberships -> users (user_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(key_versions -> keys (key_id));
diesel::joinable!(oauth_grants -> oauth_apps (app_id));
diesel::joinable!(oauth_apps -> organizations (organization_id));
diesel::joinable!(oauth_access_tokens -> oauth_grants (grant_id));
diesel::joinable!(oauth_codes -> oauth_grants (grant_id));
diesel::joinable!(oauth_refresh_tokens -> oauth_grants (grant_id));
diesel::allow_tables_to_appear_in_same_query!(
    organizations,
    users,
    memberships,
    sessions,
    keys,
    key_versions,
    oauth_apps,
    oauth_grants,
    oauth_access_tokens,
);
