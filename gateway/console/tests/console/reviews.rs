//! `GET /api/v1/access/…`: what a review asks, and what it is told.

use doorward_console::{AccessAbout, AccessAsk, AccessFault, Whom};
use doorward_policy::Action;
use serde_json::{Value, json};

use crate::fixture::{Gateway, run};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Somebody as a record of a request has them.
pub(crate) const ALICE: &str = r#"{"user":{"id":"corp:alice","stage":"active","employment":"employee"}}"#;

/// Tells what was asked, or refuses by the name of the route.
pub(crate) fn access(ask: AccessAsk) -> Result<Value, AccessFault> {
    let who = json!({ "name": "alice", "id": "corp:alice", "kind": "user" });
    let row =
        |action: Action| json!({ "who": who, "action": action.as_str(), "route": "wiki/all", "answer": 0 });
    let page = |rows: Vec<Value>| {
        let answers = json!([{ "answer": "always", "by": ["wiki.all"] }]);
        json!({ "revision": "r", "answers": answers, "rows": rows, "next": ask.after, "asked": ask.limit })
    };
    match &ask.about {
        AccessAbout::Who { action, route } => match route.as_str() {
            "token" => Err(AccessFault::NoDirectory),
            "none" => Err(AccessFault::NoRoute),
            "broken" => Err(AccessFault::Failed("a record cannot be read".to_owned())),
            _ if ask.after.as_deref() == Some("nowhere") => Err(AccessFault::After),
            _ => Ok(page(vec![row(*action)])),
        },
        AccessAbout::Person(_) => Ok(page(Action::ALL.map(row).to_vec())),
        AccessAbout::Machine(_) => Err(AccessFault::NoOne),
        AccessAbout::Visitor => Ok(page(vec![row(Action::Get)])),
        AccessAbout::Placed { situation, whom, said } => match whom {
            Whom::Machine(_) => Err(AccessFault::NoDirectory),
            Whom::Person(_) if !said.now => Ok(json!({ "refused": "they were suspended" })),
            Whom::Person(_) | Whom::AsItIs => {
                Ok(json!({ "situation": situation.replace("\"visitor\"", ALICE) }))
            }
        },
    }
}

#[test]
fn a_review_is_asked_page_by_page() {
    run(async {
        let gateway = Gateway::start().await;
        let page =
            gateway.get("/api/v1/access/who-can?action=GET&route=wiki/all&limit=7&after=person:x").await;
        assert_eq!(page.status, 200);
        let told = page.json();
        assert_eq!(told["rows"][0]["action"], "GET");
        assert_eq!((&told["next"], &told["asked"]), (&json!("person:x"), &json!(7)));
        let what = gateway.get(&format!("/api/v1/access/what-can?person={ID}")).await.json();
        assert_eq!(what["rows"].as_array().unwrap().len(), 8);
        assert_eq!(what["asked"], 100, "so many unless it is said");
        let what = gateway.get("/api/v1/access/what-can?visitor=yes").await.json();
        assert_eq!(what["rows"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn what_cannot_be_answered_is_told_with_its_reason() {
    run(async {
        let gateway = Gateway::start().await;
        for (query, status, code) in [
            ("who-can", 400, "bad_request"),
            ("who-can?action=get&route=wiki/all", 400, "bad_request"),
            ("who-can?action=GET", 400, "bad_request"),
            ("who-can?action=GET&route=wiki/all&limit=501", 400, "bad_request"),
            ("who-can?action=GET&route=wiki/all&after=nowhere", 400, "bad_request"),
            ("who-can?action=GET&route=wiki/all&other=1", 400, "bad_request"),
            ("who-can?action=GET&route=token", 409, "not_here"),
            ("who-can?action=GET&route=none", 404, "not_known"),
            ("who-can?action=GET&route=broken", 500, "internal"),
            ("what-can", 400, "bad_request"),
            (&format!("what-can?person={ID}&machine={ID}"), 400, "bad_request"),
            (&format!("what-can?person={ID}&visitor=yes"), 400, "bad_request"),
            ("what-can?visitor=no", 400, "bad_request"),
            ("what-can?person=alice", 400, "bad_request"),
            (&format!("what-can?machine={ID}"), 404, "not_known"),
        ] {
            let answer = gateway.get(&format!("/api/v1/access/{query}")).await;
            assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{query}");
        }
    });
}
