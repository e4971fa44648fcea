-- Where bills would go: JSON that only the faces understand. Nobody is billed; what was said is shown again.
ALTER TABLE account ADD COLUMN invoice_address TEXT NOT NULL DEFAULT '{}';

-- What clients have said about images that they made elsewhere; `facts` is JSON that only the faces understand.
CREATE TABLE oci_image (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    app        BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    digest     TEXT NOT NULL,
    facts      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX oci_image_by_app ON oci_image (app, digest);
