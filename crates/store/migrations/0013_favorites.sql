-- Apps that an account keeps at hand.
CREATE TABLE favorite (
    account    BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    app        BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account, app)
) STRICT, WITHOUT ROWID;
CREATE INDEX favorite_app ON favorite (app);
