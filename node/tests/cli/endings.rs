//! Exit codes that need a node in trouble: a full queue, a refusal, and a deadline of which nobody knows.

use serde_json::Value;

use crate::house::House;

#[test]
fn a_full_queue_is_told_apart_and_keeps_nobody_else_out() {
    let house = House::start_with("[settings.send_queue]\npeer_commands_max = 3\n", "");
    let order = ["run", "gone", "--detach", "--", "true"];
    let stored: Vec<_> =
        std::iter::repeat_with(|| house.run(&order)).take_while(|run| run.code == Some(0)).collect();
    assert!((1..=3).contains(&stored.len()), "{stored:?}");
    house.check(&order, 81, "full");
    let refused = house.run(&["run", "gone", "--json", "--", "true"]);
    let said: Value = serde_json::from_str(&refused.stderr).expect("errors are JSON too");
    assert_eq!((refused.code, &said["error"]["exit"]), (Some(81), &81.into()), "{said}");
    assert_eq!(said["error"]["code"], "queue-full");

    house.ok(&["run", "w1", "--", "true"]);
    house.ok(&["abandon", stored[0].stdout.trim()]);
    house.ok(&order);
}

#[test]
fn what_the_worker_refuses_never_started() {
    let rule = "[[policy.rules]]\naction = \"deny\"\nnodes = [\"ctl\"]\ncommands = [\"exec/1\"]\n";
    let house = House::start_with("", rule);
    let refused = house.check(&["run", "w1", "--", "touch", "ran"], 82, "denied");
    assert_eq!(refused.stdout, "");
    assert!(!house.path("work/ran").exists());
    let shown: Value = serde_json::from_str(&house.ok(&["ps", "--all", "--json"])).expect("JSON");
    assert_eq!(shown["commands"][0]["outcome"]["kind"], "rejected", "{shown}");
    house.check(&["attach", shown["commands"][0]["id"].as_str().expect("an id")], 82, "denied");
}

#[test]
fn a_deadline_of_which_nobody_knows_is_no_outcome() {
    let house = House::start();
    house.freeze_worker();
    let ended = house.check(&["run", "w1", "--deadline", "2s", "--", "true"], 87, "runnel attach ");
    let id = ended.stderr.split("runnel attach ").nth(1).expect("it says how to come back");
    let id = id.split_whitespace().next().expect("an id");
    let attach = house.spawn(&["attach", id]);
    house.thaw_worker();
    // Whether the worker still finds it in time is its own affair; but the outcome is known, and it is one.
    let ended = crate::house::end(attach);
    assert!([Some(0), Some(83), Some(84)].contains(&ended.code), "{ended:?}");
}
