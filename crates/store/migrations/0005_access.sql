-- Who else may do something to an app. The owner has no row: he may do everything.
CREATE TABLE collaborator (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    app         BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    account     BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    permissions TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (app, account)
) STRICT;
CREATE INDEX collaborator_by_account ON collaborator (account);

-- Apps that were offered to another owner. At most one offer of an app waits for its answer.
CREATE TABLE app_transfer (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    app        BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    owner      BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    recipient  BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'declined')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK (owner <> recipient)
) STRICT;
CREATE UNIQUE INDEX app_transfer_pending ON app_transfer (app) WHERE state = 'pending';
CREATE INDEX app_transfer_by_owner ON app_transfer (owner);
CREATE INDEX app_transfer_by_recipient ON app_transfer (recipient);
CREATE INDEX app_transfer_by_app ON app_transfer (app);
