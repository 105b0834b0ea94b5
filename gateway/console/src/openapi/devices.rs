//! Devices.

use doorward_lifecycle::service::PAGE_MAX;
use doorward_model::directory::POSTURE_HOURS_MAX;
use serde_json::{Value, json};

use super::form::{
    Members, Operation, Paths, bounded, count, flag, formed, id, list, object, or_null, said, text, time, to,
    with_one_of, word,
};
use super::people::{change, outcome};
use super::refusals::{CHANGE, LIST, LOOK, MAKE};
use crate::devices::{COMPLIANCE, HOURS, actions};
use crate::directory::ROWS;

const TAG: &str = "devices";
/// How tokens name a device: visible ASCII.
const DEVICE: &str = "^[\\u0021-\\u007e]{1,255}$";
/// The SHA-256 of a certificate.
const THUMBPRINT: &str = "^[0-9a-f]{64}$";
/// The longest name and platform, in bytes.
const TEXT_BYTES_MAX: usize = 512;

fn device() -> Members {
    let posture = object([
        ("managed", flag()),
        ("compliance", word(COMPLIANCE)),
        ("source", text()),
        ("reasons", list(text())),
        ("asserted_at", time()),
        ("expires_at", time()),
        ("fresh", flag()),
    ]);
    let blocked = object([("by", text()), ("cause", text()), ("since", time())]);
    object([
        ("id", formed(DEVICE)),
        ("version", count()),
        ("name", text()),
        ("owner", or_null(id())),
        ("platform", or_null(text())),
        ("certificates", list(formed(THUMBPRINT))),
        ("posture", or_null(posture.told())),
        ("blocked", or_null(blocked.told())),
        ("created_at", time()),
    ])
}

/// What may be said of one.
fn posture() -> Members {
    Members::default().maybe([
        ("managed", flag()),
        ("compliance", word(COMPLIANCE)),
        ("hours", bounded(HOURS, POSTURE_HOURS_MAX)),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![("Device", device().told()), ("DeviceChanged", device().with(outcome()).told())]
}

pub(super) fn paths(paths: &mut Paths) {
    let all = "/api/v1/devices";
    let page = object([("devices", list(to("Device"))), ("next", or_null(formed(DEVICE)))]);
    let found = Operation::new(TAG, "devices.list", "Page by page")
        .query("owner", id(), "Those that belong to this person.")
        .page(ROWS, PAGE_MAX, formed(DEVICE))
        .answers(200, "A page of them, in the order of ids.", page.told())
        .refuses(LIST);
    paths.on("get", all, found);
    let wish = object([("id", formed(DEVICE)), ("name", said(TEXT_BYTES_MAX))]).with(posture()).maybe([
        ("owner", id()),
        ("platform", said(TEXT_BYTES_MAX)),
        ("thumbprint", formed(THUMBPRINT)),
    ]);
    let example = json!({
        "id": "laptop-77", "name": "A laptop", "owner": "01890a5d-ac96-774b-bcce-b302099a8057", "platform": "macos",
        "managed": true, "compliance": "compliant", "hours": 24,
    });
    let add = Operation::new(TAG, "devices.add", "Registers one, as tokens name it")
        .body(change(wish), example)
        .answers(201, "The device.", to("DeviceChanged"))
        .leads_to(201, "id", &[("devices.show", "id"), ("devices.block", "id"), ("devices.remove", "id")])
        .refuses(MAKE);
    paths.on("post", all, add);
    let one = format!("{all}/{{id}}");
    let look = Operation::new(TAG, "devices.show", "One of them")
        .path("id", formed(DEVICE), "Which.")
        .answers(200, "The device.", to("Device"))
        .refuses(LOOK);
    paths.on("get", &one, look);
    for word in actions() {
        let act = Operation::new(TAG, &format!("devices.{word}"), &format!("What is asked for: {word}"));
        let act = act.path("id", formed(DEVICE), "Which.");
        let act = match word {
            "assign" => act.says("Without an owner it belongs to nobody from then on.").optional_body(
                change(Members::default().maybe([("owner", id())])),
                json!({ "owner": "01890a5d-ac96-774b-bcce-b302099a8057" }),
            ),
            "bind" | "unbind" => act.body(
                change(object([("thumbprint", formed(THUMBPRINT))])),
                json!({ "thumbprint": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }),
            ),
            "say" => act.body(
                with_one_of(change(posture()), ["managed", "compliance"]),
                json!({ "managed": true, "compliance": "compliant" }),
            ),
            _ => act.optional_body(to("Change"), json!({ "cause": "lost" })),
        };
        let act = act.answers(200, "The device.", to("DeviceChanged")).refuses(CHANGE);
        paths.on("post", &format!("{one}/{word}"), act);
    }
}
