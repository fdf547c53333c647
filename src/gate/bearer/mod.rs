//! Requests of programs that bring an access token (RFC 6750, RFC 9449): whoever sends one is judged by it alone. A bad
//! one is never rescued by a cookie, and a token in the query or the body is never read.

mod answer;
mod presented;
mod verified;

use std::sync::Arc;

use http::{HeaderMap, header};

use super::approvals::Asker;
use super::approvals::already::within;
use super::judge::{Way, granted};
use super::{Forward, Gate, Incoming, Record, Reply, Site, Verdict};
use crate::config::{self, DpopUse};
use crate::model::requirement::Requirement;
use crate::model::route::Match;
use crate::model::session::Secret;
use crate::model::target::Target;
use crate::model::time::Timestamp;
use crate::oidc::{OidcError, Proven, TokenFlaw, check_proof};
use crate::policy::decision::Decision;
use crate::policy::facts::{Facts, Known};
use crate::store::{Mark, Unavailable};
use crate::telemetry::metrics::BearerResult;

pub(in crate::gate) use answer::invite;
pub use answer::{Told, told};
pub(in crate::gate) use verified::Bearers;
pub use verified::Verified;

pub(in crate::gate) use presented::bearer_alone;

use presented::{Presented, Scheme, presented};

/// Why a token is not taken.
#[derive(Clone, Debug)]
enum Refused {
    /// The request itself is wrong: two tokens, or none where there should be one (RFC 6750 section 3.1).
    Request,
    Token(TokenFlaw),
    /// It is bound to a key, and was sent as if it were not; or it is not bound, and has to be.
    NeedsProof,
    /// The token may be good, its proof is not (RFC 9449 section 7.1).
    Proof(TokenFlaw),
    Unavailable(&'static str),
}

/// By what a good token is judged.
#[derive(Clone, Copy, Debug)]
struct Judging<'j> {
    site: Site<'j>,
    rules: &'j config::Bearer,
    found: &'j Match<'j>,
    way: Way<'j>,
}

impl Gate {
    /// Nothing where the request brings no token, or the app takes none: then its cookie decides.
    pub(in crate::gate) async fn judge_bearer(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        found: &Match<'_>,
        way: Way<'_>,
        now: Timestamp,
    ) -> Option<Verdict> {
        let rules = site.app.bearer.as_ref()?;
        let presented = presented(incoming.headers)?;
        let record = Record {
            route: self.route_of(incoming, site, found),
            credential: Some("bearer"),
            ..Record::of("refuse")
        };
        let proven = way.proven;
        let taken = self.taken(incoming, site, rules, presented, proven, now);
        let taken = taken.await;
        self.parts.metrics.bearers.inc(match &taken {
            Ok((_, how)) => *how,
            Err(Refused::Unavailable(_)) => BearerResult::Unavailable,
            Err(_) => BearerResult::Invalid,
        });
        Some(match taken {
            Ok((verified, _)) => {
                let judging = Judging {
                    site,
                    rules,
                    found,
                    way,
                };
                self.decided(incoming, judging, &verified, record, now)
                    .await
            }
            Err(refused) => {
                Verdict::Reply(self.refused_bearer(incoming, rules, presented, &refused, record))
            }
        })
    }

    /// The policy's word on a token that is good.
    async fn decided(
        self: &Arc<Self>,
        incoming: &Incoming<'_>,
        judging: Judging<'_>,
        verified: &Arc<Verified>,
        mut record: Record,
        now: Timestamp,
    ) -> Verdict {
        let Judging {
            site,
            rules,
            found,
            way,
        } = judging;
        let claimed = way.claimed;
        let holder = claimed.map(|_| verified.holder());
        let facts = Facts {
            caller: Known::Found(verified.caller()),
            client: incoming.client,
            preflight: false,
            grant: granted(claimed, holder.as_ref()),
            spared: way.spared,
        };
        let decide = |facts: &Facts<'_>| match &rules.required {
            None => self.decide_on(&found.demand, facts, now),
            Some(required) => {
                let demand = found.demand.iter().copied().chain([required]);
                let demand: Vec<&Requirement> = demand.collect();
                self.decide_on(&demand, facts, now)
            }
        };
        let mut decision = decide(&facts);
        let mut already = None;
        if let Decision::Approve(approve) = &decision
            && claimed.is_none()
            && way.spared.is_none()
        {
            let asker = Asker::Bearer(Arc::clone(verified));
            let look = self.already(incoming, site, found, &asker, approve, now);
            already = Box::pin(look).await;
        }
        if let Some(already) = &already {
            decision = decide(&already.among(facts));
        }
        record.decision = decision.name();
        record.subject = Some(verified.subject);
        record.client = verified.client.clone();
        match decision {
            Decision::Allow(permit) => {
                record.need = Some(permit.need());
                record.have = Some(permit.have());
                Verdict::Forward(Forward {
                    within: within(&permit, already, way.approval()),
                    permit,
                    place: incoming.place,
                    upstream: found.route.upstream,
                    session: None,
                    bearer: Some(Arc::clone(verified)),
                    record,
                    sending: None,
                    redeeming: None,
                    is_redeemed: false,
                    is_noted: false,
                    key: None,
                })
            }
            Decision::Approve(approve) if !incoming.decision_only => {
                record.need = Some(approve.need);
                record.have = Some(approve.have);
                let asker = Asker::Bearer(Arc::clone(verified));
                Box::pin(self.want(incoming, site, found, asker, approve, record)).await
            }
            other => {
                let reply = self.not_enough_for(incoming, rules, found, verified, &other, record);
                Verdict::Reply(reply)
            }
        }
    }

    /// A token that is good, and good for this request; and whether it was seen before. `proven`: what it was when its proof
    /// was taken, if that was done for this very request.
    async fn taken(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        rules: &config::Bearer,
        presented: Presented<'_>,
        proven: Option<&Verified>,
        now: Timestamp,
    ) -> Result<(Arc<Verified>, BearerResult), Refused> {
        let Presented::Token { scheme, token } = presented else {
            return Err(Refused::Request);
        };
        let (verified, how) = self.verified(incoming, rules, token, now).await?;
        let binding = &verified.binding;
        match (scheme, &binding.key) {
            (Scheme::Dpop, Some(_)) if proven.is_some_and(|before| before.binding == *binding) => {}
            (Scheme::Dpop, Some(key)) => self.proof_holds(incoming, site, token, key, now).await?,
            // RFC 9449 section 7.1: a bound token is none without its proof, and a proof proves nothing of others.
            (Scheme::Bearer, Some(_)) => return Err(Refused::NeedsProof),
            (Scheme::Dpop, None) => return Err(Refused::Token(TokenFlaw::Confirmation)),
            (Scheme::Bearer, None) if rules.dpop == DpopUse::Require => {
                return Err(Refused::NeedsProof);
            }
            (Scheme::Bearer, None) => {}
        }
        if let Some(certificate) = &binding.certificate
            && incoming.certificate != Some(certificate)
        {
            return Err(Refused::Token(TokenFlaw::Confirmation));
        }
        Ok((verified, how))
    }

    /// Whoever sends a token to an endpoint of ours. `None`: nobody does, or the app takes none.
    pub(in crate::gate) async fn bearer(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        now: Timestamp,
    ) -> Option<Result<Arc<Verified>, Reply>> {
        let rules = site.app.bearer.as_ref()?;
        let presented = presented(incoming.headers)?;
        let record = Record {
            credential: Some("bearer"),
            ..Record::of("own")
        };
        let taken = self.taken(incoming, site, rules, presented, None, now);
        Some(match taken.await {
            Ok((verified, _)) => Ok(verified),
            Err(refused) => Err(self.refused_bearer(incoming, rules, presented, &refused, record)),
        })
    }

    /// Of whoever has sent a token to an endpoint of ours and waits for the answer: whether it is still good, within a
    /// second. Its proof was taken when it came.
    pub(in crate::gate) async fn bearer_still(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        now: Timestamp,
    ) -> Option<Result<Arc<Verified>, Reply>> {
        let rules = site.app.bearer.as_ref()?;
        let presented = presented(incoming.headers)?;
        let looked = match presented {
            Presented::Token { token, .. } => self.verified(incoming, rules, token, now).await,
            Presented::Unreadable(_) => Err(Refused::Request),
        };
        let record = Record {
            credential: Some("bearer"),
            ..Record::of("own")
        };
        Some(match looked {
            Ok((verified, _)) => Ok(verified),
            Err(refused) => Err(self.refused_bearer(incoming, rules, presented, &refused, record)),
        })
    }

    /// Each proof is good once, over all instances (RFC 9449 section 11.1).
    async fn proof_holds(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        token: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let raw = proof(incoming.headers).ok_or(Refused::Proof(TokenFlaw::Missing))?;
        let proven = Proven {
            method: incoming.method,
            origin: &site.origin.text,
            path: incoming.target.path(),
            token,
            key,
            now,
        };
        let canonical = |path: &str| {
            let target = Target::parse(path.as_bytes(), site.app.accept).ok()?;
            Some(target.path().to_owned())
        };
        let proof = check_proof(raw, &proven, canonical).map_err(Refused::Proof)?;
        let mark = Mark::used_proof(key, &proof.id);
        match self.parts.store.once(&mark, proof.ends, now).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refused::Proof(TokenFlaw::Replayed)),
            Err(Unavailable) => Err(Refused::Unavailable("store-unavailable")),
        }
    }

    /// Of one that was taken before and is still in use: whether it would be taken now.
    pub(in crate::gate) async fn token_now(
        &self,
        incoming: &Incoming<'_>,
        rules: &config::Bearer,
        token: &Secret,
        now: Timestamp,
    ) -> Known<Arc<Verified>> {
        match self.looked_at(incoming, rules, token.reveal(), now).await {
            Ok(verified) => Known::Found(verified),
            Err(Refused::Unavailable(_)) => Known::Unavailable,
            Err(_) => Known::Absent,
        }
    }

    fn route_of(
        &self,
        incoming: &Incoming<'_>,
        site: Site<'_>,
        found: &Match<'_>,
    ) -> Option<(usize, usize)> {
        let position = site.app.table.position(found.route)?;
        Some((incoming.place.app, position))
    }
}

/// The one that the request brings.
pub(in crate::gate) fn token(headers: &HeaderMap) -> Secret {
    match presented(headers) {
        Some(Presented::Token { token, .. }) => Secret::new(token.to_owned()),
        // No token is, and it will not be taken for one.
        Some(Presented::Unreadable(_)) | None => Secret::new(String::new()),
    }
}

/// The one `DPoP` field.
fn proof(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(DPOP).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) => field.to_str().ok(),
        _ => None,
    }
}

pub const DPOP: header::HeaderName = header::HeaderName::from_static("dpop");

impl From<OidcError> for Refused {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::InvalidToken(flaw) => Self::Token(flaw),
            // Only the operator can help, and should see it.
            OidcError::Misconfigured(_) | OidcError::Refused { .. } => {
                tracing::error!(%error, "bearers cannot be checked");
                Self::Unavailable("keycloak-unavailable")
            }
            OidcError::Unavailable(_) | OidcError::ForeignResponse => {
                tracing::warn!(%error, "a bearer could not be checked");
                Self::Unavailable("keycloak-unavailable")
            }
        }
    }
}
