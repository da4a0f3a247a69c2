-- The browser that redeemed a link and the session it got: the second click of a double click gets in as well.
ALTER TABLE links ADD COLUMN browser TEXT;
ALTER TABLE links ADD COLUMN session TEXT;

-- Browsers that have signed in to an account: only the hash of their cookie.
CREATE TABLE known_browsers (
    browser      TEXT NOT NULL,
    account      TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    seen_at      BIGINT NOT NULL,
    PRIMARY KEY (browser, account)
);

CREATE INDEX known_browsers_of_account ON known_browsers (account);
