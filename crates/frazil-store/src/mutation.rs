//! Faults that the simulation puts into this crate's own code, to prove that it would find them. Outside of this
//! crate's tests none of them exists: [`is`] is `false` then, at compile time.

/// A rule of the protocol that is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// A publisher does not look at the root's state after its claim.
    NoFence,
    /// The collector does not break claims on a retired root.
    ClaimsStay,
    /// A root expires although names still refer to it.
    NoCensus,
    /// A manifest is copied before its chunks.
    ManifestFirst,
    /// Deletion does not look at the alarm.
    NoAlarm,
    /// Readers never look at their root's state.
    NoWatch,
    /// A record is replaced whatever it says now.
    BlindSwap,
}

#[cfg(not(test))]
pub(crate) const fn is(_: Mutation) -> bool {
    false
}

#[cfg(test)]
pub(crate) fn is(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

#[cfg(test)]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Sets the fault of this thread's tests.
#[cfg(test)]
pub(crate) fn set(mutation: Option<Mutation>) {
    ACTIVE.set(mutation);
}
