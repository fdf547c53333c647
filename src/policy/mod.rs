//! Deciding, and what tokens prove. Pure: no clock, no I/O, no async.

pub mod decision;
