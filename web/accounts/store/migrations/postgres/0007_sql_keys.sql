-- Whether a key opens the endpoint for SQL (`materia postgres`) as well as the API.
ALTER TABLE api_keys ADD COLUMN may_query BIGINT NOT NULL DEFAULT 0;
