//! What a wrapped key is bound to: its tenant, and the image or scope that it opens.
//!
//! Invariant: no two contexts have the same bytes. Each part stands behind its length, an image's context has two
//! parts and a scope's has three (docs/FORMAT.md, "Wrapped keys").

use std::ops::Deref;

/// The last part of a scope's context.
const SCOPE: &str = "scope";

/// The context of one wrapped key: it unwraps with the same one only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrapContext {
    tenant: String,
    name: String,
    subject: Subject,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Image,
    Scope,
}

impl WrapContext {
    /// The context as a local keyring takes it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The context as a key management service takes it, for people to read in its log.
    pub fn pairs(&self) -> [(&'static str, &str); 2] {
        let subject = match self.subject {
            Subject::Image => "frazil:image",
            Subject::Scope => "frazil:scope",
        };
        [("frazil:tenant", &self.tenant), (subject, &self.name)]
    }
}

impl Deref for WrapContext {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The wrapping context of one tenant's image.
pub fn wrap_context(tenant: &str, name: &str) -> WrapContext {
    context(tenant, name, Subject::Image, &[tenant, name])
}

/// The wrapping context of a scope's secret, for the one tenant that it is wrapped for.
pub fn scope_wrap_context(tenant: &str, scope: &str) -> WrapContext {
    context(tenant, scope, Subject::Scope, &[tenant, scope, SCOPE])
}

fn context(tenant: &str, name: &str, subject: Subject, parts: &[&str]) -> WrapContext {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    WrapContext { tenant: tenant.to_owned(), name: name.to_owned(), subject, bytes }
}
