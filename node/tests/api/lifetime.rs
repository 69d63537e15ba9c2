//! Starting and stopping a daemon with an API.

use std::process::Stdio;

use runnel::certs::Role;
use rustix::process::Signal;

use crate::client::Fleet;

#[tokio::test]
async fn a_signal_ends_open_streams_and_the_node_in_order() {
    for stop in [Signal::TERM, Signal::INT] {
        let fleet = Fleet::new();
        let (mut ctl, _worker) = fleet.start_pair("", "").await;
        let id = ctl.api.submit_script("echo running; sleep 1000").await;
        let mut events = ctl.api.events(&id, "?follow=true").await;
        events.until("output").await;
        ctl.signal(stop);
        assert_eq!(events.next().await, None, "the stream ends without an outcome");
        let status = ctl.process.wait().await.expect("it is our child");
        assert!(status.success(), "{status}");
        assert!(!fleet.socket("ctl").exists(), "the socket is gone");
    }
}

#[tokio::test]
async fn a_client_that_holds_a_command_does_not_hold_the_end() {
    let fleet = Fleet::new();
    let (mut ctl, _worker) = fleet.start_pair("[api]\nlog_bytes_max = 20000", "").await;
    let id = ctl.api.submit_script("seq 1000000").await;
    let mut events = ctl.api.events(&id, "?follow=true&hold=true").await;
    events.until("output").await;
    ctl.stop().await;
}

#[tokio::test]
async fn a_second_node_leaves_the_socket_of_a_live_one_alone_and_takes_that_of_a_dead_one() {
    let fleet = Fleet::new();
    let mut first = fleet.start("ctl", Role::Controller, "").await;
    let second = fleet.command("ctl", Role::Controller, "").stderr(Stdio::piped()).output().await;
    let second = second.expect("the program starts");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains("another node listens at"), "{said}");
    assert_eq!(first.api.get("/v1/node").await["node"], "ctl", "the first goes on");

    first.signal(Signal::KILL);
    first.process.wait().await.expect("it is our child");
    assert!(fleet.socket("ctl").exists(), "a killed node leaves its socket");
    let third = fleet.start("ctl", Role::Controller, "").await;
    assert_eq!(third.api.get("/v1/node").await["node"], "ctl");
}

#[tokio::test]
async fn a_node_can_do_without_the_api() {
    let fleet = Fleet::new();
    let daemon = fleet.start("ctl", Role::Controller, "[api]\nenabled = false\n").await;
    assert_eq!(daemon.ready["socket"], serde_json::Value::Null);
    assert!(!fleet.socket("ctl").exists());
}
