//! What an authority says, for the owner of the name: what happened, why, and what to do.

use instant_acme::{Error, Problem};
use renga_model::Hostname;
use renga_ports::{AcmeError, ProofKind};

use crate::client::chain_of;

pub(crate) const ORDER_GONE: &str =
    "The certificate authority dropped the order without a reason. It is tried again later.";

/// Characters of what an authority says that are passed on (ours).
const DETAIL_CHARS_MAX: usize = 400;

pub(crate) fn failure(error: &Error, name: Option<&Hostname>) -> AcmeError {
    match error {
        Error::Api(told) => problem(told, name),
        Error::Crypto | Error::KeyRejected => AcmeError::UnknownAccount,
        // A page of a proxy, or of an authority that has trouble of its own.
        Error::Json(_) => AcmeError::Away("its answer is not understood".into()),
        other => AcmeError::Away(one_line(&chain_of(other))),
    }
}

pub(crate) fn problem(told: &Problem, name: Option<&Hostname>) -> AcmeError {
    let kind = told.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
    let detail = one_line(&detail(told));
    let name = name.map_or("the name", Hostname::as_str);
    match kind {
        "accountDoesNotExist" => AcmeError::UnknownAccount,
        "rateLimited" => AcmeError::Later(format!(
            "The certificate authority allows no more for now: {detail}. It is tried again later."
        )),
        "serverInternal" | "badNonce" => AcmeError::Away(detail),
        _ => AcmeError::Refused(format!("{} ({detail})", advice(kind, name))),
    }
}

fn advice(kind: &str, name: &str) -> String {
    match kind {
        "dns" => format!(
            "The DNS of {name} is not right: the certificate authority found no usable record. Point it at the DNS \
             target that `domains` shows."
        ),
        "connection" => format!(
            "The certificate authority could not connect to {name} on port 80. Check that its DNS record leads to \
             this platform, that no AAAA record leads elsewhere, and that nothing blocks port 80."
        ),
        "unauthorized" | "incorrectResponse" => format!(
            "Something else answered for {name}. Check that its DNS record leads to this platform and nowhere else."
        ),
        "caa" => format!(
            "A CAA record of {name} forbids the certificate authority to issue. Add the authority to it, or remove it."
        ),
        "tls" => {
            format!("The certificate authority was led to a TLS server for {name} that it can't talk to.")
        }
        "rejectedIdentifier" => format!("The certificate authority issues no certificates for {name}."),
        "externalAccountRequired" => {
            "The certificate authority wants an account of its own to be named. The \
            platform's operator must set acme.binding_key_id and acme.binding_key_file."
                .to_owned()
        }
        "userActionRequired" => {
            "The certificate authority wants its terms to be agreed to anew by the platform's \
            operator."
                .to_owned()
        }
        _ => format!("The certificate authority refused {name}."),
    }
}

fn detail(told: &Problem) -> String {
    let of_parts = told.subproblems.iter().filter_map(|part| part.detail.clone());
    let all: Vec<String> = told.detail.clone().into_iter().chain(of_parts).collect();
    if all.is_empty() { "it gave no reason".into() } else { all.join("; ") }
}

pub(crate) fn no_such_proof(name: &Hostname, by: ProofKind) -> String {
    let (how, what) = match by {
        ProofKind::Http => ("over HTTP", "http-01"),
        ProofKind::Dns => ("by DNS", "dns-01"),
    };
    format!("The certificate authority does not let {name} be proven {how} ({what}).")
}

/// What strangers wrote: no control characters, no more than is useful.
pub(crate) fn one_line(text: &str) -> String {
    let plain: String = text.trim().trim_end_matches('.').chars().take(DETAIL_CHARS_MAX).collect();
    plain.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: &str, detail: &str) -> AcmeError {
        let told = Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{kind}")),
            detail: Some(detail.into()),
            status: None,
            subproblems: Vec::new(),
        };
        problem(&told, Some(&"www.example.com".parse().unwrap()))
    }

    #[test]
    fn a_failure_says_whose_it_is_and_what_to_do() {
        let AcmeError::Refused(say) = said("connection", "Timeout\nafter connect.") else { panic!() };
        assert!(
            say.contains("www.example.com on port 80") && say.ends_with("(Timeout after connect)"),
            "{say}"
        );
        assert_eq!(said("accountDoesNotExist", ""), AcmeError::UnknownAccount);
        assert!(matches!(said("rateLimited", "too many"), AcmeError::Later(_)));
        assert!(matches!(said("serverInternal", "oops"), AcmeError::Away(_)));
        let AcmeError::Refused(say) = said("novelty", &"x".repeat(5_000)) else { panic!() };
        assert!(say.len() < 600, "{}", say.len());
    }
}
