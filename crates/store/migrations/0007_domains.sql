-- Certificates that were uploaded, and the custom domains that they may be served for.
CREATE TABLE sni_endpoint (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    app        BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    chain_pem  TEXT NOT NULL,
    sealed_key BLOB NOT NULL,
    facts      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (app, name)
) STRICT;

CREATE TABLE domain (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    app          BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    -- A name stands on one app only.
    hostname     TEXT NOT NULL UNIQUE,
    sni_endpoint BLOB REFERENCES sni_endpoint (id) ON DELETE SET NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX domain_by_app ON domain (app, hostname);
CREATE INDEX domain_by_sni_endpoint ON domain (sni_endpoint);
