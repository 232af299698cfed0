-- What version 2 adds.

-- The audit trail. `hash` is SHA-256 over the row's other columns, written as one line of JSON (docs/audit.md);
-- `previous` is the hash of the row before. `meta` says how it begins ("audit_anchor": the last row that retention has
-- removed, as "SEQ HASH") and how it ends ("audit_head": the last row).
CREATE TABLE audit (
    seq      INTEGER NOT NULL PRIMARY KEY,
    previous TEXT    NOT NULL,
    at       TEXT    NOT NULL,
    actor    TEXT    NOT NULL,
    source   TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    target   TEXT,
    detail   TEXT    NOT NULL,
    hash     TEXT    NOT NULL
) STRICT;

CREATE TRIGGER audit_rows_stay_as_they_are BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail only grows'); END;

CREATE TRIGGER audit_rows_stay BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'audit_anchor')
BEGIN SELECT raise(ABORT, 'the audit trail only grows'); END;

CREATE TRIGGER audit_rows_are_new BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE seq >= NEW.seq)
BEGIN SELECT raise(ABORT, 'the audit trail only grows'); END;

INSERT INTO meta (name, value) VALUES
    ('audit_anchor', '0 0000000000000000000000000000000000000000000000000000000000000000'),
    ('audit_head', '0 0000000000000000000000000000000000000000000000000000000000000000');

-- When each key last used each permission that a route asked it for. Only requests that were carried count.
CREATE TABLE permission_use (
    key_id     TEXT NOT NULL,
    permission TEXT NOT NULL,
    used_at    TEXT NOT NULL,
    PRIMARY KEY (key_id, permission)
) STRICT, WITHOUT ROWID;
