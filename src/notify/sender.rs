//! One channel: how a notice goes out by it, how often that is tried, and how many at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

use super::http::Http;
use super::smtp::Mailer;
use super::{Failure, Notice, Recipients, ntfy, push, webhook};
use crate::config::{Channel, ChannelKind, Ntfy, Reach, WebPush, Webhook};
use crate::model::random::Random;
use crate::model::time::{Clock, Timestamp};

/// Tries of one channel that are under way at the same time.
const AT_ONCE: usize = 8;

/// Each pause is so many times as long as the one before.
const GROWTH: u32 = 4;

/// How often a notice is tried, and how long is waited in between.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub tries: u32,
    pub first: Duration,
    /// Nobody waits longer between two tries, whoever says so.
    pub longest: Duration,
}

impl Default for Patience {
    /// Within a minute and a half: whoever waits for a decision has minutes.
    fn default() -> Self {
        Self {
            tries: 5,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(120),
        }
    }
}

const TELLS_NOBODY: Failure = Failure::Unusable("it tells nobody: Keycloak asks the requester");

#[derive(Debug)]
pub struct Sender {
    channel: Channel,
    way: Way,
    patience: Patience,
    random: Arc<dyn Random>,
    hands: Semaphore,
}

#[derive(Debug)]
enum Way {
    Webhook(Http, Webhook),
    Ntfy(Http, Ntfy),
    Smtp(Box<Mailer>),
    WebPush(Http, WebPush),
    /// It is asked of Keycloak, by others.
    Nowhere,
}

impl Sender {
    pub fn new(channel: &Channel, patience: Patience, random: Arc<dyn Random>) -> Self {
        let http = |url: &Url, reach: &Reach| {
            let tls = url.scheme() == "https";
            Http::new(reach, tls, channel.timeout)
        };
        let way = match &channel.kind {
            ChannelKind::Webhook(webhook) => {
                Way::Webhook(http(&webhook.url, &webhook.reach), webhook.clone())
            }
            ChannelKind::Ntfy(ntfy) => Way::Ntfy(http(&ntfy.url, &ntfy.reach), ntfy.clone()),
            ChannelKind::WebPush(push) => {
                Way::WebPush(Http::new(&push.reach, true, channel.timeout), push.clone())
            }
            ChannelKind::Smtp(smtp) => Way::Smtp(Box::new(Mailer::new(smtp, channel.timeout))),
            ChannelKind::Ciba(_) => Way::Nowhere,
        };
        Self {
            channel: channel.clone(),
            way,
            patience,
            random,
            hands: Semaphore::new(AT_ONCE),
        }
    }

    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// `named`: those whom an approval names by an address; only a mail asks for them.
    pub fn recipients(&self, named: &[String]) -> Recipients {
        let ChannelKind::Smtp(smtp) = &self.channel.kind else {
            return Recipients::default();
        };
        let mut mail = smtp.to.clone();
        if smtp.to_approvers {
            for address in named.iter().filter_map(|name| name.parse().ok()) {
                if !mail.contains(&address) {
                    mail.push(address);
                }
            }
        }
        Recipients {
            mail,
            ..Recipients::default()
        }
    }

    /// Until it is told, or not worth another try. Whoever was reached is in `to` no more.
    pub async fn deliver(
        &self,
        notice: &Notice,
        to: &mut Recipients,
        clock: &dyn Clock,
    ) -> Result<(), Failure> {
        let bare;
        let notice = if self.channel.detail {
            notice
        } else {
            bare = notice.bare();
            &bare
        };
        let mut pause = self.patience.first;
        let mut left = self.patience.tries;
        loop {
            let failure = match self.attempt(notice, to, clock.now()).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            left = left.saturating_sub(1);
            let wait = failure.after().map_or(pause, |after| after.max(pause));
            let is_late = clock.now().plus(wait) >= notice.until;
            if failure.is_final() || left == 0 || is_late || wait > self.patience.longest {
                return Err(failure);
            }
            tracing::debug!(
                channel = self.channel.name,
                error = %failure,
                "a notice is tried again later"
            );
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(GROWTH);
        }
    }

    /// For somebody who waits to see whether it works.
    pub async fn once(
        &self,
        notice: &Notice,
        to: &mut Recipients,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.attempt(&notice.bare(), to, now).await
    }

    async fn attempt(
        &self,
        notice: &Notice,
        to: &mut Recipients,
        now: Timestamp,
    ) -> Result<(), Failure> {
        // It is never closed.
        let _hand = self.hands.acquire().await;
        match &self.way {
            Way::Webhook(http, webhook) => webhook::send(http, webhook, notice, now).await,
            Way::Ntfy(http, ntfy) => ntfy::send(http, ntfy, notice, now).await,
            Way::Smtp(mailer) => mailer.send(notice, to).await,
            Way::WebPush(http, web_push) => {
                push::send(http, web_push, &*self.random, notice, to, now).await
            }
            Way::Nowhere => Err(TELLS_NOBODY),
        }
    }

    /// Whether there is somebody at the other end; nobody is told anything.
    pub async fn reach(&self) -> Result<(), Failure> {
        match &self.way {
            Way::Webhook(http, webhook) => http.reach(&webhook.url).await,
            Way::Ntfy(http, ntfy) => match ntfy::health(ntfy) {
                Some(url) => http.is_well(&url).await,
                None => Err(Failure::Unusable("not a URL that can be asked")),
            },
            Way::Smtp(mailer) => mailer.reach().await,
            // Whether Keycloak is there is looked at elsewhere.
            Way::Nowhere => Ok(()),
            Way::WebPush(http, push) => {
                for host in push.services.iter().filter(|host| !host.starts_with("*.")) {
                    let url = Url::parse(&format!("https://{host}/"));
                    let url = url.map_err(|_| Failure::Unusable("not a URL that can be asked"))?;
                    http.reach(&url).await?;
                }
                Ok(())
            }
        }
    }
}
