//! Apps: made, found, changed, destroyed.

use std::collections::HashMap;

use renga_model::{
    Account, AccountId, App, AppId, AppName, Collaborator, CollaboratorId, ConfigVars, Fault, Permission,
    Permissions, Refusal, StackName, Team, limits::APPS_PER_OWNER_MAX,
};
use renga_store::{Read, StoreError};

use super::{
    access::{app_row, permissions_in},
    names,
    profile::features_at_birth,
    release::{NewRelease, announce, release_create},
};
use crate::{Engine, error, words};

/// Attempts to find a free generated name; a second one is needed about never.
const NAME_ATTEMPTS_MAX: usize = 8;

/// The first two releases of every app, so that the first deploy is v3, as scripts expect.

#[derive(Debug, Clone, Default)]
pub struct AppNew {
    /// Generated if not given.
    pub name: Option<AppName>,
    /// The platform's default if not given.
    pub stack: Option<StackName>,
    /// The team that is to own it; none: whoever makes it.
    pub team: Option<Team>,
    pub locked: bool,
}

#[derive(Debug, Clone, Default)]
pub struct AppChange {
    pub name: Option<AppName>,
    pub maintenance: Option<bool>,
    pub build_stack: Option<StackName>,
}

/// An app, and whose it is.
#[derive(Debug, Clone)]
pub struct AppView {
    pub app: App,
    pub owner: Account,
    /// Of which the owner is the account.
    pub team: Option<Team>,
}

impl Engine {
    pub async fn app_create(&self, actor: &Account, new: AppNew) -> Result<App, Refusal> {
        let generated = new.name.is_none();
        for _ in 0..NAME_ATTEMPTS_MAX {
            let name = new.name.clone().unwrap_or_else(|| names::generate(&mut rand::rng()));
            match self.app_insert(actor, name, &new).await {
                Err(taken) if generated && taken.fault == Fault::Invalid => {}
                Err(refusal) => return Err(refusal),
                Ok(app) => return self.app_equip(app).await,
            }
        }
        Err(Refusal::internal("no generated name was free"))
    }

    async fn app_insert(&self, actor: &Account, name: AppName, new: &AppNew) -> Result<App, Refusal> {
        let (now, settings, features_on) = (self.now(), self.settings.clone(), features_at_birth(actor));
        let actor = actor.id;
        let stack = new.stack.clone().unwrap_or_else(|| settings.default_stack.clone());
        let owner = new.team.as_ref().map_or(actor, |team| team.account);
        let app = App {
            id: AppId::random(),
            name,
            owner,
            stack: stack.clone(),
            build_stack: stack,
            maintenance: false,
            acm: false,
            locked: new.locked,
            deleted: false,
            buildpacks: Vec::new(),
            buildpack_provided_description: None,
            detected_buildpack: None,
            repo_bytes: None,
            slug_bytes: None,
            created_at: now,
            updated_at: now,
            released_at: None,
            features_on,
            features_off: Vec::new(),
        };
        let insert = self.store.write(move |tx| -> Result<_, Refusal> {
            if tx.app_count_of_owner(owner)? >= APPS_PER_OWNER_MAX {
                return Err(Refusal::forbidden(format!(
                    "You've reached the limit of {APPS_PER_OWNER_MAX} apps."
                )));
            }
            if tx.app_find(&app.name)?.is_some() {
                return Err(Refusal::invalid(format!("Name {} is already taken", app.name)));
            }
            tx.app_insert(&app)?;
            if owner != actor {
                tx.collaborator_insert(&maker(&app, actor))?;
            }
            let mut releases = Vec::new();
            for description in words::FIRST_RELEASES {
                let new = NewRelease {
                    app: app.id,
                    user: actor,
                    description: description.into(),
                    slug: None,
                    config: ConfigVars::default(),
                    attachments: Vec::new(),
                };
                releases.push(release_create(tx, &settings, new, now)?);
            }
            Ok((app_row(tx, app.id)?, releases))
        });
        let (app, releases) = insert.await?;
        for release in &releases {
            announce(self, release);
        }
        Ok(app)
    }

    /// The row is there first; if the repository cannot be made, the app goes again.
    async fn app_equip(&self, app: App) -> Result<App, Refusal> {
        match self.git.repository_create(app.id).await {
            Ok(()) => Ok(app),
            Err(failed) => {
                self.app_destroy(app.id).await?;
                Err(error::git(failed))
            }
        }
    }

    /// Apps that the account may see, by name: its own, those it collaborates on, and those of its teams.
    pub async fn app_list(&self, actor: AccountId) -> Result<Vec<AppView>, Refusal> {
        let list = self.store.read(move |read| -> Result<Vec<AppView>, Refusal> {
            let mut apps = read.app_list_for_owner(actor)?;
            apps.extend(read.app_list_for_collaborator(actor)?);
            for row in read.team_member_list_of(actor)? {
                let of_team = read.app_list_for_owner(read.team_fetch(row.team)?.account)?;
                let seen = |app: &App| permissions_in(row.role, app.locked).contains(Permission::View);
                apps.extend(of_team.into_iter().filter(seen));
            }
            apps.sort_by(|a, b| a.name.cmp(&b.name));
            apps.dedup_by(|a, b| a.id == b.id);
            views(read, apps)
        });
        list.await
    }

    /// The same without the apps of teams.
    pub async fn app_list_personal(&self, actor: AccountId) -> Result<Vec<AppView>, Refusal> {
        let list = self.store.read(move |read| -> Result<Vec<AppView>, Refusal> {
            let mut apps = read.app_list_for_owner(actor)?;
            apps.extend(read.app_list_for_collaborator(actor)?);
            apps.sort_by(|a, b| a.name.cmp(&b.name));
            let mut views = views(read, apps)?;
            views.retain(|view| view.team.is_none());
            Ok(views)
        });
        list.await
    }

    /// An app with its owner.
    pub async fn app_view(&self, app: App) -> Result<AppView, Refusal> {
        let view = self.store.read(move |read| -> Result<AppView, Refusal> {
            let (owner, team) = owner_of(read, &app)?;
            Ok(AppView { app, owner, team })
        });
        view.await
    }

    pub async fn app_update(&self, app: AppId, change: AppChange) -> Result<App, Refusal> {
        let now = self.now();
        let update = self.store.write(move |tx| -> Result<App, Refusal> {
            let mut row = app_row(tx, app)?;
            if let Some(name) = change.name.filter(|name| *name != row.name) {
                if tx.app_find(&name)?.is_some() {
                    return Err(Refusal::invalid(format!("Name {name} is already taken")));
                }
                row.name = name;
            }
            row.maintenance = change.maintenance.unwrap_or(row.maintenance);
            row.build_stack = change.build_stack.unwrap_or(row.build_stack);
            row.updated_at = now;
            tx.app_update(&row)?;
            Ok(row)
        });
        let row = update.await?;
        self.wake.routes();
        Ok(row)
    }

    /// Marks it; its names are free again at once, and a loop takes everything else apart.
    pub async fn app_destroy(&self, app: AppId) -> Result<App, Refusal> {
        let now = self.now();
        let mark = self.store.write(move |tx| -> Result<App, Refusal> {
            let mut row = app_row(tx, app)?;
            row.deleted = true;
            row.updated_at = now;
            tx.app_update(&row)?;
            tx.domain_delete_of_app(app)?;
            Ok(row)
        });
        let row = mark.await?;
        self.wake.deletions(app);
        self.wake.formation(app);
        self.wake.routes();
        Ok(row)
    }
}

/// Whoever makes an app in a team may do everything to it.
fn maker(app: &App, account: AccountId) -> Collaborator {
    Collaborator {
        id: CollaboratorId::random(),
        app: app.id,
        account,
        permissions: Permissions::ALL,
        created_at: app.created_at,
        updated_at: app.created_at,
    }
}

pub(super) fn owner_of(read: &Read<'_>, app: &App) -> Result<(Account, Option<Team>), StoreError> {
    Ok((read.account_fetch(app.owner)?, read.team_of_owner(app.owner)?))
}

/// Apps have few owners among them: each is fetched once.
fn views(read: &Read<'_>, apps: Vec<App>) -> Result<Vec<AppView>, Refusal> {
    let mut owners: HashMap<AccountId, (Account, Option<Team>)> = HashMap::new();
    let mut views = Vec::with_capacity(apps.len());
    for app in apps {
        let (owner, team) = match owners.get(&app.owner) {
            Some(known) => known.clone(),
            None => {
                let owner = owner_of(read, &app)?;
                owners.insert(app.owner, owner.clone());
                owner
            }
        };
        views.push(AppView { app, owner, team });
    }
    Ok(views)
}
