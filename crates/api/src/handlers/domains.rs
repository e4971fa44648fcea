//! Domains, and the certificates that are served for them.

use renga_engine::operations::{DomainView, SniEndpointView};
use renga_model::{Hostname, Refusal};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
};

const DOMAIN_KEYS: &[&str] = &["id", "hostname"];
const ENDPOINT_KEYS: &[&str] = &["id", "name", "updated_at"];

pub(crate) async fn list(call: Call) -> Answered {
    let app = call.app()?;
    let custom = call.state.engine.domain_list(app.id).await?;
    let custom = custom.iter().map(|view| shown(&call, view)).collect::<Result<Vec<_>, _>>()?;
    list_answer(DOMAIN_KEYS, std::iter::once(wire::Domain::default_of(app, &call.state.site)).chain(custom))
}

pub(crate) async fn info(call: Call) -> Answered {
    if let Some(domain) = default_named(&call)? {
        return ok(&domain);
    }
    let view = call.state.engine.domain_fetch(call.app()?.id, call.param("domain")?).await?;
    ok(&shown(&call, &view)?)
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::DomainCreate = call.json().await?;
    let hostname = Hostname::parse(&asked.hostname).map_err(Refusal::from)?;
    let (app, account) = (call.app()?, &call.caller()?.account);
    let view = call.state.engine.domain_create(app, account, hostname, asked.sni_endpoint).await?;
    created(&shown(&call, &view)?)
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::DomainUpdate = call.json().await?;
    if let Some(domain) = default_named(&call)? {
        let say = format!("{} has a certificate of the platform's own.", domain.hostname);
        return Err(Refusal::invalid(say).into());
    }
    let (app, named) = (call.app()?.id, call.param("domain")?);
    let view = call.state.engine.domain_update(app, named, asked.sni_endpoint).await?;
    ok(&shown(&call, &view)?)
}

pub(crate) async fn delete(call: Call) -> Answered {
    if let Some(domain) = default_named(&call)? {
        return Err(Refusal::forbidden(format!(
            "{} can't be removed: it is the app's own.",
            domain.hostname
        ))
        .into());
    }
    let (app, account) = (call.app()?.id, &call.caller()?.account);
    let view = call.state.engine.domain_delete(app, account, call.param("domain")?).await?;
    ok(&shown(&call, &view)?)
}

/// The app's own host, if that is what the path names.
fn default_named(call: &Call) -> Result<Option<wire::Domain>, Problem> {
    let (domain, named) = (wire::Domain::default_of(call.app()?, &call.state.site), call.param("domain")?);
    Ok(Some(domain).filter(|domain| domain.hostname == named || domain.id.to_string() == named))
}

fn shown(call: &Call, view: &DomainView) -> Result<wire::Domain, Problem> {
    let (app, site) = (call.app()?, &call.state.site);
    let domain = wire::Domain::custom(&view.domain, view.sni_endpoint.as_ref(), app, site);
    Ok(match &view.acm {
        Some(acm) => domain.with_acm(acm.status, acm.reason.as_deref(), acm.updated_at),
        None => domain,
    })
}

// === certificates ===

pub(crate) async fn endpoint_list(call: Call) -> Answered {
    let views = call.state.engine.sni_endpoint_list(call.app()?.id).await?;
    let views = views.iter().map(|view| endpoint_shown(&call, view)).collect::<Result<Vec<_>, _>>()?;
    list_answer(ENDPOINT_KEYS, views)
}

pub(crate) async fn endpoint_info(call: Call) -> Answered {
    let view = call.state.engine.sni_endpoint_fetch(call.app()?.id, call.param("endpoint")?).await?;
    ok(&endpoint_shown(&call, &view)?)
}

pub(crate) async fn endpoint_create(mut call: Call) -> Answered {
    let asked: wire::SniEndpointWrite = call.json().await?;
    let engine = &call.state.engine;
    let view =
        engine.sni_endpoint_create(call.app()?.id, &asked.certificate_chain, asked.private_key).await?;
    created(&endpoint_shown(&call, &view)?)
}

pub(crate) async fn endpoint_update(mut call: Call) -> Answered {
    let asked: wire::SniEndpointWrite = call.json().await?;
    let (app, named, engine) = (call.app()?.id, call.param("endpoint")?, &call.state.engine);
    let view = engine.sni_endpoint_update(app, named, &asked.certificate_chain, asked.private_key).await?;
    ok(&endpoint_shown(&call, &view)?)
}

pub(crate) async fn endpoint_delete(call: Call) -> Answered {
    let view = call.state.engine.sni_endpoint_delete(call.app()?.id, call.param("endpoint")?).await?;
    ok(&endpoint_shown(&call, &view)?)
}

fn endpoint_shown(call: &Call, view: &SniEndpointView) -> Result<wire::SniEndpoint, Problem> {
    let domains = view.domains.iter().map(|domain| domain.uuid()).collect();
    Ok(wire::SniEndpoint::new(&view.endpoint, domains, call.app()?))
}
