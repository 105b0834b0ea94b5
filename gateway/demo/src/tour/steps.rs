//! The steps, in the order in which they are told.

mod life;

use super::{Command, Expect, Scene, Step};
use crate::surroundings::Ports;

/// The tour.
#[must_use]
pub fn steps(scene: &Scene) -> Vec<Step> {
    let mut steps = allowed(scene);
    steps.extend(denied(scene));
    steps.extend(time(scene));
    steps.extend(policies(scene));
    steps.extend(revoked(scene));
    steps.extend(life::steps(scene));
    steps.push(recorded(scene));
    steps
}

// === impl Scene ===

impl Scene {
    /// A request with curl; `as_whom` is a person with a query, or nobody.
    fn curl(&self, as_whom: &str, options: &str, url: &str) -> String {
        let mut shell = "curl -si".to_owned();
        if !as_whom.is_empty() {
            shell.push_str(&format!(" --oauth2-bearer \"$({})\"", self.token(as_whom)));
        }
        if !options.is_empty() {
            shell.push_str(&format!(" {options}"));
        }
        format!("{shell} {}", self.url(url))
    }

    fn token(&self, as_whom: &str) -> String {
        format!("curl -s '127.0.0.1:{}/token/{as_whom}'", self.ports.provider)
    }

    /// `wiki/admin` to the address of that page.
    fn url(&self, page: &str) -> String {
        let (app, path) = page.split_once('/').unwrap_or((page, ""));
        format!("http://{app}.localhost:{}/{path}", self.ports.gateway)
    }

    /// A command of the program, for the gateway of the demo.
    #[must_use]
    pub fn doorward(&self, command: &str) -> String {
        format!("{} {command} --config {}/doorward.toml", self.doorward, self.folder)
    }

    /// The watcher knows where the provider usually is.
    fn watch(&self, person: &str, page: &str) -> String {
        let url = self.url(page).replacen("http", "ws", 1);
        let mut shell = format!("{} demo watch {person} --url {url}", self.doorward);
        if self.ports.provider != Ports::default().provider {
            shell.push_str(&format!(" --provider http://127.0.0.1:{}", self.ports.provider));
        }
        shell
    }
}

/// The options that let a request come from anywhere, by the one proxy that the demo trusts.
fn via_proxy(client: &str) -> String {
    format!("--interface 127.0.0.2 -H 'X-Forwarded-For: {client}'")
}

fn prints(status: u16, all: &[&'static str]) -> Expect {
    Expect { status: Some(status), all: all.to_vec(), one_of: Vec::new() }
}

fn says(all: &[&'static str]) -> Expect {
    Expect { status: None, all: all.to_vec(), one_of: Vec::new() }
}

fn one(title: &'static str, text: &'static str, shell: String, expect: Expect) -> Step {
    Step { title, text, commands: vec![Command { shell, expect }] }
}

fn allowed(scene: &Scene) -> Vec<Step> {
    vec![
        Step {
            title: "A public page, and one that is not",
            text: "The configuration calls `/welcome` public and a policy lets anybody read it. \
                   Everything else asks who you are.",
            commands: vec![
                Command {
                    shell: scene.curl("", "", "wiki/welcome"),
                    expect: prints(200, &["This is the app wiki", "you are nobody"]),
                },
                Command {
                    shell: scene.curl("", "", "wiki/"),
                    expect: prints(401, &["x-doorward-refusal: unauthenticated", "Please sign in"]),
                },
            ],
        },
        one(
            "The same by TLS, as a browser comes",
            "The certificate for `*.localhost` was made when the demo started. Nobody vouches for it, so a browser \
             warns; whoever is told to trust it does not.",
            format!(
                "curl -si --cacert {}/localhost.pem {}",
                scene.folder,
                scene.ports.page("wiki", "/welcome")
            ),
            prints(200, &["This is the app wiki", "you are nobody"]),
        ),
        one(
            "Allowed: Alice reads the wiki",
            "Alice is an employee. The wiki does no check of its own: it reads who she is from the \
             headers that the gateway adds.",
            scene.curl("alice", "", "wiki/"),
            prints(200, &["The gateway says that you are demo:alice", "x-doorward-assertion"]),
        ),
        one(
            "Who you are is not yours to say",
            "A header that claims to come from the gateway is thrown away, however it is spelled.",
            scene.curl(
                "alice",
                "-H 'X-Doorward-User: demo:dana' -H 'x_doorward_user: demo:dana'",
                "wiki/whoami",
            ),
            prints(200, &[r#""x-doorward-user":["demo:alice"]"#]),
        ),
        one(
            "Allowed: Alice sees payroll",
            "She works in HR, signed in with a security key, and this machine counts as the office.",
            scene.curl("alice", "", "payroll/runs"),
            prints(200, &[r#""user":"demo:alice""#, r#""runs":"#]),
        ),
        one(
            "gRPC, with its trailers",
            "Bob is an engineer. The empty message (five zero bytes) asks for the state of the main \
             branch; `grpc-status: 0` comes after the body.",
            format!(
                "printf '\\0\\0\\0\\0\\0' | {} | tr -d '\\000-\\011\\013-\\037'",
                scene.curl(
                    "bob",
                    "--http2-prior-knowledge -H 'content-type: application/grpc' -H 'te: trailers' \
                     --data-binary @- -o -",
                    "build/doorward.demo.Build/Status",
                )
            ),
            prints(200, &["main is green, demo:bob", "grpc-status: 0"]),
        ),
    ]
}

fn denied(scene: &Scene) -> Vec<Step> {
    vec![
        one(
            "Denied for the role",
            "No policy permits an engineer to see payroll.",
            scene.curl("bob", "", "payroll/runs"),
            prints(403, &["x-doorward-refusal: no_permit", "You do not have access"]),
        ),
        one(
            "Denied for the sign-in",
            "The same Alice with a password only: a guardrail forbids it, and says what would help.",
            scene.curl("alice?mfa=off", "", "payroll/runs"),
            prints(401, &["x-doorward-refusal: step_up", "Sign in with a second factor.", "step-up:mfa"]),
        ),
        Step {
            title: "Denied for the country",
            text: "The demo trusts one proxy, the address 127.0.0.2; its header may say where a request \
                   comes from, here from North Korea. From any other address the header means nothing.",
            commands: vec![
                Command {
                    shell: scene.curl("alice", &via_proxy("175.45.176.1"), "wiki/"),
                    expect: prints(
                        403,
                        &["x-doorward-refusal: policy_forbids", "Access from this country is not allowed."],
                    ),
                },
                Command {
                    shell: scene.curl("alice", "-H 'X-Forwarded-For: 175.45.176.1'", "wiki/"),
                    expect: prints(200, &["demo:alice"]),
                },
            ],
        },
        Step {
            title: "Denied for the network",
            text: "From a German address outside the office Alice reads the wiki, but payroll is open from \
                   the office and the VPN only.",
            commands: vec![
                Command {
                    shell: scene.curl("alice", &via_proxy("87.128.0.1"), "wiki/"),
                    expect: prints(200, &["demo:alice"]),
                },
                Command {
                    shell: scene.curl("alice", &via_proxy("87.128.0.1"), "payroll/runs"),
                    expect: prints(403, &["Use the office network or the VPN."]),
                },
                Command {
                    shell: scene.curl("alice", &via_proxy("192.0.2.10"), "payroll/runs"),
                    expect: prints(200, &[r#""user":"demo:alice""#]),
                },
            ],
        },
    ]
}

fn time(scene: &Scene) -> Vec<Step> {
    vec![
        Step {
            title: "Denied for the time",
            text: "A sign-in lasts twelve hours; an admin page wants a security key that was used within \
                   15 minutes.",
            commands: vec![
                Command {
                    shell: scene.curl("alice?signed_in_minutes_ago=750", "", "wiki/"),
                    expect: prints(401, &["x-doorward-refusal: step_up", "Please sign in again."]),
                },
                Command {
                    shell: scene.curl("dana", "", "wiki/admin"),
                    expect: prints(200, &["Wiki administration"]),
                },
                Command {
                    shell: scene.curl("dana?signed_in_minutes_ago=20", "", "wiki/admin"),
                    expect: prints(401, &["Confirm with your security key.", "step-up:phishing-resistant"]),
                },
            ],
        },
        one(
            "Denied for the end of a contract",
            "Carol is a contractor whose contract ended yesterday. Before that she may use build on weekdays \
             from 07:00 to 20:00 (Berlin time), so outside these hours the answer names that rule.",
            scene.curl("carol?contract_days=-1", "", "build/"),
            Expect {
                one_of: vec!["Your contract has ended", "Your access is open on weekdays"],
                ..prints(403, &["x-doorward-refusal: policy_forbids"])
            },
        ),
    ]
}

fn policies(scene: &Scene) -> Vec<Step> {
    let folder = format!("{}/policies", scene.folder);
    let live = format!(
        r#"cat > {folder}/apps/tour.cedar <<'END'
@id("tour.bob")
@title("Bob stays away from the wiki")
@owner("tour")
@reason("Bob promised to stay away from the wiki today.")
forbid (principal == User::"demo:bob", action, resource in App::"wiki");
END
sleep 2; {}"#,
        scene.curl("bob", "", "wiki/")
    );
    let broken = format!(
        r#"cat > {folder}/apps/tour.cedar <<'END'
@id("tour.bob")
@title("Bob stays away from the wiki")
@owner("tour")
forbid (principal == User::"demo:bob", action, resource) when {{ context.geo.contry == "DE" }};
END
{}"#,
        scene.doorward("policy check")
    );
    vec![
        Step {
            title: "A policy file, edited live",
            text: "The demo has its own copy of the policies. The gateway sees that a file changed, \
                   checks all of them and their test cases, and then uses them; no restart.",
            commands: vec![
                Command { shell: scene.curl("bob", "", "wiki/"), expect: prints(200, &["demo:bob"]) },
                Command {
                    shell: live,
                    expect: prints(
                        403,
                        &[
                            "x-doorward-refusal: policy_forbids",
                            "Bob promised to stay away from the wiki today.",
                        ],
                    ),
                },
            ],
        },
        Step {
            title: "A policy file that is wrong",
            text: "A misspelled attribute. The check tells where; the running gateway keeps the policies \
                   that it has, so Bob is still refused. Then the file goes away.",
            commands: vec![
                Command { shell: broken, expect: says(&["apps/tour.cedar:4", "did you mean `country`"]) },
                Command {
                    shell: format!("sleep 2; {}", scene.curl("bob", "", "wiki/")),
                    expect: prints(403, &["Bob promised to stay away from the wiki today."]),
                },
                Command {
                    shell: format!(
                        "rm {folder}/apps/tour.cedar; sleep 2; {}",
                        scene.curl("bob", "", "wiki/")
                    ),
                    expect: prints(200, &["demo:bob"]),
                },
            ],
        },
    ]
}

fn revoked(scene: &Scene) -> Vec<Step> {
    vec![
        Step {
            title: "A WebSocket that dies when its owner is revoked",
            text: "Bob follows the build log. Two seconds later everything that he has open is ended: \
                   the WebSocket with close code 1008. He may sign in anew; `--disable` would prevent that.",
            commands: vec![
                Command {
                    shell: format!(
                        "{} &\nsleep 2; {}; {}; wait",
                        scene.watch("bob", "build/logs"),
                        scene.doorward("inflight"),
                        scene.doorward("revoke user demo:bob"),
                    ),
                    expect: says(&[
                        "build log for demo:bob",
                        "line 1",
                        "websocket",
                        "Revoked",
                        "closed: 1008",
                    ]),
                },
                Command {
                    shell: format!("sleep 2; {}", scene.curl("bob", "", "build/")),
                    expect: prints(200, &["demo:bob"]),
                },
            ],
        },
        one(
            "Every stream, and the token too",
            "Dana listens to a clock (server-sent events). After the revocation the clock has stopped, and \
             her token, good for ten more minutes, opens nothing.",
            format!(
                "TOKEN=$({})\ncurl -sN --oauth2-bearer \"$TOKEN\" {} &\nsleep 2; {}; wait\ncurl -si --oauth2-bearer \"$TOKEN\" {}",
                scene.token("dana"),
                scene.url("build/clock"),
                scene.doorward("revoke user demo:dana"),
                scene.url("wiki/"),
            ),
            prints(401, &["data: 1", "Revoked", "x-doorward-refusal: revoked", "Your access was ended"]),
        ),
    ]
}

fn recorded(scene: &Scene) -> Step {
    one(
        "All of it is written down",
        "Who was refused, where, and by which policy.",
        scene.doorward("audit tail --deny -n 30"),
        says(&["DENY", "alice@demo.example", "guard.sanctioned", "payroll.network", "tour.bob"]),
    )
}
