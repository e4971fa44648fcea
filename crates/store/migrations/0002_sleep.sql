-- Whether an app sleeps, and since when it does or does not. An app without a row is awake.
CREATE TABLE sleep (
    app    BLOB PRIMARY KEY REFERENCES app (id) ON DELETE CASCADE,
    asleep INTEGER NOT NULL CHECK (asleep IN (0, 1)),
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
