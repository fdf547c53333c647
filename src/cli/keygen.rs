//! `stepgate keygen`: keys that are drawn here.

use std::io::Write;
use std::path::Path;

use super::{FINDINGS, say};
use crate::notify::push;
use crate::seal::{SystemRandom, fresh_key, make_key_file, write_new_file};

pub(super) fn seal(file: Option<&Path>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let random = SystemRandom::new();
    let Some(file) = file else {
        say(out, &format!("{}\n", fresh_key(&random).reveal()));
        return 0;
    };
    match make_key_file(file, &random) {
        Ok(_) => {
            say(out, &format!("{}: a new seal key\n", file.display()));
            0
        }
        Err(error) => {
            say(err, &format!("stepgate: {error}\n"));
            FINDINGS
        }
    }
}

/// For Web Push.
pub(super) fn vapid(file: Option<&Path>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let Some(key) = push::fresh_key(&SystemRandom::new()) else {
        say(err, "stepgate: no key could be drawn\n");
        return FINDINGS;
    };
    let Some(file) = file else {
        say(out, &format!("{}\n", key.reveal()));
        return 0;
    };
    match write_new_file(file, &key) {
        Ok(()) => {
            say(
                out,
                &format!("{}: a new key for Web Push\n", file.display()),
            );
            0
        }
        Err(error) => {
            say(err, &format!("stepgate: {error}\n"));
            FINDINGS
        }
    }
}
