//! `frazil run`: a container as people know it, for root through both faces and for an ordinary user.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::busybox::{Busybox, Caller, await_sleep, nothing_is_left, processes, telltale_sleep};
use crate::support::mount::FACES;
use crate::support::refusal::Refusal;
use crate::support::tool::output;

const BOTH: [Caller; 2] = [Caller::Root, Caller::Nobody];

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_exit_code_is_the_commands_own_or_says_what_went_wrong() {
    let root = Busybox::of(Caller::Root);
    for face in FACES {
        assert_eq!(code(&root.run(&["--via", face], &["sh", "-c", "exit 7"])), Some(7), "{face}");
    }
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        assert_eq!(code(&busybox.run(&[], &["true"])), Some(0));
        assert_eq!(code(&busybox.run(&[], &["sh", "-c", "exit 7"])), Some(7));
        assert_eq!(code(&busybox.run(&[], &["sh", "-c", "kill -9 $$"])), Some(137));
        Refusal::of(&busybox.run(&[], &["no-such-program"])).is(127, "cannot execute no-such-program", "");
        Refusal::of(&busybox.run(&[], &["/etc/passwd"])).is(126, "cannot execute /etc/passwd", "");
        Refusal::of(&busybox.run(&["--user", "ghost"], &["id"])).is(
            125,
            "the image has no user \"ghost\"",
            "",
        );
        let unknown = output(&mut busybox.frazil(&["run", "busybx"]));
        Refusal::of(&unknown).is(125, "there is no image busybx", "did you mean busybox?");
    }
}

#[test]
fn a_script_whose_interpreter_the_image_lacks_is_not_said_to_be_missing_itself() {
    let busybox = Busybox::of(Caller::Root);
    let script = busybox.home.path("script");
    fs::write(&script, "#!/no/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let volume = format!("{}:/script", script.display());
    Refusal::of(&busybox.run(&["--volume", &volume], &["/script"])).is(127, "but not the interpreter", "");
}

#[test]
fn what_an_option_cannot_mean_is_refused_before_anything_starts() {
    let busybox = Busybox::of(Caller::Root);
    for option in [["--volume", "/tmp:/"], ["--volume", "/tmp:/srv/.."], ["--env", ""], ["--env", "=value"]] {
        assert_eq!(code(&busybox.run(&option, &["true"])), Some(125), "{option:?}");
    }
}

#[test]
fn the_config_says_what_to_run_and_the_command_line_says_otherwise() {
    let busybox = Busybox::of(Caller::Root);
    let own = output(&mut busybox.frazil(&["run", "busybox"]));
    assert_eq!(String::from_utf8_lossy(&own.stdout), "the image says hello in /work/place\n");

    assert_eq!(
        busybox.says(&[], "echo $HOME $PATH; umask"),
        "/root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n0022\n"
    );
    assert_eq!(busybox.says(&["--env", "GREETING=a=b"], "echo $GREETING"), "a=b\n");
    assert_eq!(busybox.says(&["--workdir", "/made/for/it"], "pwd; stat -c %u:%a ."), "/made/for/it\n0:755\n");
    assert_eq!(busybox.says(&["--user", "me"], "id -u; id -G; echo $HOME"), "1000\n1001 29\n/home/me\n");
    assert_eq!(busybox.says(&["--user", "7:8"], "id -u; id -G"), "7\n8\n");
    let entry =
        output(&mut busybox.frazil(&["run", "busybox", "--entrypoint", "echo", "--", "just", "this"]));
    assert_eq!(String::from_utf8_lossy(&entry.stdout), "just this\n");
}

#[test]
fn bytes_go_through_pipes_unchanged() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let mut command = busybox.command(&["--no-summary"], &["cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let sent: Vec<u8> = (0..1 << 20).map(|number: u32| number.to_le_bytes()[1]).collect();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = sent.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
        let mut received = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut received).unwrap();
        writer.join().unwrap();
        assert!(child.wait().unwrap().success());
        assert!(received == sent);
    }
    // Whoever is not root can open /dev/stdout anew, although the pipe belongs to root.
    let busybox = Busybox::of(Caller::Root);
    assert_eq!(busybox.says(&["--user", "me"], "echo anew > /dev/stdout"), "anew\n");
}

#[test]
fn what_the_command_writes_goes_away_with_it() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let script =
            "touch /new && rm /etc/group && echo changed > /etc/passwd && echo n >> /etc/resolv.conf && ls /";
        assert!(busybox.says(&[], script).contains("new"));
        assert_eq!(
            busybox.says(&[], "ls /new 2>&1; wc -l < /etc/group; grep -c me /etc/passwd"),
            "ls: /new: No such file or directory\n3\n1\n"
        );
        let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        assert_eq!(busybox.says(&[], "cat /etc/resolv.conf"), host);
    }
    Busybox::of(Caller::Root).home.verify("busybox");
}

#[test]
fn a_command_that_may_write_nothing_starts_and_writes_next_to_nothing() {
    let busybox = Busybox::of(Caller::Root);
    let writes = "for file in /big /dev/shm/big; do head -c 1000000 /dev/zero > $file || echo full; done";
    let said = busybox.says(&["--writable", "0", "--shared-memory", "0"], writes);
    assert_eq!(said, "full\nfull\n");
}

#[test]
fn only_root_may_write_what_the_host_lends_and_anyone_the_devices() {
    let busybox = Busybox::of(Caller::Root);
    assert_eq!(
        busybox.says(&[], "stat -c %a /etc/hosts /etc/resolv.conf /etc/hostname /dev/null /dev/shm"),
        "644\n644\n644\n666\n1777\n"
    );
}

#[test]
fn a_container_sees_its_own_processes_mounts_and_name() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let processes = busybox.says(&[], "ps -o pid,args");
        let first = processes.lines().nth(1).unwrap();
        assert!(first.trim_start().starts_with("1 ") && first.contains("container"), "{processes}");
        assert!(processes.lines().count() <= 5, "the host's processes are seen:\n{processes}");
        assert_eq!(
            busybox.says(&["--hostname", "brook"], "hostname; cat /etc/hostname; grep -c brook /etc/hosts"),
            "brook\nbrook\n1\n"
        );
        let masked = busybox.says(&[], "cat /proc/timer_list /proc/keys | wc -c; ls /sys/firmware | wc -l");
        assert_eq!(masked, "0\n0\n");
        let devices = busybox.says(&[], "cd /dev && ls; echo x > null && dd if=zero bs=1 count=5 2>/dev/null | wc -c; test -c pts/ptmx && echo pts");
        for name in ["fd", "full", "null", "ptmx", "random", "shm", "stdin", "tty", "urandom", "zero"] {
            assert!(devices.lines().any(|line| line == name), "{devices}");
        }
        assert!(devices.ends_with("5\npts\n"), "{devices}");
        let refused =
            busybox.says(&[], "(echo b > /proc/sys/kernel/domainname) 2>&1; (touch /sys/x) 2>&1; true");
        assert_eq!(
            refused
                .lines()
                .filter(|line| line.contains("Read-only file system") || line.contains("denied"))
                .count(),
            2,
            "{refused}"
        );
    }
}

#[test]
fn a_container_has_dockers_capabilities_and_no_device_but_its_own() {
    let busybox = Busybox::of(Caller::Root);
    let capabilities = busybox.says(&[], "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status");
    let values: Vec<&str> = capabilities.split_whitespace().skip(1).step_by(2).collect();
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT MKNOD AUDIT_WRITE
    // SETFCAP: Docker's,
    // without NET_RAW, because the network is the host's.
    let docker = "00000000a80405fb";
    assert_eq!(values, ["0000000000000000", docker, docker, docker, "0000000000000000"]);
    let user = busybox.says(&["--user", "me"], "grep CapEff /proc/self/status");
    assert_eq!(user.split_whitespace().nth(1), Some("0000000000000000"));

    let made =
        busybox.run(&[], &["sh", "-c", "for d in /tmp /dev /dev/shm; do mknod $d/n c 1 3 && cat $d/n; done"]);
    let stderr = String::from_utf8_lossy(&made.stderr);
    assert_eq!(stderr.matches("Permission denied").count(), 3, "{stderr}");
}

#[test]
fn a_container_without_network_has_a_loopback_device_alone() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let devices = busybox.says(&["--network", "none"], "cat /proc/net/dev");
        let names: Vec<&str> =
            devices.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
        assert!(
            names.contains(&"lo")
                && !names.iter().any(|name| name.starts_with("eth") || name.starts_with("en")),
            "{devices}"
        );
    }
}

#[test]
fn a_volume_is_the_hosts_and_read_only_if_it_is_said() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let shared = busybox.home.path("runtime");
        let volume = format!("{}:/srv/shared", shared.display());
        busybox.says(&["--volume", &volume], "echo here > /srv/shared/file");
        assert_eq!(fs::read_to_string(shared.join("file")).unwrap(), "here\n");
        let read_only = format!("{volume}:ro");
        let refused =
            busybox.says(&["--volume", &read_only], "cat /srv/shared/file; touch /srv/shared/x 2>&1 || true");
        assert!(refused.starts_with("here\n") && refused.contains("Read-only file system"), "{refused}");
        fs::remove_file(shared.join("file")).unwrap();
    }
}

#[test]
fn a_volume_does_not_hide_the_image_by_way_of_a_link_either() {
    let busybox = Busybox::of(Caller::Root);
    let host = busybox.home.path("host");
    fs::create_dir(&host).unwrap();
    symlink("/", host.join("self")).unwrap();
    let [linked, root] = ["/srv", "/srv/self"].map(|inside| format!("{}:{inside}", host.display()));
    let run = busybox.run(&["--volume", &linked, "--volume", &root], &["true"]);
    Refusal::of(&run).is(125, "cannot mount the volume /srv/self: it leads to the image itself", "");
}

#[test]
fn a_volume_of_the_other_kind_than_what_the_image_has_is_refused() {
    let busybox = Busybox::of(Caller::Root);
    let (directory, file) = (busybox.home.path("host"), busybox.home.path("file"));
    fs::create_dir(&directory).unwrap();
    fs::write(&file, "").unwrap();
    for (host, inside, reason) in [
        (&directory, "/bin/busybox", "it is a directory, and the image has a file there"),
        (&file, "/bin", "it is a file, and the image has a directory there"),
    ] {
        let run = busybox.run(&["--volume", &format!("{}:{inside}", host.display())], &["true"]);
        Refusal::of(&run).is(125, &format!("cannot mount the volume {inside}: {reason}"), "");
    }
}

#[test]
fn signals_reach_the_command() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
        let mut child = busybox.start(&[], &["sh", "-c", script]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.next().as_deref(), Some("ready"));
        send(&child, Signal::TERM);
        assert_eq!(lines.next().as_deref(), Some("caught"));
        assert_eq!(child.wait().unwrap().code(), Some(3));

        for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
            let seconds = telltale_sleep();
            let mut child = busybox.start(&[], &["sleep", &seconds]);
            await_sleep(&seconds);
            send(&child, signal);
            assert_eq!(child.wait().unwrap().code(), Some(code));
            nothing_is_left(&busybox, &seconds);
        }
    }
}

#[test]
fn nothing_is_left_however_a_run_ends() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let seconds = telltale_sleep();
        // Success, with a process in the background that nobody waits for.
        busybox.says(&[], &format!("sleep {seconds} > /dev/null 2>&1 & echo started"));
        nothing_is_left(&busybox, &seconds);
        // Failure before and in the command.
        assert_eq!(code(&busybox.run(&[], &["no-such-program", &seconds])), Some(127));
        assert_eq!(code(&busybox.run(&[], &["sh", "-c", &format!("sleep {seconds} & exit 1")])), Some(1));
        nothing_is_left(&busybox, &seconds);
        // SIGKILL, which nobody can answer to.
        let mut child = busybox.start(&[], &["sh", "-c", &format!("sleep {seconds} & sleep {seconds}")]);
        await_sleep(&seconds);
        child.kill().unwrap();
        child.wait().unwrap();
        nothing_is_left(&busybox, &seconds);
    }
}

#[test]
fn init_reaps_what_nobody_waits_for() {
    let busybox = Busybox::of(Caller::Root);
    // Each inner shell leaves an orphan behind.
    let script = "for i in 1 2 3 4 5; do sh -c 'sleep 0.01 &'; done; sleep 1; ps -o stat | grep -c Z";
    let output = busybox.run(&[], &["sh", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
}

#[test]
fn an_ordinary_user_is_root_inside_and_told_what_it_cannot_be() {
    let busybox = Busybox::of(Caller::Nobody);
    assert_eq!(busybox.says(&[], "id -u; cat /proc/self/uid_map | wc -l"), "0\n1\n");
    Refusal::of(&busybox.run(&["--user", "me"], &["id"])).is(125, "no subordinate ids", "");
    Refusal::of(&busybox.run(&["--via", "erofs"], &["id"])).is(125, "EROFS", "--via tree");
}

#[test]
fn the_summary_says_what_a_run_cost() {
    let busybox = Busybox::of(Caller::Root);
    for face in FACES {
        let file = busybox.home.path("summary.json");
        // A second start fetches ahead, in pieces that are larger than so small an image.
        let options = ["--via", face, "--no-profile", "--summary-json", file.to_str().unwrap()];
        let run = busybox.run(&options, &["sh", "-c", "exit 5"]);
        let summary: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(
            (&summary["image"], &summary["face"], &summary["exit_code"]),
            (&"busybox".into(), &face.into(), &5.into())
        );
        let figure = |name: &str| summary[name].as_f64().unwrap();
        assert!(0.0 < figure("mounted_ms") && figure("mounted_ms") <= figure("exited_ms"));
        assert!(0.0 < figure("fetched_bytes") && figure("fetched_bytes") <= figure("image_sealed_bytes"));
        assert!(figure("chunks_touched") <= figure("chunks_total"));
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(told.contains(&format!("busybox through {face}: exit 5")), "{told}");
        assert!(told.contains(&format!("in {} requests", summary["requests"])), "{told}");
    }
    let quiet = busybox.run(&["--no-summary"], &["true"]);
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "");
}

#[test]
fn a_source_is_converted_first_and_not_again() {
    let busybox = Busybox::of(Caller::Root);
    let source = format!("oci:{}:busybox", busybox.home.path("layout").display());
    for _ in 0..2 {
        let run = output(&mut busybox.home.frazil(["run", "--no-summary", &source, "--", "echo", "it runs"]));
        assert_eq!(String::from_utf8_lossy(&run.stdout), "it runs\n");
    }
    assert_eq!(busybox.home.images(), ["busybox", "layout:busybox"]);
    assert!(processes(&source).is_empty());
}
