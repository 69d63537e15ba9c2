//! What the registry keeps, and what it lets go of.

use bytes::Bytes;

use super::super::event::Output;
use super::*;

const READER: ReaderId = ReaderId(1);

fn registry(change: impl FnOnce(&mut ApiConfig)) -> (Registry, Moment) {
    let mut config = ApiConfig::default();
    change(&mut config);
    (Registry::new(config), Moment { at: Instant::now(), ms: 1000 })
}

fn later(now: Moment, duration: Duration) -> Moment {
    Moment { at: now.at + duration, ms: now.ms + millis(duration) }
}

fn id(seq: u64) -> CommandId {
    format!("ctl.w1.00000000000000ff.{seq}").parse().expect("a valid id")
}

fn submitted(seq: u64) -> Submitted {
    Submitted {
        id: id(seq),
        name: "exec/1".parse().expect("a valid name"),
        class: Class::Normal,
        delivery: Delivery::Memory,
        stored_ms: 1000,
        deadline: None,
        summary: String::new(),
        key: None,
    }
}

fn output(bytes: usize) -> Event {
    Event::Output(Output { stream: "stdout", content: Bytes::from(vec![b'x'; bytes]) })
}

/// Marks an update.
fn update(number: u64) -> UpdateMark {
    UpdateMark { number, bytes: 10 }
}

fn outcome() -> Value {
    json!({ "kind": "expired" })
}

/// All of a list.
fn list(registry: &Registry, now: Moment, all: bool) -> Vec<Value> {
    let wanted = Wanted { all, key_prefix: None };
    let page = registry.list(now.at, &wanted, 0, NonZeroUsize::MAX);
    assert_eq!(page.next, None, "it is one page");
    page.commands
}

/// The ids of a list.
fn ids(list: &[Value]) -> Vec<&str> {
    list.iter().map(|command| command["id"].as_str().expect("an id")).collect()
}

/// The kinds of event that a reader gets from the start.
fn events(registry: &mut Registry, seq: u64) -> Vec<String> {
    registry.attach(&id(seq), READER, ReadFrom::Event(1), Patience::Bounded).expect("it is kept");
    let Read::Lines(lines) = registry.read(&id(seq), READER, 1 << 20) else { panic!("no lines") };
    registry.detach(&id(seq), READER);
    let lines = serde_json::Deserializer::from_slice(&lines).into_iter::<Value>();
    lines.map(|line| line.expect("JSON")["event"].as_str().expect("a kind").to_owned()).collect()
}

#[test]
fn steps_are_said_once_and_never_go_back() {
    let (mut registry, now) = registry(|_| {});
    registry.insert(now, submitted(1));
    for step in [Step::Sent, Step::Sent, Step::Started, Step::Accepted] {
        registry.handle_step(now, &id(1), step);
    }
    registry.handle_outcome(now, &id(1), outcome());
    registry.handle_outcome(now, &id(1), outcome());
    registry.handle_step(now, &id(1), Step::Started);
    assert_eq!(events(&mut registry, 1), ["stored", "sent", "started", "outcome"]);
    assert_eq!(registry.step(&id(1)), Some(Step::Ended));
}

#[test]
fn a_list_is_in_order_of_age_and_leaves_out_what_has_ended() {
    let (mut registry, now) = registry(|_| {});
    for seq in [2, 10, 1] {
        registry.insert(now, submitted(seq));
    }
    registry.handle_outcome(now, &id(10), outcome());
    let open = list(&registry, now, false);
    assert_eq!(ids(&open), [id(2).to_string(), id(1).to_string()]);
    let all = list(&registry, now, true);
    assert_eq!(ids(&all), [id(2).to_string(), id(10).to_string(), id(1).to_string()]);
}

#[test]
fn pages_join_without_a_gap_though_commands_come_and_go_between() {
    let (mut registry, now) = registry(|config| config.ended_max = 1);
    let all = Wanted { all: true, key_prefix: None };
    let page = |registry: &Registry, after, limit| {
        let page = registry.list(now.at, &all, after, NonZeroUsize::new(limit).expect("not 0"));
        (ids(&page.commands).into_iter().map(str::to_owned).collect::<Vec<_>>(), page.next)
    };
    let named = |seqs: &[u64]| seqs.iter().map(|seq| id(*seq).to_string()).collect::<Vec<_>>();
    for seq in 1..=5 {
        registry.insert(now, submitted(seq));
    }
    let (first, next) = page(&registry, 0, 2);
    assert_eq!(first, named(&[1, 2]));
    // The command at which the first page ended is forgotten, and so is one of the second; a new one comes.
    for seq in [2, 3, 1] {
        registry.handle_outcome(now, &id(seq), outcome());
    }
    registry.insert(now, submitted(6));
    let (second, next) = page(&registry, next.expect("there are more"), 2);
    assert_eq!(second, named(&[4, 5]));
    assert_eq!(page(&registry, next.expect("there are more"), 2), (named(&[6]), None));
    assert_eq!(page(&registry, 0, 4), (named(&[1, 4, 5, 6]), None), "a full page may be the last");
    assert_eq!(page(&registry, 99, 4), (vec![], None));
}

#[test]
fn a_list_can_be_of_those_whose_keys_begin_alike() {
    let (mut registry, now) = registry(|_| {});
    for (seq, key) in [(1, Some("build 7/1")), (2, Some("build 8/1")), (3, None), (4, Some("build 7/2"))] {
        registry.insert(now, Submitted { key: key.map(str::to_owned), ..submitted(seq) });
    }
    registry.handle_outcome(now, &id(4), outcome());
    let page = |all, prefix: &str, limit| {
        let wanted = Wanted { all, key_prefix: Some(prefix.to_owned()) };
        let page = registry.list(now.at, &wanted, 0, NonZeroUsize::new(limit).expect("not 0"));
        (ids(&page.commands).into_iter().map(str::to_owned).collect::<Vec<_>>(), page.next)
    };
    let named = |seqs: &[u64]| seqs.iter().map(|seq| id(*seq).to_string()).collect::<Vec<_>>();
    assert_eq!(page(false, "build 7/", 10), (named(&[1]), None));
    assert_eq!(page(true, "build 7/", 10), (named(&[1, 4]), None));
    assert_eq!(page(true, "build 7/", 1), (named(&[1]), Some(1)));
    assert_eq!(page(true, "", 10), (named(&[1, 2, 4]), None), "every key begins with nothing");
    assert_eq!(page(true, "uild", 10), (vec![], None));
    let described = registry.describe(now.at, &id(1)).expect("it is kept");
    assert_eq!(described["key"], "build 7/1");
    assert_eq!(registry.describe(now.at, &id(3)).expect("it is kept")["key"], Value::Null);
}

#[test]
fn a_description_tells_age_deadline_and_end() {
    let (mut registry, now) = registry(|_| {});
    registry.insert(now, Submitted { deadline: Some(Duration::from_secs(5)), ..submitted(1) });
    let now = later(now, Duration::from_secs(2));
    let described = registry.describe(now.at, &id(1)).expect("it is kept");
    assert_eq!((&described["age_ms"], &described["deadline_ms"]), (&json!(2000), &json!(3000)));
    registry.handle_overdue(later(now, Duration::from_secs(4)), &id(1));
    let described = registry.describe(now.at + Duration::from_secs(4), &id(1)).expect("it is kept");
    assert_eq!((&described["is_overdue"], &described["deadline_ms"]), (&json!(true), &json!(0)));
    registry.handle_outcome(now, &id(1), outcome());
    let described = registry.describe(now.at, &id(1)).expect("it is kept");
    assert_eq!((&described["stage"], &described["outcome"]), (&json!("ended"), &outcome()));
    assert_eq!((&described["ended_ms"], &described["deadline_ms"]), (&json!(0), &Value::Null));
}

#[test]
fn the_log_of_one_command_is_bounded_and_keeps_its_end() {
    let (mut registry, now) = registry(|config| config.log_bytes_max = 3000);
    registry.insert(now, submitted(1));
    for number in 1..=10 {
        registry.handle_update(now, &id(1), output(1000), update(number));
    }
    registry.handle_outcome(now, &id(1), outcome());
    assert_eq!(events(&mut registry, 1), ["gap", "output", "output", "outcome"]);
}

#[test]
fn an_outcome_pushes_out_nothing_that_a_reader_waits_for() {
    let (mut registry, now) = registry(|config| config.log_bytes_max = 1000);
    registry.insert(now, submitted(1));
    registry.attach(&id(1), READER, ReadFrom::Event(1), Patience::Bounded).expect("it is kept");
    registry.read(&id(1), READER, 1 << 20);
    assert!(registry.has_room(&id(1), &output(3000)), "everything before it is read");
    registry.handle_update(now, &id(1), output(3000), update(1));
    registry.handle_outcome(now, &id(1), outcome());
    let Read::Lines(lines) = registry.read(&id(1), READER, 1 << 20) else { panic!("no lines") };
    assert!(!String::from_utf8_lossy(&lines).contains("gap"));
}

#[test]
fn when_all_logs_are_full_the_oldest_ended_command_goes_first() {
    let (mut registry, now) = registry(|config| config.logs_bytes_max = 3500);
    for seq in 1..=3 {
        registry.insert(now, submitted(seq));
        registry.handle_update(now, &id(seq), output(800), update(1));
    }
    registry.handle_outcome(now, &id(2), outcome());
    registry.handle_outcome(now, &id(1), outcome());
    registry.handle_update(now, &id(3), output(1000), update(2));
    assert_eq!((registry.step(&id(2)), registry.step(&id(1))), (None, Some(Step::Ended)));
    registry.handle_update(now, &id(3), output(3000), update(3));
    assert_eq!(registry.step(&id(1)), None);
    assert_eq!(events(&mut registry, 3), ["gap", "output"], "then the log that grows lets go of its oldest");
}

#[test]
fn who_is_waited_for_without_end_misses_nothing_when_all_logs_are_full() {
    let (mut registry, now) = registry(|config| config.logs_bytes_max = 4000);
    for seq in 1..=3 {
        registry.insert(now, submitted(seq));
    }
    registry.attach(&id(3), READER, ReadFrom::Event(1), Patience::Endless).expect("it is kept");
    registry.read(&id(3), READER, 1 << 20);
    registry.handle_update(now, &id(1), output(1500), update(1));
    registry.handle_update(now, &id(2), output(900), update(1));
    registry.handle_outcome(now, &id(2), outcome());
    registry.handle_update(now, &id(3), output(900), update(1));
    assert!(registry.has_room(&id(3), &output(900)), "a command that has ended makes room");
    assert_eq!(registry.step(&id(2)), None);
    registry.handle_update(now, &id(3), output(900), update(2));
    assert!(!registry.has_room(&id(3), &output(900)), "one that runs does not");
    let Read::Lines(lines) = registry.read(&id(3), READER, 1 << 20) else { panic!("no lines") };
    assert!(!String::from_utf8_lossy(&lines).contains("gap"));
    assert!(registry.has_room(&id(3), &output(9000)), "everything before it is read");
}

#[test]
fn ended_commands_are_kept_by_number_and_age_but_not_while_they_are_read() {
    let (mut registry, now) = registry(|config| config.ended_max = 2);
    for seq in 1..=4 {
        registry.insert(now, submitted(seq));
    }
    registry.attach(&id(1), READER, ReadFrom::Event(1), Patience::Bounded).expect("it is kept");
    for seq in 1..=4 {
        registry.handle_outcome(now, &id(seq), outcome());
    }
    let all = list(&registry, now, true);
    assert_eq!(ids(&all), [id(1).to_string(), id(4).to_string()], "1 is read, so 2 and 3 went");
    registry.detach(&id(1), READER);
    registry.expire(now.at + ApiConfig::default().ended_age + Duration::from_secs(1));
    assert_eq!(list(&registry, now, true), [] as [Value; 0]);
    assert_eq!(registry.attach(&id(1), READER, ReadFrom::Event(1), Patience::Bounded), Err(UnknownCommand));
}

#[test]
fn what_everybody_let_go_of_takes_no_bytes() {
    let (mut registry, now) = registry(|_| {});
    registry.insert(now, submitted(1));
    registry.handle_update(now, &id(1), output(1000), update(1));
    registry.handle_outcome(now, &id(1), outcome());
    registry.expire(now.at + ApiConfig::default().ended_age + Duration::from_secs(1));
    assert_eq!(registry.bytes, 0);
}

#[test]
fn what_a_durable_command_lost_of_its_log_is_told_to_the_queue() {
    let (mut registry, now) = registry(|config| config.log_bytes_max = 3000);
    let durable = |seq| Submitted { delivery: Delivery::Durable, ..submitted(seq) };
    registry.insert(now, durable(1));
    registry.insert(now, submitted(2));
    for number in 1..=5 {
        registry.handle_update(now, &id(1), output(1000), UpdateMark { number, bytes: number });
        registry.handle_update(now, &id(2), output(1000), UpdateMark { number, bytes: number });
    }
    let dropped = registry.take_dropped().expect("three updates went");
    assert_eq!(dropped.updates, BTreeMap::from([(id(1), 1 + 2 + 3)]), "nothing is kept of others");
    registry.handle_outcome(now, &id(1), outcome());
    registry.handle_outcome(now, &id(2), outcome());
    assert_eq!(registry.take_dropped(), None);
    registry.expire(now.at + ApiConfig::default().ended_age + Duration::from_secs(1));
    assert!(registry.has_dropped());
    assert_eq!(registry.take_dropped().map(|dropped| dropped.outcomes), Some(vec![id(1)]));
}

#[test]
fn a_command_of_an_older_process_keeps_its_age_and_its_deadline() {
    let (mut registry, now) = registry(|_| {});
    let deadline = Some(Duration::from_millis(900));
    registry.insert(now, Submitted { stored_ms: 600, deadline, ..submitted(1) });
    let described = registry.describe(now.at, &id(1)).expect("it is kept");
    assert_eq!((&described["age_ms"], &described["deadline_ms"]), (&json!(400), &json!(500)));
}
