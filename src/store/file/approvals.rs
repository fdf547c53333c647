//! Approvals in the file: their tables, and the store's part that keeps them.
//!
//! A record is `format (1) | version (8) | expiry (8) | owners: count (1), 16 each | sealed`, numbers in network order. What
//! stands in the clear decides when it is found and thrown away, and which change of it is the next; what it says stands in
//! what is sealed.

use async_trait::async_trait;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition,
    WriteTransaction,
};

use super::FileStore;
use super::tables::{Fault, fault, joined, ordered, over, read_owners, write_owners};
use super::writer::Job;
use crate::model::time::Timestamp;
use crate::store::approvals::Standing;
use crate::store::{
    ApprovalKey, ApprovalPut, Approvals, Expect, KeptApproval, Most, Owner, Unavailable, Version,
};

const FORMAT: u8 = 1;

pub(super) const APPROVALS: TableDefinition<'_, &[u8; 32], &[u8]> =
    TableDefinition::new("approvals");
/// Owner and key.
const OWNERS: TableDefinition<'_, &[u8; 48], ()> = TableDefinition::new("approval owners");
/// Expiry and key.
const DUE: TableDefinition<'_, &[u8; 40], ()> = TableDefinition::new("approvals due");

/// What one transaction writes to.
pub(super) struct ApprovalTables<'t> {
    approvals: Table<'t, &'static [u8; 32], &'static [u8]>,
    owners: Table<'t, &'static [u8; 48], ()>,
    due: Table<'t, &'static [u8; 40], ()>,
    pub(super) changed: bool,
}

/// A write of one.
#[derive(Debug)]
pub(super) struct PuttingApproval {
    pub(super) key: ApprovalKey,
    pub(super) kept: KeptApproval,
    pub(super) expect: Expect,
    pub(super) most: Most,
    pub(super) now: Timestamp,
}

/// A record, read.
struct Record<'r> {
    version: Version,
    expires: Timestamp,
    owners: Vec<Owner>,
    sealed: &'r [u8],
}

impl<'t> ApprovalTables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            approvals: transaction.open_table(APPROVALS).map_err(fault)?,
            owners: transaction.open_table(OWNERS).map_err(fault)?,
            due: transaction.open_table(DUE).map_err(fault)?,
            changed: false,
        })
    }

    pub(super) fn put(&mut self, putting: &PuttingApproval) -> Result<ApprovalPut, Fault> {
        let PuttingApproval {
            key,
            kept,
            expect,
            most,
            now,
        } = putting;
        // What is over takes no room and no place, however far behind the chores are.
        while self.throw_away(*now, 64)? == 64 {}
        let version = match self.standing(key, kept)?.allows(*expect, *most) {
            Ok(version) => version,
            Err(refused) => return Ok(refused),
        };
        self.remove(key)?;
        self.changed = true;
        let owners = kept.indexed();
        let record = write(version, kept.expires, &owners, &kept.sealed);
        self.approvals
            .insert(&key.0, record.as_slice())
            .map_err(fault)?;
        for owner in &owners {
            let row: [u8; 48] = joined(&owner.0, &key.0);
            self.owners.insert(&row, ()).map_err(fault)?;
        }
        let row: [u8; 40] = joined(&ordered(kept.expires), &key.0);
        self.due.insert(&row, ()).map_err(fault)?;
        Ok(ApprovalPut::Done(version))
    }

    fn standing(&self, key: &ApprovalKey, kept: &KeptApproval) -> Result<Standing, Fault> {
        let known = self.approvals.get(&key.0).map_err(fault)?;
        // One that cannot be read is there, and is as nobody expects it.
        let version = known
            .map(|record| read(record.value()).map_or(Version(u64::MAX), |record| record.version));
        let beside = match &kept.alone {
            Some(alone) => of(&self.owners, alone)?,
            None => Vec::new(),
        };
        let share = match kept.owners.first() {
            Some(first) => of(&self.owners, first)?.len(),
            None => 0,
        };
        let all = self.approvals.len().map_err(fault)?;
        Ok(Standing {
            version,
            beside: beside.into_iter().find(|other| other != key),
            all: usize::try_from(all).unwrap_or(usize::MAX),
            share,
        })
    }

    fn remove(&mut self, key: &ApprovalKey) -> Result<(), Fault> {
        let removed = self.approvals.remove(&key.0).map_err(fault)?;
        let Some(bytes) = removed.map(|record| record.value().to_vec()) else {
            return Ok(());
        };
        self.changed = true;
        if let Some(record) = read(&bytes) {
            for owner in &record.owners {
                let row: [u8; 48] = joined(&owner.0, &key.0);
                self.owners.remove(&row).map_err(fault)?;
            }
            let row: [u8; 40] = joined(&ordered(record.expires), &key.0);
            self.due.remove(&row).map_err(fault)?;
        }
        Ok(())
    }

    /// Removes those that are over, at most `most`; how many it were.
    pub(super) fn throw_away(&mut self, now: Timestamp, most: usize) -> Result<usize, Fault> {
        let over = over(&self.due, now, most)?;
        for row in &over {
            self.changed = true;
            self.due.remove(row).map_err(fault)?;
            if let Some(key) = row.last_chunk::<32>() {
                self.remove(&ApprovalKey(*key))?;
            }
        }
        Ok(over.len())
    }
}

fn of(
    owners: &impl ReadableTable<&'static [u8; 48], ()>,
    owner: &Owner,
) -> Result<Vec<ApprovalKey>, Fault> {
    let first: [u8; 48] = joined(&owner.0, &[0; 32]);
    let last: [u8; 48] = joined(&owner.0, &[u8::MAX; 32]);
    let mut found = Vec::new();
    for row in owners.range::<&[u8; 48]>(&first..=&last).map_err(fault)? {
        let (row, _) = row.map_err(fault)?;
        found.extend(row.value().last_chunk().map(|key| ApprovalKey(*key)));
    }
    Ok(found)
}

fn look(
    transaction: &ReadTransaction,
    key: &ApprovalKey,
    now: Timestamp,
) -> Result<Option<(Version, Vec<u8>)>, Fault> {
    let approvals = transaction.open_table(APPROVALS).map_err(fault)?;
    let bytes = approvals.get(&key.0).map_err(fault)?;
    Ok(bytes.and_then(|bytes| {
        let record = read(bytes.value()).filter(|record| record.expires > now)?;
        Some((record.version, record.sealed.to_vec()))
    }))
}

fn look_of(
    transaction: &ReadTransaction,
    owner: &Owner,
    now: Timestamp,
) -> Result<Vec<ApprovalKey>, Fault> {
    let owners = transaction.open_table(OWNERS).map_err(fault)?;
    let approvals = transaction.open_table(APPROVALS).map_err(fault)?;
    let mut kept = Vec::new();
    for key in of(&owners, owner)? {
        let bytes = approvals.get(&key.0).map_err(fault)?;
        let record = bytes.as_ref().and_then(|bytes| read(bytes.value()));
        if record.is_some_and(|record| record.expires > now) {
            kept.push(key);
        }
    }
    Ok(kept)
}

fn write<'o>(
    version: Version,
    expires: Timestamp,
    owners: impl IntoIterator<Item = &'o Owner>,
    sealed: &[u8],
) -> Vec<u8> {
    let mut record = Vec::with_capacity(64 + sealed.len());
    record.push(FORMAT);
    record.extend_from_slice(&version.0.to_be_bytes());
    record.extend_from_slice(&expires.as_unix().to_be_bytes());
    write_owners(&mut record, owners);
    record.extend_from_slice(sealed);
    record
}

/// `None`: not written by a store of this version.
fn read(record: &[u8]) -> Option<Record<'_>> {
    let (&[format], rest) = record.split_first_chunk()?;
    if format != FORMAT {
        return None;
    }
    let (version, rest) = rest.split_first_chunk()?;
    let (expires, rest) = rest.split_first_chunk()?;
    let (owners, rest) = read_owners(rest)?;
    Some(Record {
        version: Version(u64::from_be_bytes(*version)),
        expires: Timestamp::from_unix(i64::from_be_bytes(*expires)),
        owners,
        sealed: rest,
    })
}

#[async_trait]
impl Approvals for FileStore {
    async fn put_approval(
        &self,
        key: &ApprovalKey,
        kept: KeptApproval,
        expect: Expect,
        most: Most,
        now: Timestamp,
    ) -> Result<ApprovalPut, Unavailable> {
        let putting = Box::new(PuttingApproval {
            key: *key,
            kept,
            expect,
            most,
            now,
        });
        self.write(|answer| Job::PutApproval(putting, answer)).await
    }

    async fn approval(
        &self,
        key: &ApprovalKey,
        now: Timestamp,
    ) -> Result<Option<(Version, Vec<u8>)>, Unavailable> {
        let key = *key;
        self.read(move |shared| shared.look(|transaction| Ok(look(transaction, &key, now)?)))
            .await
    }

    async fn approvals_of(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Vec<ApprovalKey>, Unavailable> {
        let owner = *owner;
        self.read(move |shared| shared.look(|transaction| Ok(look_of(transaction, &owner, now)?)))
            .await
    }
}
