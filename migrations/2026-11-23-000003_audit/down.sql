DROP TABLE alerts;
DROP TABLE audit_partitions;
DROP TABLE audit_events;
