//! Mail: plain text with a link, one for each recipient, so that none reads who else was told.

use std::time::{Duration, SystemTime};

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncTransport as _, Message, Tokio1Executor};

use super::{Failure, Notice, Recipients};
use crate::config::{MailTls, Smtp};
use crate::model::time::Timestamp;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

#[derive(Debug)]
pub(super) struct Mailer {
    /// `None`: this system has no certificate authorities to trust.
    transport: Option<Transport>,
    from: Mailbox,
    timeout: Duration,
}

impl Mailer {
    pub(super) fn new(smtp: &Smtp, timeout: Duration) -> Self {
        Self {
            transport: transport(smtp, timeout),
            from: smtp.from.clone(),
            timeout,
        }
    }

    /// Whoever was reached, or never will be, is taken out of `to`.
    pub(super) async fn send(&self, notice: &Notice, to: &mut Recipients) -> Result<(), Failure> {
        if to.mail.is_empty() {
            return Err(Failure::Nobody);
        }
        let mut reached = false;
        let mut refused = None;
        let mut later = None;
        for address in std::mem::take(&mut to.mail) {
            match self.send_one(notice, &address).await {
                Ok(()) => reached = true,
                Err(failure) if failure.is_final() => {
                    tracing::warn!(error = %failure, "a recipient of a notice is refused");
                    refused = Some(failure);
                }
                Err(failure) => {
                    to.mail.push(address);
                    later = Some(failure);
                }
            }
        }
        match (later, refused) {
            (Some(failure), _) => Err(failure),
            (None, Some(failure)) if !reached => Err(failure),
            (None, _) => Ok(()),
        }
    }

    async fn send_one(&self, notice: &Notice, to: &Address) -> Result<(), Failure> {
        let message = self.message(notice, to)?;
        let sent = self.transport()?.send(message);
        match tokio::time::timeout(self.timeout, sent).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::Late),
        }
    }

    /// Signs in, where it has to, and sends nothing.
    pub(super) async fn reach(&self) -> Result<(), Failure> {
        match tokio::time::timeout(self.timeout, self.transport()?.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Failure::Unreachable("it does not answer NOOP".to_owned())),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::Late),
        }
    }

    fn transport(&self) -> Result<&Transport, Failure> {
        const WITHOUT: Failure =
            Failure::Unusable("this system has no certificate authorities to trust");
        self.transport.as_ref().ok_or(WITHOUT)
    }

    pub(super) fn message(&self, notice: &Notice, to: &Address) -> Result<Message, Failure> {
        let id = format!("<{}@{}>", notice.id, self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(notice.title())
            .date(system_time(notice.at))
            .message_id(Some(id))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(format!("{}\n\n{}\n", notice.text(), notice.link))
            .map_err(|_| Failure::Unusable("no mail can be written to that address"))
    }
}

fn transport(smtp: &Smtp, timeout: Duration) -> Option<Transport> {
    let tls = match smtp.tls {
        MailTls::Off => Tls::None,
        MailTls::StartTls => Tls::Required(parameters(smtp)?),
        MailTls::Tls => Tls::Wrapper(parameters(smtp)?),
    };
    let mut transport = Transport::builder_dangerous(&smtp.host)
        .port(smtp.port)
        .tls(tls)
        .timeout(Some(timeout))
        .hello_name(ClientId::Domain(smtp.from.email.domain().to_owned()));
    if let Some((name, password)) = &smtp.credentials {
        transport =
            transport.credentials(Credentials::new(name.clone(), password.reveal().to_owned()));
    }
    Some(transport.build())
}

fn parameters(smtp: &Smtp) -> Option<TlsParameters> {
    let mut parameters = TlsParameters::builder(smtp.host.clone());
    if let Some(authorities) = &smtp.ca {
        parameters = parameters.certificate_store(CertificateStore::None);
        for der in authorities.iter() {
            parameters = parameters.add_root_certificate(Certificate::from_der(der.to_vec()).ok()?);
        }
    }
    parameters.build().ok()
}

fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    let mut text = error.to_string();
    // A server may say what it likes.
    text.retain(|c| !c.is_control());
    if error.is_permanent() {
        Failure::Mail(text)
    } else if error.is_transient() {
        Failure::MailLater(text)
    } else if error.is_timeout() {
        Failure::Late
    } else {
        Failure::Unreachable(text)
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    let seconds = u64::try_from(at.as_unix()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// RFC 3834 section 5: nobody's absence is to be answered to.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
