//! `keys:add` and `keys:clear`: what the table of plain commands can't say.

use std::path::{Path, PathBuf};

use renga_wire::{Key, KeyCreate};
use ureq::http::Method;

use crate::{client::segment, context::Context, errors::Failure, platform::PlaceArgs};

/// Bytes of a public key.
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// Which of the user's keys is meant when none is named, the best first.
const KEYS_OF_SSH: [&str; 4] = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub", "id_dsa.pub"];

/// `keys:add`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga keys:add\n  renga keys:add ~/.ssh/id_ed25519.pub")]
pub struct AddArgs {
    /// File with the public key; the one in ~/.ssh if left out
    pub key: Option<PathBuf>,
    /// Accepted for the sake of habit: nothing is asked
    #[arg(short, long, hide = true)]
    pub yes: bool,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `keys:clear`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga keys:clear")]
pub struct ClearArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
}

pub(crate) fn add(context: &Context<'_>, args: &AddArgs) -> Result<(), Failure> {
    let file = match &args.key {
        Some(file) => file.clone(),
        None => of_ssh(&context.env.home().ok_or(Failure::NoHome)?.join(".ssh"))?,
    };
    let public_key = read(&file)?;
    let client = context.platform(&args.place)?.client;
    let progress = context.out.doing(&format!("Uploading {} SSH key", file.display()));
    client.post::<Key>("/account/keys", &KeyCreate { public_key })?;
    progress.done();
    Ok(())
}

fn of_ssh(folder: &Path) -> Result<PathBuf, Failure> {
    let found = KEYS_OF_SSH.iter().map(|name| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| {
        Failure::Usage(format!(
            "There is no public key in {}. Make one by ssh-keygen -t ed25519, or name its file.",
            folder.display()
        ))
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let opened = std::fs::File::open(file);
    let read = opened.and_then(|opened| opened.take(KEY_BYTES_MAX).read_to_string(&mut text));
    read.map_err(Failure::local(format!("read the public key {}", file.display())))?;
    Ok(text.trim().to_owned())
}

pub(crate) fn clear(context: &Context<'_>, args: &ClearArgs) -> Result<(), Failure> {
    let client = context.platform(&args.place)?.client;
    let progress = context.out.doing("Removing all SSH keys");
    let keys: Vec<Key> = client.list("/account/keys")?;
    for key in keys {
        client.act(Method::DELETE, &format!("/account/keys/{}", segment(&key.id.to_string())))?;
    }
    progress.done();
    Ok(())
}
