DROP TRIGGER keys_keep ON keys;
DROP TRIGGER key_versions_stamp_deleted ON key_versions;
DROP TRIGGER organizations_stamp ON organizations;
DROP TRIGGER key_versions_stamp ON key_versions;
DROP TRIGGER keys_stamp ON keys;
DROP FUNCTION refuse_delete();
DROP FUNCTION stamp_key_of_version();
DROP FUNCTION stamp_row();
DROP FUNCTION take_feed_number();
