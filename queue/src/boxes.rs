//! Memory of commands that are gone, for those that come: at a steady rate nothing is asked of the allocator.

/// What lies in a box that is used again.
pub(crate) trait Reused {
    /// Lets go of what it holds beside its own memory.
    fn let_go(&mut self);
}

/// Boxes that nothing needs at present.
#[derive(Debug)]
pub(crate) struct Boxes<T> {
    spare: Vec<Box<T>>,
}

impl<T: Reused> Boxes<T> {
    /// Puts a value into a box.
    pub(crate) fn fill(&mut self, value: T) -> Box<T> {
        match self.spare.pop() {
            Some(mut place) => {
                *place = value;
                place
            }
            None => Box::new(value),
        }
    }

    /// Takes a box back.
    pub(crate) fn take_back(&mut self, mut place: Box<T>) {
        if self.spare.len() < SPARE_MAX {
            place.let_go();
            self.spare.push(place);
        }
    }
}

impl<T> Default for Boxes<T> {
    fn default() -> Self {
        Self { spare: Vec::new() }
    }
}

/// Boxes that are kept: as many as a busy link has in flight, less than half a megabyte.
const SPARE_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    impl Reused for Vec<u8> {
        fn let_go(&mut self) {
            *self = Vec::new();
        }
    }

    #[test]
    fn a_box_is_used_again_without_what_was_in_it() {
        let mut boxes = Boxes::default();
        let first = boxes.fill(vec![1_u8; 100]);
        let place = std::ptr::from_ref(&*first);
        boxes.take_back(first);
        assert_eq!(boxes.spare[0].capacity(), 0);
        let second = boxes.fill(vec![2]);
        assert_eq!((std::ptr::from_ref(&*second), &second[..]), (place, &[2][..]));
    }

    #[test]
    fn no_more_are_kept_than_are_used_soon() {
        let mut boxes = Boxes::<Vec<u8>>::default();
        for _ in 0..2 * SPARE_MAX {
            boxes.take_back(Box::default());
        }
        assert_eq!(boxes.spare.len(), SPARE_MAX);
    }
}
