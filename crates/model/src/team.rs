//! Teams: accounts that own apps together.
//!
//! A team's apps belong to an account of the team's own, which nobody can log in to; its address is the team's name at
//! [`TEAM_DOMAIN`](crate::TEAM_DOMAIN), as Heroku shows it.

use jiff::Timestamp;

use crate::{AccountId, TeamId, TeamInvitationId, TeamMemberId, TeamName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    pub id: TeamId,
    pub name: TeamName,
    /// The owner of the team's apps.
    pub account: AccountId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamMember {
    pub id: TeamMemberId,
    pub team: TeamId,
    pub account: AccountId,
    pub role: TeamRole,
    /// Whether new apps of this member go to this team if he names none.
    pub default: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A member to be, who has not said yes yet. The link's secret is known by its hash alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamInvitation {
    pub id: TeamInvitationId,
    pub team: TeamId,
    pub account: AccountId,
    pub role: TeamRole,
    pub invited_by: AccountId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamRole {
    /// May do everything to the team and its apps.
    Admin,
    /// Sees the team and its apps, makes apps, joins those that are not locked.
    Member,
    /// Sees the team and its apps.
    Viewer,
    /// Sees those apps of the team that he was added to, and no more.
    Collaborator,
}

impl TeamRole {
    pub const ALL: [Self; 4] = [Self::Admin, Self::Member, Self::Viewer, Self::Collaborator];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
            Self::Collaborator => "collaborator",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
    /// Whether he belongs to the team, and does not only work on some of its apps.
    pub fn is_inside(self) -> bool {
        self != Self::Collaborator
    }
    pub fn makes_apps(self) -> bool {
        matches!(self, Self::Admin | Self::Member)
    }
}
