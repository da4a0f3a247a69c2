-- Subscriptions as a payment provider reports them. An account is missing until an event says whose it is.
CREATE TABLE subscriptions (
    provider       TEXT NOT NULL,
    subscription   TEXT NOT NULL,
    account        TEXT REFERENCES accounts (id) ON DELETE CASCADE,
    customer       TEXT NOT NULL DEFAULT '',
    plan           TEXT,
    state          TEXT NOT NULL CHECK (state IN ('active', 'past_due', 'ended')),
    period_ends_at BIGINT,
    is_cancelled   BIGINT NOT NULL DEFAULT 0,
    invoice_url    TEXT NOT NULL DEFAULT '',
    changed_at     BIGINT NOT NULL,
    PRIMARY KEY (provider, subscription)
);

CREATE INDEX subscriptions_of_account ON subscriptions (account);

-- Events that were applied: the same one again changes nothing.
CREATE TABLE billing_events (
    provider       TEXT NOT NULL,
    id             TEXT NOT NULL,
    at             BIGINT NOT NULL,
    PRIMARY KEY (provider, id)
);

-- Plans that customers ask operators for, one for each account.
CREATE TABLE plan_requests (
    account        TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    plan           TEXT NOT NULL,
    is_yearly      BIGINT NOT NULL DEFAULT 0,
    at             BIGINT NOT NULL
);
