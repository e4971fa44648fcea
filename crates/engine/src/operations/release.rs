//! Releases: the one way into the ledger, used by deploys, config changes, rollbacks and the API alike.

use jiff::Timestamp;
use renga_model::{
    AccountId, App, AppId, ConfigVars, DynoId, DynoSize, Formation, FormationId, ProcessType, Refusal,
    Release, ReleaseId, ReleaseStatus, Slug, SlugId,
};
use renga_store::{OrNone, Tx};

use crate::{Engine, Settings, words};

/// What makes a release; number, status and ids follow.
#[derive(Debug, Clone)]
pub struct NewRelease {
    pub app: AppId,
    pub user: AccountId,
    pub description: String,
    pub slug: Option<SlugId>,
    pub config: ConfigVars,
    /// Ids of the add-on attachments in force.
    pub attachments: Vec<String>,
}

/// Inserts the app's next release. With a release command it is pending and the formation stays; otherwise it is
/// current at once. New process types join the formation: `web` with one dyno, the others with none.
pub fn release_create(
    tx: &Tx<'_>,
    settings: &Settings,
    new: NewRelease,
    now: Timestamp,
) -> Result<Release, Refusal> {
    let slug = match new.slug {
        Some(slug) => Some(tx.slug_fetch(slug)?),
        None => None,
    };
    let command = slug.as_ref().and_then(|slug| slug.command(&ProcessType::release()));
    let pending = command.is_some();
    let release = Release {
        id: ReleaseId::random(),
        app: new.app,
        version: tx.release_next_version(new.app)?,
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
    if let Some(slug) = &slug {
        merge_formation(tx, settings, slug, new.app, now)?;
    }
    if !pending {
        tx.release_make_current(release.id, now)?;
        tx.slot_clear(new.app, None)?;
    }
    let mut app: App = tx.app_fetch(new.app)?;
    app.released_at = Some(now);
    tx.app_update(&app)?;
    Ok(Release { current: !pending, ..release })
}

/// The formation has exactly the slug's process types; quantities that were there stay.
fn merge_formation(
    tx: &Tx<'_>,
    _: &Settings,
    slug: &Slug,
    app: AppId,
    now: Timestamp,
) -> Result<(), Refusal> {
    let have = tx.formation_list(app)?;
    for gone in have.iter().filter(|formation| !slug.process_types.contains_key(&formation.process_type)) {
        tx.formation_delete(app, &gone.process_type)?;
    }
    let size = have.first().map_or(DynoSize::default_size().name, |formation| &formation.size);
    for process_type in slug.process_types.keys() {
        if have.iter().any(|formation| formation.process_type == *process_type) {
            continue;
        }
        tx.formation_put(&Formation {
            id: FormationId::random(),
            app,
            process_type: process_type.clone(),
            quantity: u32::from(process_type.is_web()),
            size: size.to_owned(),
            epoch: 0,
            created_at: now,
            updated_at: now,
        })?;
    }
    Ok(())
}

/// Tells the app's log of a committed release and rings for it.
pub async fn announce(engine: &Engine, release: &Release) {
    let (user, slug) = (release.user, release.slug);
    let read = engine.store.read(move |read| -> Result<_, Refusal> {
        let email = read.account_fetch(user).or_none()?.map(|account| account.email);
        let commit = match slug {
            Some(slug) => read.slug_fetch(slug).or_none()?.and_then(|slug| slug.commit),
            None => None,
        };
        Ok((email.unwrap_or_default(), commit))
    });
    // What is not known is left out of the lines; the release stands all the same.
    let (email, commit) = read.await.unwrap_or_default();
    let now = engine.now();
    if let Some(commit) = commit.filter(|_| release.description.starts_with("Deploy ")) {
        let text = format!("Deploy {} by user {email}", words::short(&commit));
        engine.logs.write(release.app, words::api(now, text));
    }
    let text = format!("Release v{} created by user {email}", release.version);
    engine.logs.write(release.app, words::api(now, text));
    engine.wake.releases(release.app);
    engine.wake.formation(release.app);
    engine.wake.routes();
    engine.changes.tell();
}
