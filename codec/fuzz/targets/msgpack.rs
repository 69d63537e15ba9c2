//! What a Buildbot master says over MessagePack, message by message, to an application that answers, starts commands and
//! says their output: what it says can be read, lines are whole, and after the end it says nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runnel_buildbot::Limits;
use runnel_buildbot::jelly::Value;
use runnel_buildbot::msgpack::{Ask, Commands, Event, Exchange, read, write};
use runnel_buildbot::worker::{MasterCall, Start, Update};

fuzz_target!(|input: &[u8]| {
    let limits = Limits { requests_max: 3, calls_max: 4, elements_max: 4096, ..Limits::default() };
    let mut application = Application::new(limits);
    let mut rest = input;
    while let Some(([high, low], after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        application.hear(&after[..len]);
        rest = &after[len..];
    }
    application.exchange.handle_end();
    application.serve();
    assert!(application.ended, "the end is told");
    assert!(!application.exchange.wants_bytes());
});

struct Application {
    exchange: Exchange,
    commands: Commands,
    calls: usize,
    answered: usize,
    ended: bool,
}

impl Application {
    fn new(limits: Limits) -> Self {
        let (exchange, commands) = (Exchange::new(limits), Commands::default());
        Self { exchange, commands, calls: 0, answered: 0, ended: false }
    }

    fn hear(&mut self, message: &[u8]) {
        if let Ok(value) = read(message, &Limits::default()) {
            let again = write(&value).expect("what was read has a form");
            let read_again = read(&again, &Limits::default()).expect("what was written is read");
            assert_eq!(format!("{read_again:?}"), format!("{value:?}"), "NaN is no equal of itself");
        }
        self.exchange.handle_message(message);
        self.serve();
    }

    fn serve(&mut self) {
        while let Some(event) = self.exchange.poll_event() {
            assert!(!self.ended, "nothing comes after the end");
            match event {
                Event::Asked { request, op, fields } => {
                    let answered = match Ask::of(&op, fields.clone(), &mut self.commands) {
                        Ok(Ask::Start { start, .. }) => {
                            self.carry_out(*start, &fields);
                            self.exchange.answer(request, Value::None)
                        }
                        Ok(_) => self.exchange.answer(request, fields),
                        Err(refusal) => self.exchange.fail(request, refusal.to_string()),
                    };
                    // It waits no more only if the connection has ended.
                    assert!(answered.is_ok() || self.exchange.is_closed());
                }
                Event::Answered { .. } => {
                    self.answered += 1;
                    assert!(self.answered <= self.calls, "each request is answered once");
                }
                Event::Closed(_) => {
                    self.ended = true;
                    assert_eq!(self.answered, self.calls, "each request is answered");
                }
            }
        }
        while let Some(message) = self.exchange.poll_transmit() {
            assert!(!self.ended, "nothing is said after the end");
            let said = read(&message, &Limits::default()).expect("it keeps the rules");
            assert!(said.get("op").is_some() && said.get("seq_number").is_some());
        }
    }

    /// Says the words of the command's own message as its output, in pieces.
    fn carry_out(&mut self, start: Start, fields: &Value) {
        let text = format!("{fields:?}").replace("\\n", "\n").replace("\\r", "\r").replace("\\u{1b}", "\u{1b}");
        let chars: Vec<_> = text.chars().collect();
        for piece in chars.chunks(7) {
            self.say(&start, MasterCall::Update(vec![Update::Stdout(piece.iter().collect())]));
        }
        self.say(&start, MasterCall::Complete(None));
        self.commands.close(start.sink);
    }

    fn say(&mut self, start: &Start, call: MasterCall) {
        let outgoing = self.commands.say(start.sink, call, 0.0).expect("each command has these");
        for outgoing in &outgoing {
            check_lines(&outgoing.fields);
        }
        let count = outgoing.len();
        if self.exchange.call(outgoing).is_ok() {
            self.calls += count;
        }
    }
}

/// Checks that each text is whole lines, with one place and one time for each.
fn check_lines(fields: &[(Value, Value)]) {
    let args = fields.iter().find(|(name, _)| name.as_text() == Some("args"));
    let Some((_, Value::List(pairs))) = args else { return };
    for pair in pairs {
        let Value::List(pair) = pair else { panic!("a pair") };
        let Value::List(lines) = &pair[1] else { continue };
        let [Value::Text(text), Value::List(ends), Value::List(times)] = &lines[..] else { panic!("lines") };
        assert!(text.ends_with('\n'));
        let found = text.chars().enumerate().filter(|(_, char)| *char == '\n');
        let found: Vec<_> = found.map(|(at, _)| Value::Int(at.try_into().expect("a place"))).collect();
        assert_eq!(*ends, found);
        assert_eq!(times.len(), found.len());
    }
}
