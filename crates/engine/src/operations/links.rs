//! Links that work once: an invitation makes an account, a reset gives one a new password. Whoever holds the link is
//! whom it is for, so it is handed over in private: mailed, or printed for the one who asked.
//!
//! ```text
//! invitation_create(e-mail) ──> link ──> invitation_accept(password) ──> account
//! reset_create(e-mail) ───────> link ──> reset_accept(password) ───────> the account's log-ins are over
//! ```

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use rand::RngCore as _;
use renga_model::{Account, AccountId, Fault, LetterId, OneTime, OneTimeKind, Refusal, Secret};
use renga_store::{Read, StoredLetter, Tx, ValueHash};

use super::{
    access::Person,
    profile::{check_email, password_hash, sessions_end},
};
use crate::{Engine, Invitations};

/// How long an invitation and a reset work (ours).
const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const RESET_LIFE: Duration = Duration::from_secs(60 * 60);
/// Links of one kind that wait for one address; the next one makes all of them worthless (ours).
const LINKS_PER_ADDRESS_MAX: usize = 5;
/// Bytes of a link's secret.
const SECRET_BYTES: usize = 32;

/// Accounts that are invited and have not come, of all teams and apps together (ours).
const INVITED_MAX: usize = 10_000;

/// A link, to be handed over now: it is not kept.
#[derive(Debug)]
pub struct Link {
    pub url: Secret,
    pub expires_at: Timestamp,
    /// A letter is on its way as well.
    pub mailed: bool,
}

/// An account, and what lets its owner in if he has not come yet.
#[derive(Debug)]
pub struct Invited {
    pub account: Account,
    pub link: Option<Link>,
    /// Somebody has invited him before, and he has not come yet.
    pub waits: bool,
}

/// What stands behind an address.
enum Waiting {
    /// An account with a password.
    Has(Account),
    /// An account that nobody has come for.
    Invited(Account),
    Nobody,
}

fn account_that_waits(read: &Read<'_>, email: &str) -> Result<Waiting, Refusal> {
    let Some(account) = read.account_find_by_email(email)? else { return Ok(Waiting::Nobody) };
    Ok(match read.account_password_hash(account.id)? {
        Some(_) => Waiting::Has(account),
        None => Waiting::Invited(account),
    })
}

impl Engine {
    /// For an address that no account has.
    pub async fn invitation_create(&self, email: String) -> Result<Link, Refusal> {
        check_email(&email)?;
        let known = |tx: &Tx<'_>, email: &str| match account_that_waits(tx, email)? {
            Waiting::Has(_) => Err(Refusal::invalid(format!("{email} has an account already."))),
            Waiting::Invited(_) | Waiting::Nobody => Ok(()),
        };
        self.link_create(OneTimeKind::Invitation, email, INVITATION_LIFE, known).await
    }

    /// Somebody who is given something. For an address that nobody has there is an account from now on, which can hold
    /// what it is given and can't log in until its invitation is accepted. The second who gives something to such an
    /// account gets no link: whoever holds one can take all that the others gave.
    pub async fn person_or_invited(&self, actor: &Account, person: Person) -> Result<Invited, Refusal> {
        let email = match &person {
            Person::Email(email) => email.to_string(),
            Person::Id(_) => {
                return Ok(Invited { account: self.person(person).await?, link: None, waits: false });
            }
        };
        let known = email.clone();
        let waits = self.store.read(move |read| account_that_waits(read, &known)).await?;
        match waits {
            Waiting::Has(account) => return Ok(Invited { account, link: None, waits: false }),
            // A letter reaches nobody else.
            Waiting::Invited(account) if self.mail.is_none() || !self.may_invite(actor) => {
                return Ok(Invited { account, link: None, waits: true });
            }
            Waiting::Nobody if !self.may_invite(actor) => {
                return Err(Refusal::forbidden(format!(
                    "{email} has no account. Here only operators invite people: ask one for renga users add {email}"
                )));
            }
            Waiting::Invited(_) | Waiting::Nobody => {}
        }
        let (now, mails) = (self.now(), self.mail.is_some());
        let make = move |tx: &Tx<'_>, email: &str| match account_that_waits(tx, email)? {
            Waiting::Has(_) => Ok(()),
            Waiting::Invited(_) if mails => Ok(()),
            Waiting::Invited(_) => Err(Refusal::invalid(format!(
                "{email} was invited by somebody else in this moment. Try again."
            ))),
            Waiting::Nobody if tx.account_count_without_password()? >= INVITED_MAX => Err(Refusal::invalid(
                "Too many people are invited and have not come yet. Ask the platform's operator.",
            )),
            Waiting::Nobody => {
                Ok(tx.account_insert(&Account::new(AccountId::random(), email.to_owned(), now), None)?)
            }
        };
        let link = self.link_create(OneTimeKind::Invitation, email.clone(), INVITATION_LIFE, make).await?;
        let account =
            self.store.read(move |read| read.account_find_by_email(&email).map_err(Refusal::from)).await?;
        let account = account.ok_or_else(|| Refusal::not_found("user"))?;
        Ok(Invited { account, link: Some(link), waits: false })
    }

    fn may_invite(&self, actor: &Account) -> bool {
        self.settings.invitations == Invitations::Anybody || actor.operator
    }

    /// None for an address that no account has.
    pub async fn reset_create(&self, email: String) -> Result<Option<Link>, Refusal> {
        let known = |tx: &Tx<'_>, email: &str| match tx.account_find_by_email(email)? {
            Some(_) => Ok(()),
            None => Err(Refusal::not_found("user")),
        };
        match self.link_create(OneTimeKind::PasswordReset, email, RESET_LIFE, known).await {
            Ok(link) => Ok(Some(link)),
            Err(Refusal { fault: Fault::NotFound(_), .. }) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Somebody who need not be anybody asks for a new password. A letter with a link goes to the address, if it is an
    /// account's; where there is no mail the operator is told, and hands over a link.
    pub async fn reset_ask(&self, email: &str) -> Result<(), Refusal> {
        let (kind, subject, now) = (OneTimeKind::PasswordReset, email.to_owned(), self.now());
        let waiting = self
            .store
            .read(move |read| -> Result<_, Refusal> { Ok(read.one_time_list(kind, &subject, now)?.len()) });
        // Whoever asks again and again fills neither the ledger nor the log.
        if waiting.await? >= LINKS_PER_ADDRESS_MAX {
            return Ok(());
        }
        if self.reset_create(email.to_owned()).await?.is_some_and(|link| !link.mailed) {
            tracing::warn!(
                user.email = email,
                "{email} has forgotten the password; for a link to hand over: renga users reset-password {email}"
            );
        }
        Ok(())
    }

    async fn link_create(
        &self,
        kind: OneTimeKind,
        subject: String,
        life: Duration,
        check: impl FnOnce(&Tx<'_>, &str) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<Link, Refusal> {
        let mut bytes = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let value = URL_SAFE_NO_PAD.encode(bytes);
        let (hash, now) = (ValueHash::of(&value), self.now());
        let expires_at = now + SignedDuration::try_from(life).expect("some days fit");
        let url = self.link_url(kind, &value);
        let letter = self.mail.is_some().then(|| letter(kind, &subject, &url, now, expires_at));
        let letter_id = letter.as_ref().map(|letter| letter.id);
        let insert = self.store.write(move |tx| -> Result<(), Refusal> {
            check(tx, &subject)?;
            if tx.one_time_list(kind, &subject, now)?.len() >= LINKS_PER_ADDRESS_MAX {
                tx.one_time_forget(kind, &subject)?;
            }
            tx.one_time_insert(&OneTime { kind, subject, created_at: now, expires_at }, &hash)?;
            if let Some(letter) = &letter {
                tx.letter_insert(letter)?;
            }
            Ok(())
        });
        insert.await?;
        letter_id.into_iter().for_each(|letter| self.wake.letter(letter));
        Ok(Link { url, expires_at, mailed: letter_id.is_some() })
    }

    fn link_url(&self, kind: OneTimeKind, value: &str) -> Secret {
        let api = &self.settings.api_url;
        Secret::new(match kind {
            OneTimeKind::Invitation => format!("{api}/auth/invitations/{value}"),
            OneTimeKind::PasswordReset => format!("{api}/auth/password-resets/{value}"),
            OneTimeKind::Grant => unreachable!("grants are codes, not links"),
        })
    }

    /// What an unused link is for.
    pub async fn link_find(&self, kind: OneTimeKind, value: &Secret) -> Result<OneTime, Refusal> {
        let (hash, now) = (ValueHash::of(value.expose()), self.now());
        let find = self.store.read(move |read| read.one_time_find(kind, &hash, now).map_err(Refusal::from));
        find.await?.ok_or_else(|| no_such(kind))
    }

    pub async fn invitation_accept(&self, value: Secret, password: Secret) -> Result<Account, Refusal> {
        // Hashing is dear: it is for those whose link works.
        self.link_find(OneTimeKind::Invitation, &value).await?;
        let (hash, now) = (password_hash(password).await?, self.now());
        let value = ValueHash::of(value.expose());
        let accept = self.store.write(move |tx| -> Result<Account, Refusal> {
            let invitation = take(tx, OneTimeKind::Invitation, &value, now)?;
            match account_that_waits(tx, &invitation.subject)? {
                Waiting::Has(_) => Err(no_such(OneTimeKind::Invitation)),
                Waiting::Invited(account) => {
                    tx.account_set_password(account.id, &hash, now)?;
                    Ok(account)
                }
                Waiting::Nobody => {
                    let account = Account::new(AccountId::random(), invitation.subject, now);
                    tx.account_insert(&account, Some(&hash))?;
                    Ok(account)
                }
            }
        });
        accept.await
    }

    /// Answers with the account and the time at which the link was made.
    pub async fn reset_accept(
        &self,
        value: Secret,
        password: Secret,
    ) -> Result<(Account, Timestamp), Refusal> {
        self.link_find(OneTimeKind::PasswordReset, &value).await?;
        let (hash, now) = (password_hash(password).await?, self.now());
        let value = ValueHash::of(value.expose());
        let accept = self.store.write(move |tx| -> Result<_, Refusal> {
            let reset = take(tx, OneTimeKind::PasswordReset, &value, now)?;
            let account = tx.account_find_by_email(&reset.subject)?;
            let account = account.ok_or_else(|| no_such(OneTimeKind::PasswordReset))?;
            tx.account_set_password(account.id, &hash, now)?;
            sessions_end(tx, account.id, None)?;
            Ok((account, reset.created_at))
        });
        accept.await
    }
}

fn letter(kind: OneTimeKind, to: &str, url: &Secret, now: Timestamp, expires_at: Timestamp) -> StoredLetter {
    let (subject, what) = match kind {
        OneTimeKind::Invitation => {
            ("You are invited", "You are invited to make an account. Choose a password here:")
        }
        _ => ("A new password", "Somebody, you we hope, asked for a new password. Choose it here:"),
    };
    let until = expires_at.strftime("%Y-%m-%d %H:%M UTC");
    let text = format!(
        "{what}\n\n{}\n\nThe link works once, and until {until}. If this is not for you, leave it: nothing happens then.\n",
        url.expose()
    );
    StoredLetter {
        id: LetterId::random(),
        recipient: to.to_owned(),
        subject: subject.to_owned(),
        text: Secret::new(text),
        attempts: 0,
        created_at: now,
        expires_at,
    }
}

/// Uses a link, and with it all others of its kind that wait for the same address.
fn take(tx: &Tx<'_>, kind: OneTimeKind, value: &ValueHash, now: Timestamp) -> Result<OneTime, Refusal> {
    let taken = tx.one_time_take(kind, value, now)?.ok_or_else(|| no_such(kind))?;
    tx.one_time_forget(kind, &taken.subject)?;
    Ok(taken)
}

fn no_such(kind: OneTimeKind) -> Refusal {
    let resource = match kind {
        OneTimeKind::Grant => "grant",
        OneTimeKind::PasswordReset => "password_reset",
        OneTimeKind::Invitation => "invitation",
    };
    Refusal::new(Fault::NotFound(resource), "This link has been used, or is too old. Ask for another.")
}
