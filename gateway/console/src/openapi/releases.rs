//! Policies that are held, put in force, rolled out, gone back to.

use doorward_model::limits::REVOCATION_CAUSE_BYTES_MAX;
use serde_json::{Value, json};

use super::form::{Operation, Paths, count, flag, list, object, or_null, said, text, time, to, word};
use super::node::revision;
use super::people::app;
use super::refusals::{CHANGE, LOOK, Refusal};
use crate::releases::{APPS_MAX, BUNDLE, WHOLE};

const TAG: &str = "policies";

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let names = || list(text());
    let cases = object([("added", count()), ("removed", count()), ("changed", count())]).told();
    let difference =
        object([("added", names()), ("removed", names()), ("changed", names()), ("cases", cases)]);
    let result = json!({
        "type": "object", "required": ["name", "outcome", "detail"],
        "properties": {
            "name": text(), "outcome": word(["held", "failed", "unknown"]), "detail": text(), "blocking": names(),
        },
    });
    let bundle = object([
        ("revision", revision()),
        ("sequence", count()),
        ("author", text()),
        ("note", or_null(text())),
        ("created_at", time()),
        ("origin", word(["uploaded", "folder", "pulled"])),
        ("at", time()),
        ("by", text()),
        ("policies", count()),
        ("cases", or_null(count())),
        ("difference", to("PolicyDifference")),
        ("results", list(result)),
        ("signed_by", names()),
        ("in_force", flag()),
    ]);
    let turn = object([
        ("revision", revision()),
        ("previous", or_null(revision())),
        ("at", time()),
        ("by", text()),
        ("how", how()),
        ("cause", or_null(text())),
    ]);
    let rollout = object([
        ("revision", revision()),
        ("hundredths", count()),
        ("apps", or_null(list(app()))),
        ("since", time()),
        ("by", text()),
        ("asked", flag()),
        ("decisions", or_null(object([("staged", count()), ("in_force", count())]).told())),
        ("difference", or_null(to("PolicyDifference"))),
    ]);
    vec![
        ("PolicyDifference", difference.told()),
        ("PolicyBundle", bundle.told()),
        ("PolicyTurn", turn.told()),
        ("PolicyRollout", rollout.told()),
    ]
}

fn how() -> Value {
    word(["folder", "promoted", "rolled_out", "back", "pulled"])
}

fn cause() -> Value {
    said(REVOCATION_CAUSE_BYTES_MAX)
}

pub(super) fn why() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "properties": { "revision": revision(), "cause": cause(), "override": flag() },
        "dependentRequired": { "override": ["cause"] },
    })
}

/// What came of putting a bundle in force.
pub(super) fn swapped() -> Value {
    let swapped = object([
        ("outcome", word(["swapped", "unchanged", "stopped"])),
        ("revision", revision()),
        ("rollout_ended", or_null(revision())),
        ("previous", or_null(revision())),
        ("difference", to("PolicyDifference")),
        ("hints", list(to("Finding"))),
    ]);
    swapped.told()
}

pub(super) fn paths(paths: &mut Paths) {
    bundles(paths);
    let swapped = swapped();
    let back = json!({
        "type": "object", "additionalProperties": false,
        "properties": { "revision": revision(), "cause": cause(), "override": flag() },
        "dependentRequired": { "override": ["cause"] },
    });
    let back = Operation::new(TAG, "policies.back", "Puts in force what was in force before")
        .says("Without `revision` the last one before that in force. It is on record before it happens.")
        .optional_body(back, json!({ "cause": "people cannot reach the wiki" }))
        .answers(200, "It is in force on this node.", swapped.clone())
        .refuses(CHANGE);
    paths.on("post", "/api/v1/policies/back", back);

    let published =
        object([("outcome", word(["published"])), ("revision", revision()), ("sequence", count())]);
    let wanted = json!({
        "type": "object", "additionalProperties": false, "required": ["revision"],
        "properties": { "revision": revision(), "cause": cause(), "override": flag() },
        "dependentRequired": { "override": ["cause"] },
    });
    let publish = Operation::new(TAG, "policies.publish", "Publishes a bundle for every node of the fleet")
        .says("By Redis, for the nodes with `policy.source = { redis = true }`, which ask for the signature themselves.")
        .body(wanted, json!({ "revision": "0".repeat(64) }))
        .answers(200, "It is published; each node takes it when it pulls.", published.told())
        .refuses(CHANGE);
    paths.on("post", "/api/v1/policies/publish", publish);

    let page = object([
        ("scope", word(["node"])),
        ("in_force", revision()),
        ("rollout", or_null(to("PolicyRollout"))),
    ]);
    let page = page.told();
    let show = Operation::new(TAG, "policies.rollout.show", "What is rolled out to whom, on this node")
        .answers(200, "The roll-out.", page.clone());
    paths.on("get", "/api/v1/policies/rollout", show);
    let wanted = json!({
        "type": "object", "additionalProperties": false, "required": ["revision"],
        "properties": {
            "revision": revision(),
            "hundredths": { "type": "integer", "minimum": 1, "maximum": WHOLE, "default": WHOLE },
            "apps": { "type": "array", "items": app(), "minItems": 1, "maxItems": APPS_MAX, "uniqueItems": true },
            "cause": cause(),
            "override": flag(),
        },
        "dependentRequired": { "override": ["cause"] },
    });
    let example = json!({ "revision": "0".repeat(64), "hundredths": 500, "apps": ["wiki"] });
    let start = Operation::new(TAG, "policies.rollout.start", "Asks a share of the people of a bundle that is held")
        .says(
            "`hundredths` of a percent of the people, always the same ones, at `apps` or at all. Again with another share \
             it becomes greater or smaller. It is on record before it happens.",
        )
        .body(wanted, example)
        .answers(200, "They are, on this node.", page)
        .refuses(CHANGE);
    paths.on("post", "/api/v1/policies/rollout", start);
    let example = || json!({ "cause": "nobody complained for a day" });
    let finish =
        Operation::new(TAG, "policies.rollout.finish", "Puts in force for everybody what is rolled out")
            .optional_body(why(), example())
            .answers(200, "It is in force on this node.", swapped)
            .refuses(CHANGE);
    paths.on("post", "/api/v1/policies/rollout/finish", finish);
    let stopped = object([("outcome", word(["stopped"])), ("revision", revision())]);
    let stop = Operation::new(TAG, "policies.rollout.stop", "Asks everybody of what is in force")
        .optional_body(why(), example())
        .answers(200, "The roll-out is over on this node.", stopped.told())
        .refuses(CHANGE);
    paths.on("post", "/api/v1/policies/rollout/stop", stop);
}

fn bundles(paths: &mut Paths) {
    let node = object([
        ("node", text()),
        ("in_force", or_null(text())),
        ("pulled", or_null(count())),
        ("trouble", or_null(text())),
        ("at", or_null(time())),
    ]);
    let page = object([
        ("scope", word(["node"])),
        ("nodes", or_null(list(node.told()))),
        ("nodes_unknown", or_null(text())),
        ("pulled", or_null(count())),
        ("trouble", or_null(text())),
        ("in_force", revision()),
        ("in_folder", or_null(revision())),
        ("speaks", word(["folder", "bundle"])),
        ("since", or_null(time())),
        ("by", or_null(text())),
        ("how", or_null(how())),
        ("cause", or_null(text())),
        ("rollout", or_null(to("PolicyRollout"))),
        ("bundles", list(to("PolicyBundle"))),
        ("history", list(to("PolicyTurn"))),
    ]);
    let found =
        Operation::new(TAG, "policies.bundles.list", "What is held and in force on this node, and what was")
            .answers(200, "The bundles, the last that came first.", page.told());
    paths.on("get", "/api/v1/policies/bundles", found);
    let hold = Operation::new(TAG, "policies.bundles.hold", "Holds a bundle of policies, which is not in force by that")
        .says("It is read, its signature is asked for where keys are configured, and it is loaded as the folder would be.")
        .file(BUNDLE)
        .answers(200, "It is held on this node.", to("PolicyBundle"))
        .refuses(&[
            Refusal::Mistaken,
            Refusal::TookTooLong,
            Refusal::Conflict,
            Refusal::BodyTooLarge,
            Refusal::MediaType,
            Refusal::Unprocessable,
        ]);
    paths.on("post", "/api/v1/policies/bundles", hold);
    let gone = object([("outcome", word(["forgotten"])), ("revision", revision())]);
    let forget = Operation::new(TAG, "policies.bundles.forget", "Forgets a bundle that is not in use")
        .path("revision", revision(), "Its revision.")
        .answers(200, "It is not held any more.", gone.told())
        .refuses(LOOK);
    paths.on("delete", "/api/v1/policies/bundles/{revision}", forget);
}
