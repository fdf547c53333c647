//! What the pages on every host say, one table a language.

mod codes;
mod de;
mod en;

use crate::gate::words::Texts;

pub(super) const TEXTS: Texts = Texts {
    en: en::WORDS,
    de: de::WORDS,
    codes_de: codes::DE,
};
