//! What a program is told: a challenge that its client library understands (RFC 6750 section 3, RFC 9449 section 7.1,
//! RFC 9470 section 3), and a problem that a person does (RFC 9457). Who sent no valid token learns nothing of levels.

use std::sync::Arc;

use http::StatusCode;

use super::presented::{Presented, Scheme};
use super::{Refused, Verified};
use crate::config::{self, DpopUse};
use crate::gate::audit::Circumstances;
use crate::gate::authenticate::{RFC_9470, acr_values, challenge};
use crate::gate::judge::reason;
use crate::gate::negotiate::{Kind, kind};
use crate::gate::reply::{Problem, Wanted};
use crate::gate::start::step_up_href;
use crate::gate::{Gate, Incoming, Record, Reply};
use crate::model::level::{Ladder, Level, Rank};
use crate::model::route::Match;
use crate::oidc::{TokenFlaw, proof_algorithms};
use crate::policy::decision::{Decision, Denial, Shortfall, StepUp};
use crate::policy::evidence::for_bearer;
use crate::telemetry::AuditKind;

/// Seconds after which another try makes sense.
const RETRY: u64 = 5;

/// The documents that say what an error is.
const RFC_6750: &str = "https://www.rfc-editor.org/rfc/rfc6750#section-3.1";
const RFC_9449: &str = "https://www.rfc-editor.org/rfc/rfc9449#section-7.1";
const BLANK: &str = "about:blank";

/// What a bearer is told.
#[derive(Clone, Debug)]
pub struct Told<'l> {
    pub status: StatusCode,
    /// `error` of the challenge, and `code` of the problem.
    pub code: &'static str,
    kind: &'static str,
    title: &'static str,
    detail: &'static str,
    /// Of the challenge, behind `error`; none where no token helps.
    pub params: Option<Vec<(&'static str, String)>>,
    /// What a browser's session could have instead.
    level: Option<&'l Level>,
}

/// Of a decision on a token that is good. `None`: it is allowed, or cannot be decided now. `is_dated`: the token tells
/// when the user signed in.
pub fn told<'l>(
    ladder: &'l Ladder,
    rules: &config::Bearer,
    decision: &Decision,
    is_dated: bool,
) -> Option<Told<'l>> {
    match decision {
        // An approval is asked for in another way, for either kind of caller.
        Decision::Allow(_) | Decision::Approve(_) | Decision::Unavailable(_) => None,
        Decision::StepUp(step_up) => Some(told_step_up(ladder, rules, step_up, is_dated)),
        Decision::Deny(denial) if is_of_scopes(denial) => Some(Told {
            status: StatusCode::FORBIDDEN,
            code: "insufficient_scope",
            kind: RFC_6750,
            title: "The token does not have the scope for this.",
            detail: "Ask for a token with the scope that the challenge names.",
            params: Some(vec![("scope", denial.wanted.join(" "))]),
            level: None,
        }),
        Decision::Deny(_) => Some(Told {
            status: StatusCode::FORBIDDEN,
            code: "forbidden",
            kind: BLANK,
            title: "You may not do this, however you sign in.",
            detail: "The token is good, but whom it stands for is not let in here.",
            params: None,
            level: None,
        }),
        // Nobody is absent who sent a token.
        Decision::Login(_) => Some(invalid_token(TokenFlaw::Missing)),
    }
}

/// For a level that a token can show: which, and how recently, as a client would ask Keycloak for it. Else no challenge,
/// which would go round in circles.
fn told_step_up<'l>(
    ladder: &'l Ladder,
    rules: &config::Bearer,
    step_up: &StepUp,
    is_dated: bool,
) -> Told<'l> {
    let need = step_up.need;
    let level = for_bearer(ladder, need.rank, need.max_age, rules.age);
    let is_undated =
        step_up.shortfall == Shortfall::AgeUnknown || need.max_age.is_some() && !is_dated;
    let Some(level) = level.filter(|_| !is_undated) else {
        return Told {
            status: StatusCode::FORBIDDEN,
            code: "bearer_not_accepted",
            kind: BLANK,
            title: "No access token is good enough for this.",
            detail: "It takes a confirmation that an access token cannot show; a person's session in a browser can.",
            params: None,
            level: ladder.askable(need.rank),
        };
    };
    let mut params = Vec::new();
    params.extend(acr_values(level).map(|acr| ("acr_values", acr)));
    // A level that decays is as good as missing when it has, so that Keycloak must not answer with an older one.
    if let Some(max_age) = need.max_age.into_iter().chain(level.lasts).min() {
        params.push(("max_age", max_age.as_secs().to_string()));
    }
    Told {
        status: StatusCode::UNAUTHORIZED,
        code: "insufficient_user_authentication",
        kind: RFC_9470,
        title: "This needs a stronger or more recent sign-in.",
        detail: "Have the user sign in with the parameters of the challenge, and send the token that comes of it.",
        params: Some(params),
        level: Some(level),
    }
}

fn is_of_scopes(denial: &Denial) -> bool {
    matches!(denial.condition, "scopes_any" | "scopes_all")
}

const fn invalid_token(flaw: TokenFlaw) -> Told<'static> {
    Told {
        status: StatusCode::UNAUTHORIZED,
        code: "invalid_token",
        kind: RFC_6750,
        title: match flaw {
            TokenFlaw::Expiry => "The access token has expired.",
            _ => "The access token is not valid here.",
        },
        detail: "Get a new one for this app from its authorization server.",
        params: Some(Vec::new()),
        level: None,
    }
}

impl Refused {
    fn told(&self) -> Told<'static> {
        match self {
            Self::Token(flaw) => invalid_token(*flaw),
            Self::NeedsProof => Told {
                title: "The access token goes with a proof.",
                detail: "It is sent by the DPoP scheme, with a proof by the key that it is bound to.",
                ..invalid_token(TokenFlaw::Confirmation)
            },
            Self::Proof(flaw) => Told {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_dpop_proof",
                kind: RFC_9449,
                title: match flaw {
                    TokenFlaw::Replayed => "The proof was used before.",
                    _ => "The proof does not fit the request.",
                },
                detail: "One DPoP field, made for this request and this token, just now.",
                params: Some(Vec::new()),
                level: None,
            },
            Self::Request => Told {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_request",
                kind: RFC_6750,
                title: "There is not one readable access token.",
                detail: "One Authorization field: the scheme, a blank, the token.",
                params: Some(Vec::new()),
                level: None,
            },
            Self::Unavailable(_) => Told {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "unavailable",
                kind: BLANK,
                title: "The access token cannot be checked at the moment.",
                detail: "Try again in a few seconds.",
                params: None,
                level: None,
            },
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Request => "invalid-request",
            Self::NeedsProof => "proof-needed",
            Self::Token(flaw) | Self::Proof(flaw) => flaw.code(),
            Self::Unavailable(why) => why,
        }
    }
}

impl Gate {
    pub(super) fn refused_bearer(
        &self,
        incoming: &Incoming<'_>,
        rules: &config::Bearer,
        presented: Presented<'_>,
        refused: &Refused,
        mut record: Record,
    ) -> Reply {
        record.reason = Some(refused.reason());
        if let Refused::Unavailable(_) = refused {
            record.decision = "unavailable";
        }
        let scheme = match refused {
            Refused::NeedsProof | Refused::Proof(_) => Scheme::Dpop,
            _ => presented.scheme(),
        };
        let mut reply = tell(incoming, &refused.told(), scheme, rules, record, None);
        if let Refused::Unavailable(_) = refused {
            reply.retry_after(RETRY);
        }
        reply
    }

    /// A token that is good, and not good enough.
    pub(super) fn not_enough_for(
        &self,
        incoming: &Incoming<'_>,
        rules: &config::Bearer,
        found: &Match<'_>,
        verified: &Arc<Verified>,
        decision: &Decision,
        mut record: Record,
    ) -> Reply {
        let ladder = &self.parts.config.ladder;
        let scheme = match verified.binding.key {
            Some(_) => Scheme::Dpop,
            None => Scheme::Bearer,
        };
        let (need, have) = match decision {
            Decision::StepUp(step_up) => {
                record.reason = Some(reason(step_up.shortfall));
                (Some(step_up.need), Some(step_up.have))
            }
            Decision::Deny(denial) => {
                record.reason = Some(denial.condition);
                let circumstances = Circumstances {
                    reason: Some(denial.condition),
                    route: Some(&found.route.id),
                    who: Some(&verified.identity),
                    have: Some(denial.have),
                    need: Some(denial.need),
                    ..Circumstances::default()
                };
                if !incoming.decision_only {
                    self.audit(AuditKind::Refusal, incoming, circumstances);
                }
                (Some(denial.need), Some(denial.have))
            }
            Decision::Approve(approve) => (Some(approve.need), Some(approve.have)),
            Decision::Login(need) | Decision::Unavailable(need) => (Some(*need), None),
            Decision::Allow(_) => (None, None),
        };
        (record.need, record.have) = (need, have);
        let Some(told) = told(ladder, rules, decision, verified.is_dated) else {
            let refused = Refused::Unavailable("undecided");
            return tell(incoming, &refused.told(), scheme, rules, record, None);
        };
        if told.code == "bearer_not_accepted" {
            record.reason = Some("bearer-not-accepted");
        }
        let (step_up, wanted);
        let further = match (told.level, self.site(incoming.place), need) {
            (Some(level), Some(site), Some(need)) => {
                step_up = format!("{}{}", site.origin.text, step_up_href(&level.name, "/"));
                wanted = Wanted {
                    level: ladder.name_of(need.rank),
                    max_age: need.max_age.map(|age| age.as_secs()),
                };
                Some((
                    wanted,
                    ladder.name_of(have.map_or(Rank::ANONYMOUS, |have| have.rank)),
                    step_up.as_str(),
                ))
            }
            _ => None,
        };
        tell(incoming, &told, scheme, rules, record, further)
    }
}

/// `further`: what is needed, what is there, and where a browser gets it.
fn tell(
    incoming: &Incoming<'_>,
    told: &Told<'_>,
    scheme: Scheme,
    rules: &config::Bearer,
    record: Record,
    further: Option<(Wanted<'_>, &str, &str)>,
) -> Reply {
    let (need, have, step_up) = match further {
        Some((need, have, step_up)) => (Some(need), Some(have), Some(step_up)),
        None => (None, None, None),
    };
    let problem = Problem {
        kind: Some(told.kind),
        status: told.status.as_u16(),
        title: told.title,
        detail: Some(told.detail),
        code: told.code,
        request_id: incoming.request_id,
        need,
        have,
        step_up,
        ..Problem::default()
    };
    let mut reply = match kind(incoming.headers) {
        Kind::Grpc => Reply::grpc(told.status, told.title, record),
        _ => Reply::json(told.status, &problem, record),
    };
    if let Some(params) = told.params() {
        add(&mut reply, scheme, &params);
    }
    // Which scheme is taken, where the one that was used is not.
    if scheme == Scheme::Bearer && rules.dpop == DpopUse::Require {
        add(&mut reply, Scheme::Dpop, &[]);
    }
    reply
}

/// Where nobody has signed in, and a program could with a token: that, and nothing else (RFC 6750 section 3.1).
pub(in crate::gate) fn invite(reply: &mut Reply, rules: &config::Bearer) {
    if rules.dpop == DpopUse::Auto {
        add(reply, Scheme::Bearer, &[]);
    }
    add(reply, Scheme::Dpop, &[]);
}

/// With the signatures that proofs may have (RFC 9449 section 5.1).
fn add(reply: &mut Reply, scheme: Scheme, params: &[(&str, &str)]) {
    let algorithms = proof_algorithms();
    let algorithms = (scheme == Scheme::Dpop).then_some(("algs", algorithms.as_str()));
    let params = algorithms.into_iter().chain(params.iter().copied());
    reply.challenge(scheme.name(), params);
}

impl Told<'_> {
    fn params(&self) -> Option<Vec<(&str, &str)>> {
        let error = [("error", self.code), ("error_description", self.title)];
        let params = self.params.as_ref()?.iter();
        let params = params.map(|(name, value)| (*name, value.as_str()));
        Some(error.into_iter().chain(params).collect())
    }

    /// As `explain` shows it.
    pub fn challenge(&self) -> Option<String> {
        Some(challenge(Scheme::Bearer.name(), self.params()?))
    }
}

#[cfg(test)]
mod tests;
