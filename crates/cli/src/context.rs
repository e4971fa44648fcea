//! What every command starts from: the user's environment, where to print, and the platform that is meant.

use jiff::Timestamp;

use crate::{
    Environment,
    app::{self, AppArgs},
    client::{Client, segment},
    errors::Failure,
    output::Output,
    platform::{Place, PlaceArgs},
};

pub(crate) struct Context<'a> {
    pub(crate) env: &'a Environment,
    pub(crate) out: Output,
}

/// A platform and a connection to it.
pub(crate) struct Platform {
    pub(crate) place: Place,
    pub(crate) client: Client,
}

/// As [`Platform`], and the app that the command is about.
pub(crate) struct OnApp {
    pub(crate) place: Place,
    pub(crate) client: Client,
    pub(crate) app: String,
}

impl<'a> Context<'a> {
    pub(crate) fn new(env: &'a Environment, now: Timestamp) -> Self {
        Self { env, out: Output::new(env, now) }
    }

    pub(crate) fn platform(&self, args: &PlaceArgs) -> Result<Platform, Failure> {
        let place = Place::find(args, self.env)?;
        let client = Client::new(&place, self.env)?;
        Ok(Platform { place, client })
    }

    pub(crate) fn on_app(&self, args: &AppArgs) -> Result<OnApp, Failure> {
        let Platform { place, client } = self.platform(&args.place)?;
        let app = app::find(args, self.env.get("HEROKU_APP"), &place)?;
        Ok(OnApp { place, client, app })
    }
}

impl OnApp {
    /// `/apps/NAME` and what follows.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/apps/{}{rest}", segment(&self.app))
    }

    /// The newest release: what a change has just made.
    pub(crate) fn newest_release(&self) -> Result<Option<renga_wire::Release>, Failure> {
        let newest = self.client.page(&self.path("/releases"), "version ..; order=desc,max=1")?;
        Ok(newest.into_iter().next())
    }
}
