-- Random keys of the site, created when they are first needed. unsubscribe signs the addresses in emails that end them.
CREATE TABLE site_keys (
    name           TEXT PRIMARY KEY,
    value          TEXT NOT NULL
);
