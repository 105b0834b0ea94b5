//! S4, a magic word that opens (CVE-2026-34457): nothing that a client can write about itself
//! changes the decision. Health and metrics live elsewhere.

use super::house::{House, WIKI, outcome};
use super::talk::{Ask, BOTH};

const AGENTS: [&str; 14] = [
    "GoogleHC/1.0",
    "kube-probe/1.31",
    "ELB-HealthChecker/2.0",
    "Amazon-Route53-Health-Check-Service",
    "Envoy/HC",
    "Prometheus/2.53.0",
    "HealthCheck",
    "Edge Health Probe",
    "AlwaysOn",
    "Site24x7",
    "doorward",
    "doorward-health",
    "curl/8",
    "",
];

const PATHS: [&str; 18] = [
    "/healthz",
    "/health",
    "/livez",
    "/ready",
    "/readyz",
    "/ping",
    "/status",
    "/metrics",
    "/robots.txt",
    "/favicon.ico",
    "/.well-known/jwks.json",
    "/.well-known/acme-challenge/x",
    "/.well-known/doorward",
    "/oauth2/auth",
    "/oauth2/sign_in",
    "/debug/pprof/",
    "/api/v1/status",
    "/doorward/healthz",
];

#[tokio::test]
async fn s4_no_user_agent_and_no_path_opens_the_door() {
    let house = House::open().await;
    let token = house.issuer.token("bob");
    let (mut refused, mut nowhere) = (Vec::new(), Vec::new());
    for http in BOTH {
        let mut talk = house.talk(http);
        for agent in AGENTS {
            for path in PATHS {
                let ask = Ask::get(WIKI, path).field("user-agent", agent);
                refused.push(talk.say(&ask).await);
            }
            // A name that no app has: no answer of the gateway's own lives there.
            for host in ["localhost", "127.0.0.1", "gateway.test", "kubernetes"] {
                nowhere.push(talk.say(&Ask::get(host, "/healthz").field("user-agent", agent)).await);
            }
        }
    }
    assert_eq!(house.reached(), 0);
    let all = refused.iter().map(|s| (s, "unauthenticated")).chain(nowhere.iter().map(|s| (s, "no_route")));
    house.recorded(&all.collect::<Vec<_>>()).await;
    // With a token the same goes to the app like everything else, and is decided and recorded.
    let mut ids = Vec::new();
    for http in BOTH {
        let mut talk = house.talk(http);
        for (agent, path) in AGENTS.iter().cycle().zip(PATHS) {
            let said = talk.say(&Ask::get(WIKI, path).token(&token).field("user-agent", agent)).await;
            assert_eq!((said.status, said.body.as_str()), (200, "ok"), "{path}");
            let seen = house.wiki.requests().pop().unwrap();
            assert_eq!(seen.head.target(), path);
            ids.push(seen.head.value("x-doorward-request-id").unwrap());
        }
    }
    assert!(house.decisions(&ids).await.values().all(|e| outcome(e).0 == "allow"));
}
