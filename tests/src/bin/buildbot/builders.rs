//! The builders of `peer/builders.py`, and what has to come of their steps.

use serde_json::{Value, json};

use crate::expected::{Builder, Expected, File};
use crate::scene::source;
use crate::told::{CANCELLED, EXCEPTION, FAILURE, SUCCESS};

/// All builders, in the order in which they are run.
pub(crate) fn builders() -> Vec<Builder> {
    vec![
        Builder::new("shell", SUCCESS, shell()).quick(),
        Builder::new("limits", SUCCESS, limits()).quick(),
        Builder::new("log", SUCCESS, log()).quick(),
        Builder::new("log-files", SUCCESS, log_files()).quick(),
        Builder::new("files", SUCCESS, files()).quick(),
        Builder::new("uploads", SUCCESS, uploads()).quick(),
        Builder::new("downloads", SUCCESS, downloads()).quick(),
        Builder::new("properties", SUCCESS, properties()).quick(),
        Builder::new(GIT, SUCCESS, git()).quick(),
        Builder::new("bad-archive", EXCEPTION, bad_archive())
            .quick()
            .not_for_reference("known: the step hangs for good"),
        Builder::new("interrupt", CANCELLED, vec![Expected::new("wait", &[CANCELLED])]).quick(),
        Builder::new("meet-1", SUCCESS, vec![good("meet").output("met\n")]).beside("meet-2").quick(),
        Builder::new(ADDED, SUCCESS, vec![good("say").output("added\n")]).quick(),
    ]
}

fn good(step: &'static str) -> Expected {
    Expected::new(step, &[SUCCESS])
}

fn bad(step: &'static str) -> Expected {
    Expected::new(step, &[FAILURE])
}

fn shell() -> Vec<Expected> {
    vec![
        good("say").says("oout\n").says("eerr\n"),
        good("words").output("a b\nä\n"),
        bad("fail").says("hprogram finished with exit code 3\n"),
        bad("killed").says("hprocess killed by signal 15\n").says("hprogram finished with exit code -1\n"),
        bad("no program").says("hprogram finished with exit code 1\n"),
        good("folder").says("/shell/build/made/here\n"),
        good("env").output("/a:/b <present>\nfirst\n"),
        good("env removed").output("gone\n"),
        good("stdin").output("pätch\n"),
        good("no stdin").output(""),
        good("terminal").output("a terminal\n"),
        good("split character").output("ä\n"),
        good("bad character").output("a\u{fffd}b\n"),
        good("long line").count('x', 20_000).known("the end of a long line is lost"),
        good("no newline").output("the end\n"),
        good("secret").output("ivoufs2\n").says("XXXX").hides("hunter2"),
    ]
}

fn limits() -> Vec<Expected> {
    let timed_out = "hcommand timed out: ";
    vec![
        bad("timeout").says(timed_out).says("2 seconds without output"),
        good("timeout of output").output(numbers(6)),
        bad("max time").says(timed_out).says("2 seconds elapsed").says("ox\n"),
        bad("max lines").says("hcommand exceeds max lines: "),
        bad("signal").says("1 seconds elapsed"),
        good("signalled"),
        bad("terminate").says("oended well\n").says("hprogram finished with exit code 7\n"),
        bad("kill").says("hprocess killed by signal 9\n"),
    ]
}

fn log() -> Vec<Expected> {
    let lines: String = (0..200_000).map(|number| format!("{number:099}\n")).collect();
    vec![good("20 MB").output(lines)]
}

fn log_files() -> Vec<Expected> {
    vec![
        good("whole").log("test", "oone\notwo\n"),
        good("prepare"),
        good("follow").says_in("test", "osecond\n").hides("oold\n"),
    ]
}

fn files() -> Vec<Expected> {
    let all = [".hidden.txt", "a.txt", "broken.txt", "deep", "link.txt"];
    let globbed = ["a.txt", "broken.txt", "link.txt"].map(|name| format!("build/new/folder/{name}"));
    let below = ["build/new/folder/a.txt", "build/new/folder/deep/er/b.txt"];
    vec![
        good("make"),
        good("make again"),
        good("fill"),
        good("exists"),
        bad("missing"),
        good("list").answer("files", json!(all)),
        bad("list missing").answer("rc", 2),
        good("glob").answer("files", json!(globbed)),
        good("glob below").answer("files", json!(below)),
        good("glob nothing").answer("files", json!([])),
        good("copy")
            .at_worker("build/copies/copy/folder/link.txt", File::LinksTo("a.txt"))
            .at_worker("build/copies/copy/folder/a.txt", File::HasMode(0o640)),
        good("compare"),
        good("remove file").answer("rc", 0),
        bad("remove missing").answer("rc", 2),
        bad("remove folder").answer("rc", 21),
        good("protect"),
        good("remove").at_worker("build/new", File::IsMissing),
        good("remove again"),
        bad("removed"),
    ]
}

fn uploads() -> Vec<Expected> {
    let data = || File::Holds(numbers(400_000).into_bytes());
    let folder = |step: &'static str| {
        good(step)
            .at_master(format!("uploaded/{step}/deep/data"), File::Holds(numbers(50_000).into_bytes()))
            .at_master(format!("uploaded/{step}/link"), File::LinksTo("deep/data"))
    };
    vec![
        good("fill"),
        good("file")
            .at_master("uploaded/file", data())
            .at_master("uploaded/file", File::WasModifiedAt(1_700_000_000))
            .over_msgpack(good("file").at_master("uploaded/file", data()).says("hthe file is whole")),
        good("small blocks")
            .at_master("uploaded/small blocks", data())
            .at_master("uploaded/small blocks", File::HasMode(0o600)),
        bad("too long").says("eMaximum filesize reached, truncating file "),
        bad("none").says("eCannot open file "),
        folder("folder None"),
        folder("folder gz"),
        folder("folder bz2"),
        good("several")
            .at_master("uploaded/several/1.txt", File::Holds(b"one\n".into()))
            .at_master("uploaded/several/2.txt", File::Holds(b"two\n".into()))
            .at_master("uploaded/several/3.log", File::IsMissing)
            .at_master("uploaded/several/tree/deep/data", File::Holds(numbers(50_000).into_bytes())),
    ]
}

fn downloads() -> Vec<Expected> {
    let all = source(1_500_000);
    // What a master does not send is no empty file.
    let none = |step, path| bad(step).says("eCannot download to ").at_worker(path, File::IsMissing);
    let downloaded = |step, path, file| good(step).at_worker(path, file).over_msgpack(none(step, path));
    let string = File::Holds("häß\n".repeat(20_000).into());
    let properties = File::HasField("/properties/buildername", json!("downloads"));
    vec![
        downloaded("file", "build/made/source", File::Holds(all.clone())),
        downloaded("long blocks", "build/blocks", File::Holds(all.clone())),
        bad("too long")
            .says("eMaximum filesize reached, truncating file ")
            .at_worker("build/short", File::Holds(all[..100_000].into()))
            .over_msgpack(none("too long", "build/short")),
        good("make"),
        bad("no file").says("eCannot open file ").over_msgpack(bad("no file").says("eCannot download to ")),
        downloaded("string", "build/string", string),
        downloaded("json", "build/json", File::HasField("/ä", json!([1, Value::Null]))),
        downloaded("properties", "build/properties", properties),
        good("modes").output("750\n640\n").over_msgpack(bad("modes")),
    ]
}

fn properties() -> Vec<Expected> {
    vec![good("set").log("property changes", "found: 'häß'\n"), good("use").output("<häß>\n")]
}

fn git() -> Vec<Expected> {
    let file = || File::Holds(REPOSITORY_FILE.1.into());
    vec![
        good("clobber").at_worker("build/file", file()),
        good("fresh").at_worker("build/file", file()),
        good("copy").at_worker("copied/file", file()),
    ]
}

fn bad_archive() -> Vec<Expected> {
    let upload = Expected::new("upload", &[EXCEPTION]);
    let upload = upload.says_in("err.text", "'link' is a link to an absolute path");
    vec![good("fill"), upload.at_master("uploaded/bad/link", File::IsMissing)]
}

/// Returns what the program `seq` says.
fn numbers(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

/// The builder that needs Git.
pub(crate) const GIT: &str = "git";

/// The builder that comes with another configuration.
pub(crate) const ADDED: &str = "added";

/// The one file in the repository: its name and its content.
pub(crate) const REPOSITORY_FILE: (&str, &str) = ("file", "in the repository\n");
