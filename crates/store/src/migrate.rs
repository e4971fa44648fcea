//! The schema's way from empty to now, forward only, and the copy of a whole ledger.
//!
//! Each file of `migrations/` runs once, in a transaction of its own that also raises `user_version`. A file that has
//! been released is never edited: the next change is the next file.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, backup::Backup};

use crate::StoreError;

/// In order; the number of a migration is its place, counted from 1, and the number in its file's name.
pub(crate) const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_ledger", include_str!("../migrations/0001_ledger.sql")),
    ("0002_sleep", include_str!("../migrations/0002_sleep.sql")),
    ("0003_attach_client", include_str!("../migrations/0003_attach_client.sql")),
    ("0004_freeze", include_str!("../migrations/0004_freeze.sql")),
    ("0005_access", include_str!("../migrations/0005_access.sql")),
    ("0006_teams", include_str!("../migrations/0006_teams.sql")),
    ("0007_domains", include_str!("../migrations/0007_domains.sql")),
    ("0008_build_cancel", include_str!("../migrations/0008_build_cancel.sql")),
    ("0009_oauth", include_str!("../migrations/0009_oauth.sql")),
    ("0010_accounts", include_str!("../migrations/0010_accounts.sql")),
    ("0011_operator", include_str!("../migrations/0011_operator.sql")),
    ("0012_letters", include_str!("../migrations/0012_letters.sql")),
    ("0013_favorites", include_str!("../migrations/0013_favorites.sql")),
    ("0014_outbox", include_str!("../migrations/0014_outbox.sql")),
    ("0015_papers", include_str!("../migrations/0015_papers.sql")),
    ("0016_slug_upload", include_str!("../migrations/0016_slug_upload.sql")),
    ("0017_route_mark", include_str!("../migrations/0017_route_mark.sql")),
    ("0018_acm", include_str!("../migrations/0018_acm.sql")),
];

/// Marks the file as ours: the bytes of `RNGA`.
const APPLICATION_ID: i32 = 0x524e_4741;

pub(crate) fn up(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    up_to(conn, path, MIGRATIONS.len())
}

fn up_to(conn: &mut Connection, path: &Path, last: usize) -> Result<(), StoreError> {
    let done = version(conn, path)?;
    let pending = MIGRATIONS.iter().enumerate().take(last).skip(done);
    for (index, (name, sql)) in pending {
        let mut migrate = || {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute_batch(sql)?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", index + 1)?;
            tx.commit()
        };
        migrate().map_err(StoreError::sql("migrate the ledger"))?;
        tracing::info!(migration = name, "migrated the ledger: {name}");
    }
    Ok(())
}

/// How many migrations the file has seen.
pub(crate) fn version(conn: &Connection, path: &Path) -> Result<usize, StoreError> {
    let number = |pragma| {
        conn.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
            .map_err(StoreError::sql("read the ledger's version"))
    };
    let (id, found) = (number("application_id")?, number("user_version")?);
    let tables: u32 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(StoreError::sql("read the ledger's schema"))?;
    let fresh = id == 0 && found == 0 && tables == 0;
    if !fresh && id != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.into() });
    }
    match usize::try_from(found) {
        Ok(found) if found <= MIGRATIONS.len() => Ok(found),
        _ => Err(StoreError::Newer {
            found: u32::try_from(found).unwrap_or(u32::MAX),
            known: u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX),
        }),
    }
}

/// Copies `source` in one step, from one snapshot: writers go on, and the copy never starts again because of them.
/// It becomes a single file, synced before it gets its name.
pub(crate) fn backup(source: &Path, target: &Path) -> Result<(), StoreError> {
    let mut draft = target.as_os_str().to_owned();
    draft.push(".draft");
    let draft = std::path::PathBuf::from(draft);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::file("replace", draft)(error));
        }
        _ => {}
    }
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&draft);
    let file = file.map_err(StoreError::file("make", &draft))?;
    copy(source, &draft).map_err(StoreError::sql("back up the ledger"))?;
    file.sync_all().map_err(StoreError::file("sync", &draft))?;
    fs::rename(&draft, target).map_err(StoreError::file("name the backup", target))
}

fn copy(source: &Path, draft: &Path) -> rusqlite::Result<()> {
    let from = Connection::open_with_flags(source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut to = Connection::open(draft)?;
    Backup::new(&from, &mut to)?.step(-1)?;
    to.pragma_update(None, "journal_mode", "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(conn: &Connection) -> Vec<String> {
        let mut statement = conn
            .prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn every_older_ledger_comes_to_the_same_schema() {
        let path = Path::new("test");
        let mut fresh = Connection::open_in_memory().unwrap();
        up(&mut fresh, path).unwrap();
        for first in 0..=MIGRATIONS.len() {
            let mut conn = Connection::open_in_memory().unwrap();
            up_to(&mut conn, path, first).unwrap();
            assert_eq!(version(&conn, path).unwrap_or_default(), first);
            up(&mut conn, path).unwrap();
            up(&mut conn, path).unwrap();
            assert_eq!(schema(&conn), schema(&fresh));
            conn.execute_batch("PRAGMA foreign_key_check; PRAGMA integrity_check").unwrap();
        }
    }

    /// A table that is made anew takes its rows along, each value under its name.
    #[test]
    fn dynos_of_every_older_ledger_keep_their_values() {
        const VALUES: &str = "zeroblob(16), zeroblob(16), 'web', 7, 'one_off', 'a hash', 1, x'05', 60, NULL, 3, 'Eco', 'serve', \
                              'exited', 11, 12, 'an address', 13, '\"exited\"', 14, 15, 16";
        const NAMES: &str = "id, app, process_type, number, kind, attach_hash, force_no_tty, sealed_env, time_to_live_s, release, \
                             release_version, size, command, state, generation, epoch, address, exit_code, exit_reason, exit_at, \
                             created_at, updated_at";
        for first in 1..=MIGRATIONS.len() {
            let mut conn = Connection::open_in_memory().unwrap();
            up_to(&mut conn, Path::new("test"), first).unwrap();
            conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            conn.execute_batch(&format!("INSERT INTO dyno ({NAMES}) VALUES ({VALUES})")).unwrap();
            up(&mut conn, Path::new("test")).unwrap();
            let same = format!("SELECT count(*) FROM dyno WHERE ({NAMES}) IS ({VALUES})");
            assert_eq!(conn.query_row(&same, [], |row| row.get::<_, u32>(0)).unwrap(), 1, "from {first}");
        }
    }

    /// What opened before opens after, under the same id.
    #[test]
    fn tokens_of_older_ledgers_stay_what_they_were() {
        const NAMES: &str = "id, account, hash, description, scopes, masked, created_at, expires_at";
        const VALUES: &str =
            "zeroblob(16), zeroblob(16), zeroblob(32), 'a token', '[\"read\"]', 'ab**yz', 7, 8";
        for first in 1..=8 {
            let mut conn = Connection::open_in_memory().unwrap();
            up_to(&mut conn, Path::new("test"), first).unwrap();
            conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            conn.execute_batch(&format!("INSERT INTO token ({NAMES}) VALUES ({VALUES})")).unwrap();
            up(&mut conn, Path::new("test")).unwrap();
            let same = format!(
                "SELECT count(*) FROM token WHERE ({NAMES}) IS ({VALUES}) AND access = id AND updated_at = 7 AND \
                 pending = 0 AND coalesce(client, session, refresh, refresh_hash, refresh_masked) IS NULL"
            );
            assert_eq!(conn.query_row(&same, [], |row| row.get::<_, u32>(0)).unwrap(), 1, "from {first}");
        }
    }

    /// Somebody must be able to act for the others.
    #[test]
    fn the_first_account_of_an_older_ledger_is_its_operator() {
        for first in 1..=10 {
            let mut conn = Connection::open_in_memory().unwrap();
            up_to(&mut conn, Path::new("test"), first).unwrap();
            conn.execute_batch(
                "INSERT INTO account (id, email, name, password_hash, created_at, updated_at) VALUES
                     (x'00000000000000000000000000000001', 'later@x', 'Ada', 'a hash', 8, 9),
                     (x'00000000000000000000000000000002', 'first@x', NULL, NULL, 7, 9)",
            )
            .unwrap();
            up(&mut conn, Path::new("test")).unwrap();
            let sql =
                "SELECT group_concat(email || operator || beta || features_on || coalesce(name, ''), ' ')
                FROM (SELECT * FROM account ORDER BY email)";
            let seen: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
            assert_eq!(seen, "first@x10[] later@x00[]Ada", "from {first}");
        }
    }

    #[test]
    fn apps_of_every_older_ledger_keep_their_values_and_are_not_locked() {
        const NAMES: &str = "id, name, owner, stack, build_stack, maintenance, deleted, buildpacks, \
                             buildpack_provided_description, detected_buildpack, repo_bytes, slug_bytes, features_on, \
                             features_off, created_at, updated_at, released_at";
        const VALUES: &str = "zeroblob(16), 'shop', zeroblob(16), 'heroku-24', 'host', 1, 0, '[\"a\"]', 'Python', 'b', 1, 2, \
                              '[]', '[\"c\"]', 3, 4, 5";
        for first in 1..MIGRATIONS.len() {
            let mut conn = Connection::open_in_memory().unwrap();
            up_to(&mut conn, Path::new("test"), first).unwrap();
            conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            conn.execute_batch(&format!("INSERT INTO app ({NAMES}) VALUES ({VALUES})")).unwrap();
            up(&mut conn, Path::new("test")).unwrap();
            let same = format!("SELECT count(*) FROM app WHERE ({NAMES}) IS ({VALUES}) AND locked = 0");
            assert_eq!(conn.query_row(&same, [], |row| row.get::<_, u32>(0)).unwrap(), 1, "from {first}");
        }
    }

    #[test]
    fn builds_of_older_ledgers_were_never_cancelled() {
        let mut conn = Connection::open_in_memory().unwrap();
        let before = MIGRATIONS.iter().position(|(name, _)| name.ends_with("_build_cancel")).unwrap();
        up_to(&mut conn, Path::new("test"), before).unwrap();
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO build (id, app, user, status, source, stack, buildpacks, dyno, created_at, updated_at)
             VALUES (zeroblob(16), zeroblob(16), zeroblob(16), 'building', '{}', 'heroku-24', '[]', zeroblob(16), 1, 2)",
        )
        .unwrap();
        up(&mut conn, Path::new("test")).unwrap();
        let row = conn.query_row("SELECT cancelled, status FROM build", [], |r| {
            Ok((r.get::<_, bool>(0)?, r.get::<_, String>(1)?))
        });
        assert_eq!(row.unwrap(), (false, "building".to_owned()));
    }

    #[test]
    fn slugs_of_older_ledgers_were_not_brought_and_their_accounts_have_no_address() {
        let mut conn = Connection::open_in_memory().unwrap();
        let before = MIGRATIONS.iter().position(|(name, _)| name.ends_with("_papers")).unwrap();
        up_to(&mut conn, Path::new("test"), before).unwrap();
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO account (id, email, created_at, updated_at) VALUES (zeroblob(16), 'ada@x', 1, 2);
             INSERT INTO slug (id, app, stack, process_types, bytes, created_at)
             VALUES (zeroblob(16), zeroblob(16), 'heroku-24', '{}', 3, 4);",
        )
        .unwrap();
        up(&mut conn, Path::new("test")).unwrap();
        let sql =
            "SELECT email || invoice_address || stack || bytes || coalesce(checksum, '-') FROM account, slug";
        let seen: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(seen, "ada@x{}heroku-243-");
    }

    #[test]
    fn files_carry_their_numbers_and_tables_are_strict() {
        for (index, (name, sql)) in MIGRATIONS.iter().enumerate() {
            assert!(name.starts_with(&format!("{:04}_", index + 1)), "{name}");
            assert!(!sql.to_ascii_uppercase().contains("DEFERRABLE"), "{name}");
        }
        let mut conn = Connection::open_in_memory().unwrap();
        up(&mut conn, Path::new("test")).unwrap();
        let sql = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'";
        let lax: u32 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(lax, 0);
    }

    #[test]
    fn a_failed_migration_leaves_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        conn.execute_batch("CREATE TABLE dyno (x)").unwrap();
        assert!(up(&mut conn, Path::new("test")).is_err());
        assert_eq!(version(&conn, Path::new("test")).unwrap(), 0);
        assert_eq!(schema(&conn).len(), 1);
    }

    #[test]
    fn newer_and_foreign_files_are_refused() {
        let path = Path::new("test");
        let mut conn = Connection::open_in_memory().unwrap();
        up(&mut conn, path).unwrap();
        conn.pragma_update(None, "user_version", 9_999).unwrap();
        assert!(matches!(up(&mut conn, path), Err(StoreError::Newer { found: 9_999, .. })));

        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE somebody_elses (x)").unwrap();
        assert!(matches!(up(&mut conn, path), Err(StoreError::Foreign { .. })));
    }
}
