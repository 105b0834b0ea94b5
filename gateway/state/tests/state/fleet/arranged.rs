//! The same contract, however the Redis servers are arranged, and whoever they let in.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use doorward_servers::{Cluster, MinReplicas, Redis, SentinelSetup, Sentinels, Setup, Tls};
use doorward_state::{Action, RedisSection, RevocationSection};

use super::{House, namespace, published, section, shared_redis};
use crate::contract::{self, Place};
use crate::fixture::{alice, config, presented, run, until};
use crate::postgres::Base;

/// Nobody is to be taken for lost who stands still with the whole machine.
const PATIENT_SECONDS: u8 = 15;
const MIN_REPLICAS: MinReplicas = MinReplicas { count: 1, lag_seconds: PATIENT_SECONDS };

/// The contract, with a file and with PostgreSQL as directory, in as many namespaces as it has cases.
fn keeps_the_contract(redis: impl Fn(&str) -> RedisSection + Sync) {
    contract::run(3, || {
        let house = House::new(redis(&namespace()));
        Place { config: house.config("gw-1", "sqlite"), _keep: Box::new(house) }
    });
    // One by one: the server answers each of its statements within seconds, or that is the end of it.
    contract::run(1, || {
        let base = Base::new();
        let redis = Some(redis(&namespace()));
        let section = RevocationSection { redis, ..base.section() };
        Place { config: config(&section, base.dir.path(), "gw-1"), _keep: Box::new(base) }
    });
}

/// One change, from a node with the directory to one without.
fn carries_a_change(redis: RedisSection) {
    run(async {
        let house = House::new(redis);
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        until("a lease", || gateway.check(&presented("alice", 0), crate::fixture::SKEW).is_ok()).await;
        let receipt = published(&control, &alice(), Action::Disable).await;
        assert!(receipt.published.is_some());
        until("it is refused", || gateway.lookup(&alice()).is_some_and(|e| e.disabled)).await;
    });
}

fn sentinel(group: &Sentinels, namespace: &str) -> RedisSection {
    RedisSection {
        mode: Some("sentinel".to_owned()),
        primary_name: Some("doorward".to_owned()),
        replica_lag_seconds: Some(PATIENT_SECONDS.into()),
        ..section(&group.addresses(), namespace)
    }
}

fn cluster(cluster: &Cluster, namespace: &str) -> RedisSection {
    let mode = Some("cluster".to_owned());
    // Three primaries without replicas: none of them is ever replaced.
    RedisSection { mode, replicas_min: Some(0), ..section(&cluster.addresses(), namespace) }
}

fn sentinels() -> Sentinels {
    let servers = Setup { min_replicas: Some(MIN_REPLICAS), ..Setup::default() };
    let down_after = std::time::Duration::from_secs(PATIENT_SECONDS.into());
    Sentinels::with(&SentinelSetup { replicas: 2, down_after, servers, ..SentinelSetup::default() })
}

#[test]
fn one_server_keeps_the_contract() {
    keeps_the_contract(|namespace| section(&[shared_redis().address()], namespace));
}

#[test]
fn sentinel_keeps_the_contract() {
    let group = sentinels();
    keeps_the_contract(|namespace| sentinel(&group, namespace));
    carries_a_change(sentinel(&group, &namespace()));
}

#[test]
fn a_cluster_keeps_the_contract_whichever_node_has_the_slot() {
    let nodes = Cluster::start();
    keeps_the_contract(|namespace| cluster(&nodes, namespace));
    let mut owners = std::collections::BTreeSet::new();
    while owners.len() < 3 {
        let namespace = namespace();
        owners.insert(nodes.owner(&format!("{{{namespace}}}:m")).port());
        carries_a_change(cluster(&nodes, &namespace));
    }
}

/// A password in a file that only its owner may read.
fn password_file(folder: &std::path::Path, password: &str) -> PathBuf {
    let file = folder.join("redis.password");
    std::fs::write(&file, password).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

#[test]
fn certificates_and_passwords_are_shown_and_checked() {
    crate::fixture::install_crypto();
    let setup = Setup { tls: Some(Tls::mutual()), password: Some("s3cret".to_owned()), ..Setup::default() };
    let redis = Redis::start(&setup);
    let files = redis.tls().unwrap().clone();
    let folder = tempfile::tempdir().unwrap();
    let good = RedisSection {
        tls: Some(true),
        ca_file: Some(files.ca.clone()),
        client_chain: Some(files.client_chain.clone()),
        client_key: Some(files.client_key.clone()),
        password_file: Some(password_file(folder.path(), "s3cret")),
        ..section(&[redis.address()], &namespace())
    };
    carries_a_change(good.clone());

    let other = Redis::start(&Setup { tls: Some(Tls::mutual()), ..Setup::default() });
    let wrong = password_file(tempfile::tempdir().unwrap().keep().as_path(), "wrong");
    for (what, redis, told) in [
        (
            "another authority",
            RedisSection { ca_file: Some(other.tls().unwrap().ca.clone()), ..good.clone() },
            "certificate",
        ),
        (
            "no certificate",
            RedisSection { client_chain: None, client_key: None, ..good.clone() },
            "ertificate",
        ),
        (
            "a wrong password",
            RedisSection { password_file: Some(wrong), ..good.clone() },
            "does not let this node in",
        ),
        (
            "another name",
            RedisSection { server_name: Some("redis.example".to_owned()), ..good.clone() },
            "certificate",
        ),
    ] {
        run(async {
            let house = House::new(redis);
            let gateway = house.gateway("gw-1");
            let trouble = || gateway.fleet_health().and_then(|health| health.trouble).unwrap_or_default();
            // A machine that stands still may make it another trouble first.
            until(&format!("{what} is told"), || trouble().contains(told)).await;
            assert!(!trouble().contains("s3cret") && !trouble().contains("wrong"), "{what}: {}", trouble());
            assert!(gateway.check(&presented("alice", 0), crate::fixture::SKEW).is_err(), "{what}");
        });
    }
}
