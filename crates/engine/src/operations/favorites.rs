//! Apps that somebody keeps at hand. What he may no longer see is not among them.

use renga_model::{AccountId, App, AppId, Permission, Refusal};

use crate::Engine;

impl Engine {
    pub async fn favorite_list(&self, account: AccountId) -> Result<Vec<App>, Refusal> {
        let kept = self.store.read(move |read| read.favorite_list(account).map_err(Refusal::from)).await?;
        let mut seen: Vec<App> = self.app_list(account).await?.into_iter().map(|view| view.app).collect();
        seen.retain(|app| kept.contains(&app.id));
        Ok(seen)
    }

    /// By the app's name or id.
    pub async fn favorite_add(&self, account: AccountId, identity: &str) -> Result<App, Refusal> {
        let app = self.app_for(account, identity, Permission::View).await?;
        let (id, now) = (app.id, self.now());
        self.store.write(move |tx| tx.favorite_put(account, id, now).map_err(Refusal::from)).await?;
        Ok(app)
    }

    pub async fn favorite_remove(&self, account: AccountId, app: AppId) -> Result<(), Refusal> {
        let gone =
            self.store.write(move |tx| tx.favorite_delete(account, app).map_err(Refusal::from)).await?;
        gone.then_some(()).ok_or_else(|| Refusal::not_found("favorite"))
    }
}
