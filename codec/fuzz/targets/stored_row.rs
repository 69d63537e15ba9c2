//! A row of the store, whose checksum is right: what is read is written again as the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runnel_queue::{read_row, write_row};

fuzz_target!(|input: &[u8]| {
    let (&len, rest) = input.split_first().unwrap_or((&0, &[]));
    let (key, content) = rest.split_at(usize::from(len).min(rest.len()));
    if let Some(row) = read_row(key, content) {
        let (key_again, again) = write_row(&row);
        assert_eq!((&key_again[..], &again[..]), (key, content), "{row:?}");
    }
});
