//! Parked requests in the file: their tables, and the store's part that keeps them.
//!
//! A record is `format (1) | expiry (8) | owners: count (1), 16 each | sealed`, numbers in network order. What stands in
//! the clear decides when it is thrown away, no more: whose it is stands in what is sealed.

use async_trait::async_trait;
use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition,
    WriteTransaction,
};

use super::FileStore;
use super::tables::{Fault, fault, joined, ordered, over, read_owners, write_owners};
use super::writer::Job;
use crate::model::time::Timestamp;
use crate::store::parked::size;
use crate::store::{Owner, Parked, ParkedAs, ParkedKey, Parking, Room, Stock, Unavailable};

const FORMAT: u8 = 1;

pub(super) const PARKED: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("parked");
/// Owner and key, with the size.
const OWNERS: TableDefinition<'_, &[u8; 48], u64> = TableDefinition::new("parked owners");
/// Expiry and key.
const DUE: TableDefinition<'_, &[u8; 40], ()> = TableDefinition::new("parked due");
/// One row: the size of all.
const BYTES: TableDefinition<'_, (), u64> = TableDefinition::new("parked bytes");

/// What one transaction writes to.
pub(super) struct ParkedTables<'t> {
    parked: Table<'t, &'static [u8; 32], &'static [u8]>,
    owners: Table<'t, &'static [u8; 48], u64>,
    due: Table<'t, &'static [u8; 40], ()>,
    bytes: Table<'t, (), u64>,
    pub(super) changed: bool,
}

impl<'t> ParkedTables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            parked: transaction.open_table(PARKED).map_err(fault)?,
            owners: transaction.open_table(OWNERS).map_err(fault)?,
            due: transaction.open_table(DUE).map_err(fault)?,
            bytes: transaction.open_table(BYTES).map_err(fault)?,
            changed: false,
        })
    }

    pub(super) fn park(
        &mut self,
        key: &ParkedKey,
        parked: &Parked,
        room: Room,
        now: Timestamp,
    ) -> Result<ParkedAs, Fault> {
        // What is over takes no room, however far behind the chores are.
        while self.throw_away(now, 64)? == 64 {}
        if self.parked.get(&key.0).map_err(fault)?.is_some() {
            return Ok(ParkedAs::Taken);
        }
        let size = parked.size();
        let (share, requests) = match parked.owners.first() {
            Some(owner) => self.share(owner)?,
            None => (0, 0),
        };
        let all = self.stock()?.bytes.saturating_add(size);
        let held = room.holds(all, share.saturating_add(size), requests.saturating_add(1));
        if held == ParkedAs::Kept {
            self.changed = true;
            let record = write(parked);
            self.parked
                .insert(&key.0, record.as_slice())
                .map_err(fault)?;
            for owner in &parked.owners {
                let row: [u8; 48] = joined(&owner.0, &key.0);
                self.owners.insert(&row, size).map_err(fault)?;
            }
            let row: [u8; 40] = joined(&ordered(parked.expires), &key.0);
            self.due.insert(&row, ()).map_err(fault)?;
            self.bytes.insert((), all).map_err(fault)?;
        }
        Ok(held)
    }

    pub(super) fn unpark(
        &mut self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let removed = self.remove(key)?;
        Ok(removed.and_then(|parked| (parked.expires > now).then_some(parked.sealed)))
    }

    pub(super) fn drop_of(&mut self, owner: &Owner) -> Result<usize, Fault> {
        let keys: Vec<_> = self.of(owner)?.into_iter().map(|(key, _)| key).collect();
        for key in &keys {
            self.remove(key)?;
        }
        Ok(keys.len())
    }

    /// Removes those that are over, at most `most`; how many it were.
    pub(super) fn throw_away(&mut self, now: Timestamp, most: usize) -> Result<usize, Fault> {
        let over = over(&self.due, now, most)?;
        for row in &over {
            self.changed = true;
            self.due.remove(row).map_err(fault)?;
            if let Some(key) = row.last_chunk::<32>() {
                self.remove(&ParkedKey(*key))?;
            }
        }
        Ok(over.len())
    }

    pub(super) fn stock(&self) -> Result<Stock, Fault> {
        let bytes = self.bytes.get(()).map_err(fault)?;
        Ok(Stock {
            requests: self.parked.len().map_err(fault)?,
            bytes: bytes.map_or(0, |row| row.value()),
        })
    }

    fn share(&self, owner: &Owner) -> Result<(u64, usize), Fault> {
        let rows = self.of(owner)?;
        Ok((rows.iter().map(|(_, size)| size).sum(), rows.len()))
    }

    fn of(&self, owner: &Owner) -> Result<Vec<(ParkedKey, u64)>, Fault> {
        let first: [u8; 48] = joined(&owner.0, &[0; 32]);
        let last: [u8; 48] = joined(&owner.0, &[u8::MAX; 32]);
        let mut found = Vec::new();
        let rows = self.owners.range::<&[u8; 48]>(&first..=&last);
        for row in rows.map_err(fault)? {
            let (row, size) = row.map_err(fault)?;
            let key = row.value().last_chunk().map(|key| ParkedKey(*key));
            found.extend(key.map(|key| (key, size.value())));
        }
        Ok(found)
    }

    fn remove(&mut self, key: &ParkedKey) -> Result<Option<Parked>, Fault> {
        let removed = self.parked.remove(&key.0).map_err(fault)?;
        let Some(record) = removed.map(|record| record.value().to_vec()) else {
            return Ok(None);
        };
        self.changed = true;
        // One that cannot be read goes with its share; its other rows are thrown away when they are due.
        let parked = read(&record);
        let size = parked
            .as_ref()
            .map_or(size(record.len()), |parked| parked.size());
        let left = self.stock()?.bytes.saturating_sub(size);
        self.bytes.insert((), left).map_err(fault)?;
        if let Some(parked) = &parked {
            for owner in &parked.owners {
                let row: [u8; 48] = joined(&owner.0, &key.0);
                self.owners.remove(&row).map_err(fault)?;
            }
            let row: [u8; 40] = joined(&ordered(parked.expires), &key.0);
            self.due.remove(&row).map_err(fault)?;
        }
        Ok(parked)
    }
}

/// Without taking it out.
pub(super) fn look(
    transaction: &ReadTransaction,
    key: &ParkedKey,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, Fault> {
    let parked = transaction.open_table(PARKED).map_err(fault)?;
    let record = parked.get(&key.0).map_err(fault)?;
    let found = record.and_then(|record| read(record.value()));
    Ok(found.and_then(|parked| (parked.expires > now).then_some(parked.sealed)))
}

fn write(parked: &Parked) -> Vec<u8> {
    let mut record = Vec::with_capacity(64 + parked.sealed.len());
    record.push(FORMAT);
    record.extend_from_slice(&parked.expires.as_unix().to_be_bytes());
    write_owners(&mut record, &parked.owners);
    record.extend_from_slice(&parked.sealed);
    record
}

/// `None`: not written by a store of this version.
fn read(record: &[u8]) -> Option<Parked> {
    let (&[format], rest) = record.split_first_chunk()?;
    if format != FORMAT {
        return None;
    }
    let (expires, rest) = rest.split_first_chunk()?;
    let (owners, rest) = read_owners(rest)?;
    Some(Parked {
        sealed: rest.to_vec(),
        owners,
        expires: Timestamp::from_unix(i64::from_be_bytes(*expires)),
    })
}

#[async_trait]
impl Parking for FileStore {
    async fn park(
        &self,
        key: &ParkedKey,
        parked: Parked,
        room: Room,
        now: Timestamp,
    ) -> Result<ParkedAs, Unavailable> {
        let key = *key;
        self.write(|answer| Job::Park {
            key,
            parked,
            room,
            now,
            answer,
        })
        .await
    }

    async fn parked(
        &self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        let key = *key;
        self.read(move |shared| shared.look(|transaction| Ok(look(transaction, &key, now)?)))
            .await
    }

    async fn unpark(
        &self,
        key: &ParkedKey,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Unavailable> {
        let key = *key;
        self.write(|answer| Job::Unpark { key, now, answer }).await
    }

    async fn drop_parked(&self, owner: &Owner) -> Result<usize, Unavailable> {
        let owner = *owner;
        self.write(|answer| Job::DropParked { owner, answer }).await
    }

    fn stock(&self) -> Stock {
        self.shared.stock()
    }
}
