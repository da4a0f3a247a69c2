-- How often dashboards were opened, by day (days since 1970, UTC). Nobody is identified.
CREATE TABLE dashboard_views (
    day            BIGINT NOT NULL,
    dashboard      TEXT NOT NULL,
    views          BIGINT NOT NULL,
    PRIMARY KEY (day, dashboard)
);
