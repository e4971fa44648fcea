-- Slugs that clients bring: the row comes first, then the archive in the exchange directory.
CREATE TABLE slug_upload (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    app           BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    stack         TEXT NOT NULL,
    process_types TEXT NOT NULL,
    checksum      TEXT,
    source_commit TEXT,
    commit_description TEXT,
    buildpack_provided_description TEXT,
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX slug_upload_by_app ON slug_upload (app);
CREATE INDEX slug_upload_by_age ON slug_upload (created_at);

-- Of the archive, as whoever brought it said.
ALTER TABLE slug ADD COLUMN checksum TEXT;
