//! The ids beyond its own that a user may give to a user namespace: subuid(5), subgid(5).

use std::fs;

/// A range of subordinate ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    /// The first id.
    pub(crate) first: u32,
    /// How many ids.
    pub(crate) count: u32,
}

impl Range {
    /// The first range that `file` gives to the user, by number or by name.
    pub(crate) fn of(file: &str, uid: u32) -> Option<Self> {
        let names = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::find(&fs::read_to_string(file).ok()?, uid, name_of(&names, uid))
    }

    fn find(text: &str, uid: u32, name: Option<&str>) -> Option<Self> {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            let range =
                Self { first: fields.next()?.parse().ok()?, count: fields.next()?.trim().parse().ok()? };
            let is_owner = owner.parse() == Ok(uid) || Some(owner) == name;
            (is_owner && range.count > 0).then_some(range)
        })
    }
}

fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_belongs_to_a_name_or_a_number() {
        let (passwd, text) =
            ("root:x:0:0::/:\nme:x:1000:1000::/:\n", "other:1:2\nme:100000:65536\n1001:5:6\n");
        let find = |uid| Range::find(text, uid, name_of(passwd, uid));
        assert_eq!(find(1000), Some(Range { first: 100_000, count: 65_536 }));
        assert_eq!(find(1001), Some(Range { first: 5, count: 6 }));
        assert_eq!(find(1002), None);
    }
}
