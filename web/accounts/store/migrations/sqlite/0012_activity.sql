-- How many sessions and accounts were active, by day (days since 1970, UTC). Nobody is identified.
CREATE TABLE activity (
    day            BIGINT PRIMARY KEY,
    sessions       BIGINT NOT NULL,
    accounts       BIGINT NOT NULL
);
