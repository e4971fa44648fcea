//! Somebody whom a request names and who need not have an account yet.

use renga_engine::operations::{Invited, Person};

use crate::{answer::Answer, call::Call, error::Problem};

/// Whoever has no account is invited to make one, and holds what he is given until he comes.
pub(super) async fn found_or_invited(call: &Call, person: Person) -> Result<Invited, Problem> {
    Ok(call.state.engine.person_or_invited(&call.caller()?.account, person).await?)
}

/// Without mail, the link is for whoever asked to hand over.
pub(super) fn told(answer: Answer, invited: &Invited) -> Answer {
    let email = &invited.account.email;
    match &invited.link {
        None if invited.waits => answer.warning(format!(
            "{email} was invited before and has not come yet. Whoever did that has the link; an operator makes another by \
             renga users reset-password {email}"
        )),
        None => answer,
        Some(link) if link.mailed => {
            answer.warning(format!("{email} has no account yet and was invited by mail."))
        }
        Some(link) => {
            let until = link.expires_at.strftime("%Y-%m-%d %H:%M UTC");
            let url = link.url.expose();
            answer.warning(format!(
                "{email} has no account yet. No mail is sent: hand over this link, which works once and until {until}: {url}"
            ))
        }
    }
}
