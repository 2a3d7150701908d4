DROP TABLE key_idle_notices;
DROP TABLE oauth_secret_notices;
DROP TABLE key_notices;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_events;
DROP TABLE webhook_endpoints;
