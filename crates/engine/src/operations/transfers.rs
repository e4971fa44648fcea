//! Transfers of apps from one account to another: offered by the owner, answered by the recipient.

use jiff::Timestamp;
use renga_model::{
    Account, AccountId, App, AppId, AppTransfer, AppTransferId, Collaborator, CollaboratorId, Permissions,
    Refusal, TransferState, limits,
};
use renga_store::{OrNone, Read, Tx};

use super::{
    access::{Person, app_row},
    formation::formation_of,
    room,
};
use crate::{Engine, Settings};

/// A transfer with what it is about.
#[derive(Debug, Clone)]
pub struct TransferView {
    pub row: AppTransfer,
    pub app: App,
    pub owner: Account,
    pub recipient: Account,
}

impl Engine {
    /// Offers the app to somebody; nothing changes until he accepts.
    pub async fn transfer_create(&self, app: AppId, recipient: Person) -> Result<TransferView, Refusal> {
        let now = self.now();
        let create = self.store.write(move |tx| -> Result<TransferView, Refusal> {
            let app = app_row(tx, app)?;
            let recipient = recipient.find(tx)?.ok_or_else(|| Refusal::not_found("user"))?;
            refuse_offer(tx, &app, &recipient)?;
            let row = AppTransfer {
                id: AppTransferId::random(),
                app: app.id,
                owner: app.owner,
                recipient: recipient.id,
                state: TransferState::Pending,
                created_at: now,
                updated_at: now,
            };
            tx.app_transfer_insert(&row)?;
            view(tx, row)
        });
        create.await
    }

    /// Those that the account gives or is offered, oldest first.
    pub async fn transfer_list(&self, account: AccountId) -> Result<Vec<TransferView>, Refusal> {
        let list = self.store.read(move |read| -> Result<Vec<TransferView>, Refusal> {
            read.app_transfer_list(account)?.into_iter().map(|row| view(read, row)).collect()
        });
        list.await
    }

    /// By its id, or the name of its app.
    pub async fn transfer_fetch(&self, account: AccountId, identity: &str) -> Result<TransferView, Refusal> {
        let same =
            |one: &TransferView| one.row.id.to_string() == identity || one.app.name.as_str() == identity;
        let mut all = self.transfer_list(account).await?;
        all.retain(same);
        all.pop().ok_or_else(|| Refusal::not_found("app_transfer"))
    }

    /// The recipient's answer. Accepted, the app is his, and who gave it stays as a collaborator.
    pub async fn transfer_answer(
        &self,
        actor: AccountId,
        transfer: AppTransferId,
        answer: TransferState,
    ) -> Result<TransferView, Refusal> {
        let (now, settings) = (self.now(), self.settings.clone());
        let decide = self.store.write(move |tx| -> Result<TransferView, Refusal> {
            let not_found = || Refusal::not_found("app_transfer");
            let mut row = tx.app_transfer_fetch(transfer).or_none()?.ok_or_else(not_found)?;
            if row.recipient != actor {
                return Err(Refusal::forbidden("Only the recipient can accept or decline a transfer."));
            }
            if row.state != TransferState::Pending || answer == TransferState::Pending {
                let state = row.state.as_str();
                return Err(Refusal::invalid(format!(
                    "state: this transfer is {state} and can't become {}.",
                    answer.as_str()
                )));
            }
            if answer == TransferState::Accepted {
                accept(tx, &settings, &row, now)?;
            }
            (row.state, row.updated_at) = (answer, now);
            tx.app_transfer_end(&row)?;
            view(tx, row)
        });
        decide.await
    }

    /// Takes an offer back. Its recipient declines it instead.
    pub async fn transfer_delete(
        &self,
        actor: AccountId,
        transfer: AppTransferId,
    ) -> Result<TransferView, Refusal> {
        let delete = self.store.write(move |tx| -> Result<TransferView, Refusal> {
            let found = tx.app_transfer_fetch(transfer).or_none()?;
            let row = found.ok_or_else(|| Refusal::not_found("app_transfer"))?;
            if row.owner != actor {
                return Err(Refusal::forbidden("Only who offered the app can take a transfer back."));
            }
            let gone = view(tx, row)?;
            tx.app_transfer_delete(transfer)?;
            Ok(gone)
        });
        delete.await
    }
}

fn refuse_offer(tx: &Tx<'_>, app: &App, recipient: &Account) -> Result<(), Refusal> {
    if recipient.id == app.owner {
        return Err(Refusal::invalid(format!("{} owns app {} already.", recipient.email, app.name)));
    }
    if tx.team_of_owner(app.owner)?.is_some() {
        return Err(Refusal::invalid(format!(
            "App {} belongs to a team. Give it to somebody with PATCH /teams/apps/{}.",
            app.name, app.name
        )));
    }
    if let Some(pending) = tx.app_transfer_pending(app.id)? {
        let to = tx.account_fetch(pending.recipient)?.email;
        return Err(Refusal::invalid(format!(
            "App {} is offered to {to} already. Take that transfer back before you make another.",
            app.name
        )));
    }
    let waiting = tx.app_transfer_list(recipient.id)?;
    if waiting.iter().filter(|one| one.state == TransferState::Pending).count()
        >= limits::APP_TRANSFERS_PENDING_MAX
    {
        return Err(Refusal::invalid("Too many transfers wait for an answer of this recipient."));
    }
    Ok(())
}

/// The owner may have changed since the offer, and the recipient may have no room for it now.
fn accept(tx: &Tx<'_>, settings: &Settings, offer: &AppTransfer, now: Timestamp) -> Result<(), Refusal> {
    let app = app_row(tx, offer.app)?;
    if app.owner != offer.owner {
        return Err(Refusal::conflict("The app belongs to somebody else by now."));
    }
    change_owner(tx, settings, app, offer.recipient, now)?;
    let former = Collaborator {
        id: CollaboratorId::random(),
        app: offer.app,
        account: offer.owner,
        permissions: Permissions::COLLABORATOR,
        created_at: now,
        updated_at: now,
    };
    Ok(tx.collaborator_insert(&former)?)
}

/// Whoever owns an app is no collaborator of it, and his tier must have room for its dynos.
pub(super) fn change_owner(
    tx: &Tx<'_>,
    settings: &Settings,
    mut app: App,
    owner: AccountId,
    now: Timestamp,
) -> Result<App, Refusal> {
    if tx.app_list_for_owner(owner)?.len() >= limits::APPS_PER_OWNER_MAX {
        let most = limits::APPS_PER_OWNER_MAX;
        return Err(Refusal::invalid(format!("The new owner has {most} apps already, which is the limit.")));
    }
    (app.owner, app.updated_at) = (owner, now);
    let rows = formation_of(tx, &settings.sizes, app.id)?;
    let wanted = room::dynos(rows.iter().map(|(row, _)| row));
    room::refuse_beyond_tier(tx, settings, &app, (0, wanted))?;
    tx.collaborator_delete(app.id, owner)?;
    tx.app_update(&app)?;
    Ok(app)
}

fn view(read: &Read<'_>, row: AppTransfer) -> Result<TransferView, Refusal> {
    let (owner, recipient) = (read.account_fetch(row.owner)?, read.account_fetch(row.recipient)?);
    Ok(TransferView { app: read.app_fetch(row.app)?, row, owner, recipient })
}
