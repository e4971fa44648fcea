//! Putting a platform up again from a backup: all of it, or nothing.
//!
//! Everything is unpacked into a folder beside the data directory, each digest is compared, the ledger is opened with
//! its key, git takes in every repository; then the folder gets the data directory's name.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, lchown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use renga_git::{Bundles, Pointers};
use renga_model::AppId;
use renga_store::{MasterKey, Store};

use super::{
    RestoreArgs,
    format::{
        Digesting, FORMAT, HEADER, Header, Kind, MANIFEST, MANIFEST_BYTES_MAX, MEMBERS_MAX, Manifest, Member,
        SMALL_BYTES_MAX,
    },
    is_standard,
    progress::Progress,
};
use crate::{config::Config, instance::Instance, layout::Layout};

const CHUNK_BYTES: usize = 1024 * 1024;
/// What zstd may take to look back; our own frames need 8 MiB.
const WINDOW_LOG_MAX: u32 = 27;

pub(crate) fn run(args: &RestoreArgs, config: &Config) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        bail!("renga restore needs root: it gives files to the users of the platform's processes");
    }
    let target = std::path::absolute(&config.data_dir)?;
    refuse_taken(&target)?;
    let name = args.file.display();
    let from: Box<dyn Read> = if is_standard(&args.file) {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("could not open {name}"))?)
    };
    let draft = Draft::make(&target)?;
    let unpacked =
        unpack(from, &draft.layout).with_context(|| format!("nothing was restored from {name}"))?;
    let settled = settle(&draft.layout, &unpacked);
    let apps = settled.with_context(|| format!("nothing was restored from {name}"))?;
    draft.name(&target)?;
    Ok(format!(
        "Restored {apps} apps as they were at {} to {}.\n\
         Start the platform with the configuration that it had: renga up --data-dir {1}\n",
        unpacked.header.taken_at,
        target.display()
    ))
}

/// There must be nothing at `target`, or an empty folder that a rename can replace.
fn refuse_taken(target: &Path) -> Result<()> {
    let there = target.display();
    let mut entries = match fs::read_dir(target) {
        Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.with_context(|| format!("could not look into {there}"))?,
    };
    if entries.next().is_some() {
        bail!("{there} is not empty; a backup is restored to a directory that is empty or not there yet");
    }
    let parent = target.parent().with_context(|| format!("{there} has no folder that it lies in"))?;
    if fs::metadata(target)?.dev() != fs::metadata(parent)?.dev() {
        bail!("{there} is a mount point, which can't be replaced as one; name a folder inside it");
    }
    Ok(())
}

/// The data directory before it has its name. Dropped, it is gone.
struct Draft {
    layout: Layout,
    named: bool,
}

impl Draft {
    fn make(target: &Path) -> Result<Self> {
        let parent = target.parent().context("a data directory can't be /")?;
        fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let root = parent.join(format!(".{name}.restore-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o755).create(&root)?;
        let draft = Self { layout: Layout::new(&root), named: false };
        let instance = Instance::load_or_choose(&root)?;
        draft.layout.make(&instance)?;
        for folder in ["node/layers", "bundles", "bundles/home"] {
            let mode = if folder == "node/layers" { 0o711 } else { 0o755 };
            fs::DirBuilder::new().mode(mode).create(draft.layout.at(folder))?;
        }
        Ok(draft)
    }

    fn name(mut self, target: &Path) -> Result<()> {
        let root = &self.layout.root;
        fs::remove_dir_all(root.join("bundles"))?;
        rustix::fs::syncfs(File::open(root)?).context("could not write everything to the disk")?;
        fs::rename(root, target).with_context(|| format!("could not make {}", target.display()))?;
        self.named = true;
        let parent = target.parent().unwrap_or(Path::new("/"));
        Ok(File::open(parent)?.sync_all()?)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.named {
            drop(fs::remove_dir_all(&self.layout.root));
        }
    }
}

// === reading ===

struct Unpacked {
    header: Header,
    repositories: BTreeMap<AppId, Pointers>,
}

fn unpack(from: Box<dyn Read>, layout: &Layout) -> Result<Unpacked> {
    const FOREIGN: &str = "this is no backup that renga wrote, or its beginning is damaged";
    let mut zstd = zstd::Decoder::new(BufReader::with_capacity(CHUNK_BYTES, from)).context(FOREIGN)?;
    zstd.window_log_max(WINDOW_LOG_MAX)?;
    let mut tar = tar::Archive::new(zstd);
    let mut progress = Progress::new("restore", 0);
    let mut seen: Vec<Member> = Vec::new();
    let (mut unpacked, mut whole): (Option<Unpacked>, bool) = (None, false);
    for entry in tar.entries()? {
        let mut entry = entry.map_err(|failed| match seen.is_empty() {
            true => anyhow!(failed).context(FOREIGN),
            false => ends_early(failed),
        })?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if seen.len() >= MEMBERS_MAX {
            bail!("it has more than {MEMBERS_MAX} files");
        }
        match &mut unpacked {
            None if path == HEADER => {
                let (member, text) = small(&mut entry, &path, SMALL_BYTES_MAX)?;
                unpacked = Some(Unpacked { header: header(&text)?, repositories: BTreeMap::new() });
                seen.push(member);
            }
            None => bail!(FOREIGN),
            Some(_) if path == MANIFEST => {
                let (_, text) = small(&mut entry, &path, MANIFEST_BYTES_MAX)?;
                compare(&seen, &text)?;
                whole = true;
                break;
            }
            Some(unpacked) => {
                let member = unpack_one(&mut entry, &path, layout, unpacked)?;
                progress.add(member.bytes, &path);
                seen.push(member);
            }
        }
    }
    match unpacked {
        None => bail!(FOREIGN),
        Some(unpacked) if whole => Ok(unpacked),
        Some(_) => bail!("the backup ends in the middle: its list of contents is missing"),
    }
}

fn ends_early(failed: io::Error) -> anyhow::Error {
    anyhow!(failed).context("the backup is damaged, or ends in the middle")
}

fn header(text: &[u8]) -> Result<Header> {
    #[derive(serde::Deserialize)]
    struct Anything {
        format: u32,
        renga_version: String,
    }
    let any: Anything = serde_json::from_slice(text)
        .context("the backup's first page is not understood: it was changed or damaged")?;
    if any.format > FORMAT {
        bail!(
            "it was written by renga {} in format {}, and this is renga {}, which knows format {FORMAT}: restore it \
             with the newer renga",
            any.renga_version,
            any.format,
            env!("CARGO_PKG_VERSION")
        );
    }
    let header: Header = serde_json::from_slice(text)
        .context("the backup's first page is not understood: it was changed or damaged")?;
    if header.ledger_schema > renga_store::SCHEMA_VERSION {
        bail!(
            "its ledger was written by a newer renga ({}, schema {}; this one knows {}): restore it with that one",
            header.renga_version,
            header.ledger_schema,
            renga_store::SCHEMA_VERSION
        );
    }
    Ok(header)
}

fn small(entry: &mut impl Read, path: &str, bytes_max: u64) -> Result<(Member, Vec<u8>)> {
    let mut text = Vec::new();
    let mut content = Digesting::new(entry.take(bytes_max + 1));
    content.read_to_end(&mut text).map_err(ends_early)?;
    if text.len() as u64 > bytes_max {
        bail!("{path} in it has more than {bytes_max} bytes: it was changed or damaged");
    }
    Ok((content.member(path.to_owned()), text))
}

fn unpack_one(
    entry: &mut tar::Entry<'_, impl Read>,
    path: &str,
    layout: &Layout,
    unpacked: &mut Unpacked,
) -> Result<Member> {
    let kind = Kind::parse(path).filter(|_| entry.header().entry_type().is_file());
    let kind = kind.with_context(|| {
        format!("{path:?} in it is nothing that a backup holds: it was changed or damaged")
    })?;
    if let Kind::Pointers(app) = kind {
        let (member, text) = small(entry, path, SMALL_BYTES_MAX)?;
        let pointers = serde_json::from_slice(&text).with_context(|| format!("{path} is damaged"))?;
        unpacked.repositories.insert(app, pointers);
        return Ok(member);
    }
    let target = place(&kind, layout);
    if let Kind::Output { .. } = &kind
        && let Some(folder) = target.parent()
    {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = File::options().write(true).create_new(true).mode(0o600).open(&target);
    let mut file = Digesting::new(file.with_context(|| format!("could not make {}", target.display()))?);
    copy(entry, &mut file)?;
    let member = file.member(path.to_owned());
    if let Kind::Layer(digest) = &kind
        && member.sha256 != digest.as_str()
    {
        bail!("layer {digest} in it does not have the content that its name says: it was changed or damaged");
    }
    Ok(member)
}

/// Tells a backup that can't be read from a disk that can't be written.
fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let got = from.read(&mut buffer).map_err(ends_early)?;
        if got == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..got]).context("could not write to the disk")?;
    }
}

fn place(kind: &Kind, layout: &Layout) -> PathBuf {
    match kind {
        Kind::Bundle(app) => layout.at(&format!("bundles/{app}")),
        Kind::Layer(digest) => layout.at(&format!("node/layers/{digest}.erofs")),
        other => layout.at(&other.path()),
    }
}

fn compare(seen: &[Member], manifest: &[u8]) -> Result<()> {
    let manifest: Manifest = serde_json::from_slice(manifest).context("its list of contents is damaged")?;
    if manifest.members.len() != seen.len() {
        bail!(
            "it holds {} files, and its list of contents names {}: it was changed or damaged",
            seen.len(),
            manifest.members.len()
        );
    }
    for (seen, named) in seen.iter().zip(&manifest.members) {
        if seen != named {
            bail!("{} in it is not what was backed up: it was changed or damaged", named.path);
        }
    }
    Ok(())
}

// === settling ===

/// The key opens the ledger, every app has its repository, and everything belongs to whom it should. Tells how many
/// apps there are.
fn settle(layout: &Layout, unpacked: &Unpacked) -> Result<usize> {
    let instance = Instance::load(&layout.root)?;
    let key_file = layout.at("secrets/master.key");
    if !key_file.exists() {
        bail!("there is no master key in it");
    }
    let store = Store::open(&layout.at("ledger/ledger.db"), MasterKey::load_or_create(&key_file)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let apps = runtime.block_on(store.read(|read| read.app_list()))?;
    drop(store);

    let (uid, gid) = (instance.server_uid, instance.group());
    let bundles = Bundles::new(layout.at("bundles/home"), Some((uid, gid)));
    for (app, pointers) in &unpacked.repositories {
        let mut bundle = match File::open(layout.at(&format!("bundles/{app}"))) {
            Err(none) if none.kind() == io::ErrorKind::NotFound => None,
            other => Some(other?),
        };
        bundles
            .restore(&layout.at(&format!("git/{app}.git")), bundle.as_mut(), pointers)
            .with_context(|| format!("could not restore the repository of app {app}"))?;
    }
    for folder in ["ledger", "secrets", "outputs", "git"] {
        give(&layout.at(folder), uid, gid)?;
    }
    Ok(apps.len())
}

fn give(path: &Path, uid: u32, gid: u32) -> Result<()> {
    lchown(path, Some(uid), Some(gid))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
