//! What is sealed opens only with the same key, for the same purpose, in the same place, unchanged.

use std::collections::HashSet;

use super::*;
use crate::seal::SystemRandom;

const PLACE: &[&str] = &["__Host-stepgate-flow-1", "https://erp.example.com"];

fn key(letter: &str) -> Secret {
    Secret::new(letter.repeat(MIN_KEY_BYTES))
}

fn sealer(keys: &[Secret]) -> Sealer {
    Sealer::new(keys, Arc::new(SystemRandom::new())).unwrap()
}

#[test]
fn what_is_sealed_opens() {
    let sealer = sealer(&[key("a")]);
    for plaintext in [&b""[..], b"x", &[0xff; 5000]] {
        let sealed = sealer.seal("flow", PLACE, plaintext);
        assert_eq!(sealer.open("flow", PLACE, &sealed).unwrap(), plaintext);
    }
}

#[test]
fn another_purpose_or_place_does_not_open() {
    let sealer = sealer(&[key("a")]);
    let sealed = sealer.seal("flow", &["ab", "c"], b"secret");
    let wrong: &[(&str, &[&str])] = &[
        ("session", &["ab", "c"]),
        ("flow", &["a", "bc"]),
        ("flow", &["abc"]),
        ("flow", &["ab", "c", ""]),
        ("flow", &["c", "ab"]),
        ("flow", &[]),
        ("flowab", &["c"]),
        ("", &["flow", "ab", "c"]),
    ];
    for (purpose, aad) in wrong {
        assert_eq!(
            sealer.open(purpose, aad, &sealed),
            Err(OpenError::Tampered),
            "{purpose} {aad:?}"
        );
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let sealer = sealer(&[key("a")]);
    let sealed = sealer.seal("flow", PLACE, b"secret");
    let blob = BASE64_URL_SAFE_NO_PAD.decode(&sealed).unwrap();
    for at in 0..blob.len() {
        for bit in 0..8 {
            let mut changed = blob.clone();
            changed[at] ^= 1 << bit;
            let expected = if (1..=KEY_ID_BYTES).contains(&at) {
                OpenError::UnknownKey
            } else {
                OpenError::Tampered
            };
            assert_eq!(
                sealer.open("flow", PLACE, &BASE64_URL_SAFE_NO_PAD.encode(changed)),
                Err(expected),
                "byte {at} bit {bit}"
            );
        }
        let cut = BASE64_URL_SAFE_NO_PAD.encode(&blob[..at]);
        assert!(sealer.open("flow", PLACE, &cut).is_err(), "cut at {at}");
    }
    for text in [
        "",
        "!",
        "AQ==",
        &format!("{sealed}A"),
        &format!("{sealed}="),
    ] {
        assert_eq!(
            sealer.open("flow", PLACE, text),
            Err(OpenError::Tampered),
            "{text}"
        );
    }
}

#[test]
fn keys_rotate() {
    let old = sealer(&[key("a")]);
    let both = sealer(&[key("b"), key("a")]);
    let new = sealer(&[key("b")]);

    let before = old.seal("flow", PLACE, b"secret");
    let after = both.seal("flow", PLACE, b"secret");
    assert_eq!(both.open("flow", PLACE, &before).unwrap(), b"secret");
    assert_eq!(new.open("flow", PLACE, &after).unwrap(), b"secret");
    assert_eq!(new.open("flow", PLACE, &before), Err(OpenError::UnknownKey));
    assert_eq!(old.open("flow", PLACE, &after), Err(OpenError::UnknownKey));
}

#[test]
fn the_same_text_never_seals_the_same() {
    let sealer = sealer(&[key("a")]);
    let sealed: HashSet<_> = (0..1000)
        .map(|_| sealer.seal("flow", PLACE, b"secret"))
        .collect();
    assert_eq!(sealed.len(), 1000);
}

#[test]
fn a_key_that_cannot_hold_256_bits_is_refused() {
    let refused = |keys: &[Secret]| Sealer::new(keys, Arc::new(SystemRandom::new())).unwrap_err();
    assert_eq!(refused(&[]), KeyError::None);
    assert_eq!(
        refused(&[key("a"), Secret::new("short")]).to_string(),
        "seal key 2 has 5 bytes; it needs 32 or more"
    );
}

#[test]
fn a_fresh_key_is_long_enough_and_nothing_shows_in_debug() {
    let random = SystemRandom::new();
    let drawn = fresh_key(&random);
    let sealer = sealer(std::slice::from_ref(&drawn));
    assert!(!format!("{sealer:?}").contains(drawn.reveal()));
}

#[test]
fn replaced_keys_open_what_they_sealed_until_they_are_forgotten() {
    let at = Timestamp::from_unix;
    let [old, new, last] = ["o", "n", "l"].map(|byte| Secret::new(byte.repeat(32)));
    let sealer = Sealer::new(std::slice::from_ref(&old), Arc::new(SystemRandom::new())).unwrap();
    let by_old = sealer.seal("flow", &[], b"x");
    let opens = |sealed: &str| sealer.open("flow", &[], sealed);

    sealer.replace(std::slice::from_ref(&new), at(100)).unwrap();
    let by_new = sealer.seal("flow", &[], b"y");
    assert_eq!(opens(&by_old).as_deref(), Ok(&b"x"[..]));
    sealer.replace(&[], at(150)).unwrap_err();
    assert_eq!(
        opens(&by_new).as_deref(),
        Ok(&b"y"[..]),
        "an error changes nothing"
    );

    sealer.replace(&[last, new], at(200)).unwrap();
    sealer.forget(at(101));
    assert_eq!(opens(&by_old), Err(OpenError::UnknownKey));
    assert_eq!(opens(&by_new).as_deref(), Ok(&b"y"[..]), "configured still");

    sealer.replace(std::slice::from_ref(&old), at(300)).unwrap();
    sealer.forget(at(1000));
    assert_eq!(opens(&by_old).as_deref(), Ok(&b"x"[..]), "configured again");
    assert_eq!(opens(&by_new), Err(OpenError::UnknownKey));
}
