//! Who has access to an app: what somebody may do to it, in Heroku's words, collaborators, and transfers to new owners.
//!
//! ```text
//! AppTransfer:  Pending ──recipient accepts──> Accepted      (the app is his; who gave it is a collaborator)
//!                  └─────recipient declines──> Declined
//! ```

use jiff::Timestamp;

use crate::{AccountId, AppId, AppTransferId, CollaboratorId};

/// One thing that may be done to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Know that the app is there. Not given by itself: members of a team know all apps of the team.
    Know,
    /// See the app, its dynos, builds and logs.
    View,
    /// Push, release, roll back, change config vars and buildpacks.
    Deploy,
    /// Scale, restart, run, maintenance.
    Operate,
    /// Rename, transfer and destroy, and say who may do what.
    Manage,
}

impl Permission {
    /// Those that are given to people, by name.
    pub const GIVEN: [Self; 4] = [Self::Deploy, Self::Manage, Self::Operate, Self::View];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Know => "know",
            Self::View => "view",
            Self::Deploy => "deploy",
            Self::Operate => "operate",
            Self::Manage => "manage",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::GIVEN.into_iter().find(|permission| permission.as_str() == text)
    }
    pub fn description(self) -> &'static str {
        match self {
            Self::Know => "Can know that the app is there.",
            Self::View => "Can see the app, its releases, builds, dynos and logs.",
            Self::Deploy => "Can push code, release, roll back, and read and change config vars.",
            Self::Operate => "Can scale, restart, run commands and switch maintenance mode.",
            Self::Manage => "Can rename, transfer and delete the app, and manage who has access to it.",
        }
    }
}

/// What one account may do to one app: any set of permissions. Whoever may do something may also look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u8);

impl Permissions {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(0b1_1111);
    /// Of a collaborator who was added without more words: everything but the owner's matters.
    pub const COLLABORATOR: Self = Self(0b0_1111);
    /// Of a member of the team to whom nobody gave more.
    pub const KNOW: Self = Self(bit(Permission::Know));
    pub const VIEW: Self = Self(bit(Permission::Know) | bit(Permission::View));

    pub fn of(given: &[Permission]) -> Self {
        given.iter().fold(Self::NONE, |all, one| Self(all.0 | bit(*one) | Self::VIEW.0))
    }
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & bit(permission) != 0
    }
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// By name.
    pub fn given(self) -> impl Iterator<Item = Permission> {
        Permission::GIVEN.into_iter().filter(move |permission| self.contains(*permission))
    }
}

/// An account that may do something to an app of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collaborator {
    pub id: CollaboratorId,
    pub app: AppId,
    pub account: AccountId,
    pub permissions: Permissions,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// An app that its owner wants to give to another account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppTransfer {
    pub id: AppTransferId,
    pub app: AppId,
    /// Who gives it.
    pub owner: AccountId,
    pub recipient: AccountId,
    pub state: TransferState,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferState {
    Pending,
    Accepted,
    Declined,
}

impl TransferState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Accepted, Self::Declined];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

const fn bit(permission: Permission) -> u8 {
    1 << permission as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use Permission::*;

    #[test]
    fn permissions_are_sets_and_whoever_may_do_something_may_look() {
        let operator = Permissions::of(&[Operate]);
        assert_eq!(operator.given().collect::<Vec<_>>(), [Operate, View]);
        assert!(operator.contains(Know) && !operator.contains(Deploy) && !operator.contains(Manage));
        assert_eq!(Permissions::of(&[]), Permissions::NONE);
        assert_eq!(Permissions::of(&Permission::GIVEN), Permissions::ALL);
        assert_eq!(Permissions::of(&[Deploy, Operate]), Permissions::COLLABORATOR);
        assert_eq!(Permissions::of(&[View]), Permissions::VIEW);
        assert_eq!(Permissions::KNOW.given().count(), 0);
    }

    #[test]
    fn names_are_parsed_back_and_nobody_is_given_the_mere_knowledge() {
        for one in Permission::GIVEN {
            assert_eq!(Permission::parse(one.as_str()), Some(one));
        }
        assert_eq!(Permission::parse("know"), None);
        assert_eq!(Permission::parse("VIEW"), None);
    }
}
