//! When trouble comes.

use super::{Event, POLL_MILLIS, Run, TROUBLE_MILLIS};
use crate::fleet::{CONTROLS, GATEWAYS, SERVERS};

impl Run {
    pub(super) fn plan(&mut self) {
        for _ in 0..6 + self.random.below(8) {
            self.somewhen(Event::Change);
        }
        let some: [(u64, fn() -> Event); 6] = [
            (2, || Event::FailOver),
            (3, || Event::RestartServer),
            (3, || Event::StopServer),
            (3, || Event::RestartGateway),
            (4, || Event::PauseGateway),
            (3, || Event::PauseControl),
        ];
        for (most, event) in some {
            for _ in 0..self.random.below(most) {
                self.somewhen(event());
            }
        }
        for (percent, event) in [(10, Event::Flush), (15, Event::Cut)] {
            if self.random.percent(percent) {
                self.somewhen(event);
            }
        }
        if self.random.percent(40) {
            let at = self.random.below(TROUBLE_MILLIS - 1000);
            let heals = (at + 500 + self.random.below(5000)).min(TROUBLE_MILLIS);
            self.after(at, Event::Split);
            self.after(heals, Event::Heal);
        }
        for gateway in 0..GATEWAYS {
            let begin = self.random.below(POLL_MILLIS);
            self.after(begin, Event::Poll { gateway, connection: 0 });
        }
        for control in 0..CONTROLS {
            let begin = self.random.below(100);
            self.after(begin, Event::Round { control });
        }
        for server in 0..SERVERS {
            self.after(50, Event::Sync { server });
        }
        self.after(100, Event::Gossip);
    }

    fn somewhen(&mut self, event: Event) {
        let at = self.random.below(TROUBLE_MILLIS);
        self.after(at, event);
    }
}
