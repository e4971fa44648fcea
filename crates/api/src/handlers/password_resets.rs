//! Password resets, as the API has them: a link for an e-mail, and a new password for the link.
//!
//! The answer to the first is the same whoever asks for whom: it tells of no account whether it exists.

use renga_model::{Refusal, Secret};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, ok},
    call::Call,
    error::Problem,
};

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::PasswordResetCreate = call.json().await?;
    let engine = &call.state.engine;
    engine.reset_ask(&asked.email).await?;
    let user = wire::UserRef { id: stand_in(&call, &asked.email)?, email: asked.email };
    created(&wire::PasswordReset { created_at: engine.now().into(), user })
}

/// In the place of the account's id, which is no stranger's business: the same for the same address.
fn stand_in(call: &Call, email: &str) -> Result<uuid::Uuid, Problem> {
    let signed =
        call.state.signer.sign("password-reset", &email.to_lowercase()).map_err(Problem::internal)?;
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(signed).into();
    let bytes = digest.first_chunk::<16>().expect("a digest is longer");
    Ok(uuid::Builder::from_random_bytes(*bytes).into_uuid())
}

pub(crate) async fn finalize(mut call: Call) -> Answered {
    let asked: wire::PasswordResetFinalize = call.json().await?;
    if asked.password != asked.password_confirmation {
        return Err(Refusal::invalid("password_confirmation: is not the same as password.").into());
    }
    let value = Secret::new(call.param("token")?);
    let (account, created_at) = call.state.engine.reset_accept(value, Secret::new(asked.password)).await?;
    ok(&wire::PasswordReset { created_at: created_at.into(), user: wire::UserRef::new(&account) })
}
