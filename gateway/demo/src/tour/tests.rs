use super::*;

fn scene() -> Scene {
    Scene::usual("doorward")
}

#[test]
fn a_command_is_held_to_its_word() {
    let expect = Expect { status: Some(403), all: vec!["a", "b"], one_of: vec!["x", "y"] };
    for (printed, result) in [
        ("HTTP/1.1 403 Forbidden\r\na: b\r\n\r\nx", Ok(())),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/2 403 \r\na: b\r\n\r\ny", Ok(())),
        ("HTTP/1.1 200 OK\r\nab x", Err(Surprise::Status { found: Some(200), expected: 403 })),
        (
            "HTTP/1.1 403 Forbidden\r\n\r\nHTTP/1.1 200 OK\r\nab x",
            Err(Surprise::Status { found: Some(200), expected: 403 }),
        ),
        ("ab x", Err(Surprise::Status { found: None, expected: 403 })),
        ("HTTP/1.1 403 F\r\na x", Err(Surprise::Missing("b"))),
        ("HTTP/1.1 403 F\r\nab", Err(Surprise::NoneOf(vec!["x", "y"]))),
    ] {
        assert_eq!(expect.check(printed), result, "{printed}");
    }
}

#[test]
fn every_command_expects_something_that_it_does_not_itself_say() {
    for step in steps(&scene()) {
        assert!(!step.commands.is_empty(), "{}", step.title);
        for Command { shell, expect } in step.commands {
            assert!(expect.status.is_some() || !expect.all.is_empty(), "{shell}");
            assert_eq!(expect.status.is_some(), shell.contains("curl -si"), "{shell}");
            // A shell that echoes what it runs must not pass for an answer.
            let proves = expect.status.is_some() || expect.all.iter().any(|t| !shell.contains(t));
            assert!(proves, "{shell}");
        }
    }
}

#[test]
fn the_tour_shows_what_it_promises() {
    let text = terminal(&steps(&scene()));
    for promised in [
        "Allowed",
        "the role",
        "the sign-in",
        "the country",
        "the network",
        "the time",
        "edited live",
        "dies when",
        "Hired",
        "The receipt",
        "She returns",
    ] {
        assert!(text.contains(promised), "{promised}\n{text}");
    }
    assert_eq!(markdown(&steps(&scene())).matches("```sh\n").count(), text.matches("      → ").count());
}

#[test]
fn no_port_of_the_usual_demo_is_left_when_others_are_chosen() {
    let ports = Ports::from_base(20_000).unwrap();
    let scene = Scene { doorward: "d".into(), folder: "/t/demo".into(), ports };
    let text = terminal(&steps(&scene)) + &welcome(&scene);
    for usual in [":8080", ":8443", ":918", ".demo/", "doorward demo"] {
        assert!(!text.contains(usual), "{usual}\n{text}");
    }
    assert!(text.contains("--provider http://127.0.0.1:20002"), "{text}");
}

/// What the terminal says first, the README says too: the addresses, and the commands that cut off and let in.
#[test]
fn the_readme_tells_of_the_browser_what_the_terminal_does() {
    let readme = include_str!("../../../../README.md");
    let scene = Scene::usual("target/release/doorward");
    let told = welcome(&scene);
    let mut words: Vec<String> = ["wiki", "payroll", "build"].map(|app| scene.ports.page(app, "")).to_vec();
    words.extend([cut_off(&scene), let_in(&scene), "Alice".to_owned(), "doorward demo tour".to_owned()]);
    for word in words {
        assert!(told.contains(&word) && readme.contains(&word), "`{word}` is not told in both:\n{told}");
    }
}

/// Every sentence that the tour quotes stands in a policy of the source tree, or is the gateway's.
#[test]
fn the_policies_say_what_the_tour_quotes() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
    let mut policies = String::new();
    for folder in ["guardrails", "apps"] {
        for entry in std::fs::read_dir(format!("{root}/{folder}")).unwrap() {
            policies.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    // What the visitor writes during the tour counts too.
    let commands: Vec<Command> = steps(&scene()).into_iter().flat_map(|s| s.commands).collect();
    policies.extend(commands.iter().map(|c| c.shell.as_str()));
    let ours = ["You do not have access", "Please sign in", "Your access was ended"];
    for command in commands {
        let quoted = command.expect.all.iter().chain(&command.expect.one_of);
        for text in quoted.filter(|t| t.starts_with(char::is_uppercase) && t.contains(' ')) {
            let known = policies.contains(text) || ours.contains(text);
            let of_app = text.contains("gateway says") || text.contains("the app") || text.contains("Wiki");
            assert!(known || of_app, "no policy says `{text}`");
        }
    }
}

/// The commands themselves, with the real curl, against an app where the gateway would stand.
#[tokio::test]
async fn curl_does_what_the_commands_mean() {
    use crate::apps::Pace;
    use crate::surroundings::Surroundings;

    let any =
        Ports { gateway: 0, operator: 0, provider: 0, wiki: 0, payroll: 0, build: 0, intake: 0, secure: 0 };
    let clock = std::sync::Arc::new(|| doorward_model::UnixMillis::from_seconds(1_800_000_000));
    let around = Surroundings::bind(any, Pace::default(), clock).await.unwrap();
    let ports = Ports { gateway: around.ports().build, ..around.ports() };
    tokio::spawn(around.serve());
    let scene = Scene { ports, ..scene() };
    let all = steps(&scene);
    let shell = |title: &str| {
        let step = all.iter().find(|s| s.title.contains(title)).unwrap();
        step.commands[0].shell.clone()
    };
    for (title, expect) in [
        // The app has no gateway in front, so nobody told it who asks; the rest is as on the tour.
        (
            "gRPC",
            Expect {
                status: Some(200),
                all: vec!["main is green, nobody", "grpc-status: 0"],
                ..Expect::default()
            },
        ),
        (
            "end of a contract",
            Expect { status: Some(200), all: vec![r#""app":"build""#], ..Expect::default() },
        ),
    ] {
        let shell = shell(title);
        let run = tokio::process::Command::new("bash").args(["-c", &shell]).kill_on_drop(true).output();
        let output = tokio::time::timeout(std::time::Duration::from_secs(20), run).await.unwrap();
        let output = output.expect("the tour needs bash and curl");
        let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(expect.check(&printed), Ok(()), "{shell}\n{printed}");
    }
}
