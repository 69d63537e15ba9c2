//! Commands of types that the API does not know: their arguments, updates and results are bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runnel::codec::CommandName;
use runnel::{Raw, RawCommand};
use serde_json::{Map, Value, json};

use super::{ApiArgs, ApiCommand, fields};
use crate::daemon::event::Event;

impl ApiArgs {
    /// Reads the encoded arguments of a command of any type.
    ///
    /// # Errors
    ///
    /// What is wrong with them, for people.
    pub(in crate::daemon) fn read_raw(name: CommandName, base64: &str) -> Result<Self, String> {
        let args = STANDARD.decode(base64).map_err(|error| format!("it is not base64: {error}"))?;
        Ok(Self::Raw(RawCommand { name, args: args.into() }))
    }
}

impl ApiCommand for Raw {
    fn event(update: Vec<u8>) -> Event {
        Event::Update(update.into())
    }

    fn done(result: Vec<u8>) -> Map<String, Value> {
        fields(json!({ "result_base64": STANDARD.encode(result) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_passed_on_as_they_are() {
        let name: CommandName = "example.compress/1".parse().expect("a valid name");
        let read = ApiArgs::read_raw(name.clone(), "AP8=");
        assert_eq!(read, Ok(ApiArgs::Raw(RawCommand { name: name.clone(), args: vec![0, 0xff].into() })));
        assert_eq!(read.expect("it is read").summary(), "2 bytes of arguments");
        assert!(ApiArgs::read_raw(name, "AP8").is_err());
        assert_eq!(Raw::done(vec![0, 0xff])["result_base64"], "AP8=");
    }
}
