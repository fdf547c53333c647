//! `stepgate keygen`: keys that are drawn here.

use std::io::Write;
use std::path::Path;

use super::{FINDINGS, say};
use crate::seal::{SystemRandom, fresh_key, make_key_file};

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
