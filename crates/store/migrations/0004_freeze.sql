-- Dynos that are frozen: one more state, which the table's rule must know. No other table refers to this one.
CREATE TABLE dyno_next (
    id              BLOB PRIMARY KEY CHECK (length(id) = 16),
    app             BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    process_type    TEXT NOT NULL,
    number          INTEGER NOT NULL CHECK (number > 0),
    kind            TEXT NOT NULL CHECK (kind IN ('formation', 'one_off', 'release_phase', 'build')),
    -- Of one-off dynos only.
    attach_hash     TEXT,
    force_no_tty    INTEGER CHECK (force_no_tty IN (0, 1)),
    sealed_env      BLOB,
    time_to_live_s  INTEGER,
    release         BLOB REFERENCES release (id),
    release_version INTEGER,
    size            TEXT NOT NULL,
    command         TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('planned', 'starting', 'up', 'frozen', 'stopping', 'exited')),
    generation      INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    address         TEXT,
    exit_code       INTEGER,
    exit_reason     TEXT,
    exit_at         INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    -- Of attached one-off dynos.
    client          TEXT CHECK (client IN ('connected', 'gone', 'outlived')),
    client_gone_at  INTEGER,
    CHECK ((kind = 'one_off') = (sealed_env IS NOT NULL)),
    CHECK ((exit_code IS NULL) = (exit_reason IS NULL) AND (exit_code IS NULL) = (exit_at IS NULL))
) STRICT;
INSERT INTO dyno_next SELECT * FROM dyno;
DROP TABLE dyno;
ALTER TABLE dyno_next RENAME TO dyno;
CREATE INDEX dyno_by_app ON dyno (app, process_type, number);
CREATE INDEX dyno_by_release ON dyno (release);

-- Until when the web dynos of an app that sleeps are kept frozen; none: they are stopped.
ALTER TABLE sleep ADD COLUMN frozen_until INTEGER;
