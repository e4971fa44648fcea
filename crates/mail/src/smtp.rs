//! SMTP: one connection per letter. Letters are few, and a connection that is kept is one that breaks.

use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use renga_ports::{Letter, Mail, MailError};

use crate::config::{Config, Encryption, TIMEOUT};

pub struct SmtpMail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    server: String,
}

impl SmtpMail {
    pub fn new(config: &Config) -> Result<Self, MailError> {
        let server = format!("{}:{}", config.host, config.port);
        let failed = |cause: lettre::transport::smtp::Error| MailError {
            server: server.clone(),
            cause: chain(&cause),
            permanent: true,
        };
        let tls = match config.encryption {
            Encryption::None => Tls::None,
            Encryption::StartTls => Tls::Required(parameters(config).map_err(failed)?),
            Encryption::Tls => Tls::Wrapper(parameters(config).map_err(failed)?),
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        let builder = match &config.login {
            Some((user, password)) => {
                builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()))
            }
            None => builder,
        };
        Ok(Self { transport: builder.build(), from: config.from.clone(), server })
    }
}

fn parameters(config: &Config) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(pem) = &config.ca_pem {
        builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
    }
    builder.build_rustls()
}

#[async_trait]
impl Mail for SmtpMail {
    async fn send(&self, letter: &Letter) -> Result<(), MailError> {
        let failed = |cause: String, permanent| MailError { server: self.server.clone(), cause, permanent };
        let to: Mailbox =
            letter.to.parse().map_err(|error| failed(format!("the address is not one: {error}"), true))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.expose().to_owned());
        let message = message.map_err(|error| failed(error.to_string(), true))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(chain(&error), error.is_permanent())),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

impl std::fmt::Debug for SmtpMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpMail").field("server", &self.server).finish_non_exhaustive()
    }
}
