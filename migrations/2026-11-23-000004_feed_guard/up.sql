-- Instances answer from memory and learn of changes by the feed alone. A row that is edited by hand (an operator in an
-- emergency, or someone who has no business here) must reach them too: an update that doesn't take a number of its own
-- gets one. The service's own statements take theirs, so for them the triggers' conditions are false.

CREATE FUNCTION take_feed_number() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    UPDATE key_feed SET seq = seq + 1 RETURNING seq INTO number;
    PERFORM pg_notify('key_feed', number::text);
    RETURN number;
END $$;
COMMENT ON FUNCTION take_feed_number() IS 'The next number of the change feed, with the hint that goes out at the commit';

CREATE FUNCTION stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seq := take_feed_number();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION stamp_row() IS 'Gives a row that was edited without a number its number';

CREATE FUNCTION stamp_key_of_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE keys SET seq = take_feed_number() WHERE id = OLD.key_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION stamp_key_of_version() IS 'Gives the key of a version that was edited without a number its number';

-- A row that is gone can't tell anybody; and the audit trail still speaks of it.
CREATE FUNCTION refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'keys are revoked and never deleted' USING HINT = 'UPDATE keys SET revoked_at = now() WHERE id = ...';
END $$;
COMMENT ON FUNCTION refuse_delete() IS 'Keeps keys from being deleted: instances would go on accepting them';

-- Not for last_used_at and last_used_ips, which calls write and no decision reads.
CREATE TRIGGER keys_stamp BEFORE UPDATE OF
    organization_id, environment, name, scopes, allowed_cidrs, allow_any, rate_limit_per_minute, canary, current_version,
    created_at, disabled_at, revoked_at ON keys
    FOR EACH ROW WHEN (NEW.seq = OLD.seq) EXECUTE FUNCTION stamp_row();
CREATE TRIGGER key_versions_stamp AFTER UPDATE ON key_versions
    FOR EACH ROW WHEN (NEW.seq = OLD.seq) EXECUTE FUNCTION stamp_key_of_version();
CREATE TRIGGER organizations_stamp BEFORE UPDATE ON organizations
    FOR EACH ROW WHEN (NEW.seq = OLD.seq) EXECUTE FUNCTION stamp_row();
CREATE TRIGGER key_versions_stamp_deleted AFTER DELETE ON key_versions
    FOR EACH ROW EXECUTE FUNCTION stamp_key_of_version();
CREATE TRIGGER keys_keep BEFORE DELETE ON keys FOR EACH ROW EXECUTE FUNCTION refuse_delete();
