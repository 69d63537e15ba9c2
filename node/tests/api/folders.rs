//! Commands about folders.

use serde_json::{Value, json};

use crate::client::{Client, Fleet};

/// Has a command run. Returns its result.
async fn result_of(api: &Client, command: &str, args: Value) -> Value {
    let id = api.submit(json!({ "to": "w1", "command": command, "args": args })).await;
    let outcome = api.outcome(&id).await;
    assert_eq!(outcome["kind"], "done", "{command}: {outcome}");
    outcome["result"].clone()
}

#[tokio::test]
async fn folders_are_made_searched_copied_and_removed() {
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("", "[folders]\nentries_max = 2\n").await;
    let path = |name: &str| fleet.folder().join("work").join(name).to_str().expect("it is text").to_owned();
    let made = result_of(&ctl.api, "fs.mkdir/1", json!({ "paths": [path("a/b"), path("c")] })).await;
    assert_eq!(made, json!({ "folders": 4 }));
    std::fs::write(path("a/b/file"), "four").expect("room on the disk");
    let copied = json!({ "from": path("a"), "to": path("d/e"), "make_parents": true });
    assert_eq!(result_of(&ctl.api, "fs.copy/1", copied).await, json!({ "files": 1, "bytes": 4 }));

    let found = result_of(&ctl.api, "fs.stat/1", json!({ "path": path("d/e/b/file") })).await;
    assert_eq!(
        (&found["kind"], &found["bytes"], &found["link_target"]),
        (&json!("file"), &json!(4), &Value::Null)
    );
    assert!(found["modified_ms"].is_u64(), "{found}");
    assert_eq!(result_of(&ctl.api, "fs.stat/1", json!({ "path": path("none") })).await, Value::Null);

    let folder = |name: &str| json!({ "name": name, "kind": "folder" });
    let first = result_of(&ctl.api, "fs.list/1", json!({ "path": path("") })).await;
    assert_eq!(first, json!({ "entries": [folder("a"), folder("c")], "next": "c" }));
    let rest = result_of(&ctl.api, "fs.list/1", json!({ "path": path(""), "after": "c" })).await;
    assert_eq!(rest, json!({ "entries": [folder("d")], "next": null }));
    let files = result_of(&ctl.api, "fs.glob/1", json!({ "pattern": path("**/f*") })).await;
    let expected = json!({ "paths": [path("a/b/file"), path("d/e/b/file")], "next": null, "unreadable": 0 });
    assert_eq!(files, expected);

    let removed = json!({ "paths": [path("d"), path("none")], "folders": true });
    let removed = result_of(&ctl.api, "fs.remove/1", removed).await;
    assert_eq!(removed, json!({ "paths": [path("d")], "entries": 4 }));
    let id = ctl
        .api
        .submit(json!({ "to": "w1", "command": "fs.remove/1", "args": { "paths": [path("a")] } }))
        .await;
    let outcome = ctl.api.outcome(&id).await;
    assert!(
        outcome["message"].as_str().is_some_and(|message| message.contains("(os error 21)")),
        "{outcome}"
    );
}
