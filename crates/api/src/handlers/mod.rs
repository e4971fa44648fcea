//! Handlers: wire in, one operation, wire out. The gate has been passed.

pub(crate) mod accounts;
pub(crate) mod apps;
pub(crate) mod authorizations;
pub(crate) mod buildpacks;
pub(crate) mod builds;
pub(crate) mod catalogue;
pub(crate) mod collaborators;
pub(crate) mod config;
pub(crate) mod domains;
pub(crate) mod dynos;
pub(crate) mod formation;
pub(crate) mod lists;
pub(crate) mod logs;
pub(crate) mod own;
pub(crate) mod releases;
pub(crate) mod side;
pub(crate) mod team_apps;
pub(crate) mod team_members;
pub(crate) mod teams;
pub(crate) mod transfers;
