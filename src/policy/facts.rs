//! What a decision may look at.

use std::net::IpAddr;

use crate::model::evidence::{Evidence, Identity};

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
}
