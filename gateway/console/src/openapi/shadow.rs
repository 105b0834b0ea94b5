//! Policies that are asked beside those in force.

use doorward_policy::shadow::{Change, Lane};
use serde_json::{Value, json};

use super::form::{Members, Operation, Paths, count, formed, list, object, or_null, text, time, to, word};
use super::node::revision;
use super::refusals::{CHANGE, LIST};
use super::releases::{swapped, why};

const TAG: &str = "policies";
/// What [`doorward_policy::shadow::Sample`] takes: a percentage of more than 0 and at most 100.
const SHARE: &str = "^(100(\\.0{1,4})?|(0{0,2}[1-9]|0?[1-9][0-9])(\\.[0-9]{1,4})?\
                     |0{1,3}\\.([1-9][0-9]{0,3}|0[1-9][0-9]{0,2}|00[1-9][0-9]?|000[1-9]))%?$";

/// How many requests something changes, by what it changes.
fn counts() -> Members {
    object(Change::ALL.map(|change| (change.as_str(), count())))
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let side = object([
        ("decision", word(["allow", "deny"])),
        ("code", or_null(text())),
        ("determining", list(text())),
        ("errors", list(text())),
    ]);
    let example = object([
        ("at", time()),
        ("request_id", text()),
        ("kind", text()),
        ("who", or_null(text())),
        ("action", text()),
        ("route", text()),
        ("change", word(Change::ALL.map(Change::as_str))),
        ("policies", list(text())),
        ("in_force", to("ShadowSide")),
        ("candidate", to("ShadowSide")),
    ]);
    let requests = object([
        ("seen", count()),
        ("decided", count()),
        ("waiting", count()),
        ("passed_over", count()),
        ("missed", count()),
        ("failed", count()),
        ("elsewhere", count()),
    ]);
    let report = object([
        ("revision", revision()),
        ("policies", count()),
        ("reporting", list(text())),
        ("in_force", revision()),
        ("in_force_at_start", revision()),
        ("started_at", time()),
        ("since", time()),
        ("restarts", count()),
        ("sample", text()),
        ("requests", requests.told()),
        ("differences", counts().told()),
        ("first_at", or_null(time())),
        ("last_at", or_null(time())),
        ("by_kind", to("ShadowCounts")),
        ("by_app", to("ShadowCounts")),
        ("by_policy", to("ShadowCounts")),
        ("examples", list(to("ShadowExample"))),
    ]);
    let by_name =
        object([("rows", list(counts().and([("name", text())]).told())), ("others", counts().told())]);
    let shadow = object([("scope", word(["node"])), ("in_force", revision())])
        .and(Lane::ALL.map(|lane| (lane.as_str(), or_null(to("ShadowReport")))));
    vec![
        ("ShadowSide", side.told()),
        ("ShadowExample", example.told()),
        ("ShadowCounts", by_name.told()),
        ("ShadowReport", report.told()),
        ("Shadow", shadow.told()),
    ]
}

pub(super) fn paths(paths: &mut Paths) {
    let path = "/api/v1/policies/shadow";
    let show = Operation::new(TAG, "policies.shadow.show", "What other policies would have changed")
        .says(
            "`candidate` is a bundle that was started, `report_only` what the policies in force that only report would \
             change. Both are of this node: of what it was asked since `since`.",
        )
        .answers(200, "What was found.", to("Shadow"))
        .refuses(LIST);
    paths.on("get", path, show);

    let wanted = object([("revision", revision())]).maybe([("sample", formed(SHARE))]);
    let start =
        Operation::new(TAG, "policies.shadow.start", "Asks a bundle that is held beside those in force")
            .says("`sample` is the share of the requests, such as `10%`; without it, all of them.")
            .body(wanted.taken(), json!({ "revision": "0".repeat(64), "sample": "10%" }))
            .answers(200, "It is asked from now on.", to("Shadow"))
            .refuses(CHANGE);
    paths.on("post", path, start);

    let example = || json!({ "cause": "nobody would be shut out" });
    let stop = Operation::new(TAG, "policies.shadow.stop", "Asks it no more")
        .optional_body(why(), example())
        .answers(200, "What it had found.", to("Shadow"))
        .refuses(CHANGE);
    paths.on("delete", path, stop);
    let promote = Operation::new(TAG, "policies.shadow.promote", "Puts it in force")
        .says(
            "Exactly the revision that was asked, if the policies in force are those from when it was started, and if \
             it was asked about any request. `override` puts it in force all the same.",
        )
        .optional_body(why(), example())
        .answers(200, "It is in force on this node.", swapped())
        .refuses(CHANGE);
    paths.on("post", "/api/v1/policies/shadow/promote", promote);
}
