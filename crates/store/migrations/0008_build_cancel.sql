-- Somebody wants the build to end without a release.
ALTER TABLE build ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled IN (0, 1));
