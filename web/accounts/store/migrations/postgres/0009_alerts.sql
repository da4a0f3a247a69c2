-- Rules about figures. field is the column of a table's panel, empty for a stat; panel is empty for the whole dashboard; state is what was seen last, as JSON.
CREATE TABLE alerts (
    id             TEXT COLLATE "C" PRIMARY KEY,
    account        TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    dashboard      TEXT COLLATE "C" NOT NULL,
    panel          TEXT COLLATE "C" NOT NULL,
    field          TEXT COLLATE "C" NOT NULL DEFAULT '',
    -- What the rule is about and its filters, in words.
    title          TEXT COLLATE "C" NOT NULL,
    summary        TEXT COLLATE "C" NOT NULL DEFAULT '',
    query          TEXT COLLATE "C" NOT NULL DEFAULT '',
    condition      TEXT COLLATE "C" NOT NULL CHECK (condition IN ('above', 'below', 'changes', 'new_rows', 'updated')),
    threshold      TEXT COLLATE "C" NOT NULL DEFAULT '',
    by_mail        BIGINT NOT NULL DEFAULT 1,
    webhook        TEXT COLLATE "C" NOT NULL DEFAULT '',
    -- Signs what is sent to the webhook, so it is stored as it is.
    secret         TEXT COLLATE "C" NOT NULL DEFAULT '',
    is_paused      BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    -- The generation for which it was evaluated last.
    evaluated      TEXT COLLATE "C" NOT NULL DEFAULT '',
    state          TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    fired_at       BIGINT,
    problem        TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE INDEX alerts_of_account ON alerts (account);
CREATE INDEX alerts_by_evaluation ON alerts (evaluated);

-- Messages to webhooks that have not arrived yet. Until leased_until one belongs to the server that sends it.
CREATE TABLE deliveries (
    id             TEXT COLLATE "C" PRIMARY KEY,
    alert          TEXT COLLATE "C" NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    body           TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT NOT NULL,
    due_at         BIGINT NOT NULL,
    leased_until   BIGINT NOT NULL DEFAULT 0,
    attempts       BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX deliveries_by_time ON deliveries (due_at);
