//! One-off dynos: `heroku run`.

use std::{collections::BTreeMap, fmt::Write as _};

use rand::{Rng, RngCore};
use renga_model::{
    Account, App, AppId, AttachClient, ConfigKey, Dyno, DynoId, DynoKind, DynoName, DynoState, OneOff,
    ProcessType, Refusal, Secret, Sizes, Slug, Worker, limits,
};
use renga_store::{OrNone, Read, ValueHash};

use super::{
    formation::{current_slug, size_named},
    room::{Bytes, refuse_beyond_machine},
};
use crate::{Engine, words};

/// Bytes of the rendezvous secret before it is written as hex.
const SECRET_BYTES: usize = 32;
/// Characters of the secret that opens an attached process: hexadecimal digits.
pub const ATTACH_SECRET_CHARS: usize = 2 * SECRET_BYTES;
/// Numbers of one-off dynos (Heroku: four digits).
const NUMBERS: std::ops::RangeInclusive<u32> = 1_000..=9_999;
/// The longest life that can be asked for (Heroku: 24 hours).
const LIFE_MAX_S: u32 = 24 * 60 * 60;

#[derive(Debug, Clone, Default)]
pub struct OneOffNew {
    pub command: String,
    pub attach: bool,
    pub env: BTreeMap<String, Secret>,
    pub force_no_tty: bool,
    pub size: Option<String>,
    pub process_type: Option<ProcessType>,
    pub time_to_live_s: Option<u32>,
}

/// What a client that knows the secret may attach to.
#[derive(Debug, Clone)]
pub struct Attachable {
    pub dyno: DynoId,
    pub name: DynoName,
    pub state: DynoState,
    pub tty: bool,
    /// Whether a person's terminal is at the other end: the official CLI tells its size only then.
    pub terminal: bool,
}

impl Engine {
    /// The secret opens the rendezvous, once; it is shown here for the only time.
    pub async fn one_off_create(
        &self,
        app: &App,
        actor: &Account,
        new: OneOffNew,
    ) -> Result<(Dyno, Option<Secret>), Refusal> {
        check(&new)?;
        let secret = new.attach.then(fresh_secret);
        let hash = secret.as_ref().map(|secret| hash_text(secret.expose()));
        let (app_id, now, settings) = (app.id, self.now(), self.settings.clone());
        let email = actor.email.clone();
        let machine = self.machine().await?;
        let insert = self.store.write(move |tx| -> Result<Dyno, Refusal> {
            let release = tx.release_current(app_id)?.ok_or_else(|| Refusal::not_found("release"))?;
            let slug = current_slug(tx, app_id)?;
            let dynos = tx.dyno_list_for_app(app_id)?;
            refuse_too_many(&dynos)?;
            let size = size(tx, app_id, &settings.sizes, new.size.as_deref())?;
            let quotas = (Bytes::default(), Bytes::of(&settings, &size));
            refuse_beyond_machine(tx, &settings, machine, quotas)?;
            let process_type = new.process_type.clone().unwrap_or_else(ProcessType::run);
            let one_off = OneOff {
                attach_hash: hash,
                client: AttachClient::Awaited,
                force_no_tty: new.force_no_tty,
                env: new.env.clone(),
                time_to_live_s: new.time_to_live_s,
            };
            let dyno = Dyno {
                id: DynoId::random(),
                app: app_id,
                name: free_name(process_type, &dynos)?,
                worker: Worker::OneOff(one_off),
                release: Some(release.id),
                release_version: Some(release.version),
                size,
                command: expand(&new.command, slug.as_ref()),
                state: DynoState::Planned,
                generation: 0,
                epoch: 0,
                address: None,
                exit: None,
                created_at: now,
                updated_at: now,
            };
            tx.dyno_insert(&dyno)?;
            let text = words::by_user(&words::starting(&dyno.command), &email);
            tx.say(dyno.app, &words::api(now, text))?;
            Ok(dyno)
        });
        let dyno = insert.await?;
        self.wake.one_off(dyno.id);
        Ok((dyno, secret))
    }

    /// The one-off dyno that a rendezvous secret opens, if nobody has come to it yet.
    pub async fn one_off_by_secret(&self, secret: &str) -> Result<Option<Attachable>, Refusal> {
        let hash = hash_text(secret);
        let dynos = self.store.read(|read| read.dyno_list().map_err(Refusal::from)).await?;
        let opened = dynos.into_iter().find_map(|dyno| match &dyno.worker {
            Worker::OneOff(one_off)
                if one_off.attach_hash.as_ref() == Some(&hash) && one_off.client == AttachClient::Awaited =>
            {
                Some(Attachable {
                    dyno: dyno.id,
                    tty: !one_off.force_no_tty,
                    terminal: one_off.env.contains_key("COLUMNS"),
                    name: dyno.name,
                    state: dyno.state,
                })
            }
            _ => None,
        });
        Ok(opened)
    }

    /// Whether the client is the one that was awaited.
    pub async fn one_off_client_came(&self, dyno: DynoId) -> Result<bool, Refusal> {
        let (from, to) = (AttachClient::Awaited, AttachClient::Connected);
        self.store.write(move |tx| tx.dyno_move_client(dyno, from, to).map_err(Refusal::from)).await
    }

    /// The client has gone, and what it ran hears of it from the supervisor. Told once, whoever notices.
    pub async fn one_off_client_gone(&self, dyno: DynoId) -> Result<(), Refusal> {
        let now = self.now();
        let gone = self.store.write(move |tx| -> Result<(), Refusal> {
            if !tx.dyno_move_client(dyno, AttachClient::Connected, AttachClient::Gone(now))? {
                return Ok(());
            }
            if let Some(row) = tx.dyno_fetch(dyno).or_none()?.filter(|row| row.state != DynoState::Exited) {
                tx.say(row.app, &words::heroku(now, &row.name, words::CLIENT_GONE))?;
            }
            Ok(())
        });
        gone.await?;
        self.attached.gone(dyno);
        self.wake.one_off(dyno);
        Ok(())
    }

    /// Where a dyno stands now; none when its row is gone.
    pub async fn dyno_state(&self, dyno: DynoId) -> Result<Option<DynoState>, Refusal> {
        let row = self.store.read(move |read| read.dyno_fetch(dyno).or_none().map_err(Refusal::from)).await?;
        Ok(row.map(|dyno| dyno.state))
    }
}

pub(super) fn fresh_secret() -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    Secret::new(hex(&bytes))
}

/// As `OneOff::attach_hash` keeps it: SHA-256 in hex.
pub(super) fn hash_text(secret: &str) -> String {
    hex(ValueHash::of(secret).bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

fn check(new: &OneOffNew) -> Result<(), Refusal> {
    if new.command.trim().is_empty() {
        return Err(Refusal::invalid("The command must not be empty."));
    }
    if new.command.len() > limits::COMMAND_BYTES_MAX {
        let most = limits::COMMAND_BYTES_MAX / 1024;
        return Err(Refusal::invalid(format!("The command may have at most {most} KB.")));
    }
    let mut bytes = 0;
    for (key, value) in &new.env {
        key.parse::<ConfigKey>()?;
        bytes += key.len() + value.expose().len();
    }
    if bytes > limits::CONFIG_BYTES_MAX {
        let most = limits::CONFIG_BYTES_MAX / 1024;
        return Err(Refusal::invalid(format!("The environment of a dyno may have at most {most} KB.")));
    }
    if new.command.contains('\0') || new.env.values().any(|value| value.expose().contains('\0')) {
        return Err(Refusal::invalid("Neither the command nor its environment may contain a NUL byte."));
    }
    if new.time_to_live_s.is_some_and(|seconds| seconds == 0 || seconds > LIFE_MAX_S) {
        return Err(Refusal::invalid(format!("time_to_live must be between 1 and {LIFE_MAX_S} seconds.")));
    }
    Ok(())
}

fn refuse_too_many(dynos: &[Dyno]) -> Result<(), Refusal> {
    let runs = |dyno: &&Dyno| dyno.worker.kind() == DynoKind::OneOff && dyno.state != DynoState::Exited;
    if dynos.iter().filter(runs).count() >= limits::ONE_OFFS_PER_APP_MAX {
        return Err(Refusal::invalid(format!(
            "Cannot run more than {} one-off dynos at the same time.",
            limits::ONE_OFFS_PER_APP_MAX
        )));
    }
    Ok(())
}

fn free_name(process_type: ProcessType, dynos: &[Dyno]) -> Result<DynoName, Refusal> {
    let mut rng = rand::rng();
    // At most 50 of 9,000 are taken: a second look is rare, a hundredth does not happen.
    for _ in 0..100 {
        let name = DynoName::new(process_type.clone(), rng.random_range(NUMBERS));
        if !dynos.iter().any(|dyno| dyno.name == name) {
            return Ok(name);
        }
    }
    Err(Refusal::internal("no number was free for a one-off dyno"))
}

/// The size that was asked for; else that of the app's tier (eco and basic as they are, above them Standard-1X).
fn size(read: &Read<'_>, app: AppId, sizes: &Sizes, asked: Option<&str>) -> Result<String, Refusal> {
    if let Some(asked) = asked {
        return size_named(sizes, asked);
    }
    let formation = read.formation_list(app)?;
    let tier = formation.first().map_or(sizes.default_size(), |row| sizes.standing_for(&row.size));
    let tier = tier.name.as_str();
    Ok(if matches!(tier, "Eco" | "Basic") { tier } else { "Standard-1X" }.to_owned())
}

/// A first word that names a process type stands for that type's command.
fn expand(command: &str, slug: Option<&Slug>) -> String {
    let command = command.trim_start();
    let (first, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let known = first.parse::<ProcessType>().ok().and_then(|t| slug?.command(&t).map(str::to_owned));
    match known {
        Some(known) if rest.is_empty() => known,
        Some(known) => format!("{known} {rest}"),
        None => command.to_owned(),
    }
}
