-- Certificates that the platform fetches and renews itself.
ALTER TABLE app ADD COLUMN acm INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sni_endpoint ADD COLUMN acm INTEGER NOT NULL DEFAULT 0;

-- Host names that it keeps a certificate for. A row outlives its domain until what was put into DNS is taken away.
CREATE TABLE acm_name (
    hostname     TEXT PRIMARY KEY,
    domain       BLOB NOT NULL,
    step         TEXT NOT NULL,
    -- JSON: where the order stands, and what proves the name.
    acme_order   TEXT,
    -- Of the certificate that is ordered.
    sealed_key   BLOB,
    failures     INTEGER NOT NULL,
    reason       TEXT,
    due_at       INTEGER NOT NULL,
    expires_at   INTEGER,
    generation   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX acm_name_by_due ON acm_name (due_at);
CREATE INDEX acm_name_by_domain ON acm_name (domain);
-- The few that an order stands for are asked for with every look at the routes.
CREATE INDEX acm_name_under_way ON acm_name (step) WHERE step IN ('proving', 'checking', 'verified');

-- Accounts with certificate authorities, by the URL of their directory.
CREATE TABLE acme_account (
    authority  TEXT PRIMARY KEY,
    sealed_key BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
