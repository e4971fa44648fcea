//! Links of the published API that this platform does not offer (yet). Asking for one answers `not_found` and says so,
//! instead of leaving the caller to search his own spelling. Together with the table of `routes` this list is the whole
//! published API; a test compares.

use http::Method;

/// Method and path, `{}` for a segment that names something.
const UNOFFERED: &[(&str, &str)] = &[
    ("POST", "/addon-attachments"),
    ("DELETE", "/addon-attachments/{}"),
    ("GET", "/addon-attachments/{}"),
    ("GET", "/addon-services/{}"),
    ("GET", "/addon-services/{}/plans"),
    ("GET", "/addon-services/{}/plans/{}"),
    ("GET", "/addon-services/{}/region-capabilities"),
    ("GET", "/addons/{}"),
    ("POST", "/addons/{}/actions/deprovision"),
    ("POST", "/addons/{}/actions/provision"),
    ("GET", "/addons/{}/addon-attachments"),
    ("GET", "/addons/{}/config"),
    ("PATCH", "/addons/{}/config"),
    ("GET", "/addons/{}/log-drains"),
    ("PUT", "/addons/{}/log-drains/{}"),
    ("GET", "/addons/{}/webhook-deliveries"),
    ("GET", "/addons/{}/webhook-deliveries/{}"),
    ("GET", "/addons/{}/webhook-events"),
    ("GET", "/addons/{}/webhook-events/{}"),
    ("GET", "/addons/{}/webhooks"),
    ("POST", "/addons/{}/webhooks"),
    ("DELETE", "/addons/{}/webhooks/{}"),
    ("GET", "/addons/{}/webhooks/{}"),
    ("PATCH", "/addons/{}/webhooks/{}"),
    ("POST", "/app-setups"),
    ("GET", "/app-setups/{}"),
    ("GET", "/apps/{}/addon-attachments/{}"),
    ("POST", "/apps/{}/addons"),
    ("DELETE", "/apps/{}/addons/{}"),
    ("GET", "/apps/{}/addons/{}"),
    ("PATCH", "/apps/{}/addons/{}"),
    ("POST", "/apps/{}/log-drains"),
    ("DELETE", "/apps/{}/log-drains/{}"),
    ("GET", "/apps/{}/log-drains/{}"),
    ("GET", "/apps/{}/webhook-deliveries/{}"),
    ("GET", "/apps/{}/webhook-events/{}"),
    ("POST", "/apps/{}/webhooks"),
    ("DELETE", "/apps/{}/webhooks/{}"),
    ("GET", "/apps/{}/webhooks/{}"),
    ("PATCH", "/apps/{}/webhooks/{}"),
    ("GET", "/enterprise-accounts/{}"),
    ("PATCH", "/enterprise-accounts/{}"),
    ("GET", "/enterprise-accounts/{}/archives"),
    ("GET", "/enterprise-accounts/{}/archives/{}/{}"),
    ("GET", "/enterprise-accounts/{}/events"),
    ("GET", "/enterprise-accounts/{}/members"),
    ("POST", "/enterprise-accounts/{}/members"),
    ("DELETE", "/enterprise-accounts/{}/members/{}"),
    ("PATCH", "/enterprise-accounts/{}/members/{}"),
    ("GET", "/enterprise-accounts/{}/usage/daily"),
    ("GET", "/enterprise-accounts/{}/usage/monthly"),
    ("POST", "/pipeline-couplings"),
    ("DELETE", "/pipeline-couplings/{}"),
    ("GET", "/pipeline-couplings/{}"),
    ("PATCH", "/pipeline-couplings/{}"),
    ("POST", "/pipeline-promotions"),
    ("GET", "/pipeline-promotions/{}"),
    ("GET", "/pipeline-promotions/{}/promotion-targets"),
    ("POST", "/pipeline-transfers"),
    ("POST", "/pipelines"),
    ("DELETE", "/pipelines/{}"),
    ("GET", "/pipelines/{}"),
    ("PATCH", "/pipelines/{}"),
    ("GET", "/pipelines/{}/latest-builds"),
    ("GET", "/pipelines/{}/latest-deployments"),
    ("GET", "/pipelines/{}/latest-releases"),
    ("GET", "/pipelines/{}/pipeline-couplings"),
    ("GET", "/pipelines/{}/pipeline-stack"),
    ("DELETE", "/pipelines/{}/review-app-config"),
    ("GET", "/pipelines/{}/review-app-config"),
    ("PATCH", "/pipelines/{}/review-app-config"),
    ("POST", "/pipelines/{}/review-app-config"),
    ("GET", "/pipelines/{}/review-apps"),
    ("GET", "/pipelines/{}/stage/{}/config-vars"),
    ("PATCH", "/pipelines/{}/stage/{}/config-vars"),
    ("GET", "/pipelines/{}/test-runs"),
    ("GET", "/pipelines/{}/test-runs/{}"),
    ("GET", "/plans/{}"),
    ("GET", "/regions/{}/addon-region-capabilities"),
    ("POST", "/review-apps"),
    ("DELETE", "/review-apps/{}"),
    ("GET", "/review-apps/{}"),
    ("POST", "/spaces"),
    ("DELETE", "/spaces/{}"),
    ("GET", "/spaces/{}"),
    ("PATCH", "/spaces/{}"),
    ("GET", "/spaces/{}/inbound-ruleset"),
    ("PUT", "/spaces/{}/inbound-ruleset"),
    ("GET", "/spaces/{}/inbound-rulesets"),
    ("GET", "/spaces/{}/inbound-rulesets/{}"),
    ("GET", "/spaces/{}/members"),
    ("GET", "/spaces/{}/members/{}"),
    ("PATCH", "/spaces/{}/members/{}"),
    ("GET", "/spaces/{}/nat"),
    ("GET", "/spaces/{}/peering-info"),
    ("GET", "/spaces/{}/peerings"),
    ("DELETE", "/spaces/{}/peerings/{}"),
    ("GET", "/spaces/{}/peerings/{}"),
    ("POST", "/spaces/{}/peerings/{}/actions/accept"),
    ("GET", "/spaces/{}/telemetry-drains"),
    ("GET", "/spaces/{}/topology"),
    ("POST", "/spaces/{}/transfer"),
    ("GET", "/spaces/{}/vpn-connections"),
    ("POST", "/spaces/{}/vpn-connections"),
    ("DELETE", "/spaces/{}/vpn-connections/{}"),
    ("GET", "/spaces/{}/vpn-connections/{}"),
    ("PATCH", "/spaces/{}/vpn-connections/{}"),
    ("GET", "/teams/{}/allowed-addon-services"),
    ("POST", "/teams/{}/allowed-addon-services"),
    ("DELETE", "/teams/{}/allowed-addon-services/{}"),
    ("GET", "/teams/{}/delinquency"),
    ("GET", "/teams/{}/identity-providers"),
    ("POST", "/teams/{}/identity-providers"),
    ("DELETE", "/teams/{}/identity-providers/{}"),
    ("PATCH", "/teams/{}/identity-providers/{}"),
    ("GET", "/teams/{}/invoices/{}"),
    ("GET", "/teams/{}/usage/daily"),
    ("GET", "/teams/{}/usage/monthly"),
    ("POST", "/telemetry-drains"),
    ("DELETE", "/telemetry-drains/{}"),
    ("GET", "/telemetry-drains/{}"),
    ("PATCH", "/telemetry-drains/{}"),
    ("POST", "/test-runs"),
    ("GET", "/test-runs/{}"),
    ("PATCH", "/test-runs/{}"),
    ("GET", "/test-runs/{}/test-cases"),
    ("GET", "/test-runs/{}/test-nodes"),
    ("GET", "/users/{}/sms-number"),
    ("POST", "/users/{}/sms-number/actions/confirm"),
    ("POST", "/users/{}/sms-number/actions/recover"),
];

/// The same for neighbouring services that the official command line asks (its metrics, and the tunnels of `ps:copy` and
/// its like), which no schema holds.
const UNOFFERED_BESIDE: &[(&str, &str)] = &[
    ("GET", "/apps/{}/formation/{}/metrics/errors"),
    ("GET", "/apps/{}/formation/{}/monitors"),
    ("POST", "/apps/{}/formation/{}/monitors"),
    ("PATCH", "/apps/{}/formation/{}/monitors/{}"),
    ("GET", "/apps/{}/router-metrics/errors"),
];

/// The list itself, for tests and documentation.
pub fn unoffered_links() -> &'static [(&'static str, &'static str)] {
    UNOFFERED
}

pub(crate) fn is_unoffered(method: &Method, path: &str) -> bool {
    UNOFFERED
        .iter()
        .chain(UNOFFERED_BESIDE)
        .any(|(known, pattern)| method.as_str() == *known && fits(pattern, path))
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("{}"), Some(segment)) if !segment.is_empty() => {}
            (Some(wanted), Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_paths() {
        assert!(is_unoffered(&Method::POST, "/apps/demo/addons"));
        assert!(!is_unoffered(&Method::POST, "/apps//addons"));
        assert!(!is_unoffered(&Method::POST, "/apps/demo/addons/x/y"));
        assert!(!is_unoffered(&Method::PUT, "/apps/demo/addons"));
        assert!(is_unoffered(&Method::GET, "/apps/demo/formation/web/monitors"));
    }
}
