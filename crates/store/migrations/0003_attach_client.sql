-- Where the client of an attached one-off dyno is; NULL: it has not come yet, or none is expected.
ALTER TABLE dyno ADD COLUMN client TEXT CHECK (client IN ('connected', 'gone', 'outlived'));
-- Of 'gone' only.
ALTER TABLE dyno ADD COLUMN client_gone_at INTEGER;
-- What ran attached before had its client, as far as anybody can know.
UPDATE dyno SET client = 'connected' WHERE attach_hash IS NOT NULL AND state = 'up';
