//! The five classes of priority, and a small map keyed by them.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::str::FromStr;

use crate::error::NameError;

/// Priority of a command: on the wire as well as in the queues. Declared most urgent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Strictly first, within a configured share. Only heads, arguments up to 64 KiB and outcomes travel so.
    Urgent,
    /// Shares by weight 8.
    High,
    /// Shares by weight 4. The default.
    #[default]
    Normal,
    /// Shares by weight 2.
    Low,
    /// Shares by weight 1.
    Bulk,
}

/// One value per class, indexed by [`Class`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassMap<T>([T; 5]);

impl Class {
    /// All classes, most urgent first.
    pub const ALL: [Self; 5] = [Self::Urgent, Self::High, Self::Normal, Self::Low, Self::Bulk];

    /// Reads a class from the wire.
    pub fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire: 0 for Urgent to 4 for Bulk.
    pub fn to_wire(self) -> u8 {
        self as u8
    }

    /// Returns the name used on the command line and in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Bulk => "bulk",
        }
    }

    /// Returns the class in which payloads, bodies and updates travel: an urgent command's go as High.
    pub fn of_bulk_bytes(self) -> Self {
        self.max(Self::High)
    }
}

impl<T> ClassMap<T> {
    /// Makes a map from one value per class, most urgent first.
    pub const fn new(values: [T; 5]) -> Self {
        Self(values)
    }

    /// Iterates over all classes, most urgent first.
    pub fn iter(&self) -> impl Iterator<Item = (Class, &T)> {
        Class::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Class> for ClassMap<T> {
    type Output = T;

    fn index(&self, class: Class) -> &T {
        &self.0[class as usize]
    }
}

impl<T> IndexMut<Class> for ClassMap<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        &mut self.0[class as usize]
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Class {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|class| class.as_str() == name).ok_or(NameError::NotAClass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_read_back_from_the_wire_and_from_their_names() {
        for class in Class::ALL {
            assert_eq!(Class::from_wire(class.to_wire()), Some(class));
            assert_eq!(class.as_str().parse(), Ok(class));
        }
        assert_eq!(Class::from_wire(5), None);
        assert_eq!("express".parse::<Class>(), Err(NameError::NotAClass));
    }

    #[test]
    fn bulk_bytes_of_urgent_commands_travel_as_high() {
        assert_eq!(Class::Urgent.of_bulk_bytes(), Class::High);
        assert_eq!(Class::Low.of_bulk_bytes(), Class::Low);
    }
}
