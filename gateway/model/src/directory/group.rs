//! Groups, and which of them someone is in when groups are in groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::id::GroupId;
use super::person::Source;
use crate::limits::GROUPS_MAX;
use crate::time::UnixMillis;

/// How many groups may stand above a group, one over the other.
pub const GROUP_NESTING_MAX: usize = 16;

/// A group of the directory (RFC 7643 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name, as policies know it: `Group::"Engineering"`.
    pub display_name: Arc<str>,
    /// The groups that it is directly in. Whoever is in this group is in those, too.
    pub parents: BTreeSet<GroupId>,
    /// Who says what the group is and who is in it.
    pub source: Source,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub changed_at: UnixMillis,
}

/// Why it cannot be told in which groups someone is. A group that is left out could be one that
/// a policy forbids, so nothing is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NestingError {
    /// A chain of groups in groups is too long.
    #[error("groups are nested more than {GROUP_NESTING_MAX} deep above `{0}`: flatten them at their source")]
    Depth(GroupId),
    /// Too many groups.
    #[error("more than {GROUPS_MAX} groups, nested ones counted: put fewer groups into one another")]
    Count,
}

/// Every group that someone is in who is directly in `direct`: those, the ones above them, and so
/// on. `parents` tells what is above a group; a group that it does not know (it was deleted) is in
/// nothing, and is not in the answer. Groups that contain each other are in each other.
///
/// # Errors
/// When there are more than [`GROUPS_MAX`], or more than [`GROUP_NESTING_MAX`] over one another.
pub fn memberships<'a>(
    direct: impl IntoIterator<Item = GroupId>,
    parents: impl Fn(GroupId) -> Option<&'a BTreeSet<GroupId>>,
) -> Result<BTreeSet<GroupId>, NestingError> {
    let mut found = BTreeSet::new();
    let mut level: BTreeSet<GroupId> = direct.into_iter().collect();
    for _ in 0..=GROUP_NESTING_MAX {
        let mut above = BTreeSet::new();
        for group in level {
            let Some(parents) = parents(group) else { continue };
            if found.len() == GROUPS_MAX {
                return Err(NestingError::Count);
            }
            found.insert(group);
            above.extend(parents.iter().copied());
        }
        above.retain(|group| !found.contains(group) && parents(*group).is_some());
        if above.is_empty() {
            return Ok(found);
        }
        level = above;
    }
    level.first().map_or(Ok(found), |deepest| Err(NestingError::Depth(*deepest)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(n: usize) -> GroupId {
        GroupId::from_u128(n as u128)
    }

    fn walk(direct: &[usize], edges: &[(usize, usize)], known: usize) -> Result<Vec<u128>, NestingError> {
        let mut above: BTreeMap<GroupId, BTreeSet<GroupId>> =
            (0..known).map(|n| (id(n), BTreeSet::new())).collect();
        for (child, parent) in edges {
            above.entry(id(*child)).or_default().insert(id(*parent));
        }
        let found = memberships(direct.iter().map(|n| id(*n)), |group| above.get(&group))?;
        Ok(found.into_iter().map(GroupId::as_u128).collect())
    }

    #[test]
    fn groups_in_groups_count_and_circles_end() {
        assert_eq!(walk(&[0], &[(0, 1), (1, 2), (3, 4)], 5).unwrap(), [0, 1, 2]);
        assert_eq!(walk(&[0], &[(0, 1), (1, 2), (2, 0)], 3).unwrap(), [0, 1, 2]);
        assert_eq!(walk(&[0], &[(0, 0)], 1).unwrap(), [0]);
        assert_eq!(walk(&[0, 3], &[(0, 1), (3, 1)], 4).unwrap(), [0, 1, 3]);
        assert_eq!(walk(&[], &[(0, 1)], 2).unwrap(), [] as [u128; 0]);
    }

    #[test]
    fn a_deleted_group_is_in_nothing() {
        assert_eq!(walk(&[0, 9], &[(0, 7)], 3).unwrap(), [0]);
    }

    #[test]
    fn a_chain_that_is_too_long_is_an_error_and_never_a_shorter_list() {
        let chain = |n: usize| (0..n).map(|i| (i, i + 1)).collect::<Vec<_>>();
        let deepest = walk(&[0], &chain(GROUP_NESTING_MAX), GROUP_NESTING_MAX + 1).unwrap();
        assert_eq!(deepest.len(), GROUP_NESTING_MAX + 1);
        let over = GROUP_NESTING_MAX + 1;
        assert_eq!(walk(&[0], &chain(over), over + 1), Err(NestingError::Depth(id(over))));
        // A shorter way to the same group makes it fit.
        let mut edges = chain(over);
        edges.push((0, over));
        assert_eq!(walk(&[0], &edges, over + 1).unwrap().len(), over + 1);
    }

    #[test]
    fn more_groups_than_can_be_told_are_an_error() {
        let direct: Vec<usize> = (0..GROUPS_MAX).collect();
        assert_eq!(walk(&direct, &[], GROUPS_MAX).unwrap().len(), GROUPS_MAX);
        let direct: Vec<usize> = (0..=GROUPS_MAX).collect();
        assert_eq!(walk(&direct, &[], GROUPS_MAX + 1), Err(NestingError::Count));
    }
}
