//! Taking a backup.

use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal as _, Read, Seek as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use renga_git::Bundles;

use super::{
    BackupArgs,
    format::{self, Digesting, FORMAT, HEADER, Header, Kind, MANIFEST, Manifest},
    hold::{Held, Scratch, hold},
    is_standard,
    progress::Progress,
};
use crate::{config::Config, instance::Instance, layout::Layout};

/// Quick: most of it is compressed already.
const COMPRESSION: i32 = 3;
const CHUNK_BYTES: usize = 1024 * 1024;

pub(crate) fn run(args: &BackupArgs, config: &Config) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        bail!("renga backup needs root: it reads every secret of the platform");
    }
    let instance = Instance::load(&config.data_dir)?;
    let layout = Layout::new(&config.data_dir);
    let scratch = Scratch::take(&layout).context("could not begin a backup")?;
    let target = Target::open(&args.file)?;
    let held = hold(&layout, &scratch)?;
    let source = Source { layout: &layout, instance: &instance, scratch: &scratch.path };
    let (target, members, bytes) = source.write(target, held)?;
    target.finish()?;
    let told = format!("Backed up {members} files, {} MiB, to {}.\n", bytes >> 20, args.file.display());
    if is_standard(&args.file) {
        return Ok(String::new());
    }
    Ok(told + "Keep it as you keep a key: it holds every secret of the platform.\n")
}

/// Where it goes: standard output, or a file that gets its name when it is whole.
enum Target {
    Standard(io::Stdout),
    File { draft: PathBuf, file: PathBuf, open: File, named: bool },
}

impl Target {
    fn open(file: &Path) -> Result<Self> {
        if is_standard(file) {
            let out = io::stdout();
            if out.is_terminal() {
                bail!("a backup is no text for a terminal; name a file, or send it on: renga backup - | ...");
            }
            return Ok(Self::Standard(out));
        }
        let mut draft = file.as_os_str().to_owned();
        draft.push(format!(".{}.part", std::process::id()));
        let draft = PathBuf::from(draft);
        let open = File::options().write(true).create_new(true).mode(0o600).open(&draft);
        let open = open.with_context(|| format!("could not make {}", draft.display()))?;
        Ok(Self::File { draft, file: file.to_owned(), open, named: false })
    }

    fn finish(mut self) -> Result<()> {
        match &mut self {
            Self::Standard(out) => out.flush()?,
            Self::File { draft, file, open, named } => {
                open.sync_all()?;
                fs::rename(&*draft, &*file).with_context(|| format!("could not make {}", file.display()))?;
                *named = true;
            }
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Self::File { draft, named: false, .. } = self {
            drop(fs::remove_file(draft));
        }
    }
}

impl Write for Target {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(buffer),
            Self::File { open, .. } => open.write(buffer),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File { open, .. } => open.flush(),
        }
    }
}

struct Source<'a> {
    layout: &'a Layout,
    instance: &'a Instance,
    scratch: &'a Path,
}

impl Source<'_> {
    fn write(&self, target: Target, held: Held) -> Result<(Target, usize, u64)> {
        let layers: u64 = held.layers.iter().filter_map(|(_, file)| Some(file.metadata().ok()?.len())).sum();
        let mut archive = Archive::new(target, layers + fs::metadata(&held.ledger)?.len())?;
        archive.json(
            HEADER,
            &Header {
                format: FORMAT,
                renga_version: env!("CARGO_PKG_VERSION").into(),
                ledger_schema: renga_store::SCHEMA_VERSION,
                instance: self.instance.id.clone(),
                taken_at: jiff::Timestamp::now(),
            },
        )?;
        archive.add(&Kind::Ledger, &mut File::open(&held.ledger)?)?;
        self.secrets(&mut archive)?;
        self.git(&mut archive, &held)?;
        self.outputs(&mut archive, &held)?;
        for (digest, mut file) in held.layers {
            archive.add(&Kind::Layer(digest), &mut file)?;
        }
        for digest in &held.missing {
            crate::say(&format!(
                "Layer {digest} is not on this machine, and so not in the backup: releases that need it can't run.\n"
            ));
        }
        archive.finish()
    }

    fn secrets(&self, archive: &mut Archive) -> Result<()> {
        for (name, path) in plain_files(&self.layout.secrets())? {
            archive.add(&Kind::Secret(name), &mut File::open(path)?)?;
        }
        Ok(())
    }

    fn git(&self, archive: &mut Archive, held: &Held) -> Result<()> {
        let home = self.scratch.join("home");
        fs::create_dir(&home)?;
        let bundles = Bundles::new(home, Some((self.instance.server_uid, self.instance.group())));
        for (app, deployed) in &held.apps {
            let repository = self.layout.at(&format!("git/{app}.git"));
            if !repository.exists() {
                // Removed since the snapshot, or never pushed to.
                continue;
            }
            let path = self.scratch.join("bundle");
            let mut file =
                File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            let any = bundles
                .create(&repository, &file)
                .with_context(|| format!("could not back up {}", repository.display()))?;
            let pointers = match any {
                true => bundles.pointers(&repository, &mut file, deployed)?,
                false => renga_git::Pointers { head: "main".into(), branches: Vec::new() },
            };
            let text = serde_json::to_vec(&pointers)?;
            archive.add_bytes(&Kind::Pointers(*app), &text)?;
            if any {
                file.rewind()?;
                archive.add(&Kind::Bundle(*app), &mut file)?;
            }
        }
        Ok(())
    }

    fn outputs(&self, archive: &mut Archive, held: &Held) -> Result<()> {
        for name in &held.outputs {
            // Both the folder and its files may go meanwhile: outputs are kept by budget.
            let Ok(files) = plain_files(&self.layout.at("outputs").join(name)) else { continue };
            for (file, path) in files {
                let Ok(mut open) = File::open(path) else { continue };
                archive.add(&Kind::Output { name: name.clone(), file }, &mut open)?;
            }
        }
        Ok(())
    }
}

/// Name and path of the regular files of a folder, in order.
fn plain_files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().and_then(|name| format::plain(&name));
        if let (Some(name), Ok(kind)) = (name, entry.file_type())
            && kind.is_file()
        {
            files.push((name, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

struct Archive {
    tar: tar::Builder<zstd::Encoder<'static, BufWriter<Target>>>,
    manifest: Manifest,
    progress: Progress,
    bytes: u64,
}

impl Archive {
    fn new(target: Target, expected: u64) -> Result<Self> {
        let mut zstd = zstd::Encoder::new(BufWriter::with_capacity(CHUNK_BYTES, target), COMPRESSION)?;
        zstd.include_checksum(true)?;
        Ok(Self {
            tar: tar::Builder::new(zstd),
            manifest: Manifest::default(),
            progress: Progress::new("backup", expected),
            bytes: 0,
        })
    }

    fn json(&mut self, path: &str, value: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_vec_pretty(value)?;
        let member = self.append(path, text.len() as u64, &mut text.as_slice())?;
        self.manifest.members.push(member);
        Ok(())
    }

    fn add_bytes(&mut self, kind: &Kind, mut bytes: &[u8]) -> Result<()> {
        let member = self.append(&kind.path(), bytes.len() as u64, &mut bytes)?;
        self.manifest.members.push(member);
        Ok(())
    }

    /// As long as the file is now: what grows goes on growing without us.
    fn add(&mut self, kind: &Kind, file: &mut File) -> Result<()> {
        let member = self.append(&kind.path(), file.metadata()?.len(), file)?;
        self.progress.add(member.bytes, &member.path);
        self.manifest.members.push(member);
        Ok(())
    }

    fn append(&mut self, path: &str, bytes: u64, from: &mut dyn Read) -> Result<format::Member> {
        let mut head = tar::Header::new_ustar();
        head.set_size(bytes);
        head.set_mode(0o600);
        head.set_entry_type(tar::EntryType::Regular);
        let mut content = Digesting::new(from.take(bytes));
        self.tar
            .append_data(&mut head, path, &mut content)
            .with_context(|| format!("could not write {path} to the backup"))?;
        if content.bytes != bytes {
            bail!("{path} became shorter while it was read");
        }
        self.bytes += bytes;
        Ok(content.member(path.to_owned()))
    }

    fn finish(mut self) -> Result<(Target, usize, u64)> {
        let text = serde_json::to_vec(&self.manifest)?;
        self.append(MANIFEST, text.len() as u64, &mut text.as_slice())?;
        let buffer = self.tar.into_inner()?.finish()?;
        let target = buffer.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((target, self.manifest.members.len(), self.bytes))
    }
}
