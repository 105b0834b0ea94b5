//! The names of an app's instances, looked up without blocking a worker.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::lb::Backend;
use pingora::lb::discovery::ServiceDiscovery;

/// How long the look-up of one name may take.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// The names, and what each last stood for: a name that cannot be looked up keeps its instances.
pub(super) struct Names {
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
    names: Vec<String>,
}

impl Names {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { known: Mutex::default(), names }
    }

    async fn look_up(&self, name: &str) {
        let found = tokio::time::timeout(LOOKUP_MAX, tokio::net::lookup_host(name)).await;
        let found = match found {
            Ok(found) => found.map_err(|e| e.to_string()).map(Iterator::collect::<Vec<_>>),
            Err(_) => Err("it took too long".to_owned()),
        };
        self.found(name, found);
    }

    fn found(&self, name: &str, found: Result<Vec<SocketAddr>, String>) {
        let why = match found {
            Ok(found) if !found.is_empty() => {
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(name.to_owned(), found);
                return;
            }
            Ok(_) => "it has no address".to_owned(),
            Err(why) => why,
        };
        tracing::warn!(
            address = name,
            error = why,
            "the name of an instance cannot be looked up; what it stood for stays"
        );
    }

    fn instances(&self) -> pingora::Result<BTreeSet<Backend>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let all = known.values().flatten().map(|a| Backend::new(&a.to_string()));
        let all = all.collect::<pingora::Result<BTreeSet<_>>>()?;
        if all.is_empty() {
            return pingora::Error::e_explain(
                pingora::ErrorType::Custom("unresolved"),
                "no instance has an address",
            );
        }
        Ok(all)
    }
}

#[async_trait]
impl ServiceDiscovery for Names {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        // All at once: none waits for another.
        futures_util::future::join_all(self.names.iter().map(|name| self.look_up(name))).await;
        Ok((self.instances()?, HashMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_looked_up_keeps_its_instances() {
        let names = Names::new(Vec::new());
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(names.instances().is_err(), "nothing was ever found");
        names.found("a:80", Ok(vec![at("192.0.2.1:80"), at("192.0.2.2:80")]));
        names.found("b:80", Err("no such name".to_owned()));
        assert_eq!(names.instances().unwrap().len(), 2);
        names.found("b:80", Ok(vec![at("192.0.2.3:80")]));
        names.found("a:80", Err("the server failed".to_owned()));
        names.found("b:80", Ok(Vec::new()));
        assert_eq!(names.instances().unwrap().len(), 3, "what was known stays");
        names.found("a:80", Ok(vec![at("192.0.2.9:80")]));
        assert_eq!(names.instances().unwrap().len(), 2, "what is known now takes its place");
    }
}
