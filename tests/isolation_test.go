package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The secrets of the victim and of the server that the burglar is after. They
// stand in the environment, in files and in memory, and nowhere else.
const (
	victimSecret = "the-victims-secret"
	serverSecret = "the-servers-secret-of-32-letters"
)

// victim is an app that has secrets wherever an app can have them.
var victim = map[string]string{
	"Procfile": "web: exec python3 -u app.py\n",
	"code.txt": victimSecret + "\n",
	"app.py": `import http.server, os, socket
os.umask(0)
secret, notes = os.environ["TOKEN"], os.environ["NOTES"]
for place in (os.environ["HOME"], "/tmp", "/dev/shm"):
    with open(f"{place}/{notes}", "w") as f:
        f.write(secret)
print(secret, flush=True)
held = open(os.environ["HOME"] + "/" + notes)
os.chdir(os.environ["HOME"])
s = socket.socket(socket.AF_UNIX)
if os.path.exists("sock"):
    os.unlink("sock")
s.bind("sock")
s.listen()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"unharmed\n")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`}

// burglary is one attempt of an app that has no secrets of its own. A script
// that shows a secret, or says WON, has succeeded. In its environment are HOP3
// (the server's home), NOTES (the name of the victim's files), SERVER and
// VICTIM (their processes), and the own directory is $HOME.
type burglary struct {
	what, script string
	// works says that it succeeds in a server that isolates nothing, so that
	// its failure elsewhere proves something.
	works bool
}

var burglaries = []burglary{
	{"the victim's environment", `tr '\0' '\n' </proc/$VICTIM/environ`, true},
	{"all environments there are", `cat /proc/[0-9]*/environ | tr '\0' '\n'`, true},
	{"the victim in /proc", `ls -d /proc/$VICTIM && echo WON`, true},
	{"the victim's directory", `ls $HOP3/apps/victim && echo WON`, true},
	{"which apps there are", `ls $HOP3/apps | grep -qx victim && echo WON`, true},
	{"the victim's data", `cat $HOP3/apps/victim/data/$NOTES`, true},
	{"the victim's release", `cat $HOP3/apps/victim/releases/1/code.txt $HOP3/apps/victim/src/code.txt`, true},
	{"the victim's repository", `git -C $HOP3/apps/victim/git show main:code.txt`, true},
	{"the victim's log", `cat $HOP3/apps/victim/log/web.1.log`, true},
	{"the victim's /tmp", `cat /tmp/$NOTES $HOP3/apps/victim/tmp/$NOTES`, true},
	{"the victim's /dev/shm", `cat /dev/shm/$NOTES`, true},
	{"the victim's root", `cat /proc/$VICTIM/root/tmp/$NOTES`, true},
	{"the victim's working directory", `cat /proc/$VICTIM/cwd/$NOTES`, true},
	{"the victim's open files", `for f in /proc/$VICTIM/fd/*; do test -f $f && cat $f; done`, true},
	{"the victim's memory", `grep -q . /proc/$VICTIM/maps && echo WON; head -c1 /proc/$VICTIM/mem && echo WON`, true},
	{"the victim as its debugger", python(`libc.ptrace(0x4206, victim, 0, 0) == 0 and print("WON")`), true},
	{"a signal to the victim", `kill -0 $VICTIM && echo WON`, true},
	{"a signal that kills", `kill -KILL $VICTIM $SERVER && echo WON`, false},
	{"the victim's socket", python(`os.chdir(hop3 + "/apps/victim/data"); s = socket.socket(socket.AF_UNIX); s.connect("sock"); print("WON")`), true},
	{"the victim's control group", `cat $(find /sys/fs/cgroup -path '*apps/victim*' -name cgroup.procs) | grep -q . && for f in $(find /sys/fs/cgroup -path '*apps/victim*' -name cgroup.procs); do echo $$ >$f && echo WON; done`, false},
	{"a symbolic link in the data", `ln -sfn $HOP3/apps/victim/data $HOME/link && cat $HOME/link/$NOTES`, true},
	{"a hard link to the victim's data", `ln -f $HOP3/apps/victim/data/$NOTES $HOME/hard && cat $HOME/hard`, true},
	{"the parents of the own directory", `cat $HOME/../../victim/data/$NOTES`, true},
	{"the database", `ls $HOP3/hop3.db* && echo WON; cat $HOP3/hop3.db`, true},
	{"the secret key", `cat $HOP3/secret-key`, true},
	{"the host key", `cat $HOP3/ssh/* && echo WON`, true},
	{"the server's directory for runs", `ls $HOP3/run && echo WON`, true},
	{"the server's socket", python(`os.chdir(hop3); [s for s in glob.glob("**/*.sock", recursive=True) if "apps/burglar" not in s and print("WON", s)]`), true},
	{"the server's environment", `tr '\0' '\n' </proc/$SERVER/environ`, true},
	{"the server's memory", `grep -q . /proc/$SERVER/maps && echo WON; head -c1 /proc/$SERVER/mem && echo WON`, true},
	{"the server's root", `cat /proc/$SERVER/root$HOP3/secret-key`, true},
	{"the server's working directory", `ls /proc/$SERVER/cwd/ && echo WON`, true},
	{"the server as its debugger", python(`libc.ptrace(0x4206, server, 0, 0) == 0 and print("WON")`), true},
	{"a signal to the server", `kill -0 $SERVER && echo WON`, true},
	{"the server's namespace", `nsenter -t $SERVER -m true && echo WON; nsenter -t 1 -m true && echo WON`, true},
	{"what covers the home", `umount -l $HOP3 && echo WON; unshare -Urm sh -c 'umount -l $HOP3; cat $HOP3/secret-key'`, false},
	{"root", python(`os.setuid(0); print("WON")`), true},
	{"the own release", `echo x >new && echo WON; echo x >>burglar.txt && echo WON; echo x >$HOME/../releases/1/new && echo WON`, true},
	{"the own repository", `ls $HOME/../git && echo x >$HOME/../git/HEAD && echo WON`, true},
}

// python is a script of Python in a shell's line.
func python(script string) string {
	const begin = `import ctypes, glob, os, socket
libc = ctypes.CDLL(None)
hop3, victim, server = os.environ["HOP3"], int(os.environ["VICTIM"]), int(os.environ["SERVER"])
`
	return "/usr/bin/python3 -c '" + begin + script + "'"
}

// TestBurglar lets an app try to reach the secrets of the one beside it and of
// the server, as its user, in a server that runs as it would in production.
func TestBurglar(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a user for each app takes root")
	}
	for _, runtime := range runtimes(t) {
		t.Run(runtime, func(t *testing.T) { burgle(t, runtime) })
	}
	t.Run("without isolation", func(t *testing.T) {
		h := newHouse(t, "ISOLATION=off")
		log, err := os.ReadFile(h.log)
		if n := bytes.Count(log, []byte("apps are not isolated from each other")); err != nil || n != 1 {
			t.Errorf("the server says %d times that it isolates nothing, %v", n, err)
		}
		for what, out := range h.burgleAll(t, func(b burglary) bool { return b.works }) {
			if !h.won(out) {
				t.Errorf("%s fails here too: it proves nothing\n%s", what, out)
			}
		}
	})
}

func burgle(t *testing.T, runtime string) {
	h := newHouse(t, "ISOLATION=required", "PROCESS_MANAGER="+runtime)
	for what, out := range h.burgleAll(t, func(burglary) bool { return true }) {
		if h.won(out) {
			t.Errorf("%s can be had:\n%s", what, out)
		}
	}
	// What the server does for the burglar is no way in either.
	out := h.burgle(t, "touch $HOME/was-here; cd $HOME/../log; ln -s $HOP3/secret-key web.9.log; ln -s $HOP3/apps/victim/log/web.1.log web.8.log")
	if _, err := os.Stat(filepath.Join(h.home, "apps", "burglar", "data", "was-here")); err != nil {
		t.Errorf("the burglar did not run at all: %v\n%s", err, out)
	}
	if out, err := h.run(h.dir, "hop3", "logs", "--app", "burglar"); err != nil || h.won(out) {
		t.Errorf("by its log the burglar got: %v\n%s", err, out)
	}
	if code, body, err := h.get(t.Context(), "victim.localhost", "/"); code != 200 || body != "unharmed\n" || err != nil {
		t.Errorf("afterwards the victim answers %d %q, %v", code, body, err)
	}
	if now := h.pidWith(t, "victim", "TOKEN="+victimSecret); now != h.victim {
		t.Errorf("the victim was process %d and is %d", h.victim, now)
	}
}

// house is a server with a burglar and a victim.
type house struct {
	*server
	victim int // its process
	notes  string
}

func newHouse(t *testing.T, env ...string) *house {
	t.Helper()
	h := &house{server: prepareServer(t)}
	h.env = append(append(h.env, env...), "HOP3_SECRET_KEY="+serverSecret)
	// Where it is when the environment does not have it.
	err := errors.Join(os.MkdirAll(h.home, 0o755), os.WriteFile(filepath.Join(h.home, "secret-key"), []byte(serverSecret), 0o600), h.start())
	if err != nil {
		t.Fatal(err)
	}
	h.notes = "notes-" + strconv.Itoa(h.cmd.Process.Pid)
	t.Cleanup(func() { // without isolation they are the host's
		_ = os.Remove("/tmp/" + h.notes)
		_ = os.Remove("/dev/shm/" + h.notes)
	})
	if err := h.logIn(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"app", "create", "victim"}, {"env", "set", "--app", "victim", "TOKEN=" + victimSecret, "NOTES=" + h.notes}} {
		if _, err := h.run(h.dir, "hop3", args...); err != nil {
			t.Fatal(err)
		}
	}
	h.push(t, "victim", victim)
	h.push(t, "burglar", map[string]string{"Procfile": "worker: exec sleep 100000\n", "burglar.txt": "my own\n"})
	h.victim = h.pidWith(t, "victim", "TOKEN="+victimSecret)
	return h
}

// burgle runs a script as the burglar and returns what it wrote.
func (h *house) burgle(t *testing.T, script string) string {
	t.Helper()
	vars := fmt.Sprintf("export HOP3=%s NOTES=%s SERVER=%d VICTIM=%d\n", h.home, h.notes, h.cmd.Process.Pid, h.victim)
	out, _ := h.run(h.dir, "hop3", "app", "run", "--app", "burglar", "--", "sh", "-c", vars+script)
	return out
}

// burgleAll makes the chosen attempts, each in a shell of its own, and returns
// what each of them wrote.
func (h *house) burgleAll(t *testing.T, chosen func(burglary) bool) map[string]string {
	t.Helper()
	const mark, quote = "\n=== ", "'"
	var script string
	n := 0
	for _, b := range burglaries {
		if chosen(b) {
			n++
			script += "echo; echo \"=== " + b.what + "\"\ntimeout 20 sh -c " + quote + strings.ReplaceAll(b.script, quote, `'\''`) + quote + " </dev/null 2>&1\n"
		}
	}
	out := map[string]string{}
	for _, part := range strings.Split(h.burgle(t, script), mark)[1:] {
		what, text, _ := strings.Cut(part, "\n")
		out[what] = text
	}
	if len(out) != n {
		t.Errorf("%d of %d attempts were made, the last one of which ended them all", len(out), n)
	}
	return out
}

// won reports whether what a burglar wrote shows that it succeeded.
func (h *house) won(out string) bool {
	return strings.Contains(out, "WON") || strings.Contains(out, victimSecret) || strings.Contains(out, serverSecret)
}

// push makes a repository of the files and pushes it.
func (s *server) push(t *testing.T, app string, files map[string]string) {
	t.Helper()
	dir, err := s.repository(app, files)
	if err == nil {
		_, err = s.run(dir, "git", "push", "hop3", "main")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pidWith waits for a process of an app that has something in its environment.
func (s *server) pidWith(t *testing.T, app, variable string) int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, pid := range s.processesOf(app) {
			environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
			if err == nil && bytes.Contains(environ, []byte(variable)) {
				return pid
			}
		}
	}
	t.Fatalf("no process of '%s' has %s", app, variable)
	return 0
}
