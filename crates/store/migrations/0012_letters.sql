-- Letters that wait for the mail server. Their text holds links that are their own key.
CREATE TABLE letter (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    recipient   TEXT NOT NULL,
    subject     TEXT NOT NULL,
    sealed_text BLOB NOT NULL,
    attempts    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    -- Nobody needs it afterwards.
    expires_at  INTEGER NOT NULL
) STRICT;
