//! What an edit does to the red lines themselves. Who breaks a line may take it along, and then nothing is
//! proved of it: so the lines of before that are gone or say something else are proved of the new policies.

use cedar_policy::PolicySet;
use doorward_policy::{RedLine, Workshop, on_policy_stack};

use super::court::Court;
use super::{Progress, Proof, timed};
use crate::solver::{Solver, differing};

/// What became of the red lines of before, by their names, in the order of their files.
#[derive(Clone, Debug)]
pub struct Redrawn {
    /// They were not there before.
    pub added: Vec<String>,
    /// They are gone.
    pub removed: Vec<String>,
    /// They say something else. What they are called, and whose they are, does not count.
    pub changed: Vec<String>,
    /// They say the same, and policies of which nobody can prove it are kept back no more.
    pub softened: Vec<String>,
    /// What comes of those that are gone, changed or softened, as they were before, by the new policies.
    pub before: Proof,
}

impl Redrawn {
    /// Whether no line was touched.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.added.is_empty() && !self.is_less()
    }

    /// Whether what was proved before need not be proved any more.
    #[must_use]
    pub const fn is_less(&self) -> bool {
        !(self.removed.is_empty() && self.changed.is_empty() && self.softened.is_empty())
    }
}

/// Compares the red lines of two folders with the same schema, and proves those of the old one that the new one has
/// not of the new policies.
///
/// # Errors
/// The new policies cannot be asked about at all.
pub fn redrawn(
    solver: &mut Solver,
    old: &Workshop,
    new: &Workshop,
    progress: Progress<'_>,
) -> Result<Redrawn, String> {
    let (mut removed, mut changed, mut softened) = (Vec::new(), Vec::new(), Vec::new());
    let mut lost = Vec::new();
    for line in old.red_lines() {
        let became = match named(new, line.id()) {
            None => &mut removed,
            Some(next) if !alike(line, next) => &mut changed,
            Some(next) if line.unknown_blocks() && !next.unknown_blocks() => &mut softened,
            Some(_) => continue,
        };
        became.push(line.id().to_owned());
        lost.push(line);
    }
    let fresh = new.red_lines().iter().filter(|line| named(old, line.id()).is_none());
    let added = fresh.map(|line| line.id().to_owned()).collect();
    let mut before = Proof { lines: Vec::with_capacity(lost.len()) };
    if !lost.is_empty() {
        let court = Court::new(new)?;
        for (done, line) in lost.iter().enumerate() {
            progress(done, lost.len(), line.id());
            let who = (line.id(), line.title(), line.owner());
            before.lines.push(timed(solver, who, line.unknown_blocks(), |s| court.try_line(s, line)));
        }
    }
    Ok(Redrawn { added, removed, changed, softened, before })
}

fn named<'w>(workshop: &'w Workshop, id: &str) -> Option<&'w RedLine> {
    workshop.red_lines().iter().find(|line| line.id() == id)
}

/// Whether two lines of a name say the same. What cannot be told is something else.
fn alike(line: &RedLine, next: &RedLine) -> bool {
    let alone = |line: &RedLine| PolicySet::from_policies([line.policy().clone()]).ok();
    let same = on_policy_stack(|| match (alone(line), alone(next)) {
        (Some(one), Some(other)) => differing(&one, &other).is_empty(),
        (Some(_) | None, None) | (None, Some(_)) => false,
    });
    same.unwrap_or(false) && line.claim() == next.claim()
}
