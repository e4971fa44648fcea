//! `auth:2fa`: the second factor of your account.

use renga_wire::{Account, CodeGiven, PasswordGiven, TwoFactorBegun, TwoFactorEnabled};

use super::{ask, session::password};
use crate::{context::Context, errors::Failure, platform::PlaceArgs};

/// `auth:2fa`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga auth:2fa")]
pub struct StatusArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `auth:2fa:enable`, `auth:2fa:disable`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga auth:2fa:enable\n  renga auth:2fa:disable\n\nWithout a terminal the password \
                        and the code are the first two lines of the standard input."
)]
pub struct SwitchArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
}

pub(crate) fn status(context: &Context<'_>, args: &StatusArgs) -> Result<(), Failure> {
    let account: Account = context.platform(&args.place)?.client.get("/account")?;
    let state = if account.two_factor_authentication { "enabled" } else { "not enabled" };
    context.out.print(&format!("Two-factor authentication is {state}\n"))
}

pub(crate) fn enable(context: &Context<'_>, args: &SwitchArgs) -> Result<(), Failure> {
    let on = context.platform(&args.place)?;
    let password = PasswordGiven { password: password(context)? };
    let begun: TwoFactorBegun = on.client.post("/renga/two-factor", &password)?;
    context.out.print(&format!("Secret: {}\nAddress: {}\n", begun.secret, begun.url))?;
    context.out.note("Give one of them to your authenticator, which shows a code then.\n");
    let code = CodeGiven { code: ask(context, "Code: ")? };
    let enabled: TwoFactorEnabled = on.client.post("/renga/two-factor/actions/enable", &code)?;
    context
        .out
        .note("Two-factor authentication is enabled. Keep these codes for the day you lose the device:\n");
    context.out.print(&format!("{}\n", enabled.recovery_codes.join("\n")))
}

pub(crate) fn disable(context: &Context<'_>, args: &SwitchArgs) -> Result<(), Failure> {
    let on = context.platform(&args.place)?;
    let password = PasswordGiven { password: password(context)? };
    let code = ask(context, "Two-factor code: ")?;
    let _: Account = on.client.post_with_code("/renga/two-factor/actions/disable", &code, &password)?;
    context.out.print("Two-factor authentication is not enabled\n")
}
