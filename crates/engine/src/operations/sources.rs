//! Uploads for the build API: `POST /sources` gives two URLs whose path holds a secret; a tarball is put to one, and
//! the other is given to a build, which takes the file straight from the exchange directory.

use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use rand::RngCore;
use renga_model::{Refusal, Secret, SourceId};
use renga_store::{OrNone, Source, ValueHash};

use crate::{Engine, Settings};

/// How long an upload may be put and used (ours; Heroku: about an hour).
const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Old uploads that one new one clears away.
const CLEAR_AT_ONCE: usize = 16;

impl Engine {
    /// The URL, to be put to and got from. Uploads that are past their time go on this occasion.
    pub async fn source_create(&self) -> Result<String, Refusal> {
        self.sources_clear().await?;
        self.check_room().await?;
        let mut bytes = [0_u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        let secret = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let source =
            Source { id: SourceId::random(), secret_hash: ValueHash::of(&secret), created_at: self.now() };
        let url = format!("{}{}/{secret}", prefix(&self.settings), source.id);
        self.store.write(move |tx| tx.source_insert(&source).map_err(Refusal::from)).await?;
        Ok(url)
    }

    /// Where the file of an upload lies (or will), if the secret is right and its time is not over.
    pub async fn source_file(&self, source: &str, secret: &Secret) -> Result<PathBuf, Refusal> {
        let not_found = || Refusal::not_found("source");
        let id: SourceId = source.parse().map_err(|_| not_found())?;
        let found =
            self.store.read(move |read| read.source_fetch(id).or_none().map_err(Refusal::from)).await?;
        let hash = ValueHash::of(secret.expose());
        let young = |source: &Source| self.now() < source.created_at + LIFE;
        let found =
            found.filter(|source| source.secret_hash == hash && young(source)).ok_or_else(not_found)?;
        Ok(file(&self.settings, found.id))
    }

    /// Uploads that are past their time.
    pub(crate) async fn sources_clear(&self) -> Result<(), Refusal> {
        let before = self.now() - LIFE;
        let old = self.store.read(move |read| read.source_list_older(before).map_err(Refusal::from)).await?;
        for source in old.into_iter().take(CLEAR_AT_ONCE) {
            remove(&file(&self.settings, source.id)).await?;
            self.store.write(move |tx| tx.source_delete(source.id).map_err(Refusal::from)).await?;
        }
        Ok(())
    }
}

/// The file behind a URL of ours; `None` for a URL of somebody else.
pub async fn uploaded_file(engine: &Engine, url: &str) -> Result<Option<PathBuf>, Refusal> {
    let Some(rest) = url.strip_prefix(&prefix(&engine.settings)) else { return Ok(None) };
    let not_found = || Refusal::not_found("source");
    let (id, secret) = rest.split_once('/').ok_or_else(not_found)?;
    let file = engine.source_file(id, &Secret::new(secret)).await?;
    match tokio::fs::try_exists(&file).await {
        Ok(true) => Ok(Some(file)),
        Ok(false) => Err(Refusal::invalid("Nothing was uploaded to the source's put_url.")),
        Err(failed) => Err(Refusal::internal(failed)),
    }
}

fn prefix(settings: &Settings) -> String {
    format!("{}/sources/", settings.api_url)
}

fn file(settings: &Settings, source: SourceId) -> PathBuf {
    settings.exchange.join(format!("source-{source}.tar"))
}

async fn remove(file: &Path) -> Result<(), Refusal> {
    match tokio::fs::remove_file(file).await {
        Err(failed) if failed.kind() != std::io::ErrorKind::NotFound => Err(Refusal::internal(failed)),
        _ => Ok(()),
    }
}
