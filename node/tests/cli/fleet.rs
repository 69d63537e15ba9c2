//! `runnel fleet`: who belongs to a fleet, and who can read what.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::house::command;

#[track_caller]
fn fleet(folder: &Path, args: &[&str], code: i32) -> (String, String) {
    let output = command(folder, &[&["fleet"], args].concat()).output().expect("the program starts");
    let text = |octets| String::from_utf8(octets).expect("text");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stdout}{stderr}");
    (stdout, stderr)
}

#[track_caller]
fn check_mode(path: &Path, mode: u32) {
    let found = fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(found, mode, "{}", path.display());
}

#[test]
fn a_requested_certificate_fits_a_key_that_never_left_its_node() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    fleet(folder.path(), &["init", "lab"], 0);
    fleet(folder.path(), &["request"], 0);
    let key = fs::read(path("identity/node.key")).expect("it is there");
    fleet(folder.path(), &["issue", "w1", "--role", "worker", "--request", "identity/node.csr"], 0);
    assert!(!path("w1/node.key").exists(), "the authority has no key of the node");
    for name in ["node.crt", "ca.crt"] {
        fs::copy(path("w1").join(name), path("identity").join(name)).expect("it is there");
    }
    let (shown, _) = fleet(folder.path(), &["show", "--dir", "identity", "--json"], 0);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(
        (&shown["node"], &shown["role"], &shown["fleet"]),
        (&"w1".into(), &"worker".into(), &"lab".into())
    );

    fleet(folder.path(), &["request"], 0);
    assert_eq!(fs::read(path("identity/node.key")).expect("it is there"), key, "a renewal keeps the key");
    check_mode(&path("identity/node.key"), 0o600);
    check_mode(&path("fleet/ca.key"), 0o600);
}

#[test]
fn a_quick_identity_says_where_its_key_was_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fleet(folder.path(), &["init", "lab", "--dir", "ca"], 0);
    let (_, said) =
        fleet(folder.path(), &["issue", "ctl", "--role", "controller", "--dir", "ca", "--out", "x"], 0);
    assert!(said.contains("key was made here"), "{said}");
    check_mode(&folder.path().join("x/node.key"), 0o600);
    let (shown, _) = fleet(folder.path(), &["show", "--dir", "x"], 0);
    assert!(shown.starts_with("controller ctl of fleet lab, until "), "{shown}");
    let (authority, _) = fleet(folder.path(), &["show", "--dir", "ca"], 0);
    let print = authority.rsplit(' ').next().expect("a fingerprint");
    assert!(authority.starts_with("authority of fleet lab") && shown.ends_with(print), "{shown}{authority}");
}

#[test]
fn nothing_is_replaced_and_mistakes_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, said) = fleet(folder.path(), &["issue", "ctl", "--role", "controller"], 1);
    assert!(said.contains("runnel fleet init"), "{said}");
    fleet(folder.path(), &["init", "lab"], 0);
    let (_, said) = fleet(folder.path(), &["init", "lab"], 1);
    assert!(said.contains("not replaced"), "{said}");
    fleet(folder.path(), &["issue", "ctl", "--role", "controller"], 0);
    let (_, said) = fleet(folder.path(), &["issue", "ctl", "--role", "controller"], 1);
    assert!(said.contains("fleet request"), "{said}");
    fleet(folder.path(), &["issue", "w1", "--role", "boss"], 2);
    fleet(folder.path(), &["issue", "W 1", "--role", "worker"], 2);
    fleet(folder.path(), &["issue", "w1", "--role", "worker", "--request", "missing.csr"], 1);
    let (_, said) = fleet(folder.path(), &["show", "--dir", ".", "--json"], 1);
    let said: Value = serde_json::from_str(&said).expect("errors are JSON too");
    assert_eq!(said["error"]["exit"], 1);
}
