-- Selections of filters that customers come back to. query is the address's, summary its filters in words when it was saved.
CREATE TABLE saved_views (
    id             TEXT COLLATE "C" PRIMARY KEY,
    account        TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    dashboard      TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    query          TEXT COLLATE "C" NOT NULL DEFAULT '',
    summary        TEXT COLLATE "C" NOT NULL DEFAULT '',
    -- At most one of an account: it opens first.
    is_default     BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    UNIQUE (account, dashboard, name)
);

CREATE TABLE favorites (
    account        TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    dashboard      TEXT COLLATE "C" NOT NULL,
    added_at       BIGINT NOT NULL,
    PRIMARY KEY (account, dashboard)
);
