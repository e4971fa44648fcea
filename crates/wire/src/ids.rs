//! Small references to other resources, and ids for things that have no row.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `{"id", "name"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdName {
    pub id: Uuid,
    pub name: String,
}

impl IdName {
    pub fn of(app: &renga_model::App) -> Self {
        app_ref(app)
    }
}

/// The same pair; resources that point at an app list the name first.
pub type NameId = IdName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdOnly {
    pub id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRef {
    pub email: String,
    pub id: Uuid,
}

impl UserRef {
    pub fn new(account: &renga_model::Account) -> Self {
        Self { email: account.email.clone(), id: account.id.uuid() }
    }
}

/// The id of something that is known by its name alone (a stack, a region, a dyno size): the same on every
/// installation and after every restart, because it is computed from the kind and the name.
pub fn derived_id(kind: &str, name: &str) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6c1f_2a54_93ce_4d0e_8a57_0f6f_3d0b_9c21);
    Uuid::new_v5(&NAMESPACE, format!("{kind}/{name}").as_bytes())
}

pub(crate) fn named(kind: &str, name: &str) -> IdName {
    IdName { id: derived_id(kind, name), name: name.to_owned() }
}

pub(crate) fn app_ref(app: &renga_model::App) -> NameId {
    IdName { id: app.id.uuid(), name: app.name.to_string() }
}
