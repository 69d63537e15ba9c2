//! What the API says of nodes.

use runnel::certs::Role;
use serde_json::{Value, json};

use crate::client::Fleet;

#[tokio::test]
async fn a_node_says_who_it_is() {
    let fleet = Fleet::new();
    let daemon = fleet.start("ctl", Role::Controller, "listen = [\"127.0.0.1:0\"]").await;
    assert_eq!(daemon.ready["ready"], true);
    assert_eq!(daemon.ready["socket"], fleet.socket("ctl").to_str().expect("UTF-8"));
    let node = daemon.api.get("/v1/node").await;
    for (field, expected) in [
        ("node", json!("ctl")),
        ("fleet", json!("test")),
        ("role", json!("controller")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("listening", daemon.ready["listening"].clone()),
    ] {
        assert_eq!(node[field], expected, "{field}");
    }
    assert_eq!(node["boot"].as_str().map(str::len), Some(16));
    assert!(node["uptime_ms"].is_u64());
    let day = 24 * 3600 * 1000;
    let left = node["certificate_expires_in_ms"].as_i64().expect("a number");
    assert!((day - 600_000..=day).contains(&left), "{left}");
}

#[tokio::test]
async fn nodes_shows_what_the_system_grants_the_sockets() {
    let fleet = Fleet::new();
    // More than any system grants.
    let settings = "settings.transport = { socket_buffer_bytes = 2147483647, segmentation_offload = false }";
    let (ctl, worker) = fleet.start_pair(settings, "").await;
    let sockets = ctl.api.get("/v1/nodes").await["sockets"].clone();
    let [socket] = &sockets.as_array().expect("a list")[..] else { panic!("one listens: {sockets}") };
    assert_eq!(socket["address"], ctl.ready["listening"][0]);
    assert_eq!((&socket["buffer_bytes_asked"], &socket["send_segments"]), (&json!(2_147_483_647), &json!(1)));
    for field in ["receive_buffer_bytes", "send_buffer_bytes"] {
        assert!(socket[field].as_u64().is_some_and(|granted| granted < 2_147_483_647), "{field}: {socket}");
    }
    for field in ["send_segments_offered", "receive_segments"] {
        assert!(socket[field].is_u64(), "{field}: {socket}");
    }
    let dialling = worker.api.get("/v1/nodes").await["sockets"].clone();
    let asked = dialling.as_array().expect("a list").iter().map(|socket| &socket["buffer_bytes_asked"]);
    assert!(asked.clone().count() > 0 && asked.clone().all(|asked| *asked == 4_194_304), "{dialling}");
}

#[tokio::test]
async fn nodes_shows_those_that_are_up_and_those_that_are_not() {
    let fleet = Fleet::new();
    let (ctl, worker) = fleet.start_pair("", "").await;
    let id = ctl.api.submit(json!({ "to": "w1", "command": "sys.ping/1" })).await;
    ctl.api.outcome(&id).await;
    for _ in 0..2 {
        ctl.api.submit(json!({ "to": "gone", "command": "sys.ping/1" })).await;
    }
    let nodes = ctl.api.get("/v1/nodes").await["nodes"].clone();
    let names: Vec<_> = nodes.as_array().expect("a list").iter().map(|node| &node["node"]).collect();
    assert_eq!(names, ["gone", "w1"]);
    let (gone, up) = (&nodes[0], &nodes[1]);
    assert_eq!((&gone["state"], &gone["role"], &gone["link"]), (&json!("down"), &Value::Null, &Value::Null));
    assert_eq!(
        (&gone["queued"], &gone["in_flight"], &gone["links_total"]),
        (&json!(2), &json!(0), &json!(0))
    );
    assert!(gone["unreachable_ms"].is_u64());
    assert_eq!((&up["state"], &up["role"], &up["queued"]), (&json!("up"), &json!("worker"), &json!(0)));
    assert_eq!((&up["unreachable_ms"], &up["links_total"]), (&Value::Null, &json!(1)));
    let link = &up["link"];
    assert_eq!((&link["number"], &link["migrations"]), (&json!(1), &json!(0)));
    assert!(link["remote"].as_str().expect("an address").starts_with("127.0.0.1:"));
    for field in [
        "rtt_ms",
        "loss",
        "up_ms",
        "silent_ms",
        "mtu_probes_sent",
        "mtu_probes_lost",
        "black_holes",
        "bytes_sent",
        "bytes_received",
    ] {
        assert!(link[field].is_number(), "{field}: {link}");
    }
    assert!(link["mtu"].as_u64().is_some_and(|mtu| mtu >= 1200), "{link}");
    let seen = worker.api.get("/v1/nodes").await;
    assert_eq!(seen["nodes"][0]["node"], "ctl");
    assert_eq!(seen["nodes"][0]["role"], "controller");
}

#[tokio::test]
async fn who_follows_the_nodes_hears_of_each_and_of_every_change() {
    let fleet = Fleet::new();
    let (mut ctl, mut worker) = fleet.start_pair("", "").await;
    let line =
        |node: &str, state: &str, links: u64| json!({ "node": node, "state": state, "links_total": links });
    let mut early = ctl.api.lines("/v1/nodes?follow=true").await;
    assert_eq!(early.next().await, Some(line("gone", "down", 0)));
    while early.next().await.expect("it goes on") != line("w1", "up", 1) {}
    worker.stop().await;
    assert_eq!(early.next().await, Some(line("w1", "down", 1)));
    let address = ctl.ready["listening"][0].as_str().expect("it listens");
    let _worker = fleet.start("w1", Role::Worker, &format!("[peers]\nctl = [{address:?}]\n")).await;
    assert_eq!(early.next().await, Some(line("w1", "up", 2)));

    // Who comes late hears how it is, and nothing of how it was.
    let mut late = ctl.api.lines("/v1/nodes?follow=true").await;
    assert_eq!(late.next().await, Some(line("gone", "down", 0)));
    assert_eq!(late.next().await, Some(line("w1", "up", 2)));
    ctl.stop().await;
    assert_eq!((early.next().await, late.next().await), (None, None));
}
