//! What ends with the terminal, and what does not.

use rustix::process::Signal;

use crate::house::{House, end, read_line, signal};

#[test]
fn the_first_interrupt_cancels_the_remote_program() {
    let house = House::start();
    let mut run = house.spawn(&["run", "w1", "--", "sh", "-c", "echo started; exec sleep 600"]);
    assert_eq!(read_line(&mut run), "started");
    signal(&run, Signal::INT);
    let ended = end(run);
    assert_eq!(ended.code, Some(85), "{ended:?}");
    assert!(ended.stderr.contains("cancelling ctl.w1."), "{ended:?}");
}

#[test]
fn the_second_interrupt_leaves_at_once() {
    let house = House::start();
    let script = "trap '' TERM; echo started; while :; do sleep 600; done";
    let mut run = house.spawn(&["run", "w1", "--kill-grace", "10m", "--", "sh", "-c", script]);
    assert_eq!(read_line(&mut run), "started");
    let mut stderr = run.stderr.take().expect("it is piped");
    signal(&run, Signal::INT);
    // Only once the first has been heard is the next one a second.
    let mut said = [0; 18];
    std::io::Read::read_exact(&mut stderr, &mut said).expect("it says that it cancels");
    assert_eq!(&said, b"runnel: cancelling");
    signal(&run, Signal::INT);
    assert_eq!(end(run).code, Some(130));
}

#[test]
fn a_vanished_terminal_leaves_the_command_running() {
    let house = House::start();
    let script = "echo started; while [ ! -e go ]; do sleep 0.05; done; echo finished";
    let mut run = house.spawn(&["run", "w1", "--cwd", ".", "--", "sh", "-c", script]);
    assert_eq!(read_line(&mut run), "started");
    signal(&run, Signal::HUP);
    let ended = end(run);
    assert_eq!(ended.code, Some(129), "{ended:?}");
    assert!(ended.stderr.contains("nothing is lost"), "{ended:?}");
    let id = ended.stderr.split("runnel attach ").nth(1).expect("it says how to come back").trim();
    std::fs::write(house.path("work/go"), "").expect("the folder can be written");
    assert_eq!(house.ok(&["attach", id]), "started\nfinished\n");
}

#[test]
fn a_hang_up_that_is_ignored_stays_ignored() {
    let house = House::start();
    let script = "echo started; while [ ! -e go ]; do sleep 0.05; done; echo finished";
    // What nohup does.
    let nohup = "trap '' HUP; exec \"$@\"";
    let mut run = house.wrapped(nohup, &["run", "w1", "--cwd", ".", "--", "sh", "-c", script]);
    assert_eq!(read_line(&mut run), "started");
    signal(&run, Signal::HUP);
    std::fs::write(house.path("work/go"), "").expect("the folder can be written");
    let ended = end(run);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "finished\n"), "{ended:?}");
}

#[test]
fn a_node_that_is_restarted_has_forgotten_and_it_says_so() {
    let mut house = House::start();
    let mut run = house.spawn(&["run", "w1", "--", "sh", "-c", "echo started; exec sleep 600"]);
    assert_eq!(read_line(&mut run), "started");
    house.restart_controller();
    let ended = end(run);
    assert_eq!(ended.code, Some(86), "{ended:?}");
    assert!(ended.stderr.contains("forgotten"), "{ended:?}");
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let house = House::start();
    let mut run = house.spawn(&["run", "w1", "--", "yes"]);
    assert_eq!(read_line(&mut run), "y");
    drop(run.stdout.take());
    let ended = end(run);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(141), ""));

    let mut nodes = house.spawn(&["nodes"]);
    drop(nodes.stdout.take());
    let ended = end(nodes);
    // It may have written before we were gone.
    assert!(matches!(ended.code, Some(0 | 141)) && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn logs_can_be_left_without_touching_the_command() {
    let house = House::start();
    let id = house.start_script("echo started; exec sleep 600");
    let mut logs = house.spawn(&["logs", "-f", &id]);
    assert_eq!(read_line(&mut logs), "started");
    signal(&logs, Signal::INT);
    assert_eq!(end(logs).code, Some(130));
    assert!(house.ok(&["ps"]).contains(&id));
}
