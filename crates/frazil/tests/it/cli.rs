//! The command line as people and scripts meet it: words, documents, exit codes, and bad days.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::busybox::{
    Busybox, Caller, NAME, agents_of, await_sleep, nothing_is_left, processes, telltale_sleep,
};
use crate::support::home::Home;
use crate::support::mount::{is_mounted, soon};
use crate::support::refusal::Refusal;
use crate::support::tool::{output, run, tool};

/// What a person can type; the order is that of a life with an image.
const COMMANDS: [&str; 24] = [
    "init",
    "convert",
    "run",
    "mount",
    "unmount",
    "profile",
    "images",
    "inspect",
    "verify",
    "hydrate",
    "export",
    "explain",
    "rm",
    "root",
    "gc",
    "scrub",
    "scope",
    "base",
    "key",
    "cached",
    "stats",
    "config",
    "completions",
    "man",
];

#[test]
fn help_names_every_command_and_none_that_is_not_for_people() {
    let home = Home::new();
    let help = home.says(["--help"]);
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, COMMANDS);
    for command in COMMANDS {
        let help = home.says([command, "--help"]);
        for word in ["Usage: frazil", "--store", "--keys", "--verbose"] {
            assert!(help.contains(word), "{command}: {help}");
        }
    }
    assert!(home.says(["--version"]).starts_with("frazil "));
    assert!(!home.store().exists() && !home.keys().exists(), "looking at help makes nothing");
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_two() {
    let home = Home::new();
    let lines: [&[&str]; 7] = [
        &[],
        &["frobnicate"],
        &["images", "--frobnicate"],
        &["mount", "name"],
        &["mount", "name", "/tmp", "--via", "magic"],
        &["convert", "oci:/x", "--max-image-size", "much"],
        &["convert", "oci:/x", "--compression", "lzma"],
    ];
    for line in lines {
        let ended = output(&mut home.frazil(line));
        assert_eq!(ended.status.code(), Some(2), "{line:?}: {}", String::from_utf8_lossy(&ended.stderr));
        assert!(ended.stdout.is_empty(), "{line:?} prints to stdout");
    }
}

#[test]
fn a_run_whose_command_line_makes_no_sense_ends_with_a_code_that_is_not_its_commands_and_explains_the_dashes()
{
    let home = Home::new();
    let told = |line: &[&str]| {
        let ended = output(&mut home.frazil(line));
        assert_eq!(ended.status.code(), Some(125), "{line:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    told(&["run"]);
    assert!(!told(&["run", "name", "--volume", "/only-one"]).contains("hint:"));
    assert!(told(&["run", "--user", "", "name"]).contains("it names no user"));
    let words = told(&["run", "name", "echo", "hi"]);
    assert!(
        words.contains("hint: what is to be executed follows two dashes: frazil run NAME -- echo"),
        "{words}"
    );
    assert_eq!(output(&mut home.frazil(["run", "--help"])).status.code(), Some(0));
}

#[test]
fn empty_variables_say_nothing_and_a_disk_is_not_written_to_the_terminal() {
    let home = Home::new();
    let mut init = home.frazil(["init"]);
    run(init.env("FRAZIL_STORE", "").env("FRAZIL_KEYS", "").env("FRAZIL_CONFIG", ""));
    home.refuses(["export", "name", "-"]).is(1, "not to the standard output", "./-");
}

#[test]
fn every_shell_gets_its_completions() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.says(["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
    let script = home.path("completions.bash");
    fs::write(&script, home.says(["completions", "bash"])).unwrap();
    run(Command::new("bash").arg("-n").arg(&script));
}

#[test]
fn the_manual_has_a_page_for_each_command_and_tells_exit_codes() {
    let home = Home::new();
    let pages = home.path("man");
    home.says(["man", pages.to_str().unwrap()]);
    let mut found: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut expected: Vec<String> = COMMANDS.iter().map(|command| format!("frazil-{command}.1")).collect();
    expected.push("frazil.1".to_owned());
    expected.sort();
    assert_eq!(found, expected);
    let main = fs::read_to_string(pages.join("frazil.1")).unwrap();
    assert_eq!(main, home.says(["man"]));
    for word in [".TH frazil 1", ".SH \"EXIT STATUS\"", "125", "126", "127", "128+N"] {
        assert!(main.contains(word), "{word} is missing:\n{main}");
    }
    assert!(fs::read_to_string(pages.join("frazil-run.1")).unwrap().contains("\\-\\-entrypoint"));
}

#[test]
fn documents_are_json_with_the_fields_that_scripts_rely_on() {
    let busybox = Busybox::of(Caller::Root);
    let home = &busybox.home;
    let source = format!("oci:{}:busybox", home.path("layout").display());
    let file = home.path("disk");
    let words: [(&[&str], &[&str]); 5] = [
        (&["init", "--json"], &["store", "store_id", "root", "keys", "scope", "tenant_key"]),
        (
            &["convert", "--json", &source],
            &["name", "manifest", "layers_reused", "chunks_new", "bytes_written", "duration_ms"],
        ),
        (
            &["inspect", NAME, "--json"],
            &["manifest", "layers", "metadata", "total", "secrets", "created_seconds"],
        ),
        (&["verify", NAME, "--json", "--against", &source], &["sound", "chunks", "faults", "against"]),
        (&["export", NAME, file.to_str().unwrap(), "--json"], &["bytes", "written_bytes"]),
    ];
    for (line, fields) in words {
        let document = home.tells(line);
        for field in fields {
            assert!(document.get(field).is_some(), "{line:?} does not tell {field}: {document:#}");
        }
    }
    let images = home.tells(["images", "--json"]);
    for field in
        ["name", "manifest", "root", "created_seconds", "layers", "chunks", "image_bytes", "sealed_bytes"]
    {
        assert!(images[0].get(field).is_some(), "{images:#}");
    }
    let inspected = home.tells(["inspect", NAME, "--json"]);
    let length = fs::metadata(&file).unwrap().len();
    assert_eq!(inspected["image_bytes"], length);
    let erofs = &inspected["secrets"]["erofs"];
    assert_eq!(erofs["blocks"].as_u64().unwrap() * erofs["block_bytes"].as_u64().unwrap(), length);
    // The source's name is a second name of the same image: everything is shared.
    assert_eq!(inspected["total"]["shared_bytes"], inspected["total"]["sealed_bytes"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    home.says(["init"]);
    for line in [&["completions", "zsh"][..], &["images"], &["man"], &["images", "--json"]] {
        let mut command = home.frazil(line);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended =
            command.stdout(Stdio::from(writer)).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
        let ended = ended.unwrap();
        assert_eq!(ended.status.code(), Some(0), "{line:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{line:?}");
    }
}

#[test]
fn a_standard_output_that_is_full_is_not_taken_for_a_full_store() {
    let home = Home::new();
    home.says(["init"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let told = home.frazil(["images"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    Refusal::of(&told).is(1, "cannot write to the standard output: No space left on device", "");
}

#[test]
fn a_store_that_is_none_is_told_apart() {
    let home = Home::new();
    home.refuses(["images"]).is(1, "there is no store at", "frazil init");
    fs::create_dir(home.store()).unwrap();
    fs::write(home.store().join("diary"), "dear").unwrap();
    home.refuses(["images"]).is(1, "there is no store at", "frazil init");
    home.refuses(["init"]).is(1, "holds other files and is not a store", "--store");
    let cloud = output(tool(env!("CARGO_BIN_EXE_frazil")).args(["--store", "s4://x/y", "images"]));
    assert_eq!(Refusal::of(&cloud).code, 1);
}

#[test]
fn few_open_files_are_made_more_or_are_told() {
    let home = Home::new();
    home.says(["init"]);
    let limited = |limit: &str, command: &[&str]| {
        let mut prlimit = tool("prlimit");
        prlimit.arg(format!("--nofile={limit}"));
        output(&mut home.frazil_under(prlimit, command))
    };
    assert!(limited("8:1024", &["images"]).status.success());
    Refusal::of(&limited("8:16", &["images"])).is(1, "may have 16 files open", "ulimit -n");
    Refusal::of(&limited("8:16", &["run", "hello"])).is(125, "may have 16 files open", "ulimit -n");
}

#[test]
fn a_configuration_without_an_end_is_refused() {
    let home = Home::new();
    for command in [["images"].as_slice(), &["config", "check"]] {
        let told = home.refuses([["--config", "/dev/zero"].as_slice(), command].concat());
        told.is(1, "cannot read the configuration /dev/zero: it is longer than 1 MiB", "");
    }
}

#[test]
fn keys_that_are_missing_wrong_or_exposed_are_told_apart() {
    let busybox = Busybox::of(Caller::Root);
    let stranger = busybox.home.with_other_keys();
    stranger.refuses(["verify", NAME]).is(1, "there is no key", "--keys");
    stranger.refuses(["init"]).is(1, "whose secret is not among these keys", "scopes/default.key");
    stranger.says(["init", "--tenant", "stranger"]);
    stranger.refuses(["verify", NAME]).is(1, "which is not among these keys", "--keys");
    stranger.refuses(["run", NAME]).is(125, "busybox is sealed for key default/", "--keys");
    // What is in the clear can be looked at all the same.
    let inspected = stranger.tells(["inspect", NAME, "--json"]);
    assert!(inspected["secrets"].is_null() && inspected["layers"][0]["diff_id"].is_string(), "{inspected:#}");
    assert!(inspected["locked"].as_str().unwrap().contains("not among these keys"), "{inspected:#}");

    fs::set_permissions(busybox.home.keys().join("tenants/default.key"), Permissions::from_mode(0o644))
        .unwrap();
    busybox.home.refuses(["verify", NAME]).is(1, "has mode 0644", "chmod go=");

    let key = busybox.home.keys().join("tenants/default.key");
    fs::remove_file(&key).unwrap();
    assert!(output(tool("mkfifo").arg("-m").arg("600").arg(&key)).status.success());
    busybox.home.refuses(["verify", NAME]).is(1, "it is not a regular file", "");
}

#[test]
fn a_name_that_is_nobodys_gets_a_guess() {
    let busybox = Busybox::of(Caller::Root);
    let home = &busybox.home;
    for command in ["inspect", "verify", "rm"] {
        home.refuses([command, "busibox"]).is(1, "there is no image busibox", "did you mean busybox?");
    }
    home.refuses(["inspect", "something else"]).is(1, "there is no image", "frazil images");
    home.says(["rm", NAME]);
    assert!(home.images().is_empty());
    home.refuses(["inspect", NAME]).is(1, "there is no image", "frazil convert");
}

#[test]
fn a_directory_that_was_just_unmounted_is_mounted_at_again_at_once() {
    let busybox = Busybox::of(Caller::Root);
    let home = &busybox.home;
    let directory = home.mountpoint();
    for _ in 0..5 {
        home.says(["mount", "--via", "tree", NAME, directory.to_str().unwrap()]);
        assert!(fs::read(directory.join("bin/busybox")).unwrap().starts_with(b"\x7fELF"));
        // Not by Frazil, which would wait for the agent.
        let unmounted = std::process::Command::new("umount").arg(&directory).status().unwrap();
        assert!(unmounted.success());
    }
    let word = home.store().to_str().unwrap();
    assert!(soon(|| processes(word).is_empty()), "{:?}", processes(word));
}

#[test]
fn a_directory_that_cannot_be_mounted_at_is_refused_and_nothing_is_left() {
    let busybox = Busybox::of(Caller::Root);
    let home = &busybox.home;
    let (full, file, missing) = (home.path("layout"), home.path("busybox.tar"), home.path("missing"));
    let mount = |directory: &std::path::Path| home.refuses(["mount", NAME, directory.to_str().unwrap()]);
    mount(&full).is(1, "is not empty", "an empty directory");
    mount(&missing).is(1, "does not exist", "mkdir");
    home.refuses(["unmount", missing.to_str().unwrap()]).is(1, "nothing is mounted", "");
    assert!(mount(&file).error.contains("is not a directory"));
    home.refuses(["mount", "busybx", full.to_str().unwrap()]).is(
        1,
        "there is no image",
        "did you mean busybox?",
    );
    home.refuses(["unmount", full.to_str().unwrap()]).is(1, "nothing is mounted", "");

    let mounted = home.mount(NAME, "tree");
    mount(mounted.root()).is(1, "another process is mounting or serving", "frazil unmount");
    mounted.unmount();
    let kept = fs::read_dir(home.path("runtime/frazil/mounts")).unwrap().count();
    assert_eq!(kept, 0, "records or logs are left");
    let word = home.store().to_str().unwrap();
    assert!(soon(|| processes(word).is_empty()), "{:?}", processes(word));
}

#[test]
fn a_mount_in_the_foreground_ends_by_a_signal_and_unmounts() {
    let busybox = Busybox::of(Caller::Root);
    let directory = busybox.home.path("mounts");
    let line = ["mount", "--foreground", NAME, directory.to_str().unwrap()];
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = busybox.home.frazil(line).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        stderr.read_line(&mut said).unwrap();
        assert!(said.starts_with("mounted busybox at"), "{said}");
        assert!(directory.join("bin/busybox").exists());
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(!is_mounted(&directory));
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn a_mount_that_waits_for_its_store_ends_by_a_signal() {
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new().with_its_store_at(&format!("http://{}", store.local_addr().unwrap()));
    let mut mount = home.frazil(["--allow-http", "mount", "--foreground", "app"]);
    let mut child = mount.arg(home.mountpoint()).stderr(Stdio::piped()).spawn().unwrap();
    // It is asked, and says nothing.
    let (_asked, _) = store.accept().unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), said.as_str()),
        (Some(1), "error: it was asked to end before the image was here\n")
    );
}

#[test]
fn a_process_with_keys_is_closed_to_the_other_processes_of_its_user() {
    let busybox = Busybox::of(Caller::Nobody);
    let seconds = telltale_sleep();
    let mut child = busybox.start(&[], &["sleep", &seconds]);
    await_sleep(&seconds);
    // The kernel gives the /proc files of a process that cannot be dumped to root (proc(5)).
    let owner = |pid: u32| fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid();
    assert_eq!(owner(child.id()), 0);
    let [agent] = agents_of(child.id())[..] else { panic!("one process has the keys") };
    assert_eq!(owner(agent), 0);
    child.kill().unwrap();
    child.wait().unwrap();
    nothing_is_left(&busybox, &seconds);
}
