//! A server whose part the test speaks, in front of a broker.

use bytes::BytesMut;
use runnel_buildbot::banana::{Decoder, Dialect, Element, encode};
use runnel_buildbot::jelly::{Value, write};
use runnel_buildbot::{Broker, CloseReason, Credentials, Event, Limits, RemoteId};

/// A broker and the other end of its connection.
pub(crate) struct Script {
    pub(crate) broker: Broker,
    decoder: Decoder,
    dialect: Dialect,
}

/// The number of the perspective that [`Script::logged_in`] gives.
pub(crate) const PERSPECTIVE: RemoteId = RemoteId::from_wire(2);

impl Script {
    /// Begins a connection on which nothing was said.
    pub(crate) fn new(limits: Limits) -> Self {
        let broker = Broker::new(limits, credentials());
        Self { broker, decoder: Decoder::new(Limits::default()), dialect: Dialect::None }
    }

    /// Offers dialects and says the version. What the broker says to that is thrown away.
    pub(crate) fn greeted(limits: Limits) -> Self {
        let mut script = Self::new(limits);
        script.offer();
        script.say(words("version", [Element::Int(6)]));
        script.heard();
        script
    }

    /// Goes through the whole login. What the broker says is thrown away.
    pub(crate) fn logged_in(limits: Limits) -> Self {
        let mut script = Self::greeted(limits);
        script.say(words("answer", [Element::Int(1), challenge()]));
        script.say(words("answer", [Element::Int(2), remote(PERSPECTIVE.to_wire())]));
        assert_eq!(script.events(), [Event::LoggedIn { perspective: PERSPECTIVE }]);
        script.heard();
        script
    }

    pub(crate) fn offer(&mut self) {
        self.say(Element::List(vec![Element::word("pb"), Element::word("none")]));
        self.dialect = Dialect::Pb;
    }

    /// Says something to the broker.
    pub(crate) fn say(&mut self, element: Element) {
        let mut bytes = BytesMut::new();
        encode(&element, self.dialect, &Limits::default(), &mut bytes).expect("the test keeps the limits");
        self.broker.handle_bytes(&bytes);
    }

    /// Calls the object of a number, with a request of the same number as the object's.
    pub(crate) fn call(&mut self, object: i64, args: Vec<Value>, wants_answer: i64) {
        self.say(call(object, Element::Int(object), jelly(Value::Tuple(args)), wants_answer));
    }

    /// Returns what the broker has said since the last time.
    pub(crate) fn heard(&mut self) -> Vec<Element> {
        while let Some(bytes) = self.broker.poll_transmit() {
            self.decoder.push(&bytes);
        }
        let mut heard = Vec::new();
        while let Some(element) = self.decoder.next_element().expect("a broker keeps the rules") {
            if element == Element::word("pb") {
                self.decoder.set_dialect(Dialect::Pb);
            }
            heard.push(element);
        }
        heard
    }

    /// Returns what has happened since the last time.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.broker.poll_event()).collect()
    }

    /// Checks that the broker has ended the connection, and returns why.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> CloseReason {
        assert!(!self.broker.wants_bytes());
        match self.events().pop() {
            Some(Event::Closed(reason)) => reason,
            other => panic!("the connection goes on, with {other:?}"),
        }
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials { username: "worker1".to_owned(), password: "secret".to_owned() }
}

/// A list of a word and more.
pub(crate) fn words<const N: usize>(word: &'static str, rest: [Element; N]) -> Element {
    Element::List([Element::word(word)].into_iter().chain(rest).collect())
}

pub(crate) fn remote(number: i64) -> Element {
    words("remote", [Element::Int(number)])
}

pub(crate) fn jelly(value: Value) -> Element {
    write(value, &Limits::default()).expect("the test keeps the limits")
}

/// A challenge by object 1 of the server.
pub(crate) fn challenge() -> Element {
    words("tuple", [Element::word("sixteen bytes..."), remote(1)])
}

pub(crate) fn call(number: i64, object: Element, args: Element, wants_answer: i64) -> Element {
    let kwargs = words("dictionary", []);
    let (number, wants_answer) = (Element::Int(number), Element::Int(wants_answer));
    words("message", [number, object, Element::word("print"), wants_answer, args, kwargs])
}
