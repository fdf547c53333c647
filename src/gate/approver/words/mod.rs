//! What the approver app says, one table a language.

mod de;
mod en;

use crate::gate::words::Texts;

pub(super) const TEXTS: Texts = Texts {
    en: en::WORDS,
    de: de::WORDS,
    codes_de: &[],
};

#[cfg(test)]
mod tests {
    #[test]
    fn every_language_has_every_text_with_the_same_places() {
        crate::gate::words::tests::are_the_same(super::TEXTS);
    }
}
