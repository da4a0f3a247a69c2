-- Keys to the API. Of the secret only a hash is stored; its first digits name the key to its owner.
CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    account      TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    -- The tables it opens, as a JSON array; nothing: everything that the plan does.
    tables       TEXT,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    used_at      BIGINT
);

CREATE INDEX api_keys_of_account ON api_keys (account);

-- Requests of an account on a day, counted in days since 1970 UTC.
CREATE TABLE api_usage (
    account      TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    day          BIGINT NOT NULL,
    requests     BIGINT NOT NULL,
    PRIMARY KEY (account, day)
);
