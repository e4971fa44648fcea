//! Apps: made, found, changed, destroyed.

use renga_model::{Account, AccountId, App, AppId, AppName, ConfigVars, Fault, Refusal, StackName};

use super::{
    access::app_row,
    names,
    release::{NewRelease, announce, release_create},
};
use crate::{Engine, error, words};

/// Apps of one account (ours; Heroku: 100).
const APPS_PER_ACCOUNT_MAX: usize = 1_000;
/// Attempts to find a free generated name; a second one is needed about never.
const NAME_ATTEMPTS_MAX: usize = 8;

/// The first two releases of every app, so that the first deploy is v3, as scripts expect.

#[derive(Debug, Clone, Default)]
pub struct AppNew {
    /// Generated if not given.
    pub name: Option<AppName>,
    /// The platform's default if not given.
    pub stack: Option<StackName>,
}

#[derive(Debug, Clone, Default)]
pub struct AppChange {
    pub name: Option<AppName>,
    pub maintenance: Option<bool>,
    pub build_stack: Option<StackName>,
}

impl Engine {
    pub async fn app_create(&self, actor: &Account, new: AppNew) -> Result<App, Refusal> {
        let generated = new.name.is_none();
        for _ in 0..NAME_ATTEMPTS_MAX {
            let name = new.name.clone().unwrap_or_else(|| names::generate(&mut rand::rng()));
            match self.app_insert(actor.id, name, new.stack.clone()).await {
                Err(taken) if generated && taken.fault == Fault::Invalid => {}
                Err(refusal) => return Err(refusal),
                Ok(app) => return self.app_equip(app).await,
            }
        }
        Err(Refusal::internal("no generated name was free"))
    }

    async fn app_insert(
        &self,
        owner: AccountId,
        name: AppName,
        stack: Option<StackName>,
    ) -> Result<App, Refusal> {
        let (now, settings) = (self.now(), self.settings.clone());
        let stack = stack.unwrap_or_else(|| settings.default_stack.clone());
        let app = App {
            id: AppId::random(),
            name,
            owner,
            stack: stack.clone(),
            build_stack: stack,
            maintenance: false,
            deleted: false,
            buildpacks: Vec::new(),
            buildpack_provided_description: None,
            detected_buildpack: None,
            repo_bytes: None,
            slug_bytes: None,
            created_at: now,
            updated_at: now,
            released_at: None,
            features_on: Vec::new(),
            features_off: Vec::new(),
        };
        let insert = self.store.write(move |tx| -> Result<_, Refusal> {
            if tx.app_list_for_owner(owner)?.len() >= APPS_PER_ACCOUNT_MAX {
                return Err(Refusal::forbidden(format!(
                    "You've reached the limit of {APPS_PER_ACCOUNT_MAX} apps."
                )));
            }
            if tx.app_find(&app.name)?.is_some() {
                return Err(Refusal::invalid(format!("Name {} is already taken", app.name)));
            }
            tx.app_insert(&app)?;
            let mut releases = Vec::new();
            for description in words::FIRST_RELEASES {
                let new = NewRelease {
                    app: app.id,
                    user: owner,
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
            announce(self, release).await;
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

    /// Apps that the account may see, by name.
    pub async fn app_list(&self, actor: AccountId) -> Result<Vec<App>, Refusal> {
        self.store.read(move |read| read.app_list_for_owner(actor).map_err(Refusal::from)).await
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

    /// Marks it; the name is free again at once, and a loop takes everything else apart.
    pub async fn app_destroy(&self, app: AppId) -> Result<App, Refusal> {
        let now = self.now();
        let mark = self.store.write(move |tx| -> Result<App, Refusal> {
            let mut row = app_row(tx, app)?;
            row.deleted = true;
            row.updated_at = now;
            tx.app_update(&row)?;
            Ok(row)
        });
        let row = mark.await?;
        self.wake.deletions(app);
        self.wake.formation(app);
        self.wake.routes();
        Ok(row)
    }
}
