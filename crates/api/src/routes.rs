//! Every endpoint, one row each. The router is built from this table, and from nothing else.
//!
//! A row says what a token must allow (`Need`) and, if its path names an app, what the caller must be allowed to do to
//! it (`Permission`). The gate reads the row before the handler is called.

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::Response,
    routing::{MethodFilter, on},
};
use http::Method;
use renga_engine::operations::{
    Permission::{self, Deploy, Know, Manage, Operate, View},
    TeamRight::{self, Rule, See},
};

use crate::{
    ApiState,
    answer::Answered,
    call::Call,
    error::Problem,
    gate::{
        self,
        Need::{
            self, Global, Identity, Operator, Password, Public, Read, ReadProtected, Write, WriteProtected,
        },
    },
    git,
    handlers::{
        account_features, accounts, apps, authorizations, buildpacks, builds, catalogue, clients,
        collaborators, config, domains, dynos, favorites, formation, keys, lists, logs, oci_images, own,
        password_resets, releases, sessions, side, team_apps, team_members, teams, tokens, transfers,
        two_factor, users,
    },
    links_pages, login, oauth,
    serve::{self, Handler},
    streams::{log_session, output, slug, source},
    unoffered,
};

pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) need: Need,
    pub(crate) permission: Option<Permission>,
    pub(crate) right: Option<TeamRight>,
    /// The segment that, if it names the caller himself, makes it enough to see the app, or to know the team.
    pub(crate) oneself: Option<&'static str>,
    /// Whether it belongs to the Platform API, whose requests must accept version 3.
    pub(crate) platform: bool,
    /// Requests that it takes from the caller's pool.
    pub(crate) cost: u32,
    /// Nothing that it asks for is there: an empty list, or the entry that cannot exist.
    pub(crate) empty: bool,
    /// Its answer follows from the caller, the path, the range and the ledger alone, and is kept while these stay.
    pub(crate) kept: bool,
    pub(crate) handler: Handler,
}

/// What a test may know of an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointRow {
    pub method: Method,
    pub path: &'static str,
    pub public: bool,
    /// Whether the path names an app that the caller must have a permission on.
    pub on_app: bool,
    /// Whether the path names a team that the caller must have a right in.
    pub in_team: bool,
    pub platform: bool,
    /// Who is let in, in words: what the token must allow, and what the caller must be allowed to do to the app or
    /// the team that the path names.
    pub decision: String,
    /// Whether it truthfully answers that there is nothing.
    pub empty: bool,
}

/// All endpoints but git's, which stand below `/NAME.git/`.
pub fn endpoint_rows() -> Vec<EndpointRow> {
    let row = |e: Endpoint| EndpointRow {
        method: e.method.clone(),
        path: e.path,
        public: e.is_public(),
        on_app: e.permission.is_some(),
        in_team: e.right.is_some(),
        platform: e.platform,
        decision: e.decision(),
        empty: e.empty,
    };
    endpoints().into_iter().map(row).collect()
}

/// The whole face, to be served on any listener.
pub fn router(state: ApiState) -> Router {
    let mut router = Router::new();
    for endpoint in endpoints() {
        let filter =
            MethodFilter::try_from(endpoint.method.clone()).expect("the table holds ordinary methods");
        let (path, endpoint, state) = (endpoint.path, Arc::new(endpoint), state.clone());
        router = router.route(path, on(filter, move |request| serve::serve(state, endpoint, request)));
    }
    let (rest, wrong_method) = (state.clone(), state);
    router
        .method_not_allowed_fallback(move |request| everything_else(wrong_method, request))
        .fallback(move |request| everything_else(rest, request))
}

/// Git, links that are not offered, and what does not exist. Whether a link exists is told to known callers only.
async fn everything_else(state: ApiState, request: Request) -> Response {
    if let Some(name) = git::app_of(request.uri().path()) {
        let name = name.to_owned();
        return git::serve(&state, &name, request).await;
    }
    let (parts, body) = request.into_parts();
    let problem = match gate::authenticate(&state, &parts.headers).await {
        Err(refusal) => refusal.into(),
        Ok(_) if unoffered::is_unoffered(&parts.method, parts.uri.path()) => Problem::NotOffered,
        Ok(_) => Problem::NoEndpoint,
    };
    serve::reject(problem, &parts.headers, body).await
}

// === rows ===

fn row<F, A>(method: Method, path: &'static str, need: Need, handler: F) -> Endpoint
where
    F: Fn(Call) -> A + Send + Sync + 'static,
    A: Future<Output = Answered> + Send + 'static,
{
    let handler: Handler = Arc::new(move |call| Box::pin(handler(call)));
    Endpoint {
        method,
        path,
        need,
        permission: None,
        right: None,
        oneself: None,
        platform: true,
        cost: 1,
        empty: false,
        kept: false,
        handler,
    }
}

macro_rules! methods {
    ($($name:ident => $method:ident),*) => { $(
        fn $name<F, A>(path: &'static str, need: Need, handler: F) -> Endpoint
        where
            F: Fn(Call) -> A + Send + Sync + 'static,
            A: Future<Output = Answered> + Send + 'static,
        {
            row(Method::$method, path, need, handler)
        }
    )* };
}
methods! { get => GET, post => POST, put => PUT, patch => PATCH, delete => DELETE }

impl Endpoint {
    fn decision(&self) -> String {
        let app = self.permission.map(|permission| format!("app:{}", permission.as_str()));
        let team = self.right.map(|right| format!("team:{}", right.as_str()));
        let oneself = self.oneself.map(|_| "or-oneself".to_owned());
        let all = [Some(self.need.as_str().to_owned()), app, team, oneself];
        all.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
    fn may(mut self, permission: Permission) -> Self {
        self.permission = Some(permission);
        self
    }
    fn in_team(mut self, right: TeamRight) -> Self {
        self.right = Some(right);
        self
    }
    /// Whoever sees the app, or knows the team, may do it to himself.
    fn or_oneself(mut self, segment: &'static str) -> Self {
        self.oneself = Some(segment);
        self
    }
    /// A neighbouring service that is served here too; its clients do not name the API's version.
    fn side(mut self) -> Self {
        self.platform = false;
        self
    }
    fn free(mut self) -> Self {
        self.cost = 0;
        self
    }
    /// For lists that are long and asked for often. Nothing of a handler's answer may come from anywhere but the ledger.
    fn kept(mut self) -> Self {
        self.kept = true;
        self
    }
    fn empty(mut self) -> Self {
        self.empty = true;
        self
    }
}

fn endpoints() -> Vec<Endpoint> {
    [
        account_endpoints(),
        oauth_endpoints(),
        app_endpoints(),
        access_endpoints(),
        team_endpoints(),
        team_app_endpoints(),
        domain_endpoints(),
        process_endpoints(),
        release_endpoints(),
        own_endpoints(),
        catalogue_endpoints(),
        empty_endpoints().into_iter().map(Endpoint::empty).collect(),
        side_endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[rustfmt::skip]
fn account_endpoints() -> Vec<Endpoint> {
    vec![
        get("/account", Identity, accounts::info),
        get("/users/{account}", Identity, accounts::info_by_user),
        patch("/account", Global, accounts::update),
        delete("/account", Global, accounts::delete),
        patch("/users/{account}", Global, accounts::update_by_user),
        delete("/users/{account}", Global, accounts::delete_by_user),
        get("/users/{account}/preferences", Identity, accounts::preferences),
        patch("/users/{account}/preferences", Global, accounts::preferences_update),
        get("/account/features", Identity, account_features::list),
        get("/account/features/{feature}", Identity, account_features::info),
        patch("/account/features/{feature}", Global, account_features::update),
        get("/account/keys", Identity, keys::list),
        post("/account/keys", Global, keys::create),
        get("/account/keys/{key}", Identity, keys::info),
        delete("/account/keys/{key}", Global, keys::delete),
        get("/account/invoice-address", Global, accounts::invoice_address),
        put("/account/invoice-address", Global, accounts::invoice_address_put),
        post("/account/credits", Global, accounts::credit_create),
        get("/account/rate-limits", Identity, accounts::rate_limit).free(),
        get("/account/delinquency", Identity, accounts::delinquency),
        post("/oauth/authorizations", Password, authorizations::create),
        get("/oauth/authorizations", Global, authorizations::list),
        get("/oauth/authorizations/{authorization}", Global, authorizations::info),
        delete("/oauth/authorizations/{authorization}", Global, authorizations::delete),
        post("/oauth/authorizations/{authorization}/actions/regenerate-tokens", Global, authorizations::regenerate),
    ]
}

#[rustfmt::skip]
fn oauth_endpoints() -> Vec<Endpoint> {
    vec![
        patch("/oauth/authorizations/{authorization}", Global, authorizations::update),
        get("/oauth/clients", Global, clients::list),
        post("/oauth/clients", Global, clients::create),
        // Name and address are shown to everybody, the secret to its owner.
        get("/oauth/clients/{client}", Public, clients::info),
        patch("/oauth/clients/{client}", Global, clients::update),
        delete("/oauth/clients/{client}", Global, clients::delete),
        post("/oauth/clients/{client}/actions/rotate-credentials", Global, clients::rotate),
        // The client's secret is in the body.
        post("/oauth/tokens", Public, tokens::create),
        delete("/oauth/tokens/{token}", Global, tokens::delete),
        get("/oauth/sessions", Global, sessions::list),
        delete("/oauth/sessions/{session}", Global, sessions::delete),
        // The e-mail or the link says who it is.
        post("/password-resets", Public, password_resets::create),
        post("/password-resets/{token}/actions/finalize", Public, password_resets::finalize),
        get("/auth/invitations/{link}", Public, links_pages::invitation).side(),
        post("/auth/invitations/{link}", Public, links_pages::invitation_accept).side(),
        get("/auth/password-resets/{link}", Public, links_pages::reset).side(),
        post("/auth/password-resets/{link}", Public, links_pages::reset_accept).side(),
        get("/oauth/authorize", Public, oauth::ask).side(),
        post("/oauth/authorize", Public, oauth::decide).side(),
        post("/oauth/token", Public, oauth::token).side(),
    ]
}

#[rustfmt::skip]
fn app_endpoints() -> Vec<Endpoint> {
    vec![
        post("/apps", Write, apps::create),
        get("/apps", Read, apps::list).kept(),
        get("/users/{account}/apps", Read, apps::list_of_user).kept(),
        post("/filters/apps", Read, apps::filter),
        get("/apps/{app}", Read, apps::info).may(View),
        // A new name is for those who manage the app, the rest for those who operate it: the handler asks again.
        patch("/apps/{app}", Write, apps::update).may(View),
        delete("/apps/{app}", Write, apps::destroy).may(Manage),
        get("/apps/{app}/features", Read, apps::features).may(View),
        get("/apps/{app}/features/{feature}", Read, apps::feature).may(View),
        patch("/apps/{app}/features/{feature}", Write, apps::feature_update).may(Operate),
        get("/apps/{app}/buildpack-installations", Read, buildpacks::list).may(View),
        put("/apps/{app}/buildpack-installations", Write, buildpacks::update).may(Deploy),
        get("/apps/{app}/available-stacks", Read, catalogue::stacks).may(View),
        get("/apps/{app}/available-dyno-sizes", Read, catalogue::dyno_sizes).may(View),
        post("/apps/{app}/log-sessions", Read, logs::create).may(View),
    ]
}

#[rustfmt::skip]
fn access_endpoints() -> Vec<Endpoint> {
    vec![
        get("/apps/{app}/collaborators", Read, collaborators::list).may(View),
        post("/apps/{app}/collaborators", Write, collaborators::create).may(Manage),
        get("/apps/{app}/collaborators/{collaborator}", Read, collaborators::info).may(View),
        delete("/apps/{app}/collaborators/{collaborator}", Write, collaborators::delete).may(Manage).or_oneself("collaborator"),
        post("/account/app-transfers", Write, transfers::create),
        get("/account/app-transfers", Read, transfers::list),
        get("/account/app-transfers/{transfer}", Read, transfers::info),
        patch("/account/app-transfers/{transfer}", Write, transfers::update),
        delete("/account/app-transfers/{transfer}", Write, transfers::delete),
    ]
}

#[rustfmt::skip]
fn team_endpoints() -> Vec<Endpoint> {
    vec![
        get("/teams", Read, teams::list),
        post("/teams", Global, teams::create),
        get("/teams/permissions", Read, teams::permission_words),
        get("/teams/invitations/{invitation}", Identity, team_members::invitation),
        post("/teams/invitations/{invitation}/accept", Global, team_members::invitation_accept),
        get("/teams/{team}", Read, teams::info).in_team(TeamRight::Know),
        patch("/teams/{team}", Global, teams::update).in_team(TeamRight::Know),
        delete("/teams/{team}", Global, teams::delete).in_team(Rule),
        get("/teams/{team}/features", Read, teams::features).in_team(TeamRight::Know),
        get("/teams/{team}/features/{feature}", Read, teams::feature).in_team(TeamRight::Know),
        get("/teams/{team}/permissions", Read, teams::permissions).in_team(Rule),
        get("/teams/{team}/members", Read, team_members::list).in_team(See),
        post("/teams/{team}/members", Global, team_members::create).in_team(Rule),
        put("/teams/{team}/members", Global, team_members::put).in_team(Rule),
        patch("/teams/{team}/members", Global, team_members::update).in_team(Rule),
        delete("/teams/{team}/members/{member}", Global, team_members::delete).in_team(Rule).or_oneself("member"),
        get("/teams/{team}/members/{member}/apps", Read, team_members::apps).in_team(See),
        get("/teams/{team}/invitations", Read, team_members::invitations).in_team(See),
        put("/teams/{team}/invitations", Global, team_members::invite).in_team(Rule),
        delete("/teams/{team}/invitations/{invitation}", Global, team_members::invitation_revoke).in_team(Rule),
        get("/teams/{team}/preferences", Read, teams::preferences).in_team(See),
        patch("/teams/{team}/preferences", Global, teams::preferences_update).in_team(Rule),
        get("/teams/{team}/available-generations", Read, catalogue::generations).in_team(TeamRight::Know),
        // Nobody has an enterprise account, so each is one that can't be found.
        get("/enterprise-accounts/{account}/teams", Read, lists::no_enterprise_account),
        post("/enterprise-accounts/{account}/teams", Global, lists::no_enterprise_account),
    ]
}

#[rustfmt::skip]
fn team_app_endpoints() -> Vec<Endpoint> {
    vec![
        get("/teams/{team}/apps", Read, team_apps::list).in_team(TeamRight::Know),
        post("/teams/apps", Write, team_apps::create),
        get("/teams/apps/{app}", Read, team_apps::info).may(Know),
        patch("/teams/apps/{app}", Write, team_apps::update).may(Manage),
        get("/teams/apps/{app}/collaborators", Read, collaborators::list).may(View),
        // Members join by themselves: the handler asks for more unless they add themselves.
        post("/teams/apps/{app}/collaborators", Write, team_apps::collaborator_create).may(Know),
        get("/teams/apps/{app}/collaborators/{collaborator}", Read, collaborators::info).may(View),
        patch("/teams/apps/{app}/collaborators/{collaborator}", Write, team_apps::collaborator_update).may(Manage),
        delete("/teams/apps/{app}/collaborators/{collaborator}", Write, collaborators::delete).may(Manage).or_oneself("collaborator"),
    ]
}

#[rustfmt::skip]
fn domain_endpoints() -> Vec<Endpoint> {
    vec![
        get("/apps/{app}/domains", Read, domains::list).may(View),
        post("/apps/{app}/domains", Write, domains::create).may(Operate),
        get("/apps/{app}/domains/{domain}", Read, domains::info).may(View),
        patch("/apps/{app}/domains/{domain}", Write, domains::update).may(Operate),
        delete("/apps/{app}/domains/{domain}", Write, domains::delete).may(Operate),
        post("/apps/{app}/acm", Write, apps::acm_enable).may(Operate),
        patch("/apps/{app}/acm", Write, apps::acm_refresh).may(Operate),
        delete("/apps/{app}/acm", Write, apps::acm_disable).may(Operate),
        get("/apps/{app}/sni-endpoints", Read, domains::endpoint_list).may(View),
        post("/apps/{app}/sni-endpoints", Write, domains::endpoint_create).may(Operate),
        get("/apps/{app}/sni-endpoints/{endpoint}", Read, domains::endpoint_info).may(View),
        patch("/apps/{app}/sni-endpoints/{endpoint}", Write, domains::endpoint_update).may(Operate),
        delete("/apps/{app}/sni-endpoints/{endpoint}", Write, domains::endpoint_delete).may(Operate),
    ]
}

#[rustfmt::skip]
fn process_endpoints() -> Vec<Endpoint> {
    vec![
        get("/apps/{app}/formation", Read, formation::list).may(View),
        patch("/apps/{app}/formation", Write, formation::update).may(Operate),
        get("/apps/{app}/formation/{type}", Read, formation::info).may(View),
        patch("/apps/{app}/formation/{type}", Write, formation::update_one).may(Operate),
        get("/apps/{app}/dynos", Read, dynos::list).may(View),
        post("/apps/{app}/dynos", Write, dynos::create).may(Operate),
        delete("/apps/{app}/dynos", Write, dynos::restart_all).may(Operate),
        get("/apps/{app}/dynos/{dyno}", Read, dynos::info).may(View),
        post("/apps/{app}/dynos/{dyno}", Write, dynos::exec).may(Operate),
        delete("/apps/{app}/dynos/{dyno}", Write, dynos::restart).may(Operate),
        post("/apps/{app}/dynos/{dyno}/actions/stop", Write, dynos::stop).may(Operate),
        delete("/apps/{app}/formations/{type}", Write, dynos::restart_type).may(Operate),
        post("/apps/{app}/formations/{type}/actions/stop", Write, dynos::stop_type).may(Operate),
    ]
}

#[rustfmt::skip]
fn release_endpoints() -> Vec<Endpoint> {
    vec![
        get("/apps/{app}/config-vars", ReadProtected, config::list).may(Deploy),
        patch("/apps/{app}/config-vars", WriteProtected, config::update).may(Deploy),
        get("/apps/{app}/releases", ReadProtected, releases::list).may(View),
        post("/apps/{app}/releases", WriteProtected, releases::create).may(Deploy),
        get("/apps/{app}/releases/{release}", ReadProtected, releases::info).may(View),
        get("/apps/{app}/releases/{release}/config-vars", ReadProtected, releases::config).may(Deploy),
        post("/apps/{app}/slugs", Write, releases::slug_create).may(Deploy),
        get("/apps/{app}/slugs/{slug}", ReadProtected, releases::slug).may(View),
        post("/apps/{app}/oci-images", Write, oci_images::create).may(Deploy),
        get("/apps/{app}/oci-images/{image}", Read, oci_images::info).may(View),
        post("/sources", Write, builds::source_create),
        post("/apps/{app}/sources", Write, builds::source_create).may(Deploy),
        get("/apps/{app}/builds", Read, builds::list).may(View),
        post("/apps/{app}/builds", Write, builds::create).may(Deploy),
        get("/apps/{app}/builds/{build}", Read, builds::info).may(View),
        delete("/apps/{app}/builds/{build}", Write, builds::cancel).may(Deploy),
        delete("/apps/{app}/build-cache", Write, builds::cache_delete).may(Deploy),
    ]
}

/// What Heroku has no words for; its command line does not ask for it.
#[rustfmt::skip]
fn own_endpoints() -> Vec<Endpoint> {
    vec![
        post("/renga/two-factor", Global, two_factor::begin).side(),
        post("/renga/two-factor/actions/enable", Global, two_factor::enable).side(),
        post("/renga/two-factor/actions/disable", Global, two_factor::disable).side(),
        get("/renga/users", Operator, users::list).side(),
        post("/renga/users", Operator, users::create).side(),
        get("/renga/users/{user}", Operator, users::info).side(),
        post("/renga/users/{user}/actions/disable", Operator, users::disable).side(),
        post("/renga/users/{user}/actions/enable", Operator, users::enable).side(),
        post("/renga/users/{user}/actions/reset-password", Operator, users::reset_password).side(),
        post("/renga/users/{user}/actions/disable-two-factor", Operator, users::disable_two_factor).side(),
        get("/apps/{app}/renga/usage", Read, own::usage).may(View).side(),
        get("/apps/{app}/renga/why", Read, own::why).may(View).side(),
        get("/apps/{app}/renga/why/{dyno}", Read, own::why_dyno).may(View).side(),
    ]
}

/// What there is to choose from.
#[rustfmt::skip]
fn catalogue_endpoints() -> Vec<Endpoint> {
    vec![
        get("/schema", Public, catalogue::schema).side(),
        get("/regions", Read, catalogue::regions),
        get("/regions/{region}", Read, catalogue::region),
        get("/stacks", Read, catalogue::stacks),
        get("/stacks/{stack}", Read, catalogue::stack),
        get("/generations", Read, catalogue::generations),
        get("/generations/{generation}", Read, catalogue::generation),
        get("/dyno-sizes", Read, catalogue::dyno_sizes),
        get("/dyno-sizes/{size}", Read, catalogue::dyno_size),
    ]
}

/// What is truthfully empty: clients read it in passing. A row that comes to hold something moves out of here.
#[rustfmt::skip]
fn empty_endpoints() -> Vec<Endpoint> {
    vec![
        get("/account/invoices", Global, lists::empty),
        get("/account/invoices/{invoice}", Global, lists::no_invoice),
        get("/account/credits", Global, lists::empty),
        get("/account/credits/{credit}", Global, lists::no_credit),
        get("/teams/{team}/addons", Read, lists::empty).in_team(TeamRight::Know),
        get("/teams/{team}/pipeline-couplings", Read, lists::empty).in_team(TeamRight::Know),
        get("/teams/{team}/spaces", Read, lists::empty).in_team(TeamRight::Know),
        get("/teams/{team}/invoices", Read, lists::empty).in_team(See),
        get("/spaces", Read, lists::empty),
        get("/enterprise-accounts", Read, lists::empty),
        get("/pipelines", Read, lists::empty),
        get("/pipeline-couplings", Read, lists::empty),
        get("/users/{account}/pipeline-couplings", Read, lists::empty),
        get("/addons", Read, lists::empty),
        get("/users/{account}/addons", Read, lists::empty),
        get("/addon-attachments", Read, lists::empty),
        get("/addon-services", Read, lists::empty),
        get("/addon-region-capabilities", Read, lists::empty),
        post("/actions/addons/resolve", Read, lists::no_add_on),
        post("/actions/addon-attachments/resolve", Read, lists::no_attachment),
        get("/apps/{app}/addons", Read, lists::empty).may(View),
        get("/apps/{app}/addon-attachments", Read, lists::empty).may(View),
        get("/apps/{app}/pipeline-couplings", Read, lists::no_coupling).may(View),
        get("/apps/{app}/review-app", Read, lists::no_review_app).may(View),
        get("/apps/{app}/log-drains", Read, lists::empty).may(View),
        get("/apps/{app}/telemetry-drains", Read, lists::empty).may(View),
        get("/apps/{app}/webhooks", Read, lists::empty).may(View),
        get("/apps/{app}/webhook-deliveries", Read, lists::empty).may(View),
        get("/apps/{app}/webhook-events", Read, lists::empty).may(View),
    ]
}

/// URLs that are their own key, and small services that the command line asks beside the Platform API.
#[rustfmt::skip]
fn side_endpoints() -> Vec<Endpoint> {
    vec![
        get("/logs/sessions/{session}", Public, log_session::read).side(),
        get("/streams/{stream}", Public, output::read).side(),
        get("/sources/{source}/{secret}", Public, source::get).side(),
        put("/sources/{source}/{secret}", Public, source::put).side(),
        get("/slugs/{slug}", Public, slug::get).side(),
        put("/slugs/{slug}", Public, slug::put).side(),
        post("/auth", Public, login::begin).side(),
        get("/auth/browser/{login}", Public, login::show).side(),
        post("/auth/browser/{login}", Public, login::submit).side(),
        get("/auth/cli/{login}", Public, login::wait).side(),
        get("/buildpacks", Public, side::registry_search).side(),
        get("/buildpacks/{buildpack}", Public, side::registry_info).side(),
        get("/buildpacks/{buildpack}/revisions", Public, side::registry_revisions).side(),
        get("/buildpacks/{buildpack}/readme", Public, side::registry_readme).side(),
        get("/api/v4/current-status", Public, side::status).side(),
        get("/favorites", Read, favorites::list).side(),
        post("/favorites", Write, favorites::create).side(),
        delete("/favorites/{favorite}", Write, favorites::delete).side(),
        get("/user/notifications", Identity, lists::empty).side(),
    ]
}
