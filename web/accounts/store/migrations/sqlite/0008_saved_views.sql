-- Selections of filters that customers come back to. query is the address's, summary its filters in words when it was saved.
CREATE TABLE saved_views (
    id             TEXT PRIMARY KEY,
    account        TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    dashboard      TEXT NOT NULL,
    name           TEXT NOT NULL,
    query          TEXT NOT NULL DEFAULT '',
    summary        TEXT NOT NULL DEFAULT '',
    -- At most one of an account: it opens first.
    is_default     BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    UNIQUE (account, dashboard, name)
);

CREATE TABLE favorites (
    account        TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    dashboard      TEXT NOT NULL,
    added_at       BIGINT NOT NULL,
    PRIMARY KEY (account, dashboard)
);
