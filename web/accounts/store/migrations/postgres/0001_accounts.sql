-- Times are seconds since 1970, UTC. Identifiers are random text, made by us. Only hashes of secrets are stored.
-- Text is ordered and folded by its bytes, as SQLite does it: lists are in the same order wherever they are kept.

CREATE TABLE accounts (
    id           TEXT COLLATE "C" PRIMARY KEY,
    email        TEXT COLLATE "C" NOT NULL UNIQUE,
    name         TEXT COLLATE "C" NOT NULL DEFAULT '',
    plan         TEXT COLLATE "C" NOT NULL DEFAULT 'free' CHECK (plan IN ('free', 'starter', 'pro')),
    role         TEXT COLLATE "C" NOT NULL DEFAULT 'customer' CHECK (role IN ('customer', 'admin')),
    appearance   TEXT COLLATE "C" NOT NULL DEFAULT 'system' CHECK (appearance IN ('system', 'light', 'dark')),
    created_at   BIGINT NOT NULL,
    signed_in_at BIGINT,
    suspended_at BIGINT
);

CREATE TABLE sessions (
    id_hash      TEXT COLLATE "C" PRIMARY KEY,
    -- Names the session to its owner; good for nothing but ending it.
    handle       TEXT COLLATE "C" NOT NULL UNIQUE,
    account      TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    -- The role when the session got its present id: where the account's differs, the id is changed.
    role         TEXT COLLATE "C" NOT NULL,
    -- The id before, good for a moment, so that requests under way when it changed are not signed out.
    former_hash  TEXT COLLATE "C",
    former_until BIGINT,
    created_at   BIGINT NOT NULL,
    seen_at      BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    user_agent   TEXT COLLATE "C" NOT NULL,
    network      TEXT COLLATE "C" NOT NULL
);

CREATE INDEX sessions_of_account ON sessions (account);
CREATE INDEX sessions_by_former ON sessions (former_hash);

-- What was sent by e-mail and can be redeemed once.
CREATE TABLE links (
    token_hash   TEXT COLLATE "C" PRIMARY KEY,
    purpose      TEXT COLLATE "C" NOT NULL CHECK (purpose IN ('sign_in', 'email_change')),
    email        TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL DEFAULT '',
    account      TEXT COLLATE "C" REFERENCES accounts (id) ON DELETE CASCADE,
    return_to    TEXT COLLATE "C" NOT NULL DEFAULT '/',
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT
);

CREATE INDEX links_of_email ON links (email);

-- What is counted to be limited.
CREATE TABLE attempts (
    kind         TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL
);

CREATE INDEX attempts_of_subject ON attempts (kind, subject, at);

-- What was sent to whom; the text is not kept, since it holds links that sign somebody in.
CREATE TABLE mails (
    id           TEXT COLLATE "C" PRIMARY KEY,
    at           BIGINT NOT NULL,
    recipient    TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'sent', 'failed')),
    problem      TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE INDEX mails_by_time ON mails (at);
CREATE INDEX mails_of_recipient ON mails (recipient);
