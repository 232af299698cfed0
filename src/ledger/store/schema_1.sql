-- The state of a Keygate, for `sqlite3`. Times are UTC (RFC 3339). Ids are those of the key file.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How much of each quota is spent. `scope` says whose id `owner` is: "organization" or "key".
CREATE TABLE quota_balances (
    scope         TEXT    NOT NULL,
    owner         TEXT    NOT NULL,
    quota         TEXT    NOT NULL,
    used          INTEGER NOT NULL,
    allowed       INTEGER NOT NULL,
    period_begins TEXT    NOT NULL,
    period_ends   TEXT    NOT NULL,
    updated_at    TEXT    NOT NULL,
    PRIMARY KEY (scope, owner, quota)
) STRICT, WITHOUT ROWID;

-- By the hour in which a request or tunnel ended. `requests` counts all, `refused` and `failed` among them.
CREATE TABLE usage (
    hour         TEXT    NOT NULL,
    key_id       TEXT    NOT NULL,
    organization TEXT    NOT NULL,
    requests     INTEGER NOT NULL,
    refused      INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    bytes_in     INTEGER NOT NULL,
    bytes_out    INTEGER NOT NULL,
    PRIMARY KEY (hour, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE refusals (
    hour     TEXT    NOT NULL,
    key_id   TEXT    NOT NULL,
    code     TEXT    NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (hour, key_id, code)
) STRICT, WITHOUT ROWID;

-- The last request of each key that was let through.
CREATE TABLE last_use (
    key_id       TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    used_at      TEXT NOT NULL,
    network      TEXT,
    route        TEXT
) STRICT, WITHOUT ROWID;

CREATE VIEW usage_by_day AS
    SELECT substr(hour, 1, 10) AS day, key_id, organization,
           sum(requests) AS requests, sum(refused) AS refused, sum(failed) AS failed,
           sum(bytes_in) AS bytes_in, sum(bytes_out) AS bytes_out
    FROM usage GROUP BY day, key_id, organization;

CREATE VIEW refusals_by_day AS
    SELECT substr(hour, 1, 10) AS day, key_id, code, sum(requests) AS requests
    FROM refusals GROUP BY day, key_id, code;
