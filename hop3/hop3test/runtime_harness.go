package hop3test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/hop3/sandbox"
)

var i1, i2 = hop3.ReleaseID{App: "shop", Number: 1}, hop3.ReleaseID{App: "shop", Number: 2}

func web(command string) hop3.Process {
	return hop3.Process{Type: hop3.ProcessWeb, Command: command, Count: 1}
}

// runtimeTest is a runtime under test with what its tests need.
type runtimeTest struct {
	*testing.T
	Runtime hop3.Runtime
	open    OpenRuntime
	home    string
	box     *sandbox.Sandbox // nil: none
}

func newRuntimeTest(t *testing.T, open OpenRuntime, box func(testing.TB, string) *sandbox.Sandbox) *runtimeTest {
	home := t.TempDir()
	rt := &runtimeTest{T: t, open: open, home: home, box: box(t, home)}
	rt.Runtime = open(t, home, rt.box)
	t.Cleanup(func() {
		for _, id := range rt.releases() {
			if err := rt.Runtime.Stop(context.Background(), id, 0); err != nil {
				t.Errorf("stopping what the test left: %v", err)
			}
		}
		if err := rt.Runtime.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return rt
}

// openSandbox opens a sandbox for a server in home, and removes all of it when
// the test ends.
func openSandbox(t testing.TB, home string) *sandbox.Sandbox {
	t.Helper()
	box, err := sandbox.Open(sandbox.Options{Home: home})
	if err != nil {
		t.Fatalf("opening the sandbox: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(box.Forget("shop"), box.Close()); err != nil {
			t.Errorf("closing the sandbox: %v", err)
		}
	})
	return box
}

// limited skips the test where limits are not enforced.
func (t *runtimeTest) limited() {
	t.Helper()
	if t.box == nil {
		t.Skip("this needs limits, and there is no sandbox")
	}
	if err := t.box.Limits(); err != nil {
		t.Skipf("this needs limits: %v", err)
	}
}

// isolated skips the test where apps are not isolated.
func (t *runtimeTest) isolated() {
	t.Helper()
	if t.box == nil {
		t.Skip("this needs isolation, and there is no sandbox")
	}
	if err := t.box.Isolation(); err != nil {
		t.Skipf("this needs isolation: %v", err)
	}
}

// launch makes a release of the app "shop" that is not isolated.
func (t *runtimeTest) launch(number int, processes ...hop3.Process) hop3.Launch {
	dir := t.TempDir()
	return hop3.Launch{
		ID:        hop3.ReleaseID{App: "shop", Number: number},
		Dir:       dir,
		Env:       hop3.Env{"PWD": dir, "APP": "shop"},
		Path:      []string{"/opt/first", "/opt/second"},
		Processes: processes,
		LogDir:    filepath.Join(t.TempDir(), "log"),
	}
}

// place makes a release of the app "shop" in the server's home, isolated, with
// a directory of data and this test's binary as the program "app".
func (t *runtimeTest) place(number int) hop3.Launch {
	t.Helper()
	// Apps get to their directory without seeing what is beside it.
	for dir := t.home; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	app := filepath.Join(t.home, "apps", "shop")
	l := t.launch(number)
	l.AppDir, l.Dir = app, filepath.Join(app, "releases", strconv.Itoa(number))
	l.LogDir, l.Writable = filepath.Join(app, "log"), []string{filepath.Join(app, "data")}
	l.Env["PWD"] = l.Dir
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err == nil {
		err = os.WriteFile(filepath.Join(l.Dir, "app"), program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (t *runtimeTest) start(l hop3.Launch) []hop3.Instance {
	t.Helper()
	list, err := t.Runtime.Start(t.Context(), l)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return list
}

func (t *runtimeTest) stop(id hop3.ReleaseID, grace time.Duration) {
	t.Helper()
	if err := t.Runtime.Stop(t.Context(), id, grace); err != nil {
		t.Fatalf("Stop: %v", err)
	}
}

// reopen is what happens when one server ends and the next one starts.
func (t *runtimeTest) reopen() {
	t.Helper()
	if err := t.Runtime.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	t.Runtime = t.open(t, t.home, t.box)
}

func (t *runtimeTest) releases() []hop3.ReleaseID {
	t.Helper()
	ids, err := t.Runtime.Releases(context.Background())
	if err != nil {
		t.Fatalf("Releases: %v", err)
	}
	slices.SortFunc(ids, func(a, b hop3.ReleaseID) int { return a.Number - b.Number })
	return ids
}

// await waits until the only instance of release 1 is as wanted.
func (t *runtimeTest) await(what string, wanted func(hop3.Instance) bool) (found hop3.Instance) {
	t.Helper()
	t.eventually(what, func() bool {
		list, err := t.Runtime.Instances(t.Context(), i1)
		if err != nil || len(list) != 1 {
			t.Fatalf("Instances = %v, %v, want one", list, err)
		}
		found = list[0]
		return wanted(found)
	})
	return found
}

func (t *runtimeTest) instances(id hop3.ReleaseID) []hop3.Instance {
	t.Helper()
	list, err := t.Runtime.Instances(context.Background(), id)
	if err != nil {
		t.Fatalf("Instances: %v", err)
	}
	return list
}

// pid waits until a process has written its number into a file.
func (t *runtimeTest) pid(file string) (pid int) {
	t.Helper()
	t.eventually("a process writes its number to "+file, func() bool {
		b, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(string(b))
		return pid != 0
	})
	return pid
}

func (t *runtimeTest) eventually(what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not true after 30s: %s", what)
		}
	}
}

// get waits until the instance answers.
func (t *runtimeTest) get(i hop3.Instance, path string) (body string) {
	t.Helper()
	t.eventually(i.Upstream+" answers", func() (ok bool) {
		body, ok = t.tryGet(i, path)
		return ok
	})
	return body
}

func (t *runtimeTest) tryGet(i hop3.Instance, path string) (string, bool) {
	network, address := "tcp", i.Upstream
	if socket, ok := strings.CutPrefix(i.Upstream, "unix/"); ok {
		network, address = "unix", socket
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://upstream"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err == nil
}

func (t *runtimeTest) env(i hop3.Instance) hop3.Env {
	t.Helper()
	var list []string
	if err := json.Unmarshal([]byte(t.get(i, "/env")), &list); err != nil {
		t.Fatal(err)
	}
	env := hop3.Env{}
	for _, entry := range list {
		k, v, _ := strings.Cut(entry, "=")
		env[k] = v
	}
	return env
}

func (t *runtimeTest) log(i hop3.Instance) string {
	b, err := os.ReadFile(i.LogFile)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

func (t *runtimeTest) kill(pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("killing %d: %v", pid, err)
	}
}

// runs reports whether a process runs; one that only waits to be reaped does
// not.
func runs(pid int) bool {
	p, ok := procfs.Find(pid)
	return ok && !p.Dead
}
