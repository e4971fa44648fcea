//! The one function that makes a release, whatever the cause: build, config change, rollback, the API.

use jiff::Timestamp;
use renga_model::{
    AccountId, App, AppId, ConfigVars, DynoId, Formation, FormationId, ProcessType, Refusal, Release,
    ReleaseId, ReleaseStatus, Slug, SlugId,
};
use renga_store::{OrNone, Tx};

use super::{
    access::app_row,
    room::{dynos, dynos_left},
};
use crate::{Engine, Settings, words};

/// Everything of a release that its cause decides.
#[derive(Debug, Clone)]
pub struct NewRelease {
    pub app: AppId,
    pub user: AccountId,
    pub description: String,
    pub slug: Option<SlugId>,
    pub config: ConfigVars,
    pub attachments: Vec<String>,
}

/// Inserts the next release. With a release command in its slug it is pending until that has run; otherwise it stands
/// and is current at once. Process types that the formation does not know are added to it.
pub fn release_create(
    tx: &Tx<'_>,
    settings: &Settings,
    new: NewRelease,
    now: Timestamp,
) -> Result<Release, Refusal> {
    let mut app = app_row(tx, new.app)?;
    let slug = match new.slug {
        Some(slug) => Some(tx.slug_fetch(slug).or_none()?.ok_or_else(|| Refusal::not_found("slug"))?),
        None => None,
    };
    refuse_lost_stack(slug.as_ref(), settings)?;
    let command = slug.as_ref().and_then(|slug| slug.command(&ProcessType::release()));
    let pending = command.is_some();
    if !pending {
        refuse_overtaking(tx, app.id)?;
    }
    let mut release = Release {
        id: ReleaseId::random(),
        app: app.id,
        version: tx.release_next_version(app.id)?,
        status: if pending { ReleaseStatus::Pending } else { ReleaseStatus::Succeeded },
        description: new.description,
        user: new.user,
        slug: new.slug,
        config: new.config,
        attachments: new.attachments,
        command_dyno: pending.then(DynoId::random),
        current: false,
        created_at: now,
        updated_at: now,
    };
    tx.release_insert(&release)?;
    if !pending {
        tx.release_make_current(release.id, now)?;
        tx.slot_clear(app.id, None)?;
        tx.sleep_end(app.id, now)?;
        release.current = true;
    }
    if let Some(slug) = &slug {
        formation_extend(tx, &app, slug, settings, now)?;
        app.stack = slug.stack.clone();
        app.slug_bytes = Some(slug.bytes);
    }
    app.released_at = Some(now);
    app.updated_at = now;
    tx.app_update(&app)?;
    say(tx, settings, &app, &release)?;
    Ok(release)
}

/// What the app's log tells of a new release.
fn say(tx: &Tx<'_>, settings: &Settings, app: &App, release: &Release) -> Result<(), Refusal> {
    let email = tx.account_fetch(release.user)?.email;
    let mut texts = vec![
        words::released_by(&release.description, &email),
        words::release_created(release.version, &email),
    ];
    texts.extend(web_left_out(tx, settings, app, release.created_at)?);
    for text in texts {
        tx.say(app.id, &words::api(release.created_at, text))?;
    }
    Ok(())
}

/// Rings the bells of those who act on a new release.
pub fn announce(engine: &Engine, release: &Release) {
    match release.status {
        ReleaseStatus::Pending => engine.wake.releases(release.app),
        ReleaseStatus::Succeeded | ReleaseStatus::Failed | ReleaseStatus::Expired => {
            engine.wake.formation(release.app);
            engine.wake.routes();
        }
    }
    engine.changes.tell();
}

/// A web process that this release brought and that the owner's tier has no dyno for.
fn web_left_out(
    tx: &Tx<'_>,
    settings: &Settings,
    app: &App,
    brought_at: Timestamp,
) -> Result<Option<String>, Refusal> {
    let left_out = |f: &Formation| f.process_type.is_web() && f.quantity == 0 && f.created_at == brought_at;
    if !tx.formation_list(app.id)?.iter().any(left_out) {
        return Ok(None);
    }
    let owner = tx.account_fetch(app.owner)?;
    Ok(settings.tiers.of(&owner.email).map(words::web_left_out))
}

/// A slug of a stack that is no longer here would not start.
fn refuse_lost_stack(slug: Option<&Slug>, settings: &Settings) -> Result<(), Refusal> {
    match slug {
        Some(slug) if !settings.stacks.contains(&slug.stack) => Err(Refusal::invalid(format!(
            "The slug was built for the stack {}, which this platform does not have any more.",
            slug.stack
        ))),
        _ => Ok(()),
    }
}

/// A release without a command would be current before an older one whose command still runs, and then be replaced by
/// it.
fn refuse_overtaking(tx: &Tx<'_>, app: AppId) -> Result<(), Refusal> {
    let waiting = tx.release_latest(app)?.filter(|latest| latest.status == ReleaseStatus::Pending);
    match waiting {
        Some(release) => Err(Refusal::conflict(format!(
            "The release command of v{} is still running. Try again when it has ended.",
            release.version
        ))),
        None => Ok(()),
    }
}

/// `web` begins at 1 if the owner's tier has a dyno left, everything else at 0; what is there keeps its quantity and size.
fn formation_extend(
    tx: &Tx<'_>,
    app: &App,
    slug: &Slug,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), Refusal> {
    let known = tx.formation_list(app.id)?;
    let size =
        known.first().map_or(settings.sizes.default_size(), |formation| settings.size(&formation.size));
    let fresh = |kind: &&ProcessType| !known.iter().any(|formation| formation.process_type == **kind);
    for process_type in slug.process_types.keys().filter(fresh) {
        let starts = process_type.is_web()
            && dynos_left(tx, settings, app)?.is_none_or(|left| left > dynos(known.iter()));
        tx.formation_put(&Formation {
            id: FormationId::random(),
            app: app.id,
            process_type: process_type.clone(),
            quantity: u32::from(starts),
            size: size.name.clone(),
            epoch: 0,
            created_at: now,
            updated_at: now,
        })?;
    }
    Ok(())
}
