package hop3test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
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
	dir     string
}

func newRuntimeTest(t *testing.T, open OpenRuntime) *runtimeTest {
	dir := t.TempDir()
	rt := &runtimeTest{T: t, Runtime: open(t, dir), open: open, dir: dir}
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

// launch makes a release of the app "shop".
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
	t.Runtime = t.open(t, t.dir)
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
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.Upstream+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
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
