-- A team's apps belong to an account of the team's own, which nobody can log in to.
CREATE TABLE team (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    name       TEXT NOT NULL UNIQUE,
    account    BLOB NOT NULL UNIQUE REFERENCES account (id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE team_member (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    team       BLOB NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    account    BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer', 'collaborator')),
    is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (team, account)
) STRICT;
CREATE INDEX team_member_by_account ON team_member (account);
CREATE UNIQUE INDEX team_member_default ON team_member (account) WHERE is_default = 1;

CREATE TABLE team_invitation (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    team       BLOB NOT NULL REFERENCES team (id) ON DELETE CASCADE,
    account    BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer', 'collaborator')),
    invited_by BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (team, account)
) STRICT;
CREATE INDEX team_invitation_by_account ON team_invitation (account);
CREATE INDEX team_invitation_by_inviter ON team_invitation (invited_by);

-- Members do not join a locked app by themselves.
ALTER TABLE app ADD COLUMN locked INTEGER NOT NULL DEFAULT 0 CHECK (locked IN (0, 1));
