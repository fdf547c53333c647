//! Flows that stepgate itself never starts, by its own parts: what Keycloak is asked, what it asks, what its tokens say
//! and what stepgate makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;
use stepgate::config::{Config, Par};
use stepgate::model::evidence::LevelEvidence;
use stepgate::model::session::Secret;
use stepgate::model::time::{Clock as _, Timestamp};
use stepgate::oidc::{Authorization, Exchange, Pkce, Provider};
use stepgate::policy::evidence::{Asked, FlowFacts, derive};
use stepgate::seal::SystemRandom;
use stepgate::server::SystemClock;

use super::browser::{Browser, Factor};
use super::person::Person;
use super::server::Keycloak;
use super::world::{Twist, World, config};
use crate::harness::eventually;

#[derive(Debug)]
pub(crate) struct Desk {
    config: Config,
    pushing: Provider,
    plain: Provider,
    redirect_uri: String,
    /// When the last flow ended.
    last: Timestamp,
}

/// How a flow went.
#[derive(Debug)]
pub(crate) struct Told {
    /// `password code`, or `-`
    pub(crate) asked: String,
    /// `mfa [pwd otp] new`: `acr`, `amr`, and whether `auth_time` is of this flow; or `error=…`, `page=400`.
    pub(crate) token: String,
    /// `password@new mfa~old`: proven, held; and `enrolled:mfa`.
    pub(crate) evidence: String,
    pub(crate) exchange: Option<Exchange>,
}

impl Desk {
    /// With a realm of its own; nothing listens where its redirects lead.
    pub(crate) async fn new(keycloak: &Keycloak, realm: &str, loa_max_ages: [u32; 3]) -> Self {
        let origin = "http://payroll.localhost:1";
        let admin = keycloak.admin().await;
        admin
            .import_changed(realm, origin, |shipped| {
                for (level, max_age) in loa_max_ages.iter().enumerate() {
                    let known = &mut shipped["authenticatorConfig"][level];
                    assert_eq!(known["alias"], format!("level {}", level + 1));
                    known["config"]["loa-max-age"] = max_age.to_string().into();
                }
            })
            .await;
        Self::at(&keycloak.issuer(realm), origin, Twist::default())
    }

    /// In the realm of a stepgate.
    pub(crate) fn beside(world: &World, twist: Twist<'_>) -> Self {
        Self::at(&world.issuer, &world.origin, twist)
    }

    pub(crate) fn at(issuer: &str, origin: &str, twist: Twist<'_>) -> Self {
        let config = config(issuer, twist);
        let provider = |par| {
            let mut keycloak = config.keycloak.clone();
            keycloak.par = par;
            let random = Arc::new(SystemRandom::new());
            Provider::new(&keycloak, Arc::new(SystemClock), random, None, None).unwrap()
        };
        Self {
            pushing: provider(Par::Require),
            plain: provider(Par::Off),
            redirect_uri: format!("{origin}/.stepgate/callback"),
            last: SystemClock.now(),
            config,
        }
    }

    /// The `acr` of a refreshed token.
    pub(crate) async fn refreshed(&self, token: &Secret) -> String {
        let exchange = self.pushing.refresh(token).await.unwrap();
        exchange.id.acr().unwrap().to_owned()
    }

    /// `level` is what the flow is for; `ask`: `acr_values=mfa&prompt=login`, which does not depend on it. With the word
    /// `unpushed`, the parameters go by the URL.
    pub(crate) async fn ask(
        &mut self,
        browser: &mut Browser,
        person: &mut Person,
        level: &str,
        ask: &str,
    ) -> Told {
        // Times are of whole seconds: what is of this flow has to be told from what was before.
        let after = self.last.shifted(2);
        eventually("the next second", || {
            (SystemClock.now() >= after).then_some(())
        })
        .await;
        let mut params: BTreeMap<String, String> = form_urlencoded::parse(ask.as_bytes())
            .into_owned()
            .collect();
        let provider = match params.remove("unpushed") {
            Some(_) => &self.plain,
            None => &self.pushing,
        };
        let pkce = Pkce::draw(&SystemRandom::new());
        let pairs: Vec<_> = params.clone().into_iter().collect();
        let started_at = SystemClock.now();
        let started = provider
            .start(Authorization {
                redirect_uri: &self.redirect_uri,
                ask: &pairs,
                state: "the-state",
                nonce: "the-nonce",
                challenge: &pkce.challenge,
            })
            .await
            .unwrap();
        browser.stop_at = Some(self.redirect_uri.clone());
        let walk = browser.walk(started.url.as_str(), person).await;
        browser.stop_at = None;
        let asked = asked(&walk.asked);
        let Some(code) = param(&walk.page.url, "code") else {
            let token = match param(&walk.page.url, "error") {
                Some(error) => format!("error={error}"),
                None => format!("page={}", walk.page.status.as_u16()),
            };
            self.last = SystemClock.now();
            return Told {
                asked,
                token,
                evidence: String::new(),
                exchange: None,
            };
        };
        assert_eq!(param(&walk.page.url, "state").as_deref(), Some("the-state"));
        let exchange = provider
            .exchange(&code, &pkce.verifier, &self.redirect_uri, "the-nonce")
            .await
            .unwrap();
        self.last = SystemClock.now();
        let known = self.config.ladder.by_name(level).unwrap();
        let facts = FlowFacts {
            pushed: started.pushed,
            asked: Some(Asked {
                level: known.name.clone(),
                fingerprint: known.fingerprint.clone(),
            }),
            prompt_login: params.get("prompt").is_some_and(|prompt| prompt == "login"),
            always_asked: known.ask.always_asked,
            kc_idp_hint: params.get("kc_idp_hint").cloned(),
            started: started_at,
            exchanged: exchange.answered,
        };
        let derived = derive(&self.config.ladder, &facts, &exchange.id, None);
        let age = |at: Timestamp| if at >= started_at { "new" } else { "old" };
        let standing = |known: &LevelEvidence| match (known.proven_at, known.held_since) {
            (Some(at), _) => format!("{}@{}", known.level, age(at)),
            (None, since) => format!("{}~{}", known.level, since.map_or("never", age)),
        };
        let mut evidence: Vec<_> = derived.evidence.levels.iter().map(standing).collect();
        evidence.extend(
            derived
                .enrolled
                .iter()
                .map(|level| format!("enrolled:{level}")),
        );
        let id = &exchange.id;
        let mut amr = id.amr().unwrap_or_default();
        amr.sort_by_key(|name| ["pwd", "otp", "hwk"].iter().position(|known| known == name));
        Told {
            asked,
            token: format!(
                "{} [{}] {}",
                id.acr().unwrap_or("none"),
                amr.join(" "),
                id.auth_time().map_or("never", age)
            ),
            evidence: evidence.join(" "),
            exchange: Some(exchange),
        }
    }
}

fn asked(factors: &[Factor]) -> String {
    let names: Vec<_> = factors
        .iter()
        .map(|factor| match factor {
            Factor::Password => "password",
            Factor::Code => "code",
            Factor::Enrolment => "enrolment",
            Factor::Key => "key",
            Factor::KeyEnrolment => "key-enrolment",
        })
        .collect();
    match names.is_empty() {
        true => "-".to_owned(),
        false => names.join(" "),
    }
}

fn param(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    Some(pairs.find(|(known, _)| known == name)?.1.into_owned())
}
