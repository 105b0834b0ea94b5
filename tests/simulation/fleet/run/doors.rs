//! What gateways do: they connect, poll, and hear pushes.

use super::{Broken, Event, POLL_MILLIS, Run, TIMEOUT_MILLIS};
use crate::fleet::redis::{Entry, Reply};

impl Run {
    pub(super) fn reconnect(&mut self, gateway: usize) {
        let node = if self.random.percent(80) { self.current } else { self.random.index(2) };
        self.gateways[gateway].connect(node);
        self.poll_soon(gateway);
    }

    pub(super) fn poll_soon(&mut self, gateway: usize) {
        let millis = 1 + self.random.below(POLL_MILLIS / 5);
        self.after(millis, Event::Poll { gateway, connection: self.gateways[gateway].connection });
    }

    /// Nothing happens in a gateway that sleeps: whether the event has to wait.
    pub(super) fn waits(&mut self, gateway: usize, event: Event) -> Option<Event> {
        let until = self.asleep_until[gateway];
        if until > self.now {
            self.after(until - self.now, event);
            return None;
        }
        Some(event)
    }

    pub(super) fn poll(&mut self, gateway: usize, connection: u32) {
        if self.waits(gateway, Event::Poll { gateway, connection }).is_none()
            || self.gateways[gateway].connection != connection
        {
            return;
        }
        let (sent, life) = (self.now, self.nodes[self.gateways[gateway].node].life);
        self.gateways[gateway].awaiting = Some(sent);
        self.after(TIMEOUT_MILLIS, Event::TimedOut { gateway, connection, sent });
        if !self.is_lost() {
            let millis = self.delay();
            self.after(millis, Event::Arrives { gateway, connection, sent, life });
        }
    }

    pub(super) fn arrives(&mut self, gateway: usize, connection: u32, sent: u64, life: u32) {
        if self.gateways[gateway].connection != connection {
            return;
        }
        let node = &self.nodes[self.gateways[gateway].node];
        if node.life != life {
            return;
        }
        if node.awake_at > self.now {
            let millis = node.awake_at - self.now;
            return self.after(millis, Event::Arrives { gateway, connection, sent, life });
        }
        if let Some(reply) = node.poll(self.protocol, self.now, self.gateways[gateway].position) {
            let millis = self.delay();
            self.after(millis, Event::Answered { gateway, connection, sent, reply });
        }
    }

    pub(super) fn answered(
        &mut self,
        gateway: usize,
        connection: u32,
        sent: u64,
        reply: Reply,
    ) -> Result<(), Broken> {
        let event = Event::Answered { gateway, connection, sent, reply };
        let Some(Event::Answered { reply, .. }) = self.waits(gateway, event) else { return Ok(()) };
        if self.gateways[gateway].connection != connection {
            return Ok(());
        }
        self.tally.leases += 1;
        self.gateways[gateway].answered(self.protocol, self.now, sent, &reply);
        let millis = POLL_MILLIS - POLL_MILLIS / 10 + self.random.below(POLL_MILLIS / 5);
        self.after(millis, Event::Poll { gateway, connection });
        self.check(gateway)
    }

    /// An answer that has come at last before anybody looked for it is taken, however old.
    pub(super) fn timed_out(&mut self, gateway: usize, connection: u32, sent: u64) {
        let event = Event::TimedOut { gateway, connection, sent };
        if self.waits(gateway, event).is_some()
            && self.gateways[gateway].connection == connection
            && self.gateways[gateway].awaiting == Some(sent)
        {
            self.reconnect(gateway);
        }
    }

    pub(super) fn pushed(&mut self, gateway: usize, connection: u32, entry: Entry) -> Result<(), Broken> {
        if self.waits(gateway, Event::Pushed { gateway, connection, entry }).is_none()
            || self.gateways[gateway].connection != connection
        {
            return Ok(());
        }
        self.tally.pushes += u64::from(self.gateways[gateway].pushed(self.protocol, &entry));
        self.check(gateway)
    }
}
