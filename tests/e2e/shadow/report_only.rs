//! A policy that only reports, on live requests.

use serde_json::Value;

use crate::house::{ASKED, House};

const CLOSED: &str = "@id(\"wiki.closed\")\n@title(\"The wiki is closed\")\n@owner(\"it\")\n@severity(\"low\")\n\
                      @reason(\"The wiki is closed.\")\n@mode(\"report\")\n\
                      forbid (principal is User, action, resource in App::\"wiki\");\n";

#[tokio::test]
async fn what_it_would_change_is_told_and_nobody_is_kept_out() {
    let house = House::with(|policies| {
        std::fs::write(policies.join("guardrails/closed.cedar"), CLOSED).unwrap();
    })
    .await;
    let told = house.asks().await;
    // Alice reads the wiki, and writes in it.
    assert_eq!((told[0].0, told[1].0), (200, 200), "{told:?}");
    let report = house.found("report_only").await;
    assert_eq!(report["reporting"], serde_json::json!(["wiki.closed"]));
    assert_eq!(report["requests"]["decided"], ASKED.len(), "{report}");
    let allowed = told.iter().take(6).chain([&told[9]]).filter(|(status, _)| *status == 200).count();
    assert_eq!(report["differences"]["newly_denied"], allowed, "{report}");
    assert_eq!(report["differences"]["newly_allowed"], 0, "{report}");
    // Whoever is denied anyway would be denied by one more.
    assert_eq!(report["differences"]["other_policies"], 7 - allowed, "{report}");
    let rows = report["by_policy"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{report}");
    assert_eq!(rows[0]["name"], "wiki.closed");
    let page = house.done(&["status"]).await;
    assert!(page.contains("report-only") && page.contains("with wiki.closed as well"), "{page}");
    // Nothing of it is in a decision.
    let named: Vec<Value> = house.gateway.events();
    assert!(
        named
            .iter()
            .all(|event| !event["unmapped"]["doorward"]["decision"].to_string().contains("wiki.closed"))
    );

    // Taking the annotation away makes it decide.
    let file = house.policies.join("guardrails/closed.cedar");
    std::fs::write(&file, CLOSED.replace("@mode(\"report\")\n", "")).unwrap();
    let reload = house.gateway.api("POST", "/api/v1/policies/reload", None).await;
    assert_eq!(reload.status, 200, "{}", reload.text);
    assert_eq!(house.asks().await[0].0, 403);
    assert_eq!(house.status().await["report_only"], Value::Null);
}
