//! Who has access to apps: collaborators, transfers, teams.

use renga_model::{
    Account, App, AppTransfer, AppTransferId, Collaborator, CollaboratorId, Permission, Permissions, Team,
    TeamId, TeamInvitation, TeamInvitationId, TeamMember, TeamMemberId, TeamRole, TransferState,
};
use renga_store::{OrNone, StoreError, Tx, ValueHash};

use crate::fixture::{Ledger, account, app_of, at};

async fn in_tx(ledger: &Ledger, f: impl FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send + 'static) {
    ledger.store.write(f).await.unwrap();
}

pub(crate) fn collaborator(app: &App, account: &Account, given: &[Permission]) -> Collaborator {
    Collaborator {
        id: CollaboratorId::random(),
        app: app.id,
        account: account.id,
        permissions: Permissions::of(given),
        created_at: at(2),
        updated_at: at(3),
    }
}

pub(crate) fn transfer(app: &App, recipient: &Account) -> AppTransfer {
    AppTransfer {
        id: AppTransferId::random(),
        app: app.id,
        owner: app.owner,
        recipient: recipient.id,
        state: TransferState::Pending,
        created_at: at(1),
        updated_at: at(1),
    }
}

#[tokio::test]
async fn collaborators() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let (bob, eve) = (account("bob@example.com"), account("eve@example.com"));
        tx.account_insert(&bob, None)?;
        tx.account_insert(&eve, None)?;
        let (first, second) =
            (collaborator(&app, &bob, &[Permission::Operate]), collaborator(&app, &eve, &[]));
        tx.collaborator_insert(&first)?;
        tx.collaborator_insert(&Collaborator { created_at: at(5), ..second.clone() })?;
        assert_eq!(tx.collaborator_find(app.id, bob.id)?, Some(first.clone()));
        assert_eq!(tx.collaborator_find(app.id, app.owner)?, None);
        assert_eq!(
            tx.collaborator_list(app.id)?,
            [first.clone(), Collaborator { created_at: at(5), ..second }]
        );
        assert_eq!(tx.collaborator_list_of(bob.id)?, [first]);
        assert_eq!(tx.app_list_for_collaborator(bob.id)?, std::slice::from_ref(&app));
        let twice = tx.collaborator_insert(&collaborator(&app, &bob, &[]));
        assert!(matches!(twice, Err(StoreError::Conflict { what: "collaborator" })), "{twice:?}");

        tx.collaborator_set(app.id, bob.id, Permissions::ALL, at(9))?;
        let changed = tx.collaborator_find(app.id, bob.id)?.unwrap();
        assert_eq!((changed.permissions, changed.updated_at), (Permissions::ALL, at(9)));
        assert!(tx.collaborator_set(app.id, app.owner, Permissions::ALL, at(9)).or_none()?.is_none());
        assert!(tx.collaborator_delete(app.id, bob.id)? && !tx.collaborator_delete(app.id, bob.id)?);
        tx.collaborators_delete(app.id)?;
        assert!(tx.collaborator_list(app.id)?.is_empty());
        // They go with their app.
        tx.collaborator_insert(&collaborator(&app, &eve, &[]))?;
        tx.app_update(&App { deleted: true, ..app.clone() })?;
        assert!(tx.app_list_for_collaborator(eve.id)?.is_empty());
        tx.app_delete(app.id)?;
        assert!(tx.collaborator_list_of(eve.id)?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn transfers() {
    let (ledger, app) = Ledger::with_app().await;
    in_tx(&ledger, move |tx| {
        let bob = account("bob@example.com");
        tx.account_insert(&bob, None)?;
        let offer = transfer(&app, &bob);
        tx.app_transfer_insert(&offer)?;
        assert_eq!(tx.app_transfer_fetch(offer.id)?, offer);
        assert_eq!(tx.app_transfer_pending(app.id)?, Some(offer.clone()));
        for side in [app.owner, bob.id] {
            assert_eq!(tx.app_transfer_list(side)?, std::slice::from_ref(&offer));
        }
        let twice = tx.app_transfer_insert(&AppTransfer { id: AppTransferId::random(), ..offer.clone() });
        assert!(matches!(twice, Err(StoreError::Conflict { what: "transfer of the app" })), "{twice:?}");
        let declined = AppTransfer { state: TransferState::Declined, updated_at: at(4), ..offer.clone() };
        tx.app_transfer_end(&declined)?;
        assert!(matches!(tx.app_transfer_end(&declined), Err(StoreError::Stale { .. })));
        assert_eq!((tx.app_transfer_fetch(offer.id)?, tx.app_transfer_pending(app.id)?), (declined, None));
        // The next one takes its place.
        let next = AppTransfer { id: AppTransferId::random(), ..offer.clone() };
        tx.app_transfer_insert(&next)?;
        assert!(tx.app_transfer_fetch(offer.id).or_none()?.is_none());
        assert!(tx.app_transfer_delete(next.id)? && !tx.app_transfer_delete(next.id)?);
        Ok(())
    })
    .await;
}

fn team(name: &str) -> (Team, Account) {
    let owner = account(&format!("{name}@herokumanager.com"));
    let team = Team {
        id: TeamId::random(),
        name: name.to_owned().try_into().unwrap(),
        account: owner.id,
        created_at: at(1),
        updated_at: at(2),
    };
    (team, owner)
}

fn member(team: &Team, account: &Account, role: TeamRole) -> TeamMember {
    TeamMember {
        id: TeamMemberId::random(),
        team: team.id,
        account: account.id,
        role,
        default: false,
        created_at: at(2),
        updated_at: at(3),
    }
}

#[tokio::test]
async fn teams_and_their_members() {
    let ledger = Ledger::new();
    in_tx(&ledger, |tx| {
        let (bob, eve) = (account("bob@example.com"), account("eve@example.com"));
        tx.account_insert(&bob, None)?;
        tx.account_insert(&eve, None)?;
        let ((acme, owner), (globex, other)) = (team("acme"), team("globex"));
        tx.team_insert(&acme, &owner)?;
        tx.team_insert(&globex, &other)?;
        assert_eq!((tx.team_fetch(acme.id)?, tx.team_find(&acme.name)?), (acme.clone(), Some(acme.clone())));
        assert_eq!(tx.team_of_owner(owner.id)?, Some(acme.clone()));
        assert_eq!(tx.team_of_owner(bob.id)?, None);
        // Nobody finds the account of a team by its address.
        assert_eq!(tx.account_find_by_email("acme@herokumanager.com")?, None);
        assert_eq!(tx.account_list()?, [bob.clone(), eve.clone()]);

        let mut row = member(&acme, &bob, TeamRole::Viewer);
        tx.team_member_insert(&row)?;
        let twice = tx.team_member_insert(&member(&acme, &bob, TeamRole::Admin));
        assert!(matches!(twice, Err(StoreError::Conflict { what: "member" })), "{twice:?}");
        let mut second = member(&globex, &bob, TeamRole::Admin);
        tx.team_member_insert(&second)?;
        (row.role, row.default, second.default) = (TeamRole::Member, true, true);
        tx.team_member_update(&second)?;
        // One default at a time.
        tx.team_member_update(&row)?;
        second.default = false;
        assert_eq!(tx.team_member_find(acme.id, bob.id)?, Some(row.clone()));
        assert_eq!(tx.team_member_list(acme.id)?, [row]);
        assert_eq!(tx.team_member_list_of(bob.id)?.len(), 2);
        assert_eq!(tx.team_member_find(globex.id, bob.id)?, Some(second));
        assert_eq!(tx.team_list_for(bob.id)?, [acme.clone(), globex.clone()]);

        let app = App { locked: true, ..app_of(owner.id, "shop") };
        tx.app_insert(&app)?;
        assert!(tx.app_fetch(app.id)?.locked);
        tx.collaborator_insert(&collaborator(&app, &eve, &[Permission::View]))?;
        assert_eq!(tx.team_list_for(eve.id)?, std::slice::from_ref(&acme));
        assert_eq!(tx.collaborators_of_owner(owner.id)?, [(eve.id, at(2))]);
        assert_eq!(tx.app_list_of_owner_for_collaborator(owner.id, eve.id)?, std::slice::from_ref(&app));
        tx.team_member_delete(&acme, eve.id)?;
        assert!(tx.team_list_for(eve.id)?.is_empty() && tx.collaborator_list(app.id)?.is_empty());

        let renamed = Team { name: "umbrella".to_owned().try_into().unwrap(), ..acme.clone() };
        tx.team_rename(&renamed, "umbrella@herokumanager.com")?;
        assert_eq!(tx.account_fetch(owner.id)?.email, "umbrella@herokumanager.com");
        // An app that is being taken apart still needs its owner; without one he goes too.
        tx.team_delete(&renamed, "gone@herokumanager.com")?;
        assert_eq!(tx.account_fetch(owner.id)?.email, "gone@herokumanager.com");
        tx.team_delete(&globex, "gone-too@herokumanager.com")?;
        assert!(tx.account_fetch(other.id).or_none()?.is_none());
        assert!(tx.team_list_for(bob.id)?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn invitations_to_teams() {
    let ledger = Ledger::new();
    in_tx(&ledger, |tx| {
        let (bob, (acme, owner)) = (account("bob@example.com"), team("acme"));
        tx.account_insert(&bob, None)?;
        tx.team_insert(&acme, &owner)?;
        let row = TeamInvitation {
            id: TeamInvitationId::random(),
            team: acme.id,
            account: bob.id,
            role: TeamRole::Admin,
            invited_by: bob.id,
            created_at: at(1),
            updated_at: at(1),
        };
        let (first, second) = (ValueHash::of("first"), ValueHash::of("second"));
        tx.team_invitation_insert(&row, &first)?;
        assert_eq!(tx.team_invitation_find(&first)?, Some(row.clone()));
        // The next one of the same account takes its place.
        let row = TeamInvitation { id: TeamInvitationId::random(), ..row };
        tx.team_invitation_insert(&row, &second)?;
        assert_eq!(tx.team_invitation_find(&first)?, None);
        assert_eq!(tx.team_invitation_list(acme.id)?, std::slice::from_ref(&row));
        assert!(tx.team_invitation_delete(row.id)? && !tx.team_invitation_delete(row.id)?);
        Ok(())
    })
    .await;
}
