//! The scripts in `examples/`: a build on a worker, driven over the HTTP API by other languages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::house::{Ended, House, end, read_line};

/// One of the scripts.
#[derive(Clone, Copy, Debug)]
struct Script(&'static str);

impl Script {
    /// Returns the script, or what it needs and is missing.
    fn find(name: &'static str, needs: &[&'static str]) -> Result<Self, &'static str> {
        let has =
            |line: &str| Command::new("sh").args(["-c", line]).output().is_ok_and(|ran| ran.status.success());
        needs.iter().find(|line| !has(line)).map_or(Ok(Self(name)), |line| Err(line))
    }

    /// Returns its command line, in the house's folder `here`.
    fn command(self, house: &House, arguments: &[&str]) -> Command {
        let here = house.path("here");
        fs::create_dir_all(&here).expect("the folder can be written");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(self.0);
        let mut command = Command::new("env");
        // What is ignored where the tests run is inherited.
        command
            .arg("--default-signal=INT")
            .arg(script)
            .args(arguments)
            .current_dir(here)
            .env("RUNNEL_SOCKET", house.path("api.sock"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn run(self, house: &House, arguments: &[&str]) -> Ended {
        end(self.command(house, arguments).spawn().expect("the script starts"))
    }

    /// Builds the folder `source` with a shell script.
    #[track_caller]
    fn build(self, house: &House, result: &str, script: &str) -> Ended {
        self.run(house, &["w1", "../source", result, "sh", "-c", script])
    }

    fn check(self) {
        let house = House::start();
        fs::create_dir_all(house.path("source/src")).expect("the folder can be written");
        fs::write(house.path("source/src/main"), "one\ntwo\n").expect("the folder can be written");
        self.brings_what_it_built(&house);
        self.ends_as_its_build_does(&house);
        self.shows_what_is_said_at_once_and_hears_of_a_cancel(&house);
        self.says_what_is_wrong(&house);
        house.check_that_nothing_is_left();
        let rules = "[[policy.rules]]\naction = \"deny\"\ncommands = [\"exec/*\"]\n";
        let house = House::start_with("", rules);
        fs::create_dir(house.path("source")).expect("the folder can be written");
        let ended = self.build(&house, "out", "true");
        assert_eq!(ended.code, Some(82), "{self:?}: {ended:?}");
    }

    fn brings_what_it_built(self, house: &House) {
        let ended = self.build(house, "out/program", BUILD);
        assert_eq!(ended.code, Some(0), "{self:?}: {ended:?}");
        assert_eq!(ended.stdout, "compiling \"main\" \\n \u{1b}[1m\t\u{e9}\nhalf");
        assert!(ended.stderr.contains("a warning\n"), "{ended:?}");
        let here = house.path("here/program");
        assert_eq!(fs::read_to_string(&here).expect("it was brought"), "one\ntwo\n");
        assert_eq!(fs::metadata(&here).expect("it is there").permissions().mode() & 0o777, 0o750);

        let ended = self.build(house, "out", BUILD);
        assert_eq!(ended.code, Some(0), "{self:?}: {ended:?}");
        assert_eq!(fs::read_to_string(house.path("here/out/program")).expect("it was brought"), "one\ntwo\n");
    }

    fn ends_as_its_build_does(self, house: &House) {
        let ended = self.build(house, "out", "echo said; exit 3");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "said\n"), "{self:?}: {ended:?}");
        let ended = self.build(house, "out", "kill -9 $$");
        assert_eq!(ended.code, Some(128 + 9), "{self:?}: {ended:?}");
        let ended = self.build(house, "out", "true");
        assert_eq!(ended.code, Some(1), "{self:?}: it made no result: {ended:?}");
        let ended = self.run(house, &["w1", "../source", "out", "no-such-program"]);
        assert_eq!(ended.code, Some(1), "{self:?}: {ended:?}");
        assert!(ended.stderr.contains("no-such-program: failed"), "{ended:?}");
    }

    fn shows_what_is_said_at_once_and_hears_of_a_cancel(self, house: &House) {
        let running = self.start_waiting(house);
        let open: Value = serde_json::from_str(&house.ok(&["ps", "--json"])).expect("JSON");
        let build = open["commands"].as_array().expect("a list").iter().find(|command| {
            command["summary"].as_str().is_some_and(|summary| summary.contains("sleep 1000"))
        });
        house.ok(&["cancel", build.expect("it runs")["id"].as_str().expect("an id")]);
        let ended = end(running);
        assert_eq!(ended.code, Some(85), "{self:?}: {ended:?}");
        assert!(ended.stderr.contains("sh: failed: cancelled"), "{ended:?}");

        // As a terminal does it.
        let running = self.start_waiting(house);
        let group = i32::try_from(running.id()).ok().and_then(Pid::from_raw).expect("it has an id");
        kill_process_group(group, Signal::INT).expect("it runs");
        assert_eq!(end(running).code, Some(85), "{self:?}");
    }

    /// Starts a build that goes on until it is cancelled, and waits for what it says first.
    fn start_waiting(self, house: &House) -> Child {
        let waits = ["w1", "../source", "out", "sh", "-c", "echo waiting; sleep 1000"];
        let mut running = self.command(house, &waits).process_group(0).spawn().expect("the script starts");
        assert_eq!(read_line(&mut running), "waiting");
        running
    }

    fn says_what_is_wrong(self, house: &House) {
        let ended = self.run(house, &["nobody", "../source", "out", "true"]);
        assert_eq!(ended.code, Some(1), "{self:?}: {ended:?}");
        assert!(ended.stderr.contains("nobody"), "{ended:?}");
        let ended = self.run(house, &["w1", "../source"]);
        assert_eq!(ended.code, Some(2), "{self:?}: {ended:?}");
        let mut alone = self.command(house, &["w1", "../source", "out", "true"]);
        let ended =
            end(alone.env("RUNNEL_SOCKET", house.path("none.sock")).spawn().expect("the script starts"));
        assert_eq!(ended.code, Some(88), "{self:?}: {ended:?}");
        assert!(ended.stderr.contains("no node listens at"), "{ended:?}");
    }
}

impl House {
    /// Waits until what the scripts left behind for later is done: they remove their folders, and do not wait for it.
    fn check_that_nothing_is_left(&self) {
        let open: Value = serde_json::from_str(&self.ok(&["ps", "--json"])).expect("JSON");
        for command in open["commands"].as_array().expect("a list") {
            self.run(&["attach", command["id"].as_str().expect("an id")]);
        }
        let left: Vec<_> = fs::read_dir(self.path("work/builds")).expect("they built there").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_python_script_drives_a_build() {
    match Script::find("build.py", &["python3 -c 'import tarfile; tarfile.data_filter'"]) {
        Ok(script) => script.check(),
        Err(missing) => println!("skipped: this fails: {missing}"),
    }
}

#[test]
fn a_shell_script_drives_a_build() {
    match Script::find(
        "build.sh",
        &["curl --version", "gzip --version", "tar --version", "command -v base64"],
    ) {
        Ok(script) => script.check(),
        Err(missing) => println!("skipped: this fails: {missing}"),
    }
}

/// Says what is hard to write in JSON, and makes a file in a folder.
const BUILD: &str = r#"printf 'compiling "main" \\n \033[1m\t\303'; sleep 0; printf '\251\nhalf'; echo a warning >&2
mkdir out && cp src/main out/program && chmod 750 out/program"#;
