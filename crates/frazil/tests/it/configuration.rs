//! The configuration file: who wins, what is an error, and that what it says is done.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::busybox::{Busybox, Caller, NAME};
use crate::support::home::Home;
use crate::support::mount::Mount;
use crate::support::tool::{output, run};

/// What is in force of a key, and who said it.
fn said(document: &Value, key: &str) -> (String, String) {
    let entry = &document["keys"][key];
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    (text(&entry["value"]), text(&entry["source"]))
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file_and_that_over_the_default() {
    let home = Home::new();
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    let document = home.tells(["config", "show", "--json"]);
    assert_eq!(said(&document, "memory.budget"), pair("512 MiB", "default"));
    assert_eq!(said(&document, "store.location").1, "flag --store");
    assert_eq!(document["file"], Value::Null);

    home.configure(
        "[memory]\nbudget = \"1 GiB\"\n[disk]\nquota = \"2 GiB\"\n[remote]\nnodes = [\"a:1\", \"b:2\"]\n",
    );
    let document = home.tells(["config", "show", "--json"]);
    assert_eq!(said(&document, "memory.budget"), pair("1 GiB", "file:2"));
    assert_eq!(said(&document, "remote.nodes"), pair("a:1,b:2", "file:6"));

    let mut command = home.frazil(["config", "show", "--json", "--memory-budget", "3G"]);
    let shown = run(command
        .env("FRAZIL_MEMORY_BUDGET", "2G")
        .env("FRAZIL_DISK_QUOTA", "5G")
        .env("FRAZIL_REMOTE", ""));
    let document: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(said(&document, "memory.budget"), pair("3G", "flag --memory-budget"));
    assert_eq!(said(&document, "disk.quota"), pair("5G", "environment $FRAZIL_DISK_QUOTA"));
    assert_eq!(said(&document, "remote.nodes"), pair("a:1,b:2", "file:6"), "an empty variable says nothing");
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let home = Home::new();
    home.configure("[origin]\nhedge_share = \"2 %\"\n[cached]\nallow_uids = [1, 2]\n");
    let shown = home.path("shown.toml");
    fs::write(&shown, home.says(["config", "show"])).unwrap();
    let values = |document: &Value| {
        let keys = document["keys"].as_object().unwrap().clone();
        keys.into_iter().map(|(key, entry)| (key, entry["value"].clone())).collect::<Vec<_>>()
    };
    let again = home.tells(["--config", shown.to_str().unwrap(), "config", "show", "--json"]);
    assert_eq!(values(&again), values(&home.tells(["config", "show", "--json"])));
}

#[test]
fn everything_wrong_in_a_file_is_told_with_its_line_and_keeps_commands_from_starting() {
    let home = Home::new();
    let file = home.path("wrong.toml");
    fs::write(&file, "[memory]\nbugdet = \"1 GiB\"\n[disk]\nquota = \"much\"\n").unwrap();
    let place = file.to_str().unwrap();
    let checked = output(&mut home.frazil(["config", "check", place]));
    assert_eq!(checked.status.code(), Some(1));
    let told = String::from_utf8(checked.stderr).unwrap();
    let wrong = [
        format!("error: {place}:2: there is no key memory.bugdet; did you mean memory.budget?"),
        format!("error: {place}:4: disk.quota: expected a number of bytes, or one with K, M, G, T or P"),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), wrong);

    let refused = output(&mut home.frazil(["--config", place, "images"]));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("memory.bugdet") && words.contains("hint: frazil config check"), "{words}");
    let missing = home.path("missing.toml");
    let mut images = home.frazil(["images"]);
    let ended = output(images.env("FRAZIL_CONFIG", &missing));
    assert_eq!(ended.status.code(), Some(1), "a file that was named has to be there");
    assert!(!home.store().exists());
}

#[test]
fn a_check_ends_well_with_the_defaults_and_names_what_does_not_fit_the_machine_or_itself() {
    let home = Home::new();
    let checked = home.says(["config", "check", "--disk-quota", "1M"]);
    assert!(checked.contains("memory.budget") && checked.contains("512 MiB"), "{checked}");
    let told = |text: &str| {
        let file = home.path("odd.toml");
        fs::write(&file, text).unwrap();
        let checked = output(&mut home.frazil(["config", "check", file.to_str().unwrap()]));
        assert_eq!(checked.status.code(), Some(1), "{text}");
        String::from_utf8(checked.stderr).unwrap()
    };
    assert!(told("[memory]\nbudget = \"900 TiB\"\n").contains("more than the machine's memory"));
    assert!(told("[disk]\nquota = \"900P\"\n").contains("more than the file system of"));
    assert!(
        told("[agent]\ndeadline = \"20s\"\n")
            .contains("agent.deadline (20s) is not longer than agent.patience")
    );
    assert!(told("[remote]\ntls_authorities = \"/nowhere.pem\"\n").contains("/nowhere.pem"));
    let mut command = home.frazil(["config", "check"]);
    let checked = output(command.env("FRAZIL_DISK_QUOTA", "lots"));
    let words = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert!(words.contains("disk.quota is \"lots\" (environment $FRAZIL_DISK_QUOTA)"), "{words}");
}

#[test]
fn relative_paths_in_the_environment_mean_to_an_agent_what_they_meant_to_who_mounted() {
    let busybox = Busybox::of(Caller::Root);
    let (home, root) = (&busybox.home, busybox.home.mountpoint());
    let (place, keys) = (home.keys().parent().unwrap(), home.keys().file_name().unwrap());
    let mut mount = Command::new(env!("CARGO_BIN_EXE_frazil"));
    mount.current_dir(place).env("HOME", home.path("")).env("XDG_RUNTIME_DIR", home.path("runtime"));
    mount.env("FRAZIL_KEYS", keys).env("FRAZIL_ACCESS_LOG", "relative.log");
    run(mount.arg("--store").arg(home.store()).args(["mount", "--via", "tree", NAME]).arg(&root));
    let mounted = Mount::at(home, root);
    assert!(mounted.path("bin/busybox").exists());
    mounted.unmount();
    assert!(place.join("relative.log").exists(), "the agent's requests are logged there, too");
}

/// Lets agents without a host cache keep chunks in this directory.
fn keep_on_disk(home: &Home, directory: &Path) {
    let text = format!(
        "[embedded]\ndisk_directory = {directory:?}\ndisk_quota = \"64 MiB\"\n[disk]\nfree_floor = 0\n"
    );
    home.configure(&text);
}

#[test]
fn an_agent_without_a_host_cache_keeps_chunks_on_disk_when_it_is_told_to_and_starts_warm() {
    let busybox = Busybox::of(Caller::Root);
    let home = &busybox.home;
    let disk = home.path("kept");
    keep_on_disk(home, &disk);
    let file = home.path("first");
    home.says(["export", NAME, file.to_str().unwrap()]);
    let kept = files_below(&disk.join("chunks/v1/chunks"));
    assert!(kept > 1, "{kept} chunks are kept");

    // The chunks are gone from the store: what is read now comes from the disk tier.
    hide_chunks(home.store());
    let again = home.path("again");
    home.says(["export", NAME, again.to_str().unwrap()]);
    assert_eq!(fs::read(&file).unwrap(), fs::read(&again).unwrap());
    home.refuses(["export", "--disk-quota", "0", NAME, home.path("none").to_str().unwrap()]);
}

#[test]
fn two_mounts_of_one_cache_directory_read_both_and_the_second_says_that_it_reads_past_it() {
    let busybox = Busybox::of(Caller::Root);
    let home = &busybox.home;
    let disk = home.path("kept");
    keep_on_disk(home, &disk);
    let first = home.mount(NAME, "tree");
    let second = home.mount(NAME, "tree");
    let read = |mount: &Path| fs::read(mount.join("bin/busybox")).unwrap();
    assert_eq!(read(first.root()), read(second.root()));
    let logs: Vec<String> = fs::read_dir(home.path("runtime/frazil/mounts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let told = logs.iter().filter(|log| log.contains("another process uses the directory")).count();
    assert_eq!(told, 1, "{logs:#?}");
}

fn files_below(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_below(&path) } else { usize::from(path.is_file()) })
        .sum()
}

/// Takes every chunk out of a store.
fn hide_chunks(store: &Path) {
    let mut hidden = 0;
    for root in fs::read_dir(store.join("roots")).unwrap() {
        let chunks = root.unwrap().path().join("chunks");
        if chunks.is_dir() {
            fs::rename(&chunks, chunks.with_extension("hidden")).unwrap();
            hidden += 1;
        }
    }
    assert!(hidden > 0, "a store has chunks");
}
