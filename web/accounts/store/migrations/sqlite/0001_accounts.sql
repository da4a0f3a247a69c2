-- Times are seconds since 1970, UTC. Identifiers are random text, made by us. Only hashes of secrets are stored.

CREATE TABLE accounts (
    id           TEXT PRIMARY KEY,
    email        TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL DEFAULT '',
    plan         TEXT NOT NULL DEFAULT 'free' CHECK (plan IN ('free', 'starter', 'pro')),
    role         TEXT NOT NULL DEFAULT 'customer' CHECK (role IN ('customer', 'admin')),
    appearance   TEXT NOT NULL DEFAULT 'system' CHECK (appearance IN ('system', 'light', 'dark')),
    created_at   BIGINT NOT NULL,
    signed_in_at BIGINT,
    suspended_at BIGINT
);

CREATE TABLE sessions (
    id_hash      TEXT PRIMARY KEY,
    -- Names the session to its owner; good for nothing but ending it.
    handle       TEXT NOT NULL UNIQUE,
    account      TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    -- The role when the session got its present id: where the account's differs, the id is changed.
    role         TEXT NOT NULL,
    -- The id before, good for a moment, so that requests under way when it changed are not signed out.
    former_hash  TEXT,
    former_until BIGINT,
    created_at   BIGINT NOT NULL,
    seen_at      BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    user_agent   TEXT NOT NULL,
    network      TEXT NOT NULL
);

CREATE INDEX sessions_of_account ON sessions (account);
CREATE INDEX sessions_by_former ON sessions (former_hash);

-- What was sent by e-mail and can be redeemed once.
CREATE TABLE links (
    token_hash   TEXT PRIMARY KEY,
    purpose      TEXT NOT NULL CHECK (purpose IN ('sign_in', 'email_change')),
    email        TEXT NOT NULL,
    name         TEXT NOT NULL DEFAULT '',
    account      TEXT REFERENCES accounts (id) ON DELETE CASCADE,
    return_to    TEXT NOT NULL DEFAULT '/',
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT
);

CREATE INDEX links_of_email ON links (email);

-- What is counted to be limited.
CREATE TABLE attempts (
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    at           BIGINT NOT NULL
);

CREATE INDEX attempts_of_subject ON attempts (kind, subject, at);

-- What was sent to whom; the text is not kept, since it holds links that sign somebody in.
CREATE TABLE mails (
    id           TEXT PRIMARY KEY,
    at           BIGINT NOT NULL,
    recipient    TEXT NOT NULL,
    subject      TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'failed')),
    problem      TEXT NOT NULL DEFAULT ''
);

CREATE INDEX mails_by_time ON mails (at);
CREATE INDEX mails_of_recipient ON mails (recipient);
