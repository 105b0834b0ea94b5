//! A life at the company: hired by SCIM, promoted, gone within the second, and back.

use super::{Command, Scene, Step, one, prints, says};
use crate::provider::CORP_ID;

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

impl Scene {
    /// A call of the company's HR system, as curl makes it.
    fn scim(&self, options: &str, method: &str, path: &str, body: &str) -> String {
        let (folder, port) = (&self.folder, self.ports.intake);
        format!(
            "curl {options} --oauth2-bearer \"$(cat {folder}/scim.token)\" -X {method} \
             -H 'content-type: application/scim+json' \"http://127.0.0.1:{port}/scim/v2{path}\" -d '{body}'"
        )
    }

    /// One operation on Erin.
    fn of_erin(&self, options: &str, operation: &str) -> String {
        let path = format!("/Users/$(cat {}/erin.id)", self.folder);
        let body = format!(r#"{{"schemas":["{PATCH}"],"Operations":[{operation}]}}"#);
        self.scim(options, "PATCH", &path, &body)
    }

    fn erin(&self, query: &str) -> String {
        let token = self.token(&format!("erin{query}"));
        token.replacen("/token/", &format!("/{CORP_ID}/token/"), 1)
    }

    /// A request of hers with a token that a file keeps.
    fn with(&self, token: &str, page: &str) -> String {
        format!("curl -si --oauth2-bearer \"$(cat {}/{token})\" {}", self.folder, self.url(page))
    }
}

/// The chapter.
pub(super) fn steps(scene: &Scene) -> Vec<Step> {
    let mut steps = hired(scene);
    steps.push(gone(scene));
    steps.extend(afterwards(scene));
    steps
}

fn hired(scene: &Scene) -> Vec<Step> {
    let folder = &scene.folder;
    let connect = format!(
        "{} | grep -o 'dwscim_[A-Za-z0-9_-]*' > {folder}/scim.token\n{}",
        scene.doorward(&format!(
            "connection add hr-system --issuer {CORP_ID} --subject userName --role engineer --format json"
        )),
        scene.doorward("connection list"),
    );
    let hire = scene.scim(
        "-si",
        "POST",
        "/Users",
        r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"erin","displayName":"Erin Ekholm","userType":"Employee","active":true}"#,
    );
    let hire = format!(
        "{hire} | tee {folder}/erin.http\nsed -n 's|^location:.*/||p' {folder}/erin.http | tr -d '\\r' > {folder}/erin.id"
    );
    let engineer = r#"{"op":"add","path":"roles","value":[{"value":"engineer"}]}"#;
    let promote = format!(
        "curl -so /dev/null -w 'before: %{{http_code}}\\n' --oauth2-bearer \"$(cat {folder}/erin.token)\" {}\n{} -w 'role given: %{{http_code}}\\n'\n{}",
        scene.url("build/"),
        scene.of_erin("-so /dev/null", engineer),
        scene.with("erin.token", "build/"),
    );
    let agent = format!(
        "{}\n{} > {folder}/copilot.token\n{}",
        scene.doorward(&format!(
            "agent register {CORP_ID}:copilot --name Copilot --purpose 'reads the build' --owner erin --scope build:run --days 30"
        )),
        scene.erin("?agent=copilot&scope=build:run"),
        scene.with("copilot.token", "build/"),
    );
    vec![
        Step {
            title: "Hired, by SCIM",
            text: "The people of the issuer `corp` are in a directory, which an identity provider or an HR system \
                   fills. Its token is shown once; what is kept is a hash. Erin's own token says who she is and \
                   nothing more.",
            commands: vec![
                Command { shell: connect, expect: says(&["hr-system", "TOKENS"]) },
                Command { shell: hire, expect: prints(201, &[r#""userName":"erin""#, "location:"]) },
                Command {
                    shell: format!(
                        "{} > {folder}/erin.token\n{}",
                        scene.erin(""),
                        scene.with("erin.token", "wiki/")
                    ),
                    expect: prints(200, &["The gateway says that you are corp:erin"]),
                },
            ],
        },
        one(
            "Promoted: the next request knows",
            "The same token, before and after. Roles are what the directory says at the time of each request.",
            promote,
            prints(200, &["before: 403", "role given: 200", "corp:erin"]),
        ),
        Step {
            title: "An agent that works for her, and a role by hand",
            text: "The agent is registered under Erin, may do what its scope says, and never more than she may. An \
                   operator lets her into payroll, by hand.",
            commands: vec![
                Command { shell: agent, expect: prints(200, &["corp:erin"]) },
                Command {
                    shell: format!(
                        "{}\n{}",
                        scene.doorward("grant role add erin hr --cause 'helps out in March'"),
                        scene.with("erin.token", "payroll/runs")
                    ),
                    expect: prints(200, &[r#""user":"corp:erin""#]),
                },
            ],
        },
    ]
}

fn gone(scene: &Scene) -> Step {
    let inactive = r#"{"op":"replace","value":{"active":false}}"#;
    let watch = format!(
        "{} demo watch erin --url {} --provider http://127.0.0.1:{}/{CORP_ID}",
        scene.doorward,
        scene.url("build/logs").replacen("http", "ws", 1),
        scene.ports.provider,
    );
    Step {
        title: "She leaves, in the middle of her work",
        text: "Erin follows the build log when HR says `active: false`. Her WebSocket is closed, her token opens nothing \
               any more, and neither does her agent's.",
        commands: vec![
            Command {
                shell: format!(
                    "{watch} &\nsleep 2; {} -w 'answered: %{{http_code}}\\n'; wait\n{}",
                    scene.of_erin("-so /dev/null", inactive),
                    scene.with("erin.token", "wiki/"),
                ),
                expect: prints(
                    401,
                    &[
                        "build log for corp:erin",
                        "closed: 1008",
                        "answered: 200",
                        "x-doorward-refusal: disabled",
                    ],
                ),
            },
            Command {
                shell: scene.with("copilot.token", "build/"),
                expect: prints(401, &["x-doorward-refusal: disabled"]),
            },
        ],
    }
}

fn afterwards(scene: &Scene) -> Vec<Step> {
    let folder = &scene.folder;
    let active = r#"{"op":"replace","value":{"active":true}}"#;
    let newest = format!(
        "{} | grep -o '\"id\": *\"[^\"]*\"' | tail -1 | cut -d'\"' -f4",
        scene.doorward("receipt list --user erin --format json")
    );
    vec![
        Step {
            title: "The receipt",
            text: "Who asked, what was ended, by when every node had it, and what could still let her in: signed, and \
                   checked with the public key alone. What is left to do is her offboarding case.",
            commands: vec![
                Command {
                    shell: format!(
                        "{} > {folder}/erin.jws\n{} > {folder}/receipt.jwks\n{} receipt verify {folder}/erin.jws --keys {folder}/receipt.jwks",
                        scene.doorward(&format!("receipt get \"$({newest})\"")),
                        scene.doorward("receipt keys"),
                        scene.doorward,
                    ),
                    expect: says(&["Genuine", "disable: user corp:erin", "ended 1 websocket"]),
                },
                Command {
                    shell: scene.doorward("offboarding show erin"),
                    expect: says(&["nodes_acknowledged", "no_streams"]),
                },
            ],
        },
        Step {
            title: "She returns",
            text: "HR says `active: true`. The old token stays dead. With a new one she is an engineer again, because the \
                   source says so; payroll, which was given by hand, is not hers any more.",
            commands: vec![
                Command {
                    shell: format!(
                        "{} -w 'answered: %{{http_code}}\\n'\n{}",
                        scene.of_erin("-so /dev/null", active),
                        scene.with("erin.token", "wiki/"),
                    ),
                    expect: prints(401, &["answered: 200", "x-doorward-refusal: revoked"]),
                },
                Command {
                    shell: format!(
                        "sleep 2; {} > {folder}/erin.token\n{}",
                        scene.erin(""),
                        scene.with("erin.token", "build/"),
                    ),
                    expect: prints(200, &["corp:erin"]),
                },
                Command {
                    shell: scene.with("erin.token", "payroll/runs"),
                    expect: prints(403, &["x-doorward-refusal: no_permit"]),
                },
            ],
        },
        one(
            "A life, as it was written down",
            "Each change with who asked for it, and by which request.",
            format!("{} | grep user", scene.doorward("audit tail -n 200")),
            says(&["user.lifecycle.create", "user.account.privilege.grant", "user.lifecycle.reactivate"]),
        ),
    ]
}
