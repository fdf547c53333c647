//! Numbers that the requester sees and whoever decides has to know.

use crate::model::random::Random;

/// To pick from: who does not know the number finds it in one of ten cases (design, section 7).
const CHOICES: usize = 10;

/// Fewer digits would be guessed.
const LEAST_DIGITS: u8 = 4;
const MOST_DIGITS: u8 = 12;

/// To be typed; zeros in front count.
pub(super) fn typed(random: &dyn Random, digits: u8) -> String {
    let digits = digits.clamp(LEAST_DIGITS, MOST_DIGITS);
    let each = (0..digits).map(|_| char::from(b'0'.saturating_add(below(random, 10))));
    each.collect()
}

/// To be picked: the number, and all that are offered. Everybody is offered the same ones in the same order, for what two
/// people are offered would otherwise tell it.
pub(super) fn picked(random: &dyn Random) -> (String, Vec<String>) {
    let mut choices: Vec<String> = Vec::with_capacity(CHOICES);
    while choices.len() < CHOICES {
        // Two digits.
        let choice = below(random, 90).saturating_add(10).to_string();
        if !choices.contains(&choice) {
            choices.push(choice);
        }
    }
    let place = usize::from(below(random, 10));
    let number = choices.get(place).cloned().unwrap_or_default();
    (number, choices)
}

/// Each as likely as the others.
fn below(random: &dyn Random, bound: u8) -> u8 {
    let fair = u8::MAX - u8::MAX % bound;
    loop {
        let mut byte = [0];
        random.fill(&mut byte);
        let [byte] = byte;
        if byte < fair {
            return byte % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::seal::SystemRandom;

    #[test]
    fn a_number_to_type_has_its_digits_each_as_likely() {
        let random = SystemRandom::new();
        let mut seen: BTreeMap<char, usize> = BTreeMap::new();
        for _ in 0..2000 {
            let number = typed(&random, 7);
            assert_eq!(number.len(), 7);
            for digit in number.chars() {
                *seen.entry(digit).or_default() += 1;
            }
        }
        // 1400 each, give or take seven standard deviations.
        assert_eq!(seen.len(), 10);
        assert!(
            seen.values().all(|times| (1150..1650).contains(times)),
            "{seen:?}"
        );
        assert_eq!(typed(&random, 0).len(), 4);
        assert_eq!(typed(&random, 200).len(), 12);
    }

    #[test]
    fn a_number_to_pick_is_one_of_ten_at_any_place() {
        let random = SystemRandom::new();
        let mut places = BTreeSet::new();
        for _ in 0..1000 {
            let (number, choices) = picked(&random);
            assert_eq!(choices.len(), 10);
            assert_eq!(choices.iter().collect::<BTreeSet<_>>().len(), 10);
            assert!(
                choices.iter().all(|choice| choice.len() == 2),
                "{choices:?}"
            );
            places.insert(choices.iter().position(|choice| *choice == number));
        }
        assert!(!places.contains(&None));
        assert_eq!(places.len(), 10);
    }
}
