//! The tables of the file, and the changes that keep them in step with one another.

use redb::{
    ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction,
};

use super::approvals::ApprovalTables;
use super::parked::ParkedTables;
use super::record::Record;
use crate::model::session::SessionKey;
use crate::model::time::Timestamp;
use crate::store::{Mark, Owner};

/// Raised with every change of what stands in the tables; see [`META`].
pub(super) const SCHEMA: u64 = 1;

type Due = [u8; 40];
type MarkDue = [u8; 24];

pub(super) const SESSIONS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("sessions");
/// Owner and key: the index.
pub(super) const OWNERS: TableDefinition<'_, &[u8; 48], ()> = TableDefinition::new("owners");
/// When a session was last used as far as it is kept, and under which time it stands in [`DUE`].
pub(super) const SEEN: TableDefinition<'_, &[u8; 32], (i64, i64)> = TableDefinition::new("seen");
/// Time and key: when a session has to be looked at, for it may be over.
pub(super) const DUE: TableDefinition<'_, &[u8; 40], ()> = TableDefinition::new("due");
/// When it was set, and its expiry.
pub(super) const MARKS: TableDefinition<'_, &[u8; 16], (i64, i64)> = TableDefinition::new("marks");
pub(super) const MARKS_DUE: TableDefinition<'_, &[u8; 24], ()> = TableDefinition::new("marks due");
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Of [`META`].
pub(super) const SCHEMA_KEY: &str = "schema";
/// Every session is sealed by the key of this id.
pub(super) const SEALED_BY_KEY: &str = "sealed by";

/// Boxed: it is large, and rare.
pub(super) type Fault = Box<redb::Error>;

pub(super) fn fault(error: impl Into<redb::Error>) -> Fault {
    Box::new(error.into())
}

/// All that one transaction writes to.
pub(super) struct Tables<'t> {
    sessions: Table<'t, &'static [u8; 32], &'static [u8]>,
    owners: Table<'t, &'static [u8; 48], ()>,
    seen: Table<'t, &'static [u8; 32], (i64, i64)>,
    due: Table<'t, &'static [u8; 40], ()>,
    marks: Table<'t, &'static [u8; 16], (i64, i64)>,
    marks_due: Table<'t, &'static [u8; 24], ()>,
    meta: Table<'t, &'static str, u64>,
    pub(super) parked: ParkedTables<'t>,
    pub(super) approvals: ApprovalTables<'t>,
    /// Without a change there is nothing to commit.
    pub(super) changed: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            sessions: transaction.open_table(SESSIONS).map_err(fault)?,
            owners: transaction.open_table(OWNERS).map_err(fault)?,
            seen: transaction.open_table(SEEN).map_err(fault)?,
            due: transaction.open_table(DUE).map_err(fault)?,
            marks: transaction.open_table(MARKS).map_err(fault)?,
            marks_due: transaction.open_table(MARKS_DUE).map_err(fault)?,
            meta: transaction.open_table(META).map_err(fault)?,
            parked: ParkedTables::open(transaction)?,
            approvals: ApprovalTables::open(transaction)?,
            changed: false,
        })
    }

    pub(super) fn session(&self, key: &SessionKey) -> Result<Option<Vec<u8>>, Fault> {
        let found = self.sessions.get(&key.0).map_err(fault)?;
        Ok(found.map(|record| record.value().to_vec()))
    }

    pub(super) fn seen(&self, key: &SessionKey) -> Result<Option<Timestamp>, Fault> {
        let found = self.seen.get(&key.0).map_err(fault)?;
        Ok(found.map(|row| Timestamp::from_unix(row.value().0)))
    }

    /// `due`: when it has to be looked at.
    pub(super) fn put(
        &mut self,
        key: &SessionKey,
        record: &[u8],
        owners: &[Owner],
        seen: Timestamp,
        due: Timestamp,
    ) -> Result<(), Fault> {
        self.remove(key)?;
        self.changed = true;
        self.sessions.insert(&key.0, record).map_err(fault)?;
        for owner in owners {
            let row = owner_row(owner, key);
            self.owners.insert(&row, ()).map_err(fault)?;
        }
        self.see(key, seen, due)
    }

    /// What was there.
    pub(super) fn remove(&mut self, key: &SessionKey) -> Result<Option<Vec<u8>>, Fault> {
        let removed = self.sessions.remove(&key.0).map_err(fault)?;
        let record = removed.map(|record| record.value().to_vec());
        if let Some(record) = &record {
            self.changed = true;
            let owners = Record::read(record).map(|record| record.owners);
            for owner in owners.unwrap_or_default() {
                let row = owner_row(&owner, key);
                self.owners.remove(&row).map_err(fault)?;
            }
        }
        let seen = self.seen.remove(&key.0).map_err(fault)?;
        if let Some((_, due)) = seen.map(|row| row.value()) {
            self.changed = true;
            let row = due_row(Timestamp::from_unix(due), key);
            self.due.remove(&row).map_err(fault)?;
        }
        Ok(record)
    }

    /// The same session in another form.
    pub(super) fn replace(&mut self, key: &SessionKey, record: &[u8]) -> Result<(), Fault> {
        self.changed = true;
        self.sessions.insert(&key.0, record).map_err(fault)?;
        Ok(())
    }

    /// Notes a use of a session that is there.
    pub(super) fn used(&mut self, key: &SessionKey, at: Timestamp) -> Result<(), Fault> {
        let row = self.seen.get(&key.0).map_err(fault)?.map(|row| row.value());
        if let Some((known, due)) = row
            && known < at.as_unix()
        {
            self.changed = true;
            let row = (at.as_unix(), due);
            self.seen.insert(&key.0, row).map_err(fault)?;
        }
        Ok(())
    }

    /// What has to be looked at by `now`, at most `most` and the earliest first.
    pub(super) fn due(&self, now: Timestamp, most: usize) -> Result<Vec<SessionKey>, Fault> {
        let mut found = Vec::new();
        let last = due_row(now, &SessionKey([u8::MAX; 32]));
        let rows = self.due.range::<&[u8; 40]>(..=&last);
        for row in rows.map_err(fault)?.take(most) {
            let (row, _) = row.map_err(fault)?;
            found.extend(row.value().last_chunk().map(|key| SessionKey(*key)));
        }
        Ok(found)
    }

    /// Looks at it again at `due`.
    pub(super) fn postpone(
        &mut self,
        key: &SessionKey,
        seen: Timestamp,
        due: Timestamp,
    ) -> Result<(), Fault> {
        let row = self.seen.get(&key.0).map_err(fault)?.map(|row| row.value());
        if let Some((_, before)) = row {
            let row = due_row(Timestamp::from_unix(before), key);
            self.due.remove(&row).map_err(fault)?;
        }
        self.see(key, seen, due)
    }

    fn see(&mut self, key: &SessionKey, seen: Timestamp, due: Timestamp) -> Result<(), Fault> {
        self.changed = true;
        let row = (seen.as_unix(), due.as_unix());
        self.seen.insert(&key.0, row).map_err(fault)?;
        self.due.insert(&due_row(due, key), ()).map_err(fault)?;
        Ok(())
    }

    pub(super) fn marked(&self, mark: &Mark) -> Result<Option<(Timestamp, Timestamp)>, Fault> {
        let found = self.marks.get(&mark.0).map_err(fault)?;
        Ok(found.map(|row| times(row.value())))
    }

    pub(super) fn mark(
        &mut self,
        mark: &Mark,
        at: Timestamp,
        expires: Timestamp,
    ) -> Result<(), Fault> {
        self.changed = true;
        let row = (at.as_unix(), expires.as_unix());
        let before = self.marks.insert(&mark.0, row).map_err(fault)?;
        let before = before.map(|row| times(row.value()));
        if let Some((_, before)) = before {
            let row = mark_row(before, mark);
            self.marks_due.remove(&row).map_err(fault)?;
        }
        let row = mark_row(expires, mark);
        self.marks_due.insert(&row, ()).map_err(fault)?;
        Ok(())
    }

    /// Removes marks that are over, at most `most`; how many it were.
    pub(super) fn remove_marks(&mut self, now: Timestamp, most: usize) -> Result<usize, Fault> {
        let mut over: Vec<MarkDue> = Vec::new();
        let last = mark_row(now, &Mark([u8::MAX; 16]));
        let rows = self.marks_due.range::<&[u8; 24]>(..=&last);
        for row in rows.map_err(fault)?.take(most) {
            over.push(*row.map_err(fault)?.0.value());
        }
        for row in &over {
            self.changed = true;
            self.marks_due.remove(row).map_err(fault)?;
            if let Some(mark) = row.last_chunk::<16>() {
                self.marks.remove(mark).map_err(fault)?;
            }
        }
        Ok(over.len())
    }

    /// Behind `after`, at most `most`.
    pub(super) fn sessions_behind(
        &self,
        after: Option<SessionKey>,
        most: usize,
    ) -> Result<Vec<(SessionKey, Vec<u8>)>, Fault> {
        page(&self.sessions, after, most)
    }

    pub(super) fn count(&self) -> Result<u64, Fault> {
        self.sessions.len().map_err(fault)
    }

    pub(super) fn meta(&self, key: &str) -> Result<Option<u64>, Fault> {
        let found = self.meta.get(key).map_err(fault)?;
        Ok(found.map(|row| row.value()))
    }

    pub(super) fn set_meta(&mut self, key: &str, value: u64) -> Result<(), Fault> {
        self.changed = true;
        self.meta.insert(key, value).map_err(fault)?;
        Ok(())
    }
}

pub(super) fn page(
    sessions: &impl redb::ReadableTable<&'static [u8; 32], &'static [u8]>,
    after: Option<SessionKey>,
    most: usize,
) -> Result<Vec<(SessionKey, Vec<u8>)>, Fault> {
    use std::ops::Bound::{Excluded, Unbounded};

    let first = after.as_ref().map_or(Unbounded, |key| Excluded(&key.0));
    let mut found = Vec::new();
    let rows = sessions.range::<&[u8; 32]>((first, Unbounded));
    for row in rows.map_err(fault)?.take(most) {
        let (key, record) = row.map_err(fault)?;
        found.push((SessionKey(*key.value()), record.value().to_vec()));
    }
    Ok(found)
}

/// Of the index.
pub(super) fn owned(
    owners: &impl redb::ReadableTable<&'static [u8; 48], ()>,
    owner: &Owner,
) -> Result<Vec<SessionKey>, Fault> {
    let first = owner_row(owner, &SessionKey([0; 32]));
    let last = owner_row(owner, &SessionKey([u8::MAX; 32]));
    let mut found = Vec::new();
    for row in owners.range::<&[u8; 48]>(&first..=&last).map_err(fault)? {
        let (row, _) = row.map_err(fault)?;
        found.extend(row.value().last_chunk().map(|key| SessionKey(*key)));
    }
    Ok(found)
}

fn owner_row(owner: &Owner, key: &SessionKey) -> [u8; 48] {
    joined(&owner.0, &key.0)
}

fn due_row(at: Timestamp, key: &SessionKey) -> Due {
    joined(&ordered(at), &key.0)
}

fn mark_row(at: Timestamp, mark: &Mark) -> MarkDue {
    joined(&ordered(at), &mark.0)
}

pub(super) fn joined<const N: usize>(left: &[u8], right: &[u8]) -> [u8; N] {
    let mut row = [0; N];
    for (to, from) in row.iter_mut().zip(left.iter().chain(right)) {
        *to = *from;
    }
    row
}

/// In bytes that sort as the times do.
pub(super) fn ordered(at: Timestamp) -> [u8; 8] {
    at.as_unix().max(0).unsigned_abs().to_be_bytes()
}

/// `owners: count (1), 16 each` of a record; those beyond the count that fits are not found by it.
pub(super) fn write_owners<'o>(record: &mut Vec<u8>, owners: impl IntoIterator<Item = &'o Owner>) {
    let owners: Vec<_> = owners.into_iter().take(usize::from(u8::MAX)).collect();
    record.push(u8::try_from(owners.len()).unwrap_or(u8::MAX));
    for owner in owners {
        record.extend_from_slice(&owner.0);
    }
}

/// The same, and what stands behind them.
pub(super) fn read_owners(record: &[u8]) -> Option<(Vec<Owner>, &[u8])> {
    let (&[count], mut rest) = record.split_first_chunk()?;
    let mut owners = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let (owner, behind) = rest.split_first_chunk()?;
        owners.push(Owner(*owner));
        rest = behind;
    }
    Some((owners, rest))
}

/// Rows of expiry and key of what is over, at most `most`.
pub(super) fn over(
    due: &impl redb::ReadableTable<&'static [u8; 40], ()>,
    now: Timestamp,
    most: usize,
) -> Result<Vec<[u8; 40]>, Fault> {
    let last: [u8; 40] = joined(&ordered(now), &[u8::MAX; 32]);
    let rows = due.range::<&[u8; 40]>(..=&last).map_err(fault)?;
    let rows = rows
        .take(most)
        .map(|row| Ok(*row.map_err(fault)?.0.value()));
    rows.collect()
}

fn times((at, expires): (i64, i64)) -> (Timestamp, Timestamp) {
    (Timestamp::from_unix(at), Timestamp::from_unix(expires))
}
