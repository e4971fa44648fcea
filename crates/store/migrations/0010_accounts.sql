-- What an account may say and switch of itself.
ALTER TABLE account ADD COLUMN allow_tracking INTEGER NOT NULL DEFAULT 0 CHECK (allow_tracking IN (0, 1));
ALTER TABLE account ADD COLUMN beta INTEGER NOT NULL DEFAULT 0 CHECK (beta IN (0, 1));
ALTER TABLE account ADD COLUMN features_on TEXT NOT NULL DEFAULT '[]';
ALTER TABLE account ADD COLUMN preferences TEXT NOT NULL DEFAULT '{}';
ALTER TABLE account ADD COLUMN last_login INTEGER;
-- The operator has shut it out since then.
ALTER TABLE account ADD COLUMN suspended_at INTEGER;
-- It is gone; the row stays for the releases and builds that name it.
ALTER TABLE account ADD COLUMN deleted_at INTEGER;

-- Public keys. Kept and shown; git comes over HTTP.
CREATE TABLE ssh_key (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    account     BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    public_key  TEXT NOT NULL,
    comment     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (account, fingerprint)
) STRICT;

-- The second factor of an account: asked for from `enabled_at` on. No code of a step up to `last_step` works again.
CREATE TABLE two_factor (
    account       BLOB PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    sealed_secret BLOB NOT NULL,
    last_step     INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    enabled_at    INTEGER
) STRICT, WITHOUT ROWID;

-- Codes for the day the device is lost; each works once.
CREATE TABLE recovery_code (
    account BLOB NOT NULL REFERENCES two_factor (account) ON DELETE CASCADE,
    hash    BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (account, hash)
) STRICT, WITHOUT ROWID;
