DROP TABLE instances;
DROP TABLE pepper_versions;
DROP TABLE master_keys;
DROP TABLE idempotency_keys;
DROP TABLE key_versions;
DROP TABLE keys;
DROP TABLE key_feed;
DROP TABLE environments;
