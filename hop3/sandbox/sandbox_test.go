package sandbox_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zaptest/observer"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

func TestPlan_StartsAsTheAppsUserInItsGroup(t *testing.T) {
	w := newWorld(t)
	a, b := w.app("a"), w.app("b")
	if a.UID == b.UID || a.UID < 70000 || a.UID > 79999 {
		t.Fatalf("the users are %d and %d", a.UID, b.UID)
	}
	id := strconv.Itoa(a.UID)
	for script, want := range map[string]string{
		"id -u; id -g; id -G":                                 id + "\n" + id + "\n" + id,
		"id -un; id -gn":                                      "hop3-app-a\nhop3-app-a",
		"grep NoNewPrivs /proc/self/status":                   "NoNewPrivs:\t1",
		"grep -c '^Cap.*0000000000000000$' /proc/self/status": "5",
		"umask": "0022",
		"pwd":   "/",
		"getent passwd " + id + " | cut -d: -f5,7":       ":/bin/sh",
		"touch \"$HOME/x\" && stat -c %u \"$HOME/x\"":    id,
		"touch /tmp/x /var/tmp/y && ls /tmp":             w.tmpEntries() + "x\ny",
		"echo x > /dev/shm/x && ls /dev/shm":             "x",
		"ls /etc/hostname":                               "/etc/hostname",
		"getent hosts localhost | grep -c localhost":     "1",
		"echo x > /dev/null; head -c1 /dev/zero | wc -c": "1",
	} {
		if got := a.must(script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	// The same again, as after a restart of the server, is the same user.
	before := a.UID
	if a.prepare(); a.UID != before {
		t.Errorf("the user was %d and is %d", before, a.UID)
	}
	if w.box.Limits() == nil {
		sleeper := a.background(nil, "sleep", "1000")
		pids, err := w.box.Pids("apps/a/1/web.1")
		if err != nil || len(pids) != 1 || pids[0] != sleeper.Process.Pid {
			t.Errorf("the group has %v, %v; want %d", pids, err, sleeper.Process.Pid)
		}
	}
}

// tmpEntries is what of the way to the home shows in an app's /tmp.
func (w *world) tmpEntries() string {
	if rel, err := filepath.Rel("/tmp", w.home); err == nil && filepath.IsLocal(rel) {
		return strings.Split(rel, "/")[0] + "\n"
	}
	return ""
}

func TestPlan_LeavesNothingOnTheServer(t *testing.T) {
	w := newWorld(t)
	a := w.app("a")
	state := func() string {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		text := string(mounts)
		for _, line := range strings.Split(string(status), "\n") {
			if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "Uid") || strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "Groups") || strings.HasPrefix(line, "Umask") {
				text += line + "\n"
			}
		}
		return text
	}
	before := state()
	for range 20 {
		a.must("true")
		if err := a.As(func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if after := state(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	eventually(t, "every thread is as the main one", func() bool {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		want, _ := os.Readlink("/proc/self/ns/mnt")
		for _, thread := range threads {
			got, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/mnt")
			if err == nil && got != want {
				return false
			}
		}
		return true
	})
}

func TestPlan_RunsTheHostsInterpreters(t *testing.T) {
	w := newWorld(t)
	a := w.app("a")
	script := `import os, pty, pwd, socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
c = socket.create_connection(s.getsockname()); c.close()
pid, fd = pty.fork()
if pid == 0: os.execv("/bin/echo", ["echo", "through a terminal"])
out = b""
try:
    while True:
        part = os.read(fd, 100)
        if not part: break
        out += part
except OSError: pass
u = socket.socket(socket.AF_UNIX); u.bind(os.path.expanduser("~") + "/s")
open(os.path.join(pwd.getpwuid(os.getuid()).pw_dir, "written") if ":" not in os.environ["HOME"] else os.environ["HOME"] + "/written", "w").close()
print(out.decode().strip(), os.listdir(os.environ["HOME"]))`
	python, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		t.Skip("there is no /usr/bin/python3 here")
	}
	out, ok := a.run([]string{"HOME=" + a.data}, python, "-c", script)
	if !ok || !strings.Contains(out, "through a terminal") || !strings.Contains(out, "written") {
		t.Errorf("got %v, %s", ok, out)
	}
}

func TestPlan_ShowsWhatIsNamedAndNothingElse(t *testing.T) {
	w := newWorld(t)
	shared := filepath.Join(w.home, "cache", "shared")
	write(t, filepath.Join(shared, "file"), "shared", 0o644)
	a := w.app("a")
	w.app("b")
	spec := a.spec()
	spec.Writable = append(spec.Writable, filepath.Join(a.dir, "volumes", "x"))
	spec.ReadOnly = []string{shared}
	var err error
	if a.Plan, err = w.box.Prepare(spec); err != nil {
		t.Fatal(err)
	}
	home := "ROOT=\"${DIR%/apps/a}\"; cd \"$ROOT\" && "
	for script, want := range map[string]string{
		"ls -A":                 "apps\ncache",
		"ls -A apps":            "a",
		"cat cache/shared/file": "shared",
		"ls -A apps/a":          "data\nlog\nreleases\ntmp\nvolumes",
		"echo v > apps/a/volumes/x/f && cat apps/a/volumes/x/f":                                                   "v",
		"touch f apps/f apps/a/f apps/a/releases/1/f apps/a/volumes/f cache/shared/f 2>&1 | grep -c -e Read-only": "6",
	} {
		if got := a.must(home + script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

func TestPlan_WorksWhereTheHomeIsClosedToOthers(t *testing.T) {
	top, err := os.MkdirTemp("/var/lib", "hop3-test-")
	if err != nil {
		t.Skipf("this needs a directory outside of /tmp: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	w := worldAt(t, filepath.Join(top, "deep", "home"))
	a := w.app("a")
	if got := a.must("cd \"$HOME\" && pwd && ls -A " + top); got != a.data+"\ndeep" {
		t.Errorf("got %q", got)
	}
	// A home named by way of a symbolic link is the same home.
	link := filepath.Join(top, "link")
	if err := os.Symlink(w.home, link); err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.Open(sandbox.Options{Home: link})
	if err != nil {
		t.Fatal(err)
	}
	spec := a.spec()
	spec.AppDir, spec.Writable = filepath.Join(link, "apps", "a"), []string{filepath.Join(link, "apps", "a", "data")}
	plan, err := box.Prepare(spec)
	if err != nil || plan.UID != a.UID {
		t.Fatalf("got %+v, %v", plan, err)
	}
}

// runWrapped is the wrapper's whole life.
func runWrapped(text string) {
	plan := new(sandbox.Plan)
	err := json.Unmarshal([]byte(text), plan)
	if err == nil {
		err = plan.Exec(os.Args[1:], []string{"A=1", "PATH=" + os.Getenv("PATH")})
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestPlan_ExecWorksInAnotherProcess(t *testing.T) {
	w := newWorld(t)
	a, b := w.app("a"), w.app("b")
	write(t, filepath.Join(b.data, "secret"), "b's", 0o644)
	text, err := json.Marshal(a.Plan)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := "id -u; id -G; env | grep -c HOP3; grep -e NoNew -e CapEff -e CapBnd /proc/self/status; cat \"$0\" 2>&1; ps -e --no-headers | wc -l; exec sleep 1000"
	cmd := exec.Command(exe, "/bin/sh", "-c", script, filepath.Join(b.data, "secret"))
	cmd.Env = []string{wrapper + "=" + string(text), "PATH=" + os.Getenv("PATH")}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	id := strconv.Itoa(a.UID)
	want := id + "\n" + id + "\n0\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n"
	got := make([]byte, 4096)
	n := 0
	for !strings.Contains(string(got[:n]), "No such file or directory\n") {
		m, err := out.Read(got[n:])
		if err != nil {
			t.Fatalf("after %q: %v", got[:n], err)
		}
		n += m
	}
	if !strings.HasPrefix(string(got[:n]), want) {
		t.Errorf("got\n%s\nwant\n%s", got[:n], want)
	}
	if w.box.Limits() == nil {
		if pids, err := w.box.Pids("apps/a"); err != nil || len(pids) == 0 || pids[0] != cmd.Process.Pid {
			t.Errorf("the group has %v, %v; want %d", pids, err, cmd.Process.Pid)
		}
		if err := w.box.Kill(t.Context(), "apps/a"); err != nil {
			t.Error(err)
		}
	}
}

func TestPlan_ForkExecStartsAsStartDoes(t *testing.T) {
	w := newWorld(t)
	a := w.app("a")
	file := filepath.Join(a.data, "id")
	pid, err := a.ForkExec("/bin/sh", []string{"sh", "-c", "id -u > \"$0\"; pwd >> \"$0\"", file}, &syscall.ProcAttr{Env: []string{"PATH=/usr/bin:/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status != 0 {
		t.Fatalf("got %v, %v", status, err)
	}
	if text, _ := os.ReadFile(file); string(text) != fmt.Sprintf("%d\n/\n", a.UID) {
		t.Errorf("got %q", text)
	}
}

func TestPlan_ZeroAndNilDoNothingSpecial(t *testing.T) {
	var box *sandbox.Sandbox
	plan, err := box.Prepare(sandbox.Spec{App: "a", Group: "g", AppDir: "/nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*sandbox.Plan{nil, {}, plan} {
		cmd := exec.Command("id", "-u")
		var out strings.Builder
		cmd.Stdout = &out
		if err := p.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || strings.TrimSpace(out.String()) != strconv.Itoa(os.Geteuid()) {
			t.Errorf("got %q, %v", out.String(), err)
		}
	}
	if box.Isolation() == nil || box.Limits() == nil || box.OOMKills("g") != 0 || box.Kill(t.Context(), "g") != nil || box.Remove("g") != nil || box.Forget("a") != nil {
		t.Error("a nil Sandbox does something")
	}
}

func TestOpen_SaysOnceWhatIsMissing(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	home := t.TempDir()
	box, err := sandbox.Open(sandbox.Options{Home: home, Mode: sandbox.Off, Logger: slog.New(zapslog.NewHandler(core))})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	if box.Isolation() == nil || logs.FilterMessageSnippet("isolated").FilterLevelExact(zap.InfoLevel).Len() != 1 {
		t.Errorf("off: %v, %v", box.Isolation(), logs.All())
	}
	if _, err := sandbox.Open(sandbox.Options{Home: home, Mode: "sometimes"}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("got %v", err)
	}
	if _, err := sandbox.Open(sandbox.Options{Home: "/"}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

func TestPrepare_CapsTheGroup(t *testing.T) {
	w := newWorld(t)
	if err := w.box.Limits(); err != nil {
		t.Skip(err)
	}
	a := w.app("a")
	spec := a.spec()
	spec.Limits = hop3.Limits{Memory: 40 << 20, Processes: 50}
	var err error
	if a.Plan, err = w.box.Prepare(spec); err != nil {
		t.Fatal(err)
	}
	if out, ok := a.run(nil, "/usr/bin/python3", "-c", "x = bytearray(200 << 20); print(len(x))"); ok {
		t.Errorf("it took more than its memory: %s", out)
	}
	if n := w.box.OOMKills("apps/a/1/web.1"); n != 1 {
		t.Errorf("%d processes were killed", n)
	}
	if _, cpu, ok := w.box.Usage("apps/a/1"); !ok || cpu == 0 {
		t.Errorf("got %v, %v", cpu, ok)
	}
	spec.Group = "apps/ab/1"
	if _, err := w.box.Prepare(spec); err == nil {
		t.Error("a group outside of its cap was made")
	}
}

// TestPrepare_WhileOthersEnd has the builds of several apps begin and end at the
// same time: the group above all of them goes with the last one, and is there
// again, with its weight, for the next.
func TestPrepare_WhileOthersEnd(t *testing.T) {
	box, err := sandbox.Open(sandbox.Options{Home: t.TempDir(), Mode: sandbox.Off})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	if err := box.Limits(); err != nil {
		t.Skip(err)
	}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			group := fmt.Sprintf("builds/app-%d", n)
			for range 50 {
				_, err := box.Prepare(sandbox.Spec{App: "app", Group: group, Weight: 20, Limits: hop3.Limits{Memory: 64 << 20}})
				if err == nil {
					err = box.Remove(group)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
