//! Programs that end as programs really do: what our first line says of it names the true cause.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use monitor::supervise::cause::{Cause, Exit};
use monitor::supervise::telltale::telling_line;

use crate::first_message::told_of_an_end;

/// A fault: how to run it, and a word that the first line must have.
type Fault = (&'static str, &'static [&'static str], &'static str);

/// Real programs of a Debian machine, each ending by a fault of its own.
const FAULTS: [Fault; 62] = [
    ("python import", &["python3", "-c", "import requestz"], "No module named 'requestz'"),
    ("python from import", &["python3", "-c", "from json import nothing"], "cannot import name 'nothing'"),
    (
        "python int of env",
        &["python3", "-c", "import os; int(os.environ.get('N', '10MB'))"],
        "invalid literal for int() with base 10: '10MB'",
    ),
    ("python missing env", &["python3", "-c", "import os; os.environ['DATABASE_URL']"], "DATABASE_URL"),
    ("python missing file", &["python3", "-c", "open('/etc/app/config.yml')"], "/etc/app/config.yml"),
    ("python bad json", &["python3", "-c", "import json; json.loads('pdf,docx')"], "Expecting value"),
    (
        "python refused",
        &["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 1))"],
        "Connection refused",
    ),
    ("python unknown host", &["python3", "-c", "import socket; socket.getaddrinfo('nobody.invalid', 1)"], "ame"),
    (
        "python port in use",
        &[
            "python3",
            "-c",
            "import socket; a=socket.create_server(('127.0.0.1',0)); socket.create_server(a.getsockname())",
        ],
        "Address already in use",
    ),
    ("python attribute", &["python3", "-c", "None.connect()"], "'NoneType' object has no attribute 'connect'"),
    ("python assertion", &["python3", "-c", "assert False, 'tables are missing'"], "tables are missing"),
    ("python division", &["python3", "-c", "1/0"], "division by zero"),
    ("python syntax", &["python3", "-c", "def f(:"], "invalid syntax"),
    ("python exit text", &["python3", "-c", "import sys; sys.exit('no license key')"], "no license key"),
    (
        "python chained",
        &[
            "python3",
            "-c",
            "try:\n  1/0\nexcept ZeroDivisionError as e:\n  raise RuntimeError('cannot start worker') from e",
        ],
        "cannot start worker",
    ),
    ("python recursion", &["python3", "-c", "f=lambda: f()\nf()"], "maximum recursion depth"),
    (
        "python memory",
        &["python3", "-c", "import resource; resource.setrlimit(resource.RLIMIT_AS,(1<<28,1<<28)); x=' '*(1<<30)"],
        "MemoryError",
    ),
    (
        "python disk full",
        &["python3", "-c", "f=open('/dev/full','w'); f.write('x'); f.flush()"],
        "No space left on device",
    ),
    (
        "python permission",
        &["python3", "-c", "raise PermissionError(13, 'Permission denied', '/var/lib/app')"],
        "/var/lib/app",
    ),
    ("python abort", &["python3", "-c", "import os; os.abort()"], "SIGABRT"),
    ("python segfault", &["python3", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"], "SIGSEGV"),
    (
        "python logged",
        &[
            "python3",
            "-c",
            "import logging,sys; logging.basicConfig(format='%(asctime)s %(levelname)s %(message)s'); logging.critical('migration 42 is missing'); sys.exit(1)",
        ],
        "migration 42 is missing",
    ),
    (
        "python json log",
        &[
            "python3",
            "-c",
            "import json,sys; print(json.dumps({'level':'error','msg':'cannot open queue','error':'bad handshake'})); print(json.dumps({'level':'info','msg':'bye'})); sys.exit(1)",
        ],
        "cannot open queue: bad handshake",
    ),
    ("node missing module", &["node", "-e", "require('bullmqz')"], "Cannot find module 'bullmqz'"),
    ("node refused", &["node", "-e", "require('net').connect(1, '127.0.0.1')"], "ECONNREFUSED 127.0.0.1:1"),
    (
        "node port in use",
        &[
            "node",
            "-e",
            "const n=require('net'); const s=n.createServer().listen(0,'127.0.0.1',()=>n.createServer().listen(s.address().port,'127.0.0.1'))",
        ],
        "EADDRINUSE",
    ),
    ("node type error", &["node", "-e", "undefined.connect()"], "Cannot read properties of undefined"),
    ("node missing file", &["node", "-e", "require('fs').readFileSync('/etc/app.json')"], "/etc/app.json"),
    ("node rejection", &["node", "-e", "Promise.reject(new Error('redis is not ready'))"], "redis is not ready"),
    ("node syntax", &["node", "-e", "const a = ;"], "Unexpected token"),
    ("node bad json", &["node", "-e", "JSON.parse('{bad')"], "JSON"),
    ("node range", &["node", "-e", "new Array(-1)"], "Invalid array length"),
    (
        "node thrown string",
        &["node", "-e", "console.error('FATAL: JWT_SECRET must be set'); process.exit(1)"],
        "JWT_SECRET must be set",
    ),
    ("node unknown host", &["node", "-e", "require('net').connect(1, 'nobody.invalid')"], "nobody.invalid"),
    ("node disk full", &["node", "-e", "require('fs').writeFileSync('/dev/full', 'x')"], "no space left on device"),
    ("node missing script", &["node", "/srv/app/dist/main.js"], "/srv/app/dist/main.js"),
    ("sh missing command", &["sh", "-c", "gunicornz main:app"], "gunicornz: not found"),
    ("sh not executable", &["sh", "-c", "/etc/passwd"], "Permission denied"),
    ("sh unbound", &["sh", "-uc", "echo $WORKERS"], "WORKERS: parameter not set"),
    ("sh required", &["sh", "-c", "echo ${WORKERS:?write one into .env}"], "write one into .env"),
    ("sh missing script", &["sh", "/entrypointz.sh"], "/entrypointz.sh"),
    ("sh cd", &["sh", "-ec", "cd /srv/nothing"], "/srv/nothing"),
    ("sh false", &["sh", "-c", "exit 3"], "code 3"),
    ("sh config", &["sh", "-c", "echo 'listen: expected a port' >&2; exit 78"], "listen: expected a port"),
    ("sh 127", &["sh", "-c", "exit 127"], "command not found"),
    ("sh disk full", &["sh", "-c", "cat /etc/passwd > /dev/full"], "No space left on device"),
    ("sh read only", &["sh", "-ec", "mkdir /proc/app"], "cannot create directory"),
    ("sh term", &["sh", "-c", "kill -TERM $$"], "SIGTERM"),
    ("sh kill", &["sh", "-c", "kill -KILL $$"], "SIGKILL"),
    (
        "sh then chatter",
        &["sh", "-c", "echo 'ERROR: database schema is too old'; echo 'Shutting down'; exit 1"],
        "database schema is too old",
    ),
    ("perl die", &["perl", "-e", "die 'cannot lock spool'"], "cannot lock spool"),
    ("perl module", &["perl", "-e", "use Nothing::Here;"], "Nothing/Here.pm"),
    (
        "perl open",
        &["perl", "-e", "open(F, '<', '/etc/none') or die \"cannot open /etc/none: $!\""],
        "cannot open /etc/none",
    ),
    ("bash unbound", &["bash", "-uc", "echo $WORKERS"], "WORKERS: unbound variable"),
    ("bash missing", &["bash", "-c", "celeryz worker"], "celeryz: command not found"),
    ("bash pipefail", &["bash", "-c", "set -e; cat /etc/app/secret"], "/etc/app/secret"),
    ("grep usage", &["grep"], "code 2"),
    ("cat missing", &["cat", "/run/secrets/token"], "/run/secrets/token: No such file or directory"),
    (
        "java-like",
        &[
            "sh",
            "-c",
            "printf 'Exception in thread \"main\" java.lang.IllegalStateException: boot\\n\\tat Main.main(Main.java:3)\\nCaused by: java.sql.SQLException: password expired\\n\\t... 3 more\\n' >&2; exit 1",
        ],
        "password expired",
    ),
    (
        "go panic",
        &[
            "sh",
            "-c",
            "printf 'panic: runtime error: index out of range [3] with length 1\\n\\ngoroutine 1 [running]:\\nmain.main()\\n\\t/app/main.go:8 +0x1d\\nexit status 2\\n' >&2; exit 2",
        ],
        "index out of range [3]",
    ),
    (
        "rust panic",
        &[
            "sh",
            "-c",
            "printf \"\\nthread 'main' (7) panicked at src/main.rs:4:5:\\nno tokens in the file\\nnote: run with \\`RUST_BACKTRACE=1\\` environment variable to display a backtrace\\n\" >&2; exit 101",
        ],
        "no tokens in the file",
    ),
    (
        "rust anyhow",
        &[
            "sh",
            "-c",
            "printf 'Error: cannot start\\n\\nCaused by:\\n    0: cannot read the key\\n    1: file is empty\\n' >&2; exit 1",
        ],
        "file is empty",
    ),
];

/// How a fault ended: the bare fact, and the last lines of what it wrote.
struct Ended {
    exit: Exit,
    last_lines: Vec<String>,
}

impl Ended {
    /// Runs a fault.
    fn of(command: &[&str]) -> Self {
        let (program, arguments) = command.split_first().unwrap();
        let output = Command::new(program)
            .args(arguments)
            .current_dir(Path::new("/"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let exit = match (output.status.code(), output.status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap()),
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Self { exit, last_lines: lines.get(lines.len().saturating_sub(50)..).unwrap_or_default().to_vec() }
    }

    /// Returns the first line of everything that is said of it: of its end on record, and of the first message, whether
    /// nobody starts it again or it dies again and again.
    fn first_lines(&self) -> [String; 3] {
        let cause = Cause::of(self.exit, false, &self.last_lines.join("\n"));
        let told = |is_started_again| told_of_an_end(self.exit, cause, &self.last_lines, is_started_again);
        [cause.told(self.exit, telling_line(&self.last_lines).as_deref()), told(false), told(true)]
    }
}

#[test]
fn the_first_line_names_the_true_cause_of_real_faults() {
    let mut wrong = Vec::new();
    for (name, command, needed) in FAULTS {
        let lacks = Ended::of(command).first_lines().into_iter().find(|line| !line.contains(needed));
        wrong.extend(lacks.map(|line| format!("{name}: {line:?} lacks {needed:?}")));
    }
    assert!(wrong.len() * 20 <= FAULTS.len(), "more than one in twenty:\n{}", wrong.join("\n"));
}
