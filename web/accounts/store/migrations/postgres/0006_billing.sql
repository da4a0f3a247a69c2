-- Subscriptions as a payment provider reports them. An account is missing until an event says whose it is.
CREATE TABLE subscriptions (
    provider       TEXT COLLATE "C" NOT NULL,
    subscription   TEXT COLLATE "C" NOT NULL,
    account        TEXT COLLATE "C" REFERENCES accounts (id) ON DELETE CASCADE,
    customer       TEXT COLLATE "C" NOT NULL DEFAULT '',
    plan           TEXT COLLATE "C",
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'past_due', 'ended')),
    period_ends_at BIGINT,
    is_cancelled   BIGINT NOT NULL DEFAULT 0,
    invoice_url    TEXT COLLATE "C" NOT NULL DEFAULT '',
    changed_at     BIGINT NOT NULL,
    PRIMARY KEY (provider, subscription)
);

CREATE INDEX subscriptions_of_account ON subscriptions (account);

-- Events that were applied: the same one again changes nothing.
CREATE TABLE billing_events (
    provider       TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    at             BIGINT NOT NULL,
    PRIMARY KEY (provider, id)
);

-- Plans that customers ask operators for, one for each account.
CREATE TABLE plan_requests (
    account        TEXT COLLATE "C" PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    plan           TEXT COLLATE "C" NOT NULL,
    is_yearly      BIGINT NOT NULL DEFAULT 0,
    at             BIGINT NOT NULL
);
