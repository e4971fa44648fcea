//! Features of an app that can be switched.

use renga_model::{App, AppId, Refusal};

use super::access::app_row;
use crate::Engine;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureInfo {
    pub name: &'static str,
    pub display_name: &'static str,
    pub description: &'static str,
    /// Shown by `heroku features` if it is `general`, by `heroku labs` otherwise.
    pub state: &'static str,
    pub default_on: bool,
}

pub const FEATURES: [FeatureInfo; 8] = [
    FeatureInfo {
        name: "preboot",
        display_name: "Preboot",
        description: "New web dynos take traffic before the old ones are stopped",
        state: "general",
        default_on: true,
    },
    FeatureInfo {
        name: "log-runtime-metrics",
        display_name: "Log Runtime Metrics",
        description: "Write memory and load of each dyno into the app's log every 20 seconds",
        state: "beta",
        default_on: false,
    },
    FeatureInfo {
        name: "runtime-dyno-metadata",
        display_name: "Dyno Metadata",
        description: "Tell dynos about their app and release (HEROKU_APP_NAME, HEROKU_SLUG_COMMIT, ...)",
        state: "beta",
        default_on: false,
    },
    FeatureInfo {
        name: "http-session-affinity",
        display_name: "Session Affinity",
        description: "Requests of one client go to the same web dyno, by a cookie",
        state: "general",
        default_on: false,
    },
    FeatureInfo {
        name: "https-redirect",
        display_name: "Redirect to HTTPS",
        description: "Requests by HTTP are redirected to HTTPS before they reach a dyno (a feature of Renga, not of \
                      Heroku)",
        state: "general",
        default_on: false,
    },
    FeatureInfo {
        name: "http-disable-keepalive-to-dyno",
        display_name: "Disable Keepalives to Dynos",
        description: "Each request has a connection to the dyno of its own",
        state: "beta",
        default_on: false,
    },
    FeatureInfo {
        name: "http-end-to-end-continue",
        display_name: "End-to-end Continue",
        description: "The dyno, not the router, answers Expect: 100-continue",
        state: "beta",
        default_on: false,
    },
    FeatureInfo {
        name: "http-disable-http2",
        display_name: "Disable HTTP/2",
        description: "Clients speak HTTP/1.1 to this app, not HTTP/2",
        state: "beta",
        default_on: false,
    },
];

pub fn feature_enabled(app: &App, feature: &FeatureInfo) -> bool {
    let listed = |list: &[String]| list.iter().any(|name| name == feature.name);
    if feature.default_on { !listed(&app.features_off) } else { listed(&app.features_on) }
}

impl Engine {
    /// Of the router's features it takes effect at once, of others with the next start of a dyno; nothing is restarted.
    pub async fn feature_set(
        &self,
        app: AppId,
        feature: &FeatureInfo,
        enabled: bool,
    ) -> Result<App, Refusal> {
        let (name, default_on, now) = (feature.name, feature.default_on, self.now());
        let update = self.store.write(move |tx| -> Result<App, Refusal> {
            let mut row = app_row(tx, app)?;
            let list = if default_on { &mut row.features_off } else { &mut row.features_on };
            list.retain(|known| known != name);
            if enabled != default_on {
                list.push(name.to_owned());
            }
            row.updated_at = now;
            tx.app_update(&row)?;
            Ok(row)
        });
        let row = update.await?;
        self.wake.formation(app);
        self.wake.routes();
        Ok(row)
    }
}
