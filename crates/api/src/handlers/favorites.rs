//! Apps that the caller keeps at hand: `heroku apps:favorites`.

use renga_model::{AppId, Refusal};
use renga_wire::{Favorite, FavoriteCreate};

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
};

/// `?type=app`; there is nothing of another type.
pub(crate) async fn list(call: Call) -> Answered {
    let apps = call.state.engine.favorite_list(call.caller()?.account.id).await?;
    list_answer(&["id"], apps.iter().map(Favorite::new))
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: FavoriteCreate = call.json().await?;
    if asked.r#type != Favorite::APP {
        return Err(Refusal::invalid("Only apps can be favorites: type must be \"app\".").into());
    }
    let app = call.state.engine.favorite_add(call.caller()?.account.id, &asked.resource_id).await?;
    created(&Favorite::new(&app))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let app: Option<AppId> = call.param("favorite")?.parse().ok();
    let app = app.ok_or_else(|| Refusal::not_found("favorite"))?;
    call.state.engine.favorite_remove(call.caller()?.account.id, app).await?;
    ok(&serde_json::json!({}))
}
