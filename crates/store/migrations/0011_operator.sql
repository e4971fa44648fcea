-- Operators may do to accounts what their owners may. The first account of a platform is one.
ALTER TABLE account ADD COLUMN operator INTEGER NOT NULL DEFAULT 0 CHECK (operator IN (0, 1));
UPDATE account SET operator = 1 WHERE id = (SELECT id FROM account
    WHERE id NOT IN (SELECT account FROM team) ORDER BY created_at, id LIMIT 1);
