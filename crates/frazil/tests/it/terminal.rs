//! `frazil run --tty`: a terminal of the container's own, joined to the caller's.

use std::fs;
use std::process::Stdio;

use frazil_cache::testing::{Fault, FaultProxy};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::LocalModes;

use crate::support::busybox::{Busybox, Caller, NAME, await_sleep, nothing_is_left, telltale_sleep};
use crate::support::mount::soon;
use crate::support::refusal::Refusal;
use crate::support::server::Server;
use crate::support::terminal::Terminal;
use crate::support::tool::{end_of, output};

const BOTH: [Caller; 2] = [Caller::Root, Caller::Nobody];

/// What a terminal does with a line before a program has it: nothing, if it is raw.
fn modes(terminal: &Terminal) -> (rustix::termios::InputModes, rustix::termios::OutputModes, LocalModes) {
    let settings = terminal.settings();
    (settings.input_modes, settings.output_modes, settings.local_modes)
}

#[test]
fn a_shell_has_a_terminal_of_its_own_with_the_callers_keys_and_size() {
    for caller in BOTH {
        let busybox = Busybox::of(caller);
        let terminal = Terminal::new(33, 77);
        let found = modes(&terminal);
        let words = ["run", "-it", NAME, "--", "sh", "-i"];
        let shell = terminal.start(&mut busybox.frazil_under(Terminal::session(), &words));
        // What is awaited is not what is typed, which is shown as well.
        terminal.types("echo $((41+1)) $TERM; busybox tty; busybox stty size\r");
        terminal.awaits("42 xterm\r\n/dev/pts/0\r\n33 77\r\n");
        terminal.resize(20, 50);
        // The kernel tells of it when it pleases.
        terminal.types(
            "until [ \"$(busybox stty size)\" = '20 50' ]; do :; done; echo now $(busybox stty size)\r",
        );
        terminal.awaits("now 20 50\r\n");
        // What is pressed interrupts what runs in the foreground of the container, and neither frazil nor the shell.
        let seconds = telltale_sleep();
        terminal.types(&format!("sleep {seconds}\r"));
        await_sleep(&seconds);
        terminal.types("\x03");
        terminal.types("echo $?, and on\r");
        terminal.awaits("130, and on\r\n");
        assert!(!terminal.settings().local_modes.contains(LocalModes::ICANON));
        terminal.types("exit 5\r");
        assert_eq!(end_of(shell).code(), Some(5));
        assert_eq!(modes(&terminal), found);
        terminal.awaits("-- busybox through");
        nothing_is_left(&busybox, &seconds);
    }
}

#[test]
fn the_terminal_is_the_users_of_the_container() {
    let busybox = Busybox::of(Caller::Root);
    let terminal = Terminal::new(24, 80);
    let script = "echo mine > /dev/tty && test -t 0 && test -t 1 && test -t 2 && stat -c %u $(busybox tty)";
    let words = ["run", "--tty", "--user", "me", "--env", "TERM=dumb", NAME, "--", "sh", "-c", script];
    let command = terminal.start(&mut busybox.frazil_under(Terminal::session(), &words));
    assert_eq!(end_of(command).code(), Some(0));
    terminal.awaits("mine\r\n1000\r\n");
}

#[test]
fn the_callers_terminal_is_as_before_however_a_run_ends() {
    let busybox = Busybox::of(Caller::Root);
    for (signal, code) in [(Signal::KILL, None), (Signal::TERM, Some(143)), (Signal::HUP, Some(129))] {
        let terminal = Terminal::new(24, 80);
        let found = modes(&terminal);
        let seconds = telltale_sleep();
        let words = ["run", "--tty", NAME, "--", "sleep", &seconds];
        let run = terminal.start(&mut busybox.frazil_under(Terminal::session(), &words));
        await_sleep(&seconds);
        assert!(soon(|| modes(&terminal) != found), "the terminal is not raw");
        kill_process(Pid::from_child(&run), signal).unwrap();
        assert_eq!(end_of(run).code(), code);
        assert!(soon(|| modes(&terminal) == found), "{signal:?} leaves a raw terminal");
        nothing_is_left(&busybox, &seconds);
    }
    // A command that does not exist.
    let terminal = Terminal::new(24, 80);
    let found = modes(&terminal);
    let words = ["run", "--tty", NAME, "--", "no-such-program"];
    let run = terminal.start(&mut busybox.frazil_under(Terminal::session(), &words));
    assert_eq!(end_of(run).code(), Some(127));
    terminal.awaits("no-such-program: not found in the image");
    assert_eq!(modes(&terminal), found);
}

#[test]
fn a_terminal_that_is_closed_ends_what_runs_in_it() {
    let busybox = Busybox::of(Caller::Root);
    let terminal = Terminal::new(24, 80);
    let seconds = telltale_sleep();
    let words = ["run", "--tty", NAME, "--", "sh", "-c", &format!("sleep {seconds}; sleep {seconds}")];
    let run = terminal.start(&mut busybox.frazil_under(Terminal::session(), &words));
    await_sleep(&seconds);
    terminal.close();
    assert_eq!(end_of(run).code(), Some(129));
    nothing_is_left(&busybox, &seconds);
}

#[test]
fn without_a_terminal_to_pass_on_a_run_is_refused_with_what_to_leave_out() {
    let busybox = Busybox::of(Caller::Root);
    let run = output(busybox.frazil(&["run", "--tty", NAME]).stdin(Stdio::null()));
    Refusal::of(&run).is(125, "the standard input is no terminal", "without --tty");
}

#[test]
fn a_run_ends_with_its_output_though_the_command_reads_nothing_of_what_is_typed() {
    let busybox = Busybox::of(Caller::Root);
    let terminal = Terminal::new(24, 80);
    let found = modes(&terminal);
    let (seconds, closed) = (telltale_sleep(), busybox.home.path("closed"));
    let script = format!("\"$@\" | until test -e {}; do sleep 0.05; done", closed.display());
    let mut session = Terminal::session();
    session.args(["sh", "-c", &script, "sh"]);
    let words = ["run", "--tty", NAME, "--", "sh", "-c", &format!("sleep {seconds} & busybox yes")];
    let run = terminal.start(&mut busybox.frazil_under(session, &words));
    await_sleep(&seconds);
    assert!(soon(|| modes(&terminal) != found), "the terminal is not raw");
    terminal.types_until_it_is_full();
    fs::write(&closed, "").unwrap();
    end_of(run);
    assert_eq!(modes(&terminal), found);
    nothing_is_left(&busybox, &seconds);
}

#[test]
fn a_run_that_went_to_the_background_meanwhile_leaves_the_terminal_alone() {
    let busybox = Busybox::of(Caller::Root);
    let server = Server::web(busybox.home.store());
    let store = FaultProxy::start(server.address()).unwrap();
    store.set(Fault::BlackHole);
    let far = busybox.home.with_its_store_at(&format!("http://{}", store.address()));
    let terminal = Terminal::new(24, 80);
    let mut session = Terminal::session();
    session.args(["sh", "-c", "set -m; \"$@\"; bg; echo moved on; wait %1; echo ended $?", "sh"]);
    let words = ["--allow-http", "run", "--cache", "none", "--tty", NAME, "--", "true"];
    let shell = terminal.start(&mut far.frazil_under(session, words));
    assert!(soon(|| store.counts().connections > 0), "the store is not asked");
    let found = modes(&terminal);
    terminal.types("\x1a");
    terminal.awaits("moved on\r\n");
    store.set(Fault::Pass);
    terminal.awaits("error: the terminal is another job's now\r\nhint: run it in the foreground\r\n");
    terminal.awaits("ended 125\r\n");
    assert_eq!(modes(&terminal), found);
    end_of(shell);
}
