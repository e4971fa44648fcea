//! The second factor: six digits from a device (TOTP, RFC 6238), or a recovery code when the device is lost.
//!
//! ```text
//! two_factor_begin ──> a secret, for the device ──> two_factor_enable(code) ──> recovery codes; asked for from now on
//! ```

use jiff::Timestamp;
use rand::RngCore as _;
use renga_model::{Account, AccountId, Fault, Refusal, Secret};
use renga_store::{TwoFactor, Tx, ValueHash};
use totp_rs::{Algorithm, TOTP};

use crate::Engine;

/// As every authenticator program has it: SHA-1, six digits, a new code every 30 seconds.
const DIGITS: usize = 6;
const STEP_S: u64 = 30;
/// Steps by which a device's clock may be off, either way.
const STEPS_OFF_MAX: u64 = 1;
const SECRET_BYTES: usize = 20;
/// Recovery codes of an account, and letters of one.
const RECOVERY_CODES: usize = 10;
const RECOVERY_LETTERS: usize = 16;
/// Bytes of a code that are looked at.
const CODE_BYTES_MAX: usize = 64;

/// What a device needs; shown once.
#[derive(Debug)]
pub struct Enrolment {
    /// Base32.
    pub secret: Secret,
    /// `otpauth://totp/...`, for devices that read it from a picture.
    pub url: Secret,
}

impl Engine {
    /// A secret for a device. Nothing is asked for before a code has shown that the device has it.
    pub async fn two_factor_begin(&self, account: &Account) -> Result<Enrolment, Refusal> {
        let mut bytes = vec![0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let secret = Secret::new(totp(bytes)?.get_secret_base32());
        let (id, kept, now) = (account.id, secret.clone(), self.now());
        let put = self.store.write(move |tx| -> Result<(), Refusal> {
            if tx.two_factor_find(id)?.is_some_and(|known| known.enabled_at.is_some()) {
                return Err(Refusal::invalid("Two-factor authentication is enabled already."));
            }
            Ok(tx.two_factor_put(id, &kept, now)?)
        });
        put.await?;
        let label = |text: &str| text.replace(['%', ':', '/', '?', '#', '&', ' '], "_");
        let (issuer, user) = (label(&self.settings.domain), label(&account.email));
        let url = format!("otpauth://totp/{issuer}:{user}?secret={}&issuer={issuer}", secret.expose());
        Ok(Enrolment { secret, url: Secret::new(url) })
    }

    /// From now on logging in takes a code. The recovery codes are shown here for the only time.
    pub async fn two_factor_enable(&self, account: AccountId, code: Secret) -> Result<Vec<Secret>, Refusal> {
        let codes: Vec<Secret> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let hashes: Vec<ValueHash> = codes.iter().map(|code| recovery_hash(code.expose())).collect();
        let now = self.now();
        let enable = self.store.write(move |tx| -> Result<(), Refusal> {
            let begun = tx.two_factor_find(account)?.filter(|begun| begun.enabled_at.is_none());
            let begun = begun.ok_or_else(|| Refusal::invalid("Begin with a secret for your device."))?;
            let step = step_of(&begun, code.expose(), now)?;
            let step =
                step.ok_or_else(|| Refusal::invalid("The code is wrong. Is the device's clock right?"))?;
            tx.two_factor_used(account, step)?;
            Ok(tx.two_factor_enable(account, &hashes, now)?)
        });
        enable.await?;
        Ok(codes)
    }

    /// Fine for accounts without a second factor. A code works once.
    pub async fn two_factor_check(&self, account: &Account, code: Option<Secret>) -> Result<(), Refusal> {
        if !account.two_factor {
            return Ok(());
        }
        let needed = || {
            let say = "A second authentication factor is required for this request: a code of your device, or a \
                       recovery code.";
            Refusal::new(Fault::TwoFactor, say)
        };
        let code = code.filter(|code| code.expose().len() <= CODE_BYTES_MAX).ok_or_else(needed)?;
        let (id, now) = (account.id, self.now());
        let check = self.store.write(move |tx| -> Result<bool, Refusal> { used(tx, id, &code, now) });
        match check.await? {
            true => Ok(()),
            false => Err(Refusal::new(Fault::TwoFactor, "The two-factor code is wrong, or has been used.")),
        }
    }

    /// Whether there was one.
    pub async fn two_factor_disable(&self, account: AccountId) -> Result<bool, Refusal> {
        self.store.write(move |tx| tx.two_factor_delete(account).map_err(Refusal::from)).await
    }
}

/// Whether the code is good. If it is, it is used now.
fn used(tx: &Tx<'_>, account: AccountId, code: &Secret, now: Timestamp) -> Result<bool, Refusal> {
    // Disabled in this moment.
    let Some(factor) = tx.two_factor_find(account)? else { return Ok(true) };
    match step_of(&factor, code.expose(), now)? {
        Some(step) => {
            tx.two_factor_used(account, step)?;
            Ok(true)
        }
        None => Ok(tx.recovery_code_take(account, &recovery_hash(code.expose()))?),
    }
}

/// The step of time that the code is of, if it is near enough and was not used before.
fn step_of(factor: &TwoFactor, code: &str, now: Timestamp) -> Result<Option<u64>, Refusal> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let seconds = u64::try_from(now.as_second()).map_err(Refusal::internal)?;
    let current = seconds / STEP_S;
    let secret = totp_rs::Secret::Encoded(factor.secret.expose().to_owned()).to_bytes();
    let totp = totp(secret.map_err(|error| Refusal::internal(format!("{error:?}")))?)?;
    let mut steps = current.saturating_sub(STEPS_OFF_MAX)..=current + STEPS_OFF_MAX;
    Ok(steps.find(|step| *step > factor.last_step && same(&totp.generate(step * STEP_S), &code)))
}

/// Takes as long wherever the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

fn totp(secret: Vec<u8>) -> Result<TOTP, Refusal> {
    TOTP::new(Algorithm::SHA1, DIGITS, 0, STEP_S, secret).map_err(Refusal::internal)
}

/// `abcd-efgh-ijkl-mnop`: 80 random bits.
fn recovery_code() -> Secret {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0_u8; RECOVERY_LETTERS];
    rand::rng().fill_bytes(&mut bytes);
    let letters: String = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Secret::new([&letters[..4], &letters[4..8], &letters[8..12], &letters[12..]].join("-"))
}

/// However it was typed.
fn recovery_hash(code: &str) -> ValueHash {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    ValueHash::of(&plain.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(last_step: u64) -> TwoFactor {
        // The secret of RFC 6238's test vectors.
        let secret = Secret::new(totp(b"12345678901234567890".to_vec()).unwrap().get_secret_base32());
        TwoFactor { secret, last_step, enabled_at: None }
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        let step = |code: &str, at: i64, last: u64| {
            step_of(&factor(last), code, Timestamp::from_second(at).unwrap()).unwrap()
        };
        assert_eq!(step("287082", 59, 0), Some(1));
        assert_eq!(step("287 082", 59, 0), Some(1));
        assert_eq!(step("050471", 1_111_111_111, 0), Some(37_037_037));
        assert_eq!(step("287082", 89, 0), Some(1), "a device may be late");
        assert_eq!(step("287082", 29, 0), Some(1), "or early");
        assert_eq!(step("287082", 90, 0), None);
        assert_eq!(step("287082", 59, 1), None, "used");
        for wrong in ["", "287083", "28708", "2870820", "287082x", "287082\u{0}"] {
            assert_eq!(step(wrong, 59, 0), None, "{wrong:?}");
        }
    }

    #[test]
    fn recovery_codes_are_known_however_they_are_typed() {
        let code = recovery_code();
        let plain = code.expose();
        assert_eq!((plain.len(), plain.matches('-').count()), (19, 3));
        assert_ne!(recovery_code(), code);
        assert_eq!(recovery_hash(plain), recovery_hash(&plain.to_uppercase().replace('-', " ")));
    }
}
