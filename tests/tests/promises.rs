//! The table of promises names files and tests that exist.

use std::fs;
use std::path::Path;

/// The words in backquotes of the table.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What is wrong with a file, or a test in it, that the table names.
fn problem_of(root: &Path, span: &str) -> Option<String> {
    let (file, test) = span.split_once("::").map_or((span, None), |(file, test)| (file, Some(test)));
    let path = root.join(file);
    if !path.exists() {
        return Some(format!("{file} is not there"));
    }
    let is_named =
        |test: &str| fs::read_to_string(path).is_ok_and(|source| source.contains(&format!("fn {test}(")));
    test.filter(|test| !is_named(test)).map(|test| format!("{file} has no test {test}"))
}

#[test]
fn what_the_table_of_promises_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("docs/promises.md")).unwrap();
    let named: Vec<_> = code_spans(&table).filter(|span| span.contains('/')).collect();
    let problems: Vec<_> = named.iter().filter_map(|span| problem_of(&root, span)).collect();
    assert_eq!(problems, Vec::<String>::new());
    assert!(named.iter().filter(|span| span.contains("::")).count() >= 40, "few tests are named: {named:?}");
}
