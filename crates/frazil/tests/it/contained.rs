//! What a hostile image's command finds of the host, and of the process that is above it: nothing.

use crate::support::busybox::{Busybox, Caller, NAME};
use crate::support::home::Home;
use crate::support::layer::{Attributes, Layer};
use crate::support::refusal::Refusal;
use crate::support::tool::{output, run as run_tool, tool};
use crate::support::umoci;

const BOTH: [Caller; 2] = [Caller::Root, Caller::Nobody];

/// The value of a line of `/proc/self/status`.
fn status<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap().trim()
}

#[test]
fn the_first_process_lends_the_command_neither_memory_nor_environment() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let script = "for f in mem environ syscall maps; do cat /proc/1/$f; done 2>&1 | grep -cE 'denied|not permitted'; \
                      (echo x > /proc/1/mem) 2>&1 | grep -c denied; cat /proc/1/fd/0 2>&1 | grep -c denied";
        assert_eq!(busybox.says(&[], script), "4\n1\n1\n");
    }
}

#[test]
fn the_callers_environment_stays_outside() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let mut command = busybox.command(&[], &["sh", "-c", "env; cat /proc/*/environ 2> /dev/null; true"]);
        let run = output(command.env("HOST_SECRET", "brook-trout"));
        assert!(run.status.success() && !run.stdout.is_empty());
        assert!(!String::from_utf8_lossy(&run.stdout).contains("brook-trout"));
    }
}

#[test]
fn capabilities_are_bounded_from_the_first_process_on() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        for (network, allowed) in [("host", "00000000a80405fb"), ("none", "00000000a80425fb")] {
            for process in ["1", "self"] {
                let text = busybox.says(&["--network", network], &format!("cat /proc/{process}/status"));
                assert_eq!(status(&text, "CapInh"), "0000000000000000");
                assert_eq!(status(&text, "CapAmb"), "0000000000000000");
                assert_eq!(status(&text, "CapBnd"), allowed, "{process} with {network}");
            }
        }
        let first = busybox.says(&[], "cat /proc/1/status");
        assert_eq!(status(&first, "CapPrm"), "0000000000000020");
        assert_eq!(status(&first, "NoNewPrivs"), "1");
    }
}

#[test]
fn a_descriptor_that_the_caller_left_open_is_no_way_out() {
    let busybox = Busybox::of(Caller::Root);
    let leaky = |words: &[&str]| {
        let mut shell = tool("sh");
        shell.args(["-c", "exec 7< / && exec \"$@\"", "leaky"]);
        output(&mut busybox.home.frazil_under(shell, words))
    };
    let run = leaky(&["run", NAME, "--", "sh", "-c", "ls /proc/self/fd"]);
    let open = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(open.starts_with("0\n1\n2\n") && !open.contains('7'), "{run:?}");
    let run = leaky(&["run", NAME, "--workdir", "/proc/self/fd/7", "--", "ls"]);
    Refusal::of(&run).is(125, "/proc/self/fd/7", "");
}

#[test]
fn a_device_in_a_volume_opens_nothing() {
    let busybox = Busybox::of(Caller::Root);
    let shared = busybox.home.path("runtime");
    run_tool(tool("mknod").arg(shared.join("host")).args(["c", "1", "3"]));
    let volume = format!("{}:/srv/shared", shared.display());
    let script = "cd /srv/shared; mknod n c 1 3; for d in n host; do cat $d 2>&1; done | grep -c denied";
    assert_eq!(busybox.says(&["--volume", &volume], script), "2\n");
}

#[test]
fn an_image_cannot_move_the_kernels_file_systems_by_a_link() {
    for name in ["proc", "sys", "dev"] {
        for target in ["/tmp", "/tmp/missing"] {
            let home = Home::new();
            let layer = Layer::new().directory("tmp", Attributes::mode(0o755)).symlink(name, target);
            let tar = home.path("linked.tar");
            layer.write(&tar);
            let image = umoci::add_layer(&umoci::empty(&home.path("layout"), "empty"), &tar, "linked");
            home.convert(&image.source(), "linked");
            let run = output(&mut home.frazil(["run", "linked", "--", "true"]));
            Refusal::of(&run).is(125, &format!("cannot mount /{name}: the image has a symbolic link"), "");
        }
    }
}

#[test]
fn system_calls_that_reach_into_the_kernel_are_refused() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let text = busybox.says(&[], "cat /proc/self/status");
        assert_eq!(status(&text, "Seccomp"), "2");
        // Programs that change their user by their mode still may.
        assert_eq!(status(&text, "NoNewPrivs"), "0");
    }
    let busybox = Busybox::of(Caller::Root);
    let script = "busybox unshare -U true 2>&1 | grep -c 'not permitted'; busybox date -s 2020-01-01 2>&1 | \
                  grep -c 'not permitted'; busybox reboot -f 2>&1 | grep -c 'not permitted'";
    assert_eq!(busybox.says(&[], script), "1\n1\n1\n");
}

#[test]
fn nobody_becomes_the_id_that_means_no_change() {
    let busybox = Busybox::of(Caller::Root);
    for user in ["4294967295", "0:4294967295"] {
        let run = busybox.run(&["--user", user], &["id"]);
        Refusal::of(&run).is(125, "4294967295 is nobody's id", "");
    }
}
