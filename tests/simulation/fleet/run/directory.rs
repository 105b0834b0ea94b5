//! The truth: rows of changes, how far they are published, and the generation.

use crate::fleet::store::{Standing, Word};
use crate::fleet::{DRIFT_MILLIS, LAG_MILLIS, LEASE_MILLIS};
use crate::protocol::Part;
use crate::world::Change;

use super::{Event, Run, TROUBLE_MILLIS};

/// A person in the directory; change `v` stands at place `v`, with the time of its acknowledgement.
pub(super) struct Person {
    pub(super) changes: Vec<(Change, Option<u64>)>,
}

// === impl Person ===

impl Person {
    pub(super) fn version(&self) -> u32 {
        u32::try_from(self.changes.len() - 1).unwrap()
    }

    fn standing(&self, version: u32) -> Standing {
        Standing { mark: version, version, off: self.changes[version as usize].0 == Change::Off }
    }

    /// The changes that take this class away.
    pub(super) fn covering(&self, class: u32) -> impl Iterator<Item = (u32, Option<u64>)> {
        self.changes.iter().zip(0..).filter_map(move |((change, acknowledged), version)| {
            let covers = match change {
                Change::On => false,
                Change::Off => version >= class,
                Change::SignedOut => version > class,
            };
            covers.then_some((version, *acknowledged))
        })
    }
}

pub(super) struct Directory {
    pub(super) persons: Vec<Person>,
    /// Person and version of each row.
    pub(super) rows: Vec<(usize, u32)>,
    /// How many rows are noted as published.
    pub(super) published: usize,
    pub(super) generation: u32,
}

// === impl Directory ===

impl Directory {
    pub(super) fn new(persons: usize) -> Directory {
        let person = |_| Person { changes: vec![(Change::On, Some(0))] };
        let persons = (0..persons).map(person).collect();
        Directory { persons, rows: Vec::new(), published: 0, generation: 1 }
    }

    /// What holds for a person now.
    pub(super) fn standing(&self, person: usize) -> Standing {
        let person = &self.persons[person];
        person.standing(person.version())
    }

    /// What these rows say.
    pub(super) fn words(&self, rows: std::ops::Range<usize>) -> Vec<Word> {
        let word = |(person, version): &(usize, u32)| {
            let standing = self.persons[*person].standing(*version);
            Word { person: *person, standing }
        };
        self.rows[rows].iter().map(word).collect()
    }
}

impl Run {
    pub(super) fn change(&mut self) {
        let index = self.random.index(self.directory.persons.len());
        let sign_out = self.random.percent(30);
        let person = &mut self.directory.persons[index];
        let change = match person.changes.last().unwrap().0 {
            Change::Off => Change::On,
            Change::On | Change::SignedOut if sign_out => Change::SignedOut,
            Change::On | Change::SignedOut => Change::Off,
        };
        let early = !self.protocol.has(Part::AcknowledgeAfterPublish);
        person.changes.push((change, early.then_some(self.now)));
        let version = person.version();
        self.directory.rows.push((index, version));
        if early {
            self.due();
        }
        // The node that took the change does not wait for its next round.
        let control = self.random.index(self.controls.len());
        self.look_soon(control);
    }

    /// Most is at stake right after something broke.
    pub(super) fn change_soon(&mut self) {
        if self.now < TROUBLE_MILLIS && self.random.percent(50) {
            let millis = self.random.below(800);
            self.after(millis, Event::Change);
        }
    }

    /// Notes rows as published and acknowledges them, unless the generation is another one by now.
    pub(super) fn note_published(&mut self, generation: u32, row: usize) -> bool {
        let directory = &mut self.directory;
        if directory.generation != generation {
            return false;
        }
        let mut acknowledged = false;
        for (person, version) in &directory.rows[directory.published.min(row)..row] {
            let at = &mut directory.persons[*person].changes[*version as usize].1;
            if at.is_none() {
                *at = Some(self.now);
                self.tally.acknowledged += 1;
                acknowledged = true;
            }
        }
        directory.published = directory.published.max(row);
        if acknowledged {
            self.due();
        }
        true
    }

    fn due(&mut self) {
        for bound in [LEASE_MILLIS, LEASE_MILLIS + LAG_MILLIS] {
            self.after(bound + DRIFT_MILLIS + 10, Event::Due);
        }
    }
}
