//! One session as the file has it: what the store itself needs in the clear, then the session, sealed.
//!
//! `format (1) | version (8) | expiry (8) | owners: count (1), 16 each | origin: length (2), text | sealed JSON`, numbers
//! in network order. What stands in the clear is associated data of the seal: it cannot be changed, nor moved to another
//! key.

use super::tables::{read_owners, write_owners};
use crate::model::session::{Session, SessionKey};
use crate::model::time::Timestamp;
use crate::store::{Owner, Sealing, Unopened, Version};

const FORMAT: u8 = 1;

/// A record, read but not opened.
#[derive(Debug)]
pub(super) struct Record<'r> {
    pub(super) version: Version,
    pub(super) expires: Timestamp,
    pub(super) owners: Vec<Owner>,
    clear: &'r [u8],
    pub(super) sealed: &'r [u8],
}

/// Of what this store makes of a session; how many bytes the session has unsealed, too.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) record: Vec<u8>,
    pub(super) length: usize,
}

pub(super) fn write(
    key: &SessionKey,
    session: &Session,
    version: Version,
    expires: Timestamp,
    sealing: &dyn Sealing,
) -> Option<Written> {
    let plaintext = serde_json::to_vec(session).ok()?;
    let owners: Vec<_> = Owner::of(session).collect();
    let origin = session.origin.as_bytes();
    let mut record = vec![FORMAT];
    record.extend_from_slice(&version.0.to_be_bytes());
    record.extend_from_slice(&expires.as_unix().to_be_bytes());
    write_owners(&mut record, &owners);
    record.extend_from_slice(&u16::try_from(origin.len()).ok()?.to_be_bytes());
    record.extend_from_slice(origin);
    let sealed = sealing.seal(&[&key.0, &record], &plaintext);
    record.extend_from_slice(&sealed);
    Some(Written {
        record,
        length: plaintext.len(),
    })
}

impl<'r> Record<'r> {
    /// `None`: not written by a store of this version.
    pub(super) fn read(record: &'r [u8]) -> Option<Self> {
        let (&[format], rest) = record.split_first_chunk()?;
        if format != FORMAT {
            return None;
        }
        let (version, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (owners, rest) = read_owners(rest)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (_origin, sealed) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (clear, _) = record.split_at_checked(record.len() - sealed.len())?;
        Some(Self {
            version: Version(u64::from_be_bytes(*version)),
            expires: Timestamp::from_unix(i64::from_be_bytes(*expires)),
            owners,
            clear,
            sealed,
        })
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }

    /// The session, and how many bytes it has unsealed.
    pub(super) fn open(
        &self,
        key: &SessionKey,
        sealing: &dyn Sealing,
    ) -> Result<(Session, usize), Unopened> {
        let plaintext = sealing.open(&[&key.0, self.clear], self.sealed)?;
        let session = serde_json::from_slice(&plaintext).map_err(|_| Unopened::Tampered)?;
        Ok((session, plaintext.len()))
    }

    /// The same, sealed by the key that seals now.
    pub(super) fn sealed_anew(
        &self,
        key: &SessionKey,
        sealing: &dyn Sealing,
    ) -> Result<Vec<u8>, Unopened> {
        let place: &[&[u8]] = &[&key.0, self.clear];
        let plaintext = sealing.open(place, self.sealed)?;
        let mut record = self.clear.to_vec();
        record.extend_from_slice(&sealing.seal(place, &plaintext));
        Ok(record)
    }
}
