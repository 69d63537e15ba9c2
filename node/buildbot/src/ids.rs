//! The numbers by which the two sides of a connection name objects and calls.
//!
//! They mean something on the connection on which they were made or came, and nowhere else.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Takes a number as it stands on the wire. Whether it means something is for the
            /// [`Broker`](crate::Broker).
            pub const fn from_wire(number: i64) -> Self {
                Self(number)
            }

            /// Returns the number as it stands on the wire.
            pub const fn to_wire(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number! {
    /// An object of this side, which the peer may call once it was given to it.
    ObjectId, "object "
}
number! {
    /// An object of the peer, which this side may call while it holds a reference.
    RemoteId, "remote object "
}
number! {
    /// A call of this side that the peer answers.
    CallId, "call "
}
number! {
    /// A call of the peer that this side has to answer. Unlike the others it is numbered here and not by the wire, so
    /// that a peer that repeats its own numbers confuses nobody but itself.
    RequestId, "request "
}
