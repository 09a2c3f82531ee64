-- Django's database cache. The cache holds the counters of the login throttle, which all web processes must
-- share.
CREATE TABLE IF NOT EXISTS rankloop_cache (
    cache_key varchar(255) PRIMARY KEY,
    value text NOT NULL,
    expires timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS rankloop_cache_expires ON rankloop_cache (expires);
