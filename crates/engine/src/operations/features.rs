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

pub const FEATURES: [FeatureInfo; 3] = [
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
];

pub fn feature_enabled(app: &App, feature: &FeatureInfo) -> bool {
    let listed = |list: &[String]| list.iter().any(|name| name == feature.name);
    if feature.default_on { !listed(&app.features_off) } else { listed(&app.features_on) }
}

impl Engine {
    /// Takes effect with the next start of a dyno; nothing is restarted.
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
        Ok(row)
    }
}
