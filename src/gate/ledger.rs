//! Records of ours in the store, beside each other: approvals, the browsers that are told of them, the devices that decide
//! on them, sign-ins by CIBA. Each is sealed for its kind, its key, and the provider and client whose users it is about; nothing of one kind
//! opens as another. Each change is one compare-and-set.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::time::Timestamp;
use crate::seal::{OpenError, Sealer};
use crate::store::{
    ApprovalKey, ApprovalPut, Expect, KeptApproval, Most, Owner, Store, Unavailable, Version,
};

/// The records of one kind.
#[derive(Clone, Debug)]
pub(in crate::gate) struct Ledger {
    /// What they are sealed for.
    purpose: &'static str,
    store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
    issuer: String,
    client: String,
}

/// Where a record is found, and how long.
#[derive(Clone, Debug)]
pub(in crate::gate) struct Filed {
    /// Where no other one may be.
    pub(in crate::gate) alone: Option<Owner>,
    /// The first one's share is limited.
    pub(in crate::gate) owners: Vec<Owner>,
    pub(in crate::gate) expires: Timestamp,
}

impl Ledger {
    /// `issuer` and `client`: whose users they are about.
    pub(in crate::gate) fn new(
        purpose: &'static str,
        store: Arc<dyn Store>,
        sealer: Arc<Sealer>,
        issuer: &str,
        client: &str,
    ) -> Self {
        Self {
            purpose,
            store,
            sealer,
            issuer: issuer.to_owned(),
            client: client.to_owned(),
        }
    }

    /// The records of another kind, of the same users in the same store.
    pub(in crate::gate) fn beside(&self, purpose: &'static str) -> Self {
        Self {
            purpose,
            ..self.clone()
        }
    }

    pub(in crate::gate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(in crate::gate) fn client(&self) -> &str {
        &self.client
    }

    pub(in crate::gate) async fn put<T: Serialize + Sync>(
        &self,
        key: &ApprovalKey,
        record: &T,
        filed: Filed,
        expect: Expect,
        most: Most,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        let plaintext = serde_json::to_vec(record).map_err(|_| Unavailable)?;
        let Filed {
            alone,
            owners,
            expires,
        } = filed;
        let kept = KeptApproval {
            sealed: self
                .sealer
                .seal_bytes(self.purpose, &self.place(key), &plaintext),
            alone,
            owners,
            expires,
        };
        self.store.put_approval(key, kept, expect, most, now).await
    }

    /// `Some((_, None))`: it is not what was put there.
    pub(in crate::gate) async fn look<T: DeserializeOwned>(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Option<(Version, Option<T>)>, Unavailable> {
        let Some((version, sealed)) = self.store.approval(key, now).await? else {
            return Ok(None);
        };
        let opened = self
            .sealer
            .open_bytes(self.purpose, &self.place(key), &sealed);
        let found = match opened {
            Ok(plaintext) => serde_json::from_slice(&plaintext).ok(),
            Err(OpenError::UnknownKey) => return Err(Unavailable),
            Err(OpenError::Tampered) => None,
        };
        if found.is_none() {
            let kind = self.purpose;
            tracing::error!(
                kind,
                "a record is not what was stored, and counts as absent"
            );
        }
        Ok(Some((version, found)))
    }

    pub(in crate::gate) async fn all<T: DeserializeOwned>(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Vec<(ApprovalKey, T)>, Unavailable> {
        let mut found = Vec::new();
        for key in self.store.approvals_of(owner, now).await? {
            if let Some((_, Some(record))) = self.look(&key, now).await? {
                found.push((key, record));
            }
        }
        Ok(found)
    }

    fn place<'p>(&'p self, key: &'p ApprovalKey) -> [&'p [u8]; 3] {
        [&key.0, self.issuer.as_bytes(), self.client.as_bytes()]
    }
}
