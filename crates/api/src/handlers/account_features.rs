//! Features of accounts that can be switched.

use renga_engine::operations::{ACCOUNT_FEATURES, AccountFeature, account_feature_enabled};
use renga_model::{Account, Refusal};
use renga_wire as wire;

use crate::{
    answer::{Answered, list as list_answer, ok},
    call::Call,
    error::Problem,
};

pub(crate) async fn list(call: Call) -> Answered {
    let account = &call.caller()?.account;
    list_answer(&["id", "name"], ACCOUNT_FEATURES.iter().map(|feature| shown(account, feature)))
}

pub(crate) async fn info(call: Call) -> Answered {
    ok(&shown(&call.caller()?.account, named(&call)?))
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::FeatureUpdate = call.json().await?;
    let (feature, account) = (named(&call)?, call.caller()?.account.id);
    let account = call.state.engine.account_feature_set(account, feature, asked.enabled).await?;
    ok(&shown(&account, feature))
}

fn named(call: &Call) -> Result<&'static AccountFeature, Problem> {
    let named = call.param("feature")?;
    let fits = |feature: &&AccountFeature| feature.name == named || id(feature).to_string() == named;
    // Clients look for a feature of the app next.
    ACCOUNT_FEATURES.iter().find(fits).ok_or_else(|| Refusal::not_found("account_feature").into())
}

fn id(feature: &AccountFeature) -> uuid::Uuid {
    wire::derived_id("account-feature", feature.name)
}

fn shown(account: &Account, feature: &AccountFeature) -> wire::Feature {
    wire::Feature {
        created_at: account.created_at.into(),
        description: feature.description.into(),
        doc_url: String::new(),
        enabled: account_feature_enabled(account, feature),
        id: id(feature),
        name: feature.name.into(),
        state: feature.state.into(),
        updated_at: account.updated_at.into(),
        display_name: feature.display_name.into(),
        feedback_email: String::new(),
    }
}
