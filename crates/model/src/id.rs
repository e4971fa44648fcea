//! Ids that know their kind: a dyno id cannot be passed where an app id is meant. Shown as Heroku shows them, UUIDs.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A UUID that belongs to one kind of thing. Made from a UUID that the caller chose (randomness comes in as an argument).
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id<K>(Uuid, #[serde(skip)] PhantomData<fn() -> K>);

impl<K> Id<K> {
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }
    pub const fn uuid(self) -> Uuid {
        self.0
    }
    /// A fresh random (version 4) id.
    pub fn random() -> Self {
        Self::from_uuid(Uuid::new_v4())
    }
}

// === the traits that `derive` would bind to K ===

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<K> FromStr for Id<K> {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self::from_uuid)
    }
}

macro_rules! kinds {
    ($($kind:ident => $alias:ident),* $(,)?) => { $(
        #[derive(Debug)]
        pub enum $kind {}
        pub type $alias = Id<$kind>;
    )* };
}

kinds! {
    AccessTokenKind => AccessTokenId,
    AccountKind => AccountId,
    AppKind => AppId,
    AppTransferKind => AppTransferId,
    BuildKind => BuildId,
    CollaboratorKind => CollaboratorId,
    DomainKind => DomainId,
    DynoIdKind => DynoId,
    FormationKind => FormationId,
    KeyKind => KeyId,
    LetterKind => LetterId,
    LogSessionKind => LogSessionId,
    OauthClientKind => OauthClientId,
    OciImageKind => OciImageId,
    RefreshTokenKind => RefreshTokenId,
    ReleaseKind => ReleaseId,
    SessionKind => SessionId,
    SlugKind => SlugId,
    SniEndpointKind => SniEndpointId,
    SourceKind => SourceId,
    TeamKind => TeamId,
    TeamInvitationKind => TeamInvitationId,
    TeamMemberKind => TeamMemberId,
    TokenKind => TokenId,
}
