//! `runnel put` and `runnel get`: files and folders, whole or not at all.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::process::Signal;

use crate::house::{House, end, read_line, signal};

#[test]
fn a_file_goes_there_and_comes_back() {
    let house = House::start();
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    fs::write(house.path("big"), &content).expect("the folder can be written");
    fs::set_permissions(house.path("big"), fs::Permissions::from_mode(0o640)).expect("it is ours");
    let ended = house.check(&["put", "big", "w1:sub/", "--parents"], 0, "");
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "quiet where nobody looks");
    let there = house.path("work/sub/big");
    assert!(fs::read(&there).expect("it is there") == content, "octet by octet");
    assert_eq!(fs::metadata(&there).expect("it is there").permissions().mode() & 0o777, 0o640);

    house.ok(&["get", "w1:sub/big", "back"]);
    assert!(fs::read(house.path("back")).expect("it is here") == content, "octet by octet");
    assert_eq!(fs::metadata(house.path("back")).expect("it is here").permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_folder_goes_there_and_comes_back() {
    let house = House::start();
    fs::create_dir_all(house.path("tree/a/b")).expect("it is new");
    fs::write(house.path("tree/a/b/one"), "one").expect("the folder can be written");
    fs::write(house.path("tree/empty"), "").expect("the folder can be written");
    symlink("a/b/one", house.path("tree/link")).expect("the folder can be written");
    house.ok(&["put", "tree", "w1:copy"]);
    assert_eq!(fs::read_to_string(house.path("work/copy/a/b/one")).expect("it is there"), "one");
    fs::create_dir(house.path("here")).expect("it is new");
    house.ok(&["get", "w1:copy", "here"]);
    assert_eq!(fs::read_to_string(house.path("here/copy/link")).expect("it is here"), "one");
    assert!(house.path("here/copy/empty").is_file());
}

#[test]
fn nothing_is_replaced_unasked_and_nothing_half_is_left() {
    let house = House::start();
    fs::write(house.path("new"), "new").expect("the folder can be written");
    fs::write(house.path("work/old"), "old").expect("the folder can be written");
    house.check(&["put", "new", "w1:old"], 1, "exists");
    assert_eq!(fs::read_to_string(house.path("work/old")).expect("it is there"), "old");
    house.ok(&["put", "new", "w1:old", "--replace"]);
    assert_eq!(fs::read_to_string(house.path("work/old")).expect("it is there"), "new");

    house.check(&["get", "w1:old", "new"], 1, "--replace");
    house.ok(&["get", "w1:old", "new", "--replace"]);
    house.check(&["get", "w1:missing", "x"], 1, "missing");
    house.check(&["get", "w1:../ctl/node.key", "x"], 1, "");
    house.check(&["put", "missing", "w1:x"], 1, "missing");
    house.check(&["put", "new", "nowhere"], 2, "NODE:PATH");
    house.check(&["put", "new", "gone:x", "--no-wait"], 80, "no link");
    assert!(!house.path("x").exists());
    let left = fs::read_dir(house.path("work")).expect("it is a folder").count();
    assert_eq!(left, 1, "nothing but the one file");
}

#[test]
fn a_transfer_that_is_interrupted_leaves_nothing() {
    let house = House::start();
    // Without blocks on the disk, and long enough to be interrupted.
    let sparse = |path| fs::File::create(path).and_then(|file| file.set_len(20 << 30)).expect("it is new");
    sparse(house.path("work/big"));
    fs::create_dir(house.path("here")).expect("it is new");
    let mut get = house.spawn(&["get", "w1:big", "here", "--json"]);
    while !read_line(&mut get).contains("\"found\"") {}
    signal(&get, Signal::INT);
    let ended = end(get);
    assert_eq!(ended.code, Some(85), "{ended:?}");
    assert_eq!(fs::read_dir(house.path("here")).expect("it is a folder").count(), 0);

    sparse(house.path("big"));
    let mut put = house.spawn(&["put", "big", "w1:copy", "--json"]);
    while !read_line(&mut put).contains("\"started\"") {}
    signal(&put, Signal::INT);
    let ended = end(put);
    assert_eq!(ended.code, Some(85), "{ended:?}");
    let left = fs::read_dir(house.path("work")).expect("it is a folder").count();
    assert_eq!(left, 1, "nothing but what was there");
}
