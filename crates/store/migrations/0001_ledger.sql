-- The first ledger. Ids are the 16 bytes of a UUID, times are microseconds since 1970 (UTC), flags are 0 or 1, lists
-- that are only ever read whole are JSON. Columns called `sealed_*` are encrypted with the master key.
-- Constraints are never deferred: a commit carries the requests of many callers and must not fail for one of them.

CREATE TABLE account (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    email         TEXT NOT NULL COLLATE NOCASE UNIQUE,
    name          TEXT,
    password_hash TEXT,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE token (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    account     BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    hash        BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    description TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    masked      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER
) STRICT;
CREATE INDEX token_by_account ON token (account);

CREATE TABLE app (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    name          TEXT NOT NULL,
    owner         BLOB NOT NULL REFERENCES account (id),
    stack         TEXT NOT NULL,
    build_stack   TEXT NOT NULL,
    maintenance   INTEGER NOT NULL CHECK (maintenance IN (0, 1)),
    deleted       INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    buildpacks    TEXT NOT NULL,
    buildpack_provided_description TEXT,
    detected_buildpack TEXT,
    repo_bytes    INTEGER,
    slug_bytes    INTEGER,
    features_on   TEXT NOT NULL,
    features_off  TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    released_at   INTEGER
) STRICT;
-- The name of an app that is being taken apart is free again.
CREATE UNIQUE INDEX app_name ON app (name) WHERE deleted = 0;
CREATE INDEX app_by_owner ON app (owner);

CREATE TABLE slug (
    id                 BLOB PRIMARY KEY CHECK (length(id) = 16),
    app                BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    stack              TEXT NOT NULL,
    process_types      TEXT NOT NULL,
    source_commit      TEXT,
    commit_description TEXT,
    buildpack_provided_description TEXT,
    bytes              INTEGER NOT NULL,
    created_at         INTEGER NOT NULL
) STRICT;
CREATE INDEX slug_by_app ON slug (app, created_at);

-- Lowest layer first.
CREATE TABLE slug_layer (
    slug     BLOB NOT NULL REFERENCES slug (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    digest   TEXT NOT NULL CHECK (length(digest) = 64),
    key      TEXT,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (slug, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE release (
    id            BLOB PRIMARY KEY CHECK (length(id) = 16),
    app           BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    version       INTEGER NOT NULL CHECK (version > 0),
    status        TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'expired')),
    description   TEXT NOT NULL,
    user          BLOB NOT NULL REFERENCES account (id),
    slug          BLOB REFERENCES slug (id),
    sealed_config BLOB NOT NULL,
    attachments   TEXT NOT NULL,
    command_dyno  BLOB,
    current       INTEGER NOT NULL CHECK (current IN (0, 1)),
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    UNIQUE (app, version)
) STRICT;
CREATE UNIQUE INDEX release_current ON release (app) WHERE current = 1;
CREATE INDEX release_pending ON release (app, version) WHERE status = 'pending';
CREATE INDEX release_by_slug ON release (slug);

-- The ledger is only ever added to: what a release was stays as it was, and it goes only together with its app.
CREATE TRIGGER release_stays_as_it_was
BEFORE UPDATE OF id, app, version, description, user, slug, sealed_config, attachments, created_at ON release
BEGIN
    SELECT RAISE(ABORT, 'a release is never changed');
END;
CREATE TRIGGER release_goes_with_its_app
BEFORE DELETE ON release WHEN EXISTS (SELECT 1 FROM app WHERE id = OLD.app)
BEGIN
    SELECT RAISE(ABORT, 'a release is never removed');
END;

CREATE TABLE build (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    app        BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    user       BLOB NOT NULL REFERENCES account (id),
    status     TEXT NOT NULL CHECK (status IN ('pending', 'building', 'succeeded', 'failed')),
    source     TEXT NOT NULL,
    stack      TEXT NOT NULL,
    buildpacks TEXT NOT NULL,
    dyno       BLOB NOT NULL,
    slug       BLOB REFERENCES slug (id),
    release    BLOB REFERENCES release (id),
    failure    TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX build_unfinished ON build (app) WHERE status IN ('pending', 'building');
CREATE INDEX build_by_app ON build (app, created_at);
CREATE INDEX build_by_slug ON build (slug);
CREATE INDEX build_by_release ON build (release);

CREATE TABLE dyno (
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
    state           TEXT NOT NULL CHECK (state IN ('planned', 'starting', 'up', 'stopping', 'exited')),
    generation      INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    address         TEXT,
    exit_code       INTEGER,
    exit_reason     TEXT,
    exit_at         INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    CHECK ((kind = 'one_off') = (sealed_env IS NOT NULL)),
    CHECK ((exit_code IS NULL) = (exit_reason IS NULL) AND (exit_code IS NULL) = (exit_at IS NULL))
) STRICT;
CREATE INDEX dyno_by_app ON dyno (app, process_type, number);
CREATE INDEX dyno_by_release ON dyno (release);

CREATE TABLE formation (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    app          BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    quantity     INTEGER NOT NULL CHECK (quantity >= 0),
    size         TEXT NOT NULL,
    epoch        INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (app, process_type)
) STRICT;

-- Crashes in a row of one place in the formation, for the back-off.
CREATE TABLE slot (
    app           BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    process_type  TEXT NOT NULL,
    number        INTEGER NOT NULL CHECK (number > 0),
    crashes       INTEGER NOT NULL CHECK (crashes >= 0),
    last_crash_at INTEGER NOT NULL,
    PRIMARY KEY (app, process_type, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE build_cache (
    app   BLOB PRIMARY KEY REFERENCES app (id) ON DELETE CASCADE,
    facts TEXT NOT NULL
) STRICT;

-- `cache` is the buildpacks' cache folder (at most one), `layer` the layers of the last slug that have a key.
CREATE TABLE build_cache_layer (
    app      BLOB NOT NULL REFERENCES build_cache (app) ON DELETE CASCADE,
    role     TEXT NOT NULL CHECK (role IN ('cache', 'layer')),
    position INTEGER NOT NULL,
    digest   TEXT NOT NULL CHECK (length(digest) = 64),
    key      TEXT,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (app, role, position)
) STRICT, WITHOUT ROWID;

-- Uploaded sources that wait for their build.
CREATE TABLE source (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX source_by_age ON source (created_at);

-- What the steps of workflows have come to. `seq` is the order in which they were first started.
CREATE TABLE step (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    app        BLOB NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    workflow   TEXT NOT NULL,
    run        BLOB NOT NULL CHECK (length(run) = 16),
    name       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('started', 'done', 'failed')),
    attempts   INTEGER NOT NULL,
    output     TEXT,
    error      TEXT,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (workflow, run, name)
) STRICT;
CREATE INDEX step_by_app ON step (app);

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: a known text sealed with the master key, so that a wrong key is found at once.
CREATE TABLE key_check (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    sealed BLOB NOT NULL
) STRICT;
