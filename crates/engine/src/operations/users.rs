//! What the operator does to accounts.

use renga_model::{Account, AccountId, Refusal};

use crate::Engine;

impl Engine {
    /// By e-mail.
    pub async fn user_list(&self) -> Result<Vec<Account>, Refusal> {
        self.store.read(|read| read.account_list().map_err(Refusal::from)).await
    }

    /// By e-mail or id.
    pub async fn user_find(&self, identity: &str) -> Result<Account, Refusal> {
        let (identity, id) = (identity.to_owned(), identity.parse::<AccountId>().ok());
        let all = self.store.read(move |read| -> Result<Option<Account>, Refusal> {
            match id {
                Some(id) => Ok(read.account_list()?.into_iter().find(|account| account.id == id)),
                None => Ok(read.account_find_by_email(&identity)?),
            }
        });
        all.await?.ok_or_else(|| Refusal::not_found("user"))
    }

    /// Shuts an account out, or lets it in again. Its tokens are kept, and open nothing meanwhile.
    pub async fn user_suspend(
        &self,
        operator: AccountId,
        user: AccountId,
        suspended: bool,
    ) -> Result<Account, Refusal> {
        if operator == user && suspended {
            return Err(Refusal::invalid(
                "You can't disable your own account: nobody could enable it again.",
            ));
        }
        let now = self.now();
        let update = self.store.write(move |tx| -> Result<Account, Refusal> {
            let mut row = tx.account_fetch(user)?;
            row.suspended_at = suspended.then(|| row.suspended_at.unwrap_or(now));
            row.updated_at = now;
            tx.account_update(&row)?;
            Ok(row)
        });
        update.await
    }
}
