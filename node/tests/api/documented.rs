//! The examples of API.md, run as they stand there.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::client::Fleet;

/// Returns the shell examples of API.md, in their order; the first defines the function that the others use.
fn examples() -> Vec<String> {
    let text = include_str!("../../API.md");
    let blocks = text.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn every_curl_line_of_the_specification_works() {
    let curl = Command::new("curl").arg("--version").stdout(Stdio::null()).status().await;
    if curl.is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let fleet = Fleet::new();
    let (ctl, _worker) = fleet.start_pair("state_dir = \"state\"", "").await;
    let examples = examples();
    let (function, lines) = examples.split_first().expect("API.md has examples");
    assert!(lines.len() > 5, "{lines:?}");
    for line in lines.iter().flat_map(|example| example.lines()) {
        // Each line gets a command of its own that waits, so that whatever it does to it can be done.
        let body = line.contains("/body");
        let mut command = crate::client::shell(if body { "w1" } else { "gone" }, "cat");
        command["has_body"] = body.into();
        let id = ctl.api.submit(command).await;
        let line = line.replace("follow=true", "follow=false").replace("&hold=true", "");
        let script = format!("set -e\n{function}\n{line}\n");
        let output = Command::new("bash")
            .args(["-c", &script])
            .env("RUNNEL_SOCKET", &ctl.api.socket)
            .env("ID", &id)
            .current_dir(fleet.folder())
            .output()
            .await
            .expect("bash is there");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{line}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
        for answer in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>() {
            let answer = answer.unwrap_or_else(|error| panic!("{line}: {error}\n{said}"));
            assert_eq!(answer.get("error"), None, "{line}\n{said}");
        }
    }
}
