//! Who executes the image's command: `--user` or the OCI config's `User`, looked up in the image's own
//! `/etc/passwd` and `/etc/group`.
//!
//! The form is `USER[:GROUP]`, each a name or a number; what is written in digits is a number and nobody's name.
//!
//! Invariant: nobody becomes the id of all ones, which to the kernel's calls means "leave it as it is".

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The most that is read of `/etc/passwd` and `/etc/group`, in bytes: they come from the image.
const FILE_LIMIT: u64 = 8 << 20;

/// `(uid_t)-1`.
const NO_ID: u32 = u32::MAX;

/// A user as it was asked for.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct UserSpec {
    user: String,
    group: Option<String>,
}

impl FromStr for UserSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        if user.contains('\n') || group.is_some_and(|group| group.contains(['\n', ':'])) {
            return Err("expected USER or USER:GROUP".to_owned());
        }
        let group = group.filter(|group| !group.is_empty()).map(str::to_owned);
        Ok(Self { user: user.to_owned(), group })
    }
}

/// A user as the kernel knows it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct User {
    /// The user id.
    pub(crate) uid: u32,
    /// The primary group id.
    pub(crate) gid: u32,
    /// The supplementary group ids.
    pub(crate) groups: Vec<u32>,
    /// The home directory.
    pub(crate) home: PathBuf,
}

impl UserSpec {
    /// Looks the user up in the files of the root file system that this process is in.
    pub(crate) fn resolve(&self) -> Result<User, String> {
        self.resolve_in(&read("/etc/passwd")?, &read("/etc/group")?)
    }

    fn resolve_in(&self, passwd: &str, group: &str) -> Result<User, String> {
        let user = self.look_up(passwd, group)?;
        let mut ids = [user.uid, user.gid].into_iter().chain(user.groups.iter().copied());
        if ids.any(|id| id == NO_ID) { Err(format!("{NO_ID} is nobody's id")) } else { Ok(user) }
    }

    fn look_up(&self, passwd: &str, group: &str) -> Result<User, String> {
        let asked = if self.user.is_empty() { "0" } else { &self.user };
        let account = passwd.lines().filter_map(Account::parse).find(|account| account.is(asked));
        let uid = match (&account, number(asked)) {
            (Some(account), _) => account.uid,
            (None, Some(uid)) => uid,
            (None, None) => return Err(format!("the image has no user {asked:?}")),
        };
        let home = account.as_ref().map_or("", |account| account.home);
        let home = PathBuf::from(if home.is_empty() { "/" } else { home });
        let Some(asked) = &self.group else {
            let gid = account.as_ref().map_or(0, |account| account.gid);
            let name = account.as_ref().map_or("", |account| account.name);
            return Ok(User { uid, gid, groups: supplementary(group, name, gid), home });
        };
        let listed = group.lines().filter_map(Group::parse).find(|group| group.is(asked));
        let gid = match (listed, number(asked)) {
            (Some(group), _) => group.gid,
            (None, Some(gid)) => gid,
            (None, None) => return Err(format!("the image has no group {asked:?}")),
        };
        // A group that was asked for is the only one, as in Docker.
        Ok(User { uid, gid, groups: vec![gid], home })
    }
}

/// A foreign file that may be missing, enormous or no text at all; then nobody is in it.
///
/// It may be a link within the image, but no pipe or device that would keep this process waiting.
fn read(path: &str) -> Result<String, String> {
    let because = |reason: &dyn std::fmt::Display| format!("cannot read {path}: {reason}");
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(CWD, path, flags, Mode::empty(), resolve) {
        Ok(file) => fs::File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(error) => return Err(because(&error)),
    };
    if !file.metadata().map_err(|error| because(&error))?.is_file() {
        return Err(because(&"it is no regular file"));
    }
    let mut text = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut text).map_err(|error| because(&error))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// An id in digits, and in nothing else.
fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn is(asked: &str, name: &str, id: u32) -> bool {
    if asked.bytes().all(|byte| byte.is_ascii_digit()) { number(asked) == Some(id) } else { asked == name }
}

fn supplementary(group: &str, user: &str, gid: u32) -> Vec<u32> {
    let has_user =
        |group: &Group<'_>| !user.is_empty() && group.members.split(',').any(|member| member == user);
    let mut groups = vec![gid];
    groups.extend(group.lines().filter_map(Group::parse).filter(has_user).map(|group| group.gid));
    groups.dedup();
    groups
}

/// A line of passwd(5).
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (number(fields.next()?)?, number(fields.next()?)?);
        let _comment = fields.next();
        Some(Self { name, uid, gid, home: fields.next().unwrap_or_default() })
    }

    fn is(&self, asked: &str) -> bool {
        is(asked, self.name, self.uid)
    }
}

/// A line of group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some(Self { name, gid: number(fields.next()?)?, members: fields.next().unwrap_or_default() })
    }

    fn is(&self, asked: &str) -> bool {
        is(asked, self.name, self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nhello:x:1000:1001::/home/hello:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nhello:x:1001:\naudio:x:29:other,hello\nwheel:x:10:hello\n";

    fn resolve(text: &str) -> Result<User, String> {
        text.parse::<UserSpec>()?.resolve_in(PASSWD, GROUP)
    }

    #[test]
    fn a_name_brings_its_groups_and_its_home() {
        let user = resolve("hello").unwrap();
        assert_eq!((user.uid, user.gid, user.home), (1000, 1001, "/home/hello".into()));
        assert_eq!(user.groups, [1001, 29, 10]);
        assert_eq!(resolve("1000").unwrap().groups, [1001, 29, 10]);
    }

    #[test]
    fn nobody_asked_for_is_root() {
        assert_eq!(resolve("").unwrap(), User { uid: 0, gid: 0, groups: vec![0], home: "/root".into() });
    }

    #[test]
    fn a_number_needs_no_account() {
        let user = resolve("4711").unwrap();
        assert_eq!((user.uid, user.gid, user.groups, user.home), (4711, 0, vec![0], "/".into()));
        assert_eq!(resolve("4711:4712").unwrap().gid, 4712);
    }

    #[test]
    fn a_group_that_is_asked_for_is_the_only_one() {
        assert_eq!(resolve("hello:audio").unwrap().groups, [29]);
    }

    #[test]
    fn digits_are_nobodys_name_and_all_ones_nobodys_id() {
        let passwd =
            "1000:x:0:0::/:/bin/sh\nevil:x:4294967295:0::/:/bin/sh\nworse:x:1:4294967295::/:/bin/sh\n";
        let group = "0:x:4294967295:\n";
        let resolve = |text: &str| text.parse::<UserSpec>()?.resolve_in(passwd, group);
        assert_eq!(resolve("1000").map(|user| user.uid), Ok(1000));
        assert_eq!(resolve("7:0").map(|user| user.gid), Ok(0));
        for user in ["4294967295", "7:4294967295", "evil", "worse"] {
            assert_eq!(resolve(user).unwrap_err(), "4294967295 is nobody's id", "{user}");
        }
        for user in ["4294967296", "+7", "-1"] {
            assert_eq!(resolve(user).unwrap_err(), format!("the image has no user {user:?}"));
        }
    }

    #[test]
    fn unknown_names_are_errors() {
        assert_eq!(resolve("nobody").unwrap_err(), "the image has no user \"nobody\"");
        assert_eq!(resolve("hello:nogroup").unwrap_err(), "the image has no group \"nogroup\"");
    }
}
