-- Dashboards that are sent regularly, each for the first time at due_at.
CREATE TABLE digests (
    id             TEXT PRIMARY KEY,
    account        TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    dashboard      TEXT NOT NULL,
    title          TEXT NOT NULL,
    query          TEXT NOT NULL DEFAULT '',
    summary        TEXT NOT NULL DEFAULT '',
    cadence        TEXT NOT NULL CHECK (cadence IN ('weekly', 'monthly')),
    created_at     BIGINT NOT NULL,
    due_at         BIGINT NOT NULL,
    sent_at        BIGINT,
    problem        TEXT NOT NULL DEFAULT '',
    UNIQUE (account, dashboard, query, cadence)
);

CREATE INDEX digests_by_time ON digests (due_at);

-- The HTML of an email and its pictures, as JSON, until it is sent.
ALTER TABLE mails ADD COLUMN rich TEXT;
