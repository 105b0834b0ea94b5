//! The promise, checked wherever it could break, and once more in the end.

use super::{Broken, Run};
use crate::fleet::{ACK_MILLIS, DRIFT_MILLIS, LAG_MILLIS, LEASE_MILLIS};
use crate::promise::Breach;
use crate::world::Change;

impl Run {
    pub(super) fn check(&self, index: usize) -> Result<(), Broken> {
        let gateway = &self.gateways[index];
        // It answers nobody either.
        if self.asleep_until[index] > self.now || !gateway.is_fresh(self.protocol, self.now) {
            return Ok(());
        }
        let lag = if self.tally.failovers > 0 { LAG_MILLIS + ACK_MILLIS } else { 0 };
        let bound = LEASE_MILLIS + lag + DRIFT_MILLIS;
        for (number, person) in self.directory.persons.iter().enumerate() {
            for class in gateway.standings[number].mark..=person.version() {
                if !gateway.permits(self.protocol, self.now, number, class) {
                    continue;
                }
                let overdue = |at: u64| self.now >= at + bound;
                for (version, acknowledged) in person.covering(class) {
                    if acknowledged.is_some_and(overdue) {
                        return Err(self.broken(Breach::Overdue, index, number, class));
                    }
                    if version <= gateway.applied[number] {
                        return Err(self.broken(Breach::Revived, index, number, class));
                    }
                }
            }
        }
        Ok(())
    }

    fn broken(&self, breach: Breach, gateway: usize, person: usize, class: u32) -> Broken {
        let (now, changes) = (self.now, &self.directory.persons[person].changes);
        let knows = self.gateways[gateway].standings[person];
        let at = format!("gateway {gateway}, {now} ms, person {person}");
        Broken::Promise(breach, format!("{breach}: {at}, class {class} of {changes:?}, knows {knows:?}"))
    }

    /// After the trouble: nothing waits, every gateway has a lease, and permits exactly the newest class of who is on.
    pub(super) fn everybody_is_right(&self) -> Result<(), Broken> {
        let waiting = self.directory.rows.len() - self.directory.published;
        if waiting > 0 {
            return Err(Broken::Stuck(format!("{waiting} changes were never published")));
        }
        for (index, gateway) in self.gateways.iter().enumerate() {
            if !gateway.is_fresh(self.protocol, self.now) {
                return Err(Broken::Stuck(format!("gateway {index} has no lease in the end")));
            }
            for (number, person) in self.directory.persons.iter().enumerate() {
                let version = person.version();
                let on = person.changes[version as usize].0 != Change::Off;
                if gateway.permits(self.protocol, self.now, number, version) != on {
                    return Err(self.broken(Breach::LockedOut, index, number, version));
                }
            }
        }
        Ok(())
    }
}
