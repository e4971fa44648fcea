//! The one authorization gate. Every request of every endpoint passes it before its handler is called; what it asks
//! for stands in the endpoint's row (`routes.rs`), and a handler has no way around it.
//!
//! ```text
//! header ──> token ──> account ──> scope enough? ──> requests left? ──> app's or team's permission? ──> handler
//!    │         │                        │                  │                     │
//!   401       401                      403                429              404 (or 403)
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use renga_engine::operations::{Caller, Permission, TeamRight};
use renga_model::{Refusal, Secret, TokenScope};

use crate::{ApiState, error::Problem};

/// What a token must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nobody in particular: the URL is its own key, or the answer is no secret.
    Public,
    /// E-mail and password instead of a token (or a token of global scope).
    Password,
    Identity,
    Read,
    Write,
    /// Includes config vars and releases.
    ReadProtected,
    WriteProtected,
    Global,
    /// As `Global`, of an account that is an operator's.
    Operator,
}

impl Need {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Password => "password",
            Self::Identity => "identity",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadProtected => "read-protected",
            Self::WriteProtected => "write-protected",
            Self::Global => "global",
            Self::Operator => "operator",
        }
    }

    fn met_by(self, scopes: &[TokenScope]) -> bool {
        use TokenScope as S;
        let enough: &[TokenScope] = match self {
            Self::Public => return true,
            Self::Password | Self::Global | Self::Operator => &[],
            Self::Identity => &[S::Identity],
            Self::Read => &[S::Read, S::Write, S::ReadProtected, S::WriteProtected],
            Self::Write => &[S::Write, S::WriteProtected],
            Self::ReadProtected => &[S::ReadProtected, S::WriteProtected],
            Self::WriteProtected => &[S::WriteProtected],
        };
        scopes.iter().any(|scope| *scope == S::Global || enough.contains(scope))
    }
}

/// What stands in the Authorization header.
pub(crate) enum Credentials {
    Token(Secret),
    /// Of Basic authentication; which of the two is a token is for the caller of this to find out.
    Pair {
        user: String,
        password: Secret,
    },
}

impl Credentials {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = value.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Token(Secret::new(rest.trim())));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Self::Pair { user: user.to_owned(), password: Secret::new(password) })
    }

    /// The token: any user name goes, the password is the token.
    fn token(self) -> Secret {
        match self {
            Self::Token(token) | Self::Pair { password: token, .. } => token,
        }
    }
}

/// Who calls, if the header holds a token that is valid now.
pub(crate) async fn authenticate(state: &ApiState, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let credentials = Credentials::of(headers).ok_or_else(Refusal::unauthorized)?;
    state.engine.caller(credentials.token()).await
}

/// As [`authenticate`], for an endpoint that shows more to those whose token allows it.
pub(crate) async fn authenticate_for(
    state: &ApiState,
    headers: &HeaderMap,
    need: Need,
) -> Result<Caller, Refusal> {
    let caller = authenticate(state, headers).await?;
    if need.met_by(&caller.scopes()) { Ok(caller) } else { Err(Refusal::unauthorized()) }
}

/// As [`authenticate`], where a password opens too.
async fn authenticate_by_password(state: &ApiState, headers: &HeaderMap) -> Result<Caller, Refusal> {
    match Credentials::of(headers).ok_or_else(Refusal::unauthorized)? {
        Credentials::Pair { user, password } if user.contains('@') => {
            match state.engine.caller(password.clone()).await {
                Ok(caller) => Ok(caller),
                Err(_) => {
                    let code = two_factor_code(headers);
                    state.logins.passwords.check(&state.engine, user, password, code).await
                }
            }
        }
        other => state.engine.caller(other.token()).await,
    }
}

/// What clients send when they were told `two_factor`.
pub(crate) fn two_factor_code(headers: &HeaderMap) -> Option<Secret> {
    headers.get("heroku-two-factor-code").and_then(|code| code.to_str().ok()).map(Secret::new)
}

/// Lets the caller in, or says why not. None only for public endpoints.
pub(crate) async fn admit(
    state: &ApiState,
    headers: &HeaderMap,
    need: Need,
) -> Result<Option<Caller>, Problem> {
    let caller = match need {
        Need::Public => return Ok(None),
        Need::Password => authenticate_by_password(state, headers).await?,
        _ => authenticate(state, headers).await?,
    };
    if !need.met_by(&caller.scopes()) {
        return Err(
            Refusal::forbidden("The scope of this OAuth authorization does not allow this request.").into()
        );
    }
    if need == Need::Operator && !caller.account.operator {
        return Err(Refusal::forbidden("Only operators of this platform may do this.").into());
    }
    Ok(Some(caller))
}

/// The app that the path names, if the caller may do this to it.
pub(crate) async fn app(
    state: &ApiState,
    caller: &Caller,
    identity: &str,
    permission: Permission,
) -> Result<renga_model::App, Problem> {
    Ok(state.engine.app_for(caller.account.id, identity, permission).await?)
}

/// The team that the path names, with the caller's role in it, if that lets him do this.
pub(crate) async fn team(
    state: &ApiState,
    caller: &Caller,
    identity: &str,
    right: TeamRight,
) -> Result<(renga_model::Team, renga_model::TeamRole), Problem> {
    Ok(state.engine.team_for(caller.account.id, identity, right).await?)
}

/// Whether a segment of the path names the caller: `~`, his e-mail address or his id.
pub(crate) fn is_oneself(caller: &Caller, segment: &str) -> bool {
    let account = &caller.account;
    segment == "~" || segment.eq_ignore_ascii_case(&account.email) || segment == account.id.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_open_what_they_are_documented_to_open() {
        use Need::*;
        let opens = |scope: TokenScope| {
            [Identity, Read, Write, ReadProtected, WriteProtected, Global].map(|need| need.met_by(&[scope]))
        };
        assert_eq!(opens(TokenScope::Global), [true; 6]);
        assert_eq!(opens(TokenScope::Identity), [true, false, false, false, false, false]);
        assert_eq!(opens(TokenScope::Read), [false, true, false, false, false, false]);
        assert_eq!(opens(TokenScope::Write), [false, true, true, false, false, false]);
        assert_eq!(opens(TokenScope::ReadProtected), [false, true, false, true, false, false]);
        assert_eq!(opens(TokenScope::WriteProtected), [false, true, true, true, true, false]);
    }

    #[test]
    fn tokens_come_in_three_spellings() {
        let token = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            Credentials::of(&headers).map(|c| c.token().expose().to_owned())
        };
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(token("Bearer T").as_deref(), Some("T"));
        assert_eq!(token(&basic(":T")).as_deref(), Some("T"));
        assert_eq!(token(&basic("heroku:T")).as_deref(), Some("T"));
        for bad in ["", "Bearer", "Digest x", "Basic !!", &basic("no-colon")] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }
}
