-- Programs that act for accounts. The secret is found by its hash, and shown to its owner again.
CREATE TABLE oauth_client (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    account       BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    redirect_uri  TEXT NOT NULL,
    secret_hash   BLOB NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    sealed_secret BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX oauth_client_by_account ON oauth_client (account);

-- A token is an authorization and its access token. What was there before has its own id as the access token's.
ALTER TABLE token ADD COLUMN client BLOB REFERENCES oauth_client (id) ON DELETE CASCADE;
ALTER TABLE token ADD COLUMN session BLOB;
ALTER TABLE token ADD COLUMN access BLOB;
ALTER TABLE token ADD COLUMN refresh BLOB;
ALTER TABLE token ADD COLUMN refresh_hash BLOB;
ALTER TABLE token ADD COLUMN refresh_masked TEXT;
ALTER TABLE token ADD COLUMN pending INTEGER NOT NULL DEFAULT 0 CHECK (pending IN (0, 1));
ALTER TABLE token ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE token SET access = id, updated_at = created_at;
CREATE INDEX token_by_client ON token (client);
CREATE UNIQUE INDEX token_by_refresh ON token (refresh_hash) WHERE refresh_hash IS NOT NULL;

-- Access tokens that were followed by another and are still valid: two workers of a client may refresh at one time.
CREATE TABLE token_earlier (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    token      BLOB NOT NULL REFERENCES token (id) ON DELETE CASCADE,
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    masked     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX token_earlier_by_token ON token_earlier (token, expires_at);

-- Values that work once: grants of OAuth, password resets, invitations.
CREATE TABLE one_time (
    hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL COLLATE NOCASE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX one_time_by_subject ON one_time (kind, subject);
CREATE INDEX one_time_by_end ON one_time (expires_at);
