-- Lines of the platform that were said with a change and are not known to be in the app's log yet. Numbers are never
-- used again: the log knows by them what it has.
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    app    BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    at     INTEGER NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('app', 'heroku')),
    ps     TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_by_app ON outbox (app);

-- What was told of a dyno beside its moves: each is told once, whoever comes to it again.
ALTER TABLE dyno ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
