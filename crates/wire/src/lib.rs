//! The public JSON of the Platform API: what a client may send, what it gets back, and how the words of `model` become
//! these shapes.
//!
//! Every answer holds every property that the published schema lists for its resource; what does not exist here is
//! `null`, as the schema allows, never absent. Requests name every member that official clients send; a member that is
//! not named here is refused by the API with its name, so that a typing error is not silently dropped.
//!
//! ```text
//! model::App ──App::new(app, owner, site)──> wire::App ──serde──> {"id": ..., "name": ...}
//! {"name": ...} ──serde──> wire::AppCreate ──api──> engine operation
//! ```
//!
//! The crate refuses to know who asks, what is stored or which status an answer has. Shapes derive both `Serialize` and
//! `Deserialize`, so that the command line reads what the API writes. A change here is a decision (I15).

mod access;
mod account;
mod app;
mod build;
mod catalogue;
mod domain;
mod dyno;
mod error;
mod favorite;
mod ids;
mod log;
mod loose;
mod oauth;
mod oci_image;
mod profile;
mod release;
mod site;
mod team;
mod time;
mod usage;
mod user;
mod why;

pub use access::{
    AppTransfer, AppTransferCreate, AppTransferUpdate, Collaborator, CollaboratorCreate, CollaboratorUser,
    Permission,
};
pub use account::{
    AccessToken, Account, AccountUpdate, Authorization, AuthorizationClient, AuthorizationCreate,
    AuthorizationUser, BrowserLogin, BrowserLoginBegin, Delinquency, Grant, NumberText, RateLimit,
};
pub use app::{
    App, AppCreate, AppUpdate, BuildpackInstallation, BuildpackName, BuildpackUpdate, BuildpackUpdates,
    Feature, FeatureUpdate,
};
pub use build::{Build, BuildCreate, BuildStatus, BuildpackChoice, Source, SourceBlob, SourceUrls};
pub use catalogue::{Cost, DynoSize, Generation, Provider, Region, Stack};
pub use domain::{AcmRefresh, Domain, DomainCreate, DomainUpdate, SniEndpoint, SniEndpointWrite, SslCert};
pub use dyno::{
    Dyno, DynoCreate, DynoExec, DynoRelease, DynoSizeChoice, EnvValue, Formation, FormationUpdate,
    FormationUpdates, QuantityText, state_shown,
};
pub use error::ErrorBody;
pub use favorite::{Favorite, FavoriteCreate};
pub use ids::{IdName, IdOnly, NameId, UserRef, derived_id};
pub use log::{LogSession, LogSessionCreate};
pub use oauth::{
    AuthorizationUpdate, Client, ClientCreate, ClientUpdate, OauthToken, OauthTokenCreate, Session, Shown,
    TokenAnswer,
};
pub use oci_image::{OciBuildpack, OciImage, OciImageCreate, OciProcess};
pub use profile::{
    CreditCreate, InvoiceAddress, InvoiceAddressPut, Key, KeyCreate, Preferences, PreferencesUpdate,
};
pub use release::{Artifact, ConfigChange, Release, ReleaseCreate, Slug, SlugBlob, SlugCreate, config_vars};
pub use site::Site;
pub use team::{
    PermissionEntity, PermissionUser, Team, TeamApp, TeamAppCollaboratorCreate, TeamAppCollaboratorUpdate,
    TeamAppCreate, TeamAppUpdate, TeamCreate, TeamInvitation, TeamInvitationCreate, TeamMember,
    TeamMemberPut, TeamName, TeamPreferences, TeamPreferencesUpdate, TeamUpdate, Unread, UserName,
    role_shown,
};
pub use time::Time;
pub use usage::DynoUsage;
pub use user::{
    CodeGiven, PasswordGiven, PasswordReset, PasswordResetCreate, PasswordResetFinalize, TwoFactorBegun,
    TwoFactorEnabled, User, UserCreate, UserLink,
};
pub use why::{Why, WhyDecision, WhyDyno, WhySeen};
