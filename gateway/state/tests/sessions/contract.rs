//! The contract of every store of sessions, whichever it is. The cases see only what
//! [`Sessions`](doorward_state::Sessions) promises.

mod bounds;
mod others;
mod records;

use std::time::Duration;

use doorward_servers::{Cluster, MinReplicas, SentinelSetup, Sentinels, Setup};
use doorward_state::RedisSection;

use crate::fixture::{Place, run, section};

/// Runs every case, each in a place of its own.
fn keep_the_contract(fresh: impl Fn() -> Place) {
    macro_rules! cases {
        ($($module:ident :: $case:ident),+ $(,)?) => {$(
            println!("contract: {}", stringify!($case));
            run($module::$case(&fresh()));
        )+};
    }
    cases! {
        records::what_is_kept_is_found,
        records::again_with_the_same_id_changes_nothing,
        records::what_is_over_is_not_there,
        records::of_those_who_read_the_same_version_one_succeeds,
        records::a_replacement_loses_nothing_that_was_seen,
        records::an_older_instant_never_wins,
        records::what_is_removed_is_gone,
        records::everybody_of_whom_something_is_kept_is_found,
        bounds::the_oldest_gives_way,
        bounds::what_is_over_gives_way_first,
        bounds::apps_are_bounded,
        bounds::what_is_too_much_is_refused_or_cut,
        others::one_of_a_hundred_takes_it,
        others::what_is_put_stays_until_it_is_taken_or_over,
        others::one_holds_a_lock,
        others::a_lock_ends,
        others::memory_is_replaced_by_whoever_knows_it,
        others::memory_is_forgotten,
    }
}

#[test]
fn a_file_keeps_the_contract() {
    keep_the_contract(Place::file);
}

#[test]
fn one_server_keeps_the_contract() {
    keep_the_contract(Place::shared);
}

#[test]
fn sentinels_keep_the_contract() {
    // Nobody is to be taken for lost who stands still with the whole machine.
    let (down_after, lag_seconds) = (Duration::from_secs(15), 15);
    let servers = Setup { min_replicas: Some(MinReplicas { count: 1, lag_seconds }), ..Setup::default() };
    let setup = SentinelSetup { replicas: 2, down_after, servers, ..SentinelSetup::default() };
    let group = Sentinels::with(&setup);
    keep_the_contract(|| {
        Place::redis(RedisSection {
            mode: Some("sentinel".to_owned()),
            primary_name: Some("doorward".to_owned()),
            replica_lag_seconds: Some(lag_seconds.into()),
            ..section(&group.addresses())
        })
    });
}

#[test]
fn a_cluster_keeps_the_contract() {
    let cluster = Cluster::start();
    keep_the_contract(|| {
        let mode = Some("cluster".to_owned());
        // Three primaries without replicas: none of them is ever replaced.
        Place::redis(RedisSection { mode, replicas_min: Some(0), ..section(&cluster.addresses()) })
    });
}
