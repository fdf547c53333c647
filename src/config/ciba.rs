//! `[keycloak.ciba]`: for whom stepgate is the realm's authentication channel (Keycloak's word for the device on which
//! users confirm what other clients ask by OpenID Connect CIBA).

use std::collections::BTreeMap;

use crate::model::level::Rank;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CibaChannel {
    /// Ids of the clients whose requests are taken, and what people read instead.
    pub clients: BTreeMap<String, String>,
    /// What users need in the approver app to decide on one.
    pub level: Rank,
    /// A yes has to be signed by one of their own devices, which was added at that level.
    pub by_device: bool,
    /// How many requests of one user are taken in ten minutes.
    pub per_user: usize,
    /// And of one client.
    pub per_client: usize,
}
