//! A value of a shape that commands use: a decoded one has an encoding that decodes to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runnel_codec::{Decode, Encode, LARGE_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX, decode_body, encode_body};

#[derive(Debug, PartialEq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
struct Sample {
    flag: bool,
    number: u64,
    signed: i32,
    text: String,
    bytes: Vec<u8>,
    list: Vec<(String, u32)>,
    choice: Option<Choice>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
enum Choice {
    Unit,
    Tuple(i64, char),
    Struct { pid: u32, env: Vec<(String, String)> },
}

fuzz_target!(|input: &[u8]| {
    for max in [SMALL_BODY_BYTES_MAX, LARGE_BODY_BYTES_MAX] {
        if let Ok(value) = decode_body::<Sample>(input, max) {
            let again = encode_body(&value, max).expect("the shortest encoding is not longer than another");
            assert_eq!(decode_body(&again, max), Ok(value));
        }
    }
});
