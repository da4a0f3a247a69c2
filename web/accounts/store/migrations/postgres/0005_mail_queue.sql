-- Emails survive a restart: the text waits in the store until it is sent, with {token} in place of the secret of its link, which is
-- created only when the email is sent. due_at is when it may be sent; until leased_until it belongs to the server that sends it.
ALTER TABLE mails ADD COLUMN body TEXT COLLATE "C";
ALTER TABLE mails ADD COLUMN token_hash TEXT COLLATE "C";
ALTER TABLE mails ADD COLUMN due_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mails ADD COLUMN leased_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mails ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;

-- The text of emails that waited for an earlier version is lost.
UPDATE mails SET state = 'failed', problem = 'lost in a restart' WHERE state = 'queued';
