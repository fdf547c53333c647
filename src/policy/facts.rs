//! What a decision may look at.

use std::net::IpAddr;

use crate::model::approval::{Action, Approval, Holder};
use crate::model::evidence::{Evidence, Identity};
use crate::policy::approval::when::Spared;

/// Three answers, never mixed up: what could not be found out is not absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<T> {
    Found(T),
    Absent,
    Unavailable,
}

#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub evidence: &'a Evidence,
    pub identity: &'a Identity,
}

#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub caller: Known<Caller<'a>>,
    /// The client's address by `trusted_proxies`.
    pub client: IpAddr,
    /// It only asks whether a script of another origin may ask (a CORS preflight), and names nobody: browsers send no
    /// credentials with it.
    pub preflight: bool,
    /// What somebody may have said to this very request.
    pub grant: Known<Grant<'a>>,
    /// That this very request is not of those that need their approval.
    pub spared: Option<&'a Spared>,
}

/// An approval that the caller refers to, and what it is to be used for.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    pub approval: &'a Approval,
    /// Who uses it.
    pub holder: &'a Holder,
    /// The request that is about to go, under the policy as it is now.
    pub action: &'a Action,
}
