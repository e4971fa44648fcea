//! The last table on disk, so that a router that starts alone goes on where the last one stopped.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use renga_model::RouteTable;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::thread::Shared;

fn path(directory: &Path) -> PathBuf {
    directory.join("table.json")
}

/// The table of a former run; none on a first start. A file that is no table is an error: the operator should know
/// why nothing is routed until the server comes.
pub(crate) fn load(directory: &Path) -> io::Result<Option<RouteTable>> {
    match fs::read(path(directory)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes every change, at most one in the interval, and the last one before it returns; nothing more once there is a
/// successor. `written`: the version that is on disk.
pub(crate) async fn keep(shared: Arc<Shared>, mut written: u64, stop: CancellationToken) {
    let mut changes = shared.tables.changes();
    changes.mark_changed();
    loop {
        let stopped = tokio::select! {
            biased;
            // The router stops: the last change may not be on disk yet.
            () = stop.cancelled() => true,
            // A successor has the table.
            () = shared.succession.succeeded.cancelled() => return,
            // A table was published; the sender lives as long as the tables.
            _changed = changes.changed() => false,
        };
        let saving = shared.succession.saving.lock().await;
        if shared.succession.succeeded.is_cancelled() {
            return;
        }
        let table = shared.tables.current();
        if table.version != written {
            written = table.version;
            let directory = shared.config.directory.clone();
            let saved = tokio::task::spawn_blocking(move || save(&directory, &*table)).await;
            if let Ok(Err(error)) = saved {
                tracing::error!(%error, "could not write the route table to disk");
            }
        }
        drop(saving);
        if stopped {
            return;
        }
        // Cut short by the order to stop, which the next round sees.
        stop.run_until_cancelled(tokio::time::sleep(shared.config.limits.persist_interval)).await;
    }
}

fn save(directory: &Path, table: &impl Serialize) -> io::Result<()> {
    let draft = directory.join("table.new");
    let mut file = io::BufWriter::new(fs::File::create(&draft)?);
    serde_json::to_writer(&mut file, table)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    fs::rename(&draft, path(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_back_whole() {
        let root = tempfile::tempdir().unwrap();
        assert!(load(root.path()).unwrap().is_none());
        let table = RouteTable { generation: 7, apps: Vec::new(), ..RouteTable::default() };
        save(root.path(), &table).unwrap();
        assert_eq!(load(root.path()).unwrap(), Some(table));
        fs::write(path(root.path()), "{").unwrap();
        assert!(load(root.path()).is_err());
    }
}
