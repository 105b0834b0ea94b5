//! How the gateway says no: a page, a problem document, a gRPC status, a header alone.

use doorward_tests::company::{Company, bearer};
use doorward_tests::grpc;
use doorward_tests::h1::{self, H1, request};
use doorward_tests::h2::H2;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::within;
use serde_json::{Value, json};

#[tokio::test]
async fn every_reader_gets_a_no_in_its_own_form() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let (alice, weak) =
        (bearer(&issuer.token("alice")), bearer(&issuer.token_but("bob", &json!({"amr": ["pwd"]}))));
    let expired = bearer(&issuer.token_but("bob", &json!({"iat": 1_600_000_000, "exp": 1_600_000_600})));
    let h2 = H2::connect(gateway.address()).await;
    // Who asks, for what, how: status, code, gRPC status, and what a person reads.
    #[expect(clippy::type_complexity, reason = "a table: each column is named above it")]
    let cases: &[(&str, &str, &str, &str, u16, &str, u16, &str)] = &[
        ("GET", "build.test", "/", "", 401, "unauthenticated", 16, "Please sign in"),
        (
            "GET",
            "build.test",
            "/",
            "Bearer a.b.c",
            401,
            "invalid_credential",
            16,
            "Your sign-in is not valid",
        ),
        ("GET", "build.test", "/", &expired, 401, "expired_credential", 16, "Your sign-in has expired"),
        ("GET", "build.test", "/", &alice, 403, "no_permit", 7, "You do not have access"),
        ("GET", "build.test", "/", &weak, 401, "step_up", 16, "Sign in with a second factor."),
        ("GET", "nowhere.test", "/", &alice, 404, "no_route", 12, "There is nothing here"),
        (
            "TRACE",
            "build.test",
            "/",
            &alice,
            405,
            "method_not_allowed",
            12,
            "This kind of request is not allowed",
        ),
    ];
    for (method, host, path, auth, status, code, grpc_status, sentence) in cases {
        let own: Vec<(&str, &str)> = if auth.is_empty() { vec![] } else { vec![("authorization", auth)] };
        let with = |accept: &'static str| [own.clone(), vec![("accept", accept)]].concat();

        let answer = h1::ask(gateway.address(), method, host, path, &with("application/json")).await;
        assert_eq!(answer.status(), *status, "{code}: {}", answer.text());
        assert_eq!(answer.head.value("content-type").as_deref(), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!(problem["code"], *code);
        assert_eq!(problem["status"], *status);
        assert_eq!(problem["type"], format!("urn:doorward:refusal:{code}"));
        assert_eq!(answer.head.value("x-doorward-refusal").as_deref(), Some(*code));
        let id = problem["request_id"].as_str().unwrap();
        assert_eq!(answer.head.value("x-doorward-request-id").as_deref(), Some(id));
        assert_eq!(answer.head.value("cache-control").as_deref(), Some("no-store"));
        assert_eq!(answer.head.value("www-authenticate").is_some(), *status == 401, "{code}");
        assert_eq!(answer.head.value("server"), None, "nobody needs to know what answers");

        let page = h1::ask(gateway.address(), method, host, path, &with("text/html,*/*;q=0.8")).await;
        assert_eq!(page.status(), *status);
        assert!(page.head.value("content-type").unwrap().starts_with("text/html"));
        let policy = page.head.value("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let id = page.head.value("x-doorward-request-id").unwrap();
        for expected in [*sentence, &id, "<html", "</html>"] {
            assert!(page.text().contains(expected), "{code}: no `{expected}` in {}", page.text());
        }
        for internal in
            ["127.0.0.1", "cedar", "guard.", "kid", "demo:", "panicked", "pingora", "alice", "bob"]
        {
            assert!(
                !page.text().to_lowercase().contains(internal),
                "{code}: `{internal}` in {}",
                page.text()
            );
            assert!(
                !answer.text().to_lowercase().contains(internal),
                "{code}: `{internal}` in {}",
                answer.text()
            );
        }

        let same = h2.ask(method, host, path, &with("application/json"), b"").await.unwrap();
        assert_eq!((same.status, &same.json()["code"]), (*status, &json!(code)));
        assert_eq!(same.header("x-doorward-refusal").as_deref(), Some(*code));

        if *method == "GET" {
            let call = grpc::call(&h2, host, "/x.X/Y", &own, "hello").await.unwrap();
            assert_eq!((call.http_status, call.status), (200, Some(*grpc_status)), "{code}");
            assert!(call.texts.is_empty());

            let mut client = H1::connect(gateway.address()).await;
            client.send(request("HEAD", host, path, &with("text/html"), b"")).await;
            let head = client.response("HEAD").await;
            assert_eq!((head.status(), head.body.len()), (*status, 0));
            assert_ne!(head.head.value("content-length").as_deref(), Some("0"), "{code}");
            if *status != 401 {
                // The connection is still good: nothing but the header was sent.
                let next = client.ask("GET", "nowhere.test", "/", &[]).await;
                assert_eq!(next.status(), 404, "{code}");
            }
        }
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_reason_from_a_policy_reaches_the_person_with_advice() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let weak = bearer(&issuer.token_but("bob", &json!({"amr": ["pwd"]})));
    let answer = h1::ask(gateway.address(), "GET", "build.test", "/", &[("authorization", &weak)]).await;
    let problem = answer.json();
    assert_eq!(problem["detail"], "Sign in with a second factor.");
    assert_eq!(problem["advice"], json!(["step-up:mfa"]));
    assert!(!answer.text().contains("guard.mfa"), "the name of the policy stays in the house");
}

/// A person who is refused is told what would help them there and then, and the log what failed. A program is told
/// nothing of the kind.
#[tokio::test]
async fn what_would_help_is_told_to_people_and_the_failed_clause_to_the_log() {
    let upstream = RawUpstream::ok().await;
    let (issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let weak = json!({"amr": ["pwd"]});
    let agent = json!({"amr": ["pwd"], "act": {"sub": "copilot"}});
    let (bob, alice) = (bearer(&issuer.token_but("bob", &weak)), bearer(&issuer.token("alice")));
    let agent = bearer(&issuer.token_but("bob", &agent));
    let office = "Try again from another network, such as the office or the VPN.";
    let factor = "Sign in with a second factor.";
    // Who, where, what would help, and what failed: policy and facts.
    for (auth, host, next, policy, facts) in [
        (bob.as_str(), "build.test", Some(factor), "guard.mfa", "context.session.mfa"),
        (&alice, "payroll.test", Some(office), "payroll.network", "context.zones"),
        (&agent, "payroll.test", None, "agents.limits", "action resource.tier"),
    ] {
        let ask = async |accept: &str| {
            let own = [("authorization", auth), ("accept", accept)];
            h1::ask(gateway.address(), "GET", host, "/", &own).await
        };
        let problem = ask("application/json").await.json();
        assert_eq!(problem["next"], next.map_or(Value::Null, |next| json!([next])), "{policy}: {problem}");
        let page = ask("text/html").await;
        let said = next.map(|next| format!("<p class=\"next\">{next}</p>"));
        assert_eq!(page.text().contains("class=\"next\""), said.is_some(), "{policy}: {}", page.text());
        assert!(said.is_none_or(|said| page.text().contains(&said)), "{policy}: {}", page.text());
        let id = problem["request_id"].as_str().unwrap();
        let denial = within("the denial in the log", async {
            loop {
                let is_it = |event: &Value| event["metadata"]["correlation_uid"] == id;
                if let Some(event) = gateway.events().into_iter().find(is_it) {
                    return event;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
        let clauses =
            denial["unmapped"]["doorward"]["decision"]["clauses"].as_array().cloned().unwrap_or_default();
        let clause = clauses.iter().find(|clause| clause["policy"] == policy);
        let clause = clause.unwrap_or_else(|| panic!("{policy} in {clauses:?}"));
        assert!(clause["span"].is_array(), "{clause}");
        for fact in clause["facts"].as_array().unwrap() {
            assert!(facts.split(' ').any(|known| fact == known), "{clause}");
        }
        assert!(!clause.to_string().contains("bob") && !clause.to_string().contains("alice"), "{clause}");
    }
    assert!(upstream.requests().is_empty());
}
