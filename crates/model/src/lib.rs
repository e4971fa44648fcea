//! What the words of Renga mean.
//!
//! Names, ids, states and their legal moves, limits and the catalogue of refusals live here, and nothing that
//! touches the world: no clock, no I/O, no async, no SQL, no HTTP. Types are parsed once, at the door, by their
//! `TryFrom`/`FromStr`; code that holds an [`AppName`] need not look at it again.
//!
//! The crate refuses to know how anything is stored or shown. Public JSON lives in `wire`, SQL in `store`.

mod access;
mod account;
mod acm;
mod app;
mod build;
mod config;
mod domain;
mod dyno;
mod email;
mod id;
pub mod limits;
mod log;
mod name;
mod oauth;
mod oci_image;
mod procfile;
mod refusal;
mod release;
mod route;
mod secret;
mod size;
mod team;
mod tier;
mod usage;

pub use access::{AppTransfer, Collaborator, Permission, Permissions, TransferState};
pub use account::{Account, SshKey, Token, TokenScope};
pub use acm::{AcmEvent, AcmName, AcmOrder, AcmProof, AcmStep, IllegalAcmMove};
pub use app::{App, Buildpack, Formation};
pub use build::{Build, BuildSource, BuildStatus};
pub use config::{ConfigKey, ConfigVars};
pub use domain::{CertificateFacts, Domain, Hostname, SniEndpoint};
pub use dyno::{
    AttachClient, Dyno, DynoEvent, DynoKind, DynoState, Exit, ExitReason, IllegalMove, OneOff, Worker,
};
pub use email::{Email, TEAM_DOMAIN};
pub use id::{
    AccessTokenId, AccountId, AppId, AppTransferId, BuildId, CollaboratorId, DomainId, DynoId, FormationId,
    Id, KeyId, LetterId, LogSessionId, OauthClientId, OciImageId, RefreshTokenId, ReleaseId, SessionId,
    SlugId, SniEndpointId, SourceId, TeamId, TeamInvitationId, TeamMemberId, TokenId,
};
pub use log::{LogFilter, LogLine, LogSource, NumberedLine};
pub use name::{AppName, DynoName, InvalidName, LayerDigest, ProcessType, StackName, TeamName};
pub use oauth::{OauthClient, OneTime, OneTimeKind, Refresh};
pub use oci_image::OciImage;
pub use procfile::Procfile;
pub use refusal::{Fault, Refusal};
pub use release::{Release, ReleaseStatus, Slug, SlugLayer, SlugUpload};
pub use route::{RouteApp, RouteChange, RouteDyno, RouteFlags, RouteTable, WebState};
pub use secret::Secret;
pub use size::{DynoSize, SizeFigures, Sizes};
pub use team::{Team, TeamInvitation, TeamMember, TeamRole};
pub use tier::{Tier, Tiers};
pub use usage::{DiskUsage, MemoryUsage, PagesMoved};
