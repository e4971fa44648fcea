//! Favourites, as the official command line's side service has them.

use renga_model::App;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Favorite {
    /// The app's own: nobody has it twice.
    pub id: Uuid,
    pub resource_id: Uuid,
    pub resource_name: String,
    pub r#type: String,
}

impl Favorite {
    pub const APP: &str = "app";

    pub fn new(app: &App) -> Self {
        Self {
            id: app.id.uuid(),
            resource_id: app.id.uuid(),
            resource_name: app.name.to_string(),
            r#type: Self::APP.into(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FavoriteCreate {
    /// Name or id of what it is to be.
    pub resource_id: String,
    pub r#type: String,
}
