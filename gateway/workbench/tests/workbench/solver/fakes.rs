//! Solvers that answer nothing, nonsense or lies: none of them proves anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_workbench::prove::{Verdict, prove};
use doorward_workbench::solver::{Answer, Bounds, NoSolver, Program, Solver, Why, World};

use super::{BOUNDS, all, clock, policy, program, workshop};

/// A program in a folder of its own. It answers the questions to which everybody knows the answer by the
/// real solver, so that it is trusted, and every later one as `then` says.
fn fake(dir: &Path, then: &str) -> Program {
    let real = program();
    let text = format!(
        "#!/bin/sh\n\
         if [ \"$1\" = --version ]; then echo 'This is cvc5 version 1.0.3'; exit 0; fi\n\
         n=$(cat '{count}' 2>/dev/null || echo 0)\n\
         echo $((n + 1)) > '{count}'\n\
         if [ \"$n\" -lt 4 ]; then exec '{real}' \"$@\"; fi\n\
         {then}\n",
        count = dir.join("count").display(),
        real = real.path().display(),
    );
    let path = script(dir, &text);
    Program::find(Some(path.as_os_str()), None).unwrap()
}

fn script(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("cvc5");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// What a bad solver says of a line that holds.
fn asked(then: &str, bounds: Bounds) -> Why {
    let dir = tempfile::tempdir().unwrap();
    let mut solver = Solver::start(fake(dir.path(), then), bounds, clock()).unwrap();
    let workshop = workshop();
    let world = World::of(workshop).unwrap();
    let line = policy(
        "l",
        "forbid (principal is User, action, resource) unless { principal.lifecycle == Lifecycle::\"active\" };",
    );
    match solver.never_allows(&world, &all(workshop), &line) {
        Answer::Unknown(why) => why,
        other => panic!("`{then}` was believed: {other:?}"),
    }
}

#[test]
fn a_solver_that_knows_nothing_proves_nothing() {
    assert_eq!(asked("echo unknown; cat > /dev/null", BOUNDS), Why::Undecided);
}

#[test]
fn a_solver_that_babbles_proves_nothing() {
    for then in [
        "echo 'unsat indeed'; cat > /dev/null",
        "echo '(error \"tomato\")'; cat > /dev/null",
        "echo unsat; echo sat; cat > /dev/null",
        "echo; echo unsat; cat > /dev/null",
        "head -c 100000 /dev/zero; cat > /dev/null",
        "echo sat; echo '(error \"no model\")'; cat > /dev/null",
    ] {
        let why = asked(then, BOUNDS);
        assert!(matches!(why, Why::Failed(_)), "{then}: {why:?}");
    }
}

#[test]
fn a_solver_that_dies_proves_nothing() {
    for then in ["exit 3", "kill -9 $$", "echo unsat; cat > /dev/null; exit 1"] {
        let why = asked(then, BOUNDS);
        assert!(matches!(why, Why::Failed(_)), "{then}: {why:?}");
    }
}

#[test]
fn a_solver_that_hangs_is_ended_and_proves_nothing() {
    let bounds = Bounds { query_max: Duration::from_millis(300), ..BOUNDS };
    // The questions to which everybody knows the answer may take longer than that on a busy machine.
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let then = format!("echo $$ > '{}'; exec sleep 1000", pid.display());
    let program = fake(dir.path(), &then);
    let solver = Solver::start(program, BOUNDS, clock()).unwrap();
    let mut solver = solver.bounded(bounds);
    let workshop = workshop();
    let world = World::of(workshop).unwrap();
    let line = policy(
        "l",
        "forbid (principal is Visitor, action == Action::\"GET\", resource) when { resource.adminSurface };",
    );
    let answer = solver.never_allows(&world, &all(workshop), &line);
    assert!(matches!(answer, Answer::Unknown(Why::Time(_))), "{answer:?}");
    // The child is gone, or was never scheduled before it was ended.
    if let Ok(pid) = fs::read_to_string(&pid) {
        let gone = || !Path::new("/proc").join(pid.trim()).join("exe").exists();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !gone() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(gone(), "the solver still runs");
    }
}

/// It says that there is a request, and shows none that does what it says.
#[test]
fn a_counterexample_that_does_not_hold_is_not_believed() {
    let why = asked("echo sat; printf '(\\n)\\n'; cat > /dev/null", BOUNDS);
    assert!(matches!(why, Why::NotReplayed(_) | Why::Failed(_)), "{why:?}");
}

/// It says `unsat` to everything. A line that holds is one that matches something, which it denies too.
#[test]
fn a_solver_that_proves_everything_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let program = fake(dir.path(), "echo unsat; cat > /dev/null");
    let mut solver = Solver::start(program, BOUNDS, clock()).unwrap();
    let workshop = workshop();
    let proof = prove(&mut solver, workshop, Some("line.active-people"), &mut |_, _, _| {}).unwrap();
    assert!(matches!(proof.lines[0].verdict, Verdict::Unknown(_)), "{proof:?}");
    assert!(proof.unknown_blocks());
}

#[test]
fn a_program_that_is_no_solver_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("cvc5");
    assert!(matches!(Program::find(Some(missing.as_os_str()), None), Err(NoSolver::Missing(_))));
    assert!(matches!(Program::find(None, Some(dir.path().as_os_str())), Err(NoSolver::Missing(_))));
    let find = |text: &str| {
        let path = script(dir.path(), text);
        Program::find(Some(path.as_os_str()), None)
    };
    assert!(matches!(find("#!/bin/sh\necho Z3 version 4.8\n"), Err(NoSolver::Strange { .. })));
    assert!(matches!(find("#!/bin/sh\necho This is cvc5 version 1.0.2\n"), Err(NoSolver::Old { .. })));
    assert!(matches!(find("#!/bin/sh\nexit 1\n"), Err(NoSolver::Strange { .. })));
    assert_eq!(find("#!/bin/sh\necho This is cvc5 version 1.2\n").unwrap().version(), "1.2");
    // It is a cvc5 by its own word, and gets wrong what everybody knows.
    for says in ["unsat", "unknown", "sat"] {
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo This is cvc5 version 1.0.3; exit; fi\necho {says}\ncat > /dev/null\n"
        );
        let program = find(&text).unwrap();
        let refused = Solver::start(program, BOUNDS, clock()).unwrap_err();
        assert!(matches!(refused, NoSolver::Untrue { .. }), "{refused:?}");
    }
}

/// What everybody knows is asked on nobody's time: a short budget makes no liar of a solver.
#[test]
fn a_short_budget_is_no_lie_of_the_solver() {
    let bounds = Bounds { budget: Duration::from_nanos(1), query_max: Duration::from_nanos(1), ..BOUNDS };
    assert!(Solver::start(program(), bounds, clock()).is_ok());
}
