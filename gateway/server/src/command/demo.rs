//! `doorward demo`: everything on this machine. The gateway is the one that `doorward run`
//! starts, with a configuration file like any other; only the apps, the people and their identity
//! provider come from the crate `demo`, which nothing else of this crate names.

use std::path::Path;
use std::time::Duration;

use doorward_demo::apps::Pace;
use doorward_demo::config::{DemoFolder, Hold, Sources};
use doorward_demo::surroundings::{Ports, Surroundings};
use doorward_demo::tour::{self, Scene};
use doorward_demo::watch::{self, Ending};

use super::{Exit, Failure, Output, config_failure, printable, run};
use crate::cli::{DemoArgs, DemoPart, DemoPlace, DemoWatchArgs};
use crate::clock;
use crate::color::ColorChoice;
use crate::config::{self, Show};
use crate::telemetry;

/// The visitor reads the welcome; what the gateway says of itself is for whoever asks for it. Each browser that does not
/// know the certificate yet is an error of a handshake.
const LOG: &str = "error,pingora_core=off";
/// How long the apps may take to stop when the gateway has.
const STOP_MAX: Duration = Duration::from_secs(1);

pub(super) fn demo(
    args: DemoArgs,
    log: Option<&str>,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match &args.part {
        Some(DemoPart::Watch(watch)) => follow(watch, out),
        Some(DemoPart::Tour(place)) => {
            out.text(tour::terminal(&tour::steps(&scene(place)?)))?;
            Ok(Exit::Done)
        }
        None => start(&args, log, color, out),
    }
}

fn start(
    args: &DemoArgs,
    log: Option<&str>,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let scene = scene(&args.place)?;
    telemetry::start(log.or(Some(LOG)), color).map_err(|e| failed(&e))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("doorward-demo")
        .enable_all()
        .build()
        .map_err(|e| failed(&e))?;
    let (around, folder, _hold) = runtime.block_on(prepare(args, scene.ports))?;
    let config = config::load(&folder.config).map_err(|e| config_failure(e, Show::Plain))?;
    runtime.spawn(around.serve());

    out.text(tour::welcome(&scene))?;
    out.line(format_args!(
        "{}\n",
        out.style.bold(&format!(
            "The gateway listens on https://localhost:{}, and for curl on http://localhost:{}. Ctrl-C ends it.",
            scene.ports.secure, scene.ports.gateway
        ))
    ))?;
    let ended = run::serve(config, false);
    runtime.shutdown_timeout(STOP_MAX);
    ended
}

/// Where the demo runs, and how the visitor called us.
fn scene(place: &DemoPlace) -> Result<Scene, Failure> {
    let ports = match place.port {
        None => Ports::default(),
        Some(first) => Ports::from_base(first).ok_or_else(|| {
            Failure::new(
                Exit::Mistaken,
                format!("there are no eight ports from {first} on"),
                "use 1024 to 65528",
            )
        })?,
    };
    let doorward = std::env::args().next().unwrap_or_else(|| "doorward".to_owned());
    Ok(Scene { doorward, folder: place.folder.display().to_string(), ports })
}

/// First the ports, then the folder: where a demo runs already, nothing of it is touched.
async fn prepare(args: &DemoArgs, ports: Ports) -> Result<(Surroundings, DemoFolder, Hold), Failure> {
    let clock = clock::system();
    let now = clock();
    let around = Surroundings::bind(ports, Pace::default(), clock).await.map_err(|e| failed(&e))?;
    let sources = Sources::in_tree(args.source.as_deref().unwrap_or(Path::new(".")));
    let (folder, hold) =
        doorward_demo::config::write(&args.place.folder, ports, &sources, around.desk().secret(), now)
            .map_err(|e| failed(&e))?;
    Ok((around, folder, hold))
}

fn failed(error: &dyn std::error::Error) -> Failure {
    let mut message = error.to_string();
    if let Some(cause) = error.source() {
        message = format!("{message}: {cause}");
    }
    Failure { exit: Exit::Failed, message, help: None }
}

/// Follows a WebSocket and tells how it ends. That it ends is no failure: it is what the tour shows.
fn follow(args: &DemoWatchArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(&e))?;
    let provider =
        args.provider.clone().unwrap_or_else(|| format!("http://127.0.0.1:{}", Ports::default().provider));
    let url =
        args.url.clone().unwrap_or_else(|| format!("ws://build.localhost:{}/logs", Ports::default().gateway));
    let ending = runtime.block_on(async {
        let token = match &args.person {
            Some(person) => Some(watch::token(&provider, person).await.map_err(|e| failed(&e))?),
            None => None,
        };
        let mut lost = None;
        let show = |message: &str| {
            if let Err(e) = out.line(printable(message)) {
                lost = Some(e);
            }
        };
        let ending = watch::watch(&url, token.as_deref(), show).await.map_err(|e| failed(&e))?;
        lost.map_or(Ok(ending), Err)
    })?;
    out.line(printable(&ending.to_string()))?;
    Ok(match ending {
        Ending::Closed { .. } | Ending::Broken(_) => Exit::Done,
        Ending::Refused { .. } => Exit::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same ports, and the same folder at other ports: in both cases the first demo goes on.
    #[tokio::test]
    async fn a_second_demo_leaves_the_first_alone() {
        let dir = tempfile::tempdir().unwrap();
        let args = DemoArgs {
            place: DemoPlace { folder: dir.path().join("demo"), port: None },
            source: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")),
            part: None,
        };
        let any = Ports {
            gateway: 0,
            operator: 0,
            provider: 0,
            wiki: 0,
            payroll: 0,
            build: 0,
            intake: 0,
            secure: 0,
        };
        let (around, folder, _hold) = prepare(&args, any).await.unwrap();
        std::fs::create_dir(folder.folder.join("data")).unwrap();
        let token = std::fs::read_to_string(&folder.operator_token).unwrap();
        for (ports, says) in [(around.ports(), "cannot listen on"), (any, "another demo is running in")] {
            let Err(refused) = prepare(&args, ports).await else { panic!("{says}: a second demo started") };
            assert!(refused.message.contains(says), "{}", refused.message);
            assert!(folder.folder.join("data").is_dir() && folder.policies.is_dir());
            assert_eq!(std::fs::read_to_string(&folder.operator_token).unwrap(), token);
        }
    }
}
