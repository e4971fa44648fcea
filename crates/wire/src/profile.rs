//! What belongs to an account beside its tokens: keys, preferences, and an address for invoices that nobody writes.

use renga_model::SshKey;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Time, account::given};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    pub comment: String,
    pub created_at: Time,
    /// The comment under its older name.
    pub email: String,
    pub fingerprint: String,
    pub id: Uuid,
    pub public_key: String,
    pub updated_at: Time,
}

impl Key {
    pub fn new(key: &SshKey) -> Self {
        Self {
            comment: key.comment.clone(),
            created_at: key.created_at.into(),
            email: key.comment.clone(),
            fingerprint: key.fingerprint.clone(),
            id: key.id.uuid(),
            public_key: key.public_key.clone(),
            updated_at: key.created_at.into(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyCreate {
    pub public_key: String,
}

// === preferences ===

macro_rules! preferences {
    ($($field:ident: $type:ty = $name:literal),* $(,)?) => {
        /// What clients remember for the account. The platform itself goes by none of it.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Preferences { $(
            #[serde(rename = $name)]
            pub $field: Option<$type>,
        )* }

        /// `null` takes a preference away.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct PreferencesUpdate { $(
            #[serde(rename = $name, deserialize_with = "given")]
            pub $field: Option<Option<$type>>,
        )* }

        impl Preferences {
            pub fn updated(mut self, update: PreferencesUpdate) -> Self {
                $( if let Some(value) = update.$field { self.$field = value; } )*
                self
            }
        }
    };
}

preferences! {
    timezone: String = "timezone",
    default_organization: String = "default-organization",
    dismissed_github_banner: bool = "dismissed-github-banner",
    dismissed_getting_started: bool = "dismissed-getting-started",
    dismissed_org_access_controls: bool = "dismissed-org-access-controls",
    dismissed_org_wizard_notification: bool = "dismissed-org-wizard-notification",
    dismissed_pipelines_banner: bool = "dismissed-pipelines-banner",
    dismissed_pipelines_github_banner: bool = "dismissed-pipelines-github-banner",
    dismissed_pipelines_github_banners: Vec<Uuid> = "dismissed-pipelines-github-banners",
    dismissed_sms_banner: bool = "dismissed-sms-banner",
}

// === invoices ===

/// A code from a gift card; none is known here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreditCreate {
    #[serde(default)]
    pub code1: Option<String>,
    #[serde(default)]
    pub code2: Option<String>,
}

/// The whole address: what is left out is empty. Also what is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InvoiceAddressPut {
    pub address_1: String,
    pub address_2: String,
    pub city: String,
    pub country: String,
    pub other: String,
    pub postal_code: String,
    pub state: String,
    pub use_invoice_address: bool,
}

impl InvoiceAddressPut {
    pub fn shown(self, heroku_id: String) -> InvoiceAddress {
        InvoiceAddress {
            address_1: self.address_1,
            address_2: self.address_2,
            city: self.city,
            country: self.country,
            heroku_id,
            other: self.other,
            postal_code: self.postal_code,
            state: self.state,
            use_invoice_address: self.use_invoice_address,
        }
    }
}

/// Nobody is billed here; it is kept for those who want to read it back.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InvoiceAddress {
    pub address_1: String,
    pub address_2: String,
    pub city: String,
    pub country: String,
    pub heroku_id: String,
    pub other: String,
    pub postal_code: String,
    pub state: String,
    pub use_invoice_address: bool,
}
