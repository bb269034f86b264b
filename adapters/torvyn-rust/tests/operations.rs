//! Each operation calls the upstream function that it stands for, and nothing is both declined and answered.
//!
//! The table is read with a few lines of our own, so that a test needs no crate that the adapter does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Default)]
struct Operation {
    name: String,
    file: String,
    calls: Vec<String>,
    like: Vec<String>,
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn strings(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_string).collect()
}

fn table() -> Vec<Operation> {
    let text = fs::read_to_string(here("operations.toml")).expect("the table is there");
    let mut operations: Vec<Operation> = Vec::new();
    for line in text.lines() {
        match line.split_once(" = ") {
            _ if line.trim() == "[[operation]]" => operations.push(Operation::default()),
            Some((key, value)) if !line.starts_with('#') => {
                let last = operations.last_mut().expect("a key belongs to an operation");
                match key {
                    "name" => last.name = strings(value).remove(0),
                    "file" => last.file = strings(value).remove(0),
                    "calls" => last.calls = strings(value),
                    "like" => last.like = strings(value),
                    other => panic!("unknown key {other}"),
                }
            }
            _ => {}
        }
    }
    operations
}

/// The sources of a crate under test, as Cargo unpacked them.
fn upstream(name: &str) -> PathBuf {
    let home =
        std::env::var("CARGO_HOME").map_or_else(|_| PathBuf::from(std::env::var("HOME").expect("a home")).join(".cargo"), PathBuf::from);
    let registries = fs::read_dir(home.join("registry/src")).expect("Cargo has unpacked its registry");
    let folder = format!("{name}-0.1.1");
    registries
        .filter_map(|entry| Some(entry.ok()?.path().join(&folder)))
        .find(|path| path.is_dir())
        .unwrap_or_else(|| panic!("{folder} is not in Cargo's registry"))
}

fn sources(folder: &Path) -> String {
    let mut text = String::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
                text += &fs::read_to_string(entry.path()).expect("a source");
            }
        }
    }
    text
}

#[test]
fn every_call_is_in_the_adapter() {
    for operation in table() {
        let source = fs::read_to_string(here(&operation.file)).unwrap_or_else(|error| panic!("{}: {error}", operation.file));
        for call in &operation.calls {
            assert!(source.contains(call.as_str()), "{}: {} does not call {call}", operation.name, operation.file);
        }
    }
}

#[test]
fn every_call_is_a_function_of_the_crates() {
    let crates = ["torvyn-types", "torvyn-resources", "torvyn-engine", "torvyn-reactor"];
    let text: String = crates.iter().map(|name| sources(&upstream(name).join("src"))).collect();
    for operation in table() {
        for call in &operation.calls {
            let name = call.rsplit(['.', ':']).next().expect("a name");
            let known =
                text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<")) || text.contains(&format!("pub {name}:"));
            assert!(known, "{}: the crates have no {name}", operation.name);
        }
    }
}

#[test]
fn every_composition_is_one_that_upstream_makes() {
    for operation in table() {
        for place in &operation.like {
            let (file, function) = place.split_once(": ").expect("file: function");
            let (name, path) = file.split_once('/').expect("crate/path");
            let source = fs::read_to_string(upstream(name).join(path)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(source.contains(&format!("fn {function}")), "{file} has no {function}");
        }
    }
}

#[test]
fn the_table_has_every_operation_that_is_answered_and_none_that_is_declined() {
    let mut answered = BTreeSet::new();
    let mut declined = BTreeSet::new();
    for facet in ["resources.rs", "streams.rs", "flows/mod.rs"] {
        let source = fs::read_to_string(here(&format!("src/facets/{facet}"))).expect("a facet");
        let flat = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "("); // rustfmt breaks long entries
        let names = strings(&source).into_iter().filter(|name| name.contains('.') && !name.contains(' ') && !name.ends_with('/'));
        for name in names.filter(|name| ["resources.", "streams.", "flows."].iter().any(|facet| name.starts_with(facet))) {
            if flat.contains(&format!("(\"{name}\",")) {
                declined.insert(name);
            } else {
                answered.insert(name);
            }
        }
    }
    let listed: BTreeSet<String> = table().into_iter().map(|operation| operation.name).collect();
    assert_eq!(answered, listed);
    assert!(declined.is_disjoint(&listed), "{declined:?}");
}

#[test]
fn the_crates_under_test_are_pinned_and_come_from_the_registry() {
    let lock = fs::read_to_string(here("Cargo.lock")).expect("a lock");
    for name in ["torvyn-types", "torvyn-resources", "torvyn-engine", "torvyn-reactor", "torvyn-observability"] {
        let entry = format!("name = \"{name}\"\nversion = \"0.1.1\"\nsource = \"registry+");
        assert!(lock.contains(&entry), "{name} 0.1.1 of the registry is not in Cargo.lock");
    }
}
