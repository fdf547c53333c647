//! A set of requirements of which all must hold, without a heap allocation in the ordinary case.

use std::ops::Deref;

use crate::model::requirement::Requirement;

/// A route, its lower-case reading and a few floors fit.
const INLINE: usize = 6;

static PUBLIC: Requirement = Requirement::PUBLIC;

#[derive(Clone, Debug)]
pub struct Demand<'t> {
    inline: [&'t Requirement; INLINE],
    length: usize,
    /// All of them, as soon as they are more than `INLINE`.
    spilled: Vec<&'t Requirement>,
}

impl Default for Demand<'_> {
    fn default() -> Self {
        Self {
            inline: [&PUBLIC; INLINE],
            length: 0,
            spilled: Vec::new(),
        }
    }
}

impl<'t> Demand<'t> {
    /// The same requirement counts once.
    pub(super) fn push(&mut self, requirement: &'t Requirement) {
        if self.iter().any(|known| std::ptr::eq(*known, requirement)) {
            return;
        }
        if !self.spilled.is_empty() {
            self.spilled.push(requirement);
        } else if let Some(place) = self.inline.get_mut(self.length) {
            *place = requirement;
            self.length += 1;
        } else {
            self.spilled.extend_from_slice(&self.inline);
            self.spilled.push(requirement);
        }
    }
}

impl<'t> Deref for Demand<'t> {
    type Target = [&'t Requirement];

    fn deref(&self) -> &Self::Target {
        if self.spilled.is_empty() {
            self.inline.get(..self.length).unwrap_or_default()
        } else {
            &self.spilled
        }
    }
}
