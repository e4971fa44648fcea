//! The exchange directory: sources whose build is over, uploads that are past their time, archives of slugs whose app is
//! gone, and what a crash left of an upload.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use renga_model::Refusal;

use crate::{Engine, loops::builds::source_file, operations::slugs};

/// An upload or an archive that is being written is younger.
const DRAFT_AGE_MIN: Duration = Duration::from_secs(6 * 60 * 60);

pub(super) async fn sweep(engine: &Engine) -> Result<(), Refusal> {
    engine.sources_clear().await?;
    engine.slug_uploads_clear().await?;
    let rows = engine
        .store
        .read(|read| -> Result<_, Refusal> { Ok((read.build_list_unfinished()?, read.slug_upload_list()?)) });
    let (builds, uploads) = rows.await?;
    let sources = builds.iter().map(|build| source_file(&engine.settings, build));
    let slugs = uploads.iter().map(|upload| slugs::file(&engine.settings, upload.id));
    let needed: BTreeSet<_> = sources.chain(slugs).collect();
    let folder = engine.settings.exchange.clone();
    // `source-ID.tar` belongs to the upload's row, which goes first.
    let spare = move |path: &Path| !needed.contains(path) && !is_upload(path);
    let swept = tokio::task::spawn_blocking(move || remove_old(&folder, spare)).await;
    swept.map_err(io::Error::other).and_then(|result| result).map_err(Refusal::internal)
}

fn is_upload(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("source-") && name.ends_with(".tar")
}

fn remove_old(folder: &Path, spare: impl Fn(&Path) -> bool) -> io::Result<()> {
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let (path, meta) = (file.path(), file.metadata()?);
        // A clock that went backwards makes it young.
        let is_old = meta.modified()?.elapsed().is_ok_and(|age| age > DRAFT_AGE_MIN);
        if meta.is_file() && is_old && spare(&path) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
