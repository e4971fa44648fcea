//! Session affinity (`http-session-affinity`): a cookie names the dyno that answered a client first, and brings the
//! client back to it while it is there.
//!
//! The name is no secret and no promise: whoever sends another dyno's gets another dyno of the same app, and one that
//! has gone is replaced by any, with a new cookie.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use renga_model::DynoId;

use crate::http::{
    fields::{Known, known},
    request::Field,
};

const NAME: &str = "heroku-session-affinity";
/// A day (Heroku).
const SECONDS: i64 = 86_400;

/// The dyno that a client's cookie names.
pub(crate) fn wanted(fields: &[Field<'_>]) -> Option<DynoId> {
    let cookies = fields.iter().filter(|field| known(field.name.as_bytes()) == Known::Cookie);
    let mut pairs = cookies.flat_map(|field| field.value.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let value = pairs.find_map(|pair| pair.strip_prefix(NAME.as_bytes())?.strip_prefix(b"="))?;
    let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(value).ok()?.try_into().ok()?;
    Some(DynoId::from_uuid(uuid::Uuid::from_bytes(bytes)))
}

/// The cookie that names `dyno`, for the host that the client asked.
pub(crate) fn cookie(dyno: DynoId, host: &str, now: Timestamp) -> String {
    let value = URL_SAFE_NO_PAD.encode(dyno.uuid().as_bytes());
    let expires = Timestamp::from_second(now.as_second() + SECONDS).unwrap_or(now);
    let expires = expires.strftime("%a, %d-%b-%Y %H:%M:%S GMT");
    format!(
        "{NAME}={value}; Version=1; Expires={expires}; Max-Age={SECONDS}; Domain={host}; Path=/; HttpOnly"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_leads_back_to_its_dyno() {
        let dyno = DynoId::random();
        let cookie = cookie(dyno, "app.example.com", "2017-07-27T18:20:27Z".parse().unwrap());
        let end = "; Version=1; Expires=Fri, 28-Jul-2017 18:20:27 GMT; Max-Age=86400; Domain=app.example.com; Path=/; HttpOnly";
        assert!(cookie.ends_with(end), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        let sent = format!("a=b;{pair} ; c=d");
        let field = |value| Field { name: "Cookie", value };
        assert_eq!(wanted(&[field(b"x=y"), field(sent.as_bytes())]), Some(dyno));
        for bad in
            ["", "heroku-session-affinity=", "heroku-session-affinity=AAAA", "xheroku-session-affinity=x"]
        {
            assert_eq!(wanted(&[field(bad.as_bytes())]), None, "{bad}");
        }
    }
}
