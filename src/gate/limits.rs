//! What holds a flood of strangers off Keycloak: sign-ins that start at once, and a bucket for each address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

use crate::config;
use crate::model::time::Timestamp;
use crate::telemetry::metrics::{Counters, Limit};

/// Addresses that are remembered; beyond it the least recently used start with a full bucket.
const ADDRESSES: u64 = 100_000;

/// Who would be let in when the flood is over.
const BUSY_RETRY: u64 = 5;

/// Of what is let through once, in drops.
const COST: u64 = 60;

#[derive(Debug)]
pub(in crate::gate) struct Limits {
    most_at_once: usize,
    at_once: Arc<AtomicUsize>,
    per_minute: u32,
    refusals: Counters<Limit>,
    buckets: Cache<IpAddr, Arc<Mutex<Bucket>>>,
}

/// Emptied by what is let through, and filled by time.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Bucket {
    /// In sixtieths of what is let through: a second brings as many as there are of it a minute.
    drops: u64,
    filled: Timestamp,
}

/// A place among the calls that are under way; given back when dropped.
#[derive(Debug)]
pub(in crate::gate) struct Place(Arc<AtomicUsize>);

/// Seconds after which another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct TryLater(pub(in crate::gate) u64);

impl Limits {
    /// `before`: what these take the place of; who is counted there is counted here.
    pub(in crate::gate) fn new(
        limits: &config::Limits,
        refusals: Counters<Limit>,
        before: Option<&Self>,
    ) -> Self {
        Self {
            most_at_once: limits.logins_in_flight,
            at_once: before.map_or_else(Arc::default, |before| Arc::clone(&before.at_once)),
            per_minute: limits.logins_per_minute,
            refusals,
            buckets: before.map_or_else(buckets, |before| before.buckets.clone()),
        }
    }

    pub(in crate::gate) fn enter(
        &self,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Place, TryLater> {
        self.take(address, now)
            .inspect_err(|_| self.refusals.inc(Limit::LoginsPerMinute))?;
        let place = Place(Arc::clone(&self.at_once));
        if self.at_once.fetch_add(1, Ordering::Relaxed) >= self.most_at_once {
            self.refusals.inc(Limit::LoginsInFlight);
            return Err(TryLater(BUSY_RETRY));
        }
        Ok(place)
    }

    fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), TryLater> {
        let rate = self.per_minute.max(1);
        let full = || Arc::new(Mutex::new(Bucket::full(rate, now)));
        let bucket = self.buckets.get_with(source(address), full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(rate, rate, now)
    }
}

impl Bucket {
    pub(in crate::gate) fn full(most: u32, now: Timestamp) -> Self {
        Self {
            drops: u64::from(most) * COST,
            filled: now,
        }
    }

    /// `rate`: what a minute brings, at least one; `most`: what it holds.
    pub(in crate::gate) fn take(
        &mut self,
        most: u32,
        rate: u32,
        now: Timestamp,
    ) -> Result<(), TryLater> {
        self.fill(most, rate, now);
        match self.drops.checked_sub(COST) {
            Some(left) => {
                self.drops = left;
                Ok(())
            }
            None => Err(TryLater(
                (COST - self.drops).div_ceil(u64::from(rate.max(1))),
            )),
        }
    }

    pub(in crate::gate) fn is_full(&self, most: u32, rate: u32, now: Timestamp) -> bool {
        let mut filled = *self;
        filled.fill(most, rate, now);
        filled.drops >= u64::from(most) * COST
    }

    fn fill(&mut self, most: u32, rate: u32, now: Timestamp) {
        let gained = now.since(self.filled).as_secs();
        let gained = gained.saturating_mul(u64::from(rate));
        let full = u64::from(most) * COST;
        self.drops = self.drops.saturating_add(gained).min(full);
        self.filled = self.filled.max(now);
    }
}

fn buckets() -> Cache<IpAddr, Arc<Mutex<Bucket>>> {
    Cache::builder()
        .max_capacity(ADDRESSES)
        // A bucket is full again after a minute.
        .time_to_idle(Duration::from_secs(90))
        .build()
}

/// One household or host gets a /64 of IPv6, and with it more addresses than can be counted.
pub(in crate::gate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn limits(at_once: usize, per_minute: u32) -> Limits {
        Limits {
            most_at_once: at_once,
            at_once: Arc::default(),
            per_minute,
            refusals: Metrics::new().limit_refusals,
            buckets: Cache::new(10),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(second)
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let limits = limits(100, 2);
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..2 {
            limits.enter(address, at(0)).unwrap();
        }
        assert_eq!(limits.enter(address, at(0)).unwrap_err(), TryLater(30));
        assert_eq!(limits.enter(address, at(10)).unwrap_err(), TryLater(20));
        limits.enter(address, at(30)).unwrap();
        limits.enter("192.0.2.2".parse().unwrap(), at(30)).unwrap();
    }

    #[test]
    fn a_clock_that_goes_back_fills_no_bucket() {
        let limits = limits(100, 1);
        let address = "192.0.2.1".parse().unwrap();
        limits.enter(address, at(1000)).unwrap();
        limits.enter(address, at(0)).unwrap_err();
        limits.enter(address, at(1030)).unwrap_err();
        limits.enter(address, at(1060)).unwrap();
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let limits = limits(100, 1);
        limits.enter("2001:db8::1".parse().unwrap(), at(0)).unwrap();
        limits
            .enter("2001:db8::2".parse().unwrap(), at(0))
            .unwrap_err();
        limits
            .enter("::ffff:192.0.2.1".parse().unwrap(), at(0))
            .unwrap();
        limits
            .enter("192.0.2.1".parse().unwrap(), at(0))
            .unwrap_err();
    }

    #[test]
    fn places_are_given_back() {
        let limits = limits(1, 100);
        let address = "192.0.2.1".parse().unwrap();
        let place = limits.enter(address, at(0)).unwrap();
        limits.enter(address, at(0)).unwrap_err();
        drop(place);
        limits.enter(address, at(0)).unwrap();
    }
}
