-- Events for webhooks whose delivery is queued: what waits (`waiting`), what is not tried any more (`dead`), and what has
-- arrived (`delivered`), for as long as it is kept to be sent again and to know its id. Times of these tables have
-- milliseconds.
CREATE TABLE webhook_events (
    seq          INTEGER NOT NULL PRIMARY KEY,
    webhook      TEXT    NOT NULL,
    event_id     TEXT    NOT NULL,
    organization TEXT    NOT NULL,
    event_type   TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    -- Events of a webhook are sent in this order, where order is asked for.
    place        INTEGER NOT NULL,
    accepted_at  TEXT    NOT NULL,
    -- When it was accepted, or somebody last asked for it again.
    queued_at    TEXT    NOT NULL,
    -- When the next attempt is due.
    due_at       TEXT    NOT NULL,
    -- When it was delivered, or given up.
    ended_at     TEXT,
    -- Attempts ever, and since `queued_at`.
    attempts     INTEGER NOT NULL,
    turns        INTEGER NOT NULL,
    -- What the last attempt came to: a status, or a code.
    outcome      TEXT,
    -- How much of the queue's room it takes.
    bytes        INTEGER NOT NULL,
    -- Whether there is a row in `webhook_event_contents`.
    has_content  INTEGER NOT NULL CHECK (has_content IN (0, 1)),
    UNIQUE (event_id, webhook)
) STRICT;

CREATE INDEX webhook_events_of ON webhook_events (webhook, seq);

CREATE INDEX webhook_events_waiting ON webhook_events (seq) WHERE state = 'waiting';

CREATE INDEX webhook_events_ended ON webhook_events (state, has_content, ended_at) WHERE ended_at IS NOT NULL;

-- PROTECTED: what the service sent, and so its customers' data. Nothing else in this file is. No secret of a webhook and no
-- signature is in it: those are made when an event is sent. `headers` are lines, `name: value`; `:path` is the path and query
-- that the service asked for, where they are not those of the webhook.
CREATE TABLE webhook_event_contents (
    seq     INTEGER NOT NULL PRIMARY KEY,
    headers BLOB    NOT NULL,
    body    BLOB    NOT NULL
) STRICT;

-- Webhooks that are paused, or that fail.
CREATE TABLE webhook_states (
    webhook       TEXT    NOT NULL PRIMARY KEY,
    paused_since  TEXT,
    pause_reason  TEXT,
    paused_by     TEXT,
    -- Why, as whoever did it says.
    pause_note    TEXT,
    failing_since TEXT,
    failures      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Every attempt to deliver: in the request (`request`), or from the queue (`queued`).
CREATE TABLE webhook_attempts (
    seq          INTEGER NOT NULL PRIMARY KEY,
    at           TEXT    NOT NULL,
    webhook      TEXT    NOT NULL,
    organization TEXT    NOT NULL,
    event_id     TEXT    NOT NULL,
    event_type   TEXT    NOT NULL,
    delivery     TEXT    NOT NULL CHECK (delivery IN ('request', 'queued')),
    attempt      INTEGER NOT NULL,
    is_delivered INTEGER NOT NULL CHECK (is_delivered IN (0, 1)),
    status       INTEGER,
    error        TEXT,
    duration_ms  INTEGER NOT NULL
) STRICT;

CREATE INDEX webhook_attempts_of ON webhook_attempts (webhook, seq);

CREATE INDEX webhook_attempts_of_event ON webhook_attempts (event_id, seq);
