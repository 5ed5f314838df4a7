package supervisor

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/hop3/sandbox"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SUPERVISOR_CHURN"); dir != "" {
		churn(dir)
	}
	if dir := os.Getenv("SUPERVISOR_RUN"); dir != "" {
		runOneOff(dir)
	}
	if os.Getenv("SUPERVISOR_ORDER") != "" {
		become()
	}
	if dir := os.Getenv("SUPERVISOR_PARENT"); dir != "" {
		parent(dir)
	}
	hop3test.RuntimeMain(m)
}

func TestRuntime(t *testing.T) {
	hop3test.Runtime(t, openRuntime)
}

func TestRuntimeWithoutSandbox(t *testing.T) {
	hop3test.RuntimeWithoutSandbox(t, openRuntime)
}

func openRuntime(t testing.TB, home string, box *sandbox.Sandbox) hop3.Runtime {
	return openIn(t, filepath.Join(home, "run", "native"), box)
}

var shop = hop3.ReleaseID{App: "shop", Number: 1}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	s := open(t, t.TempDir())
	start(t, s, worker(t, "exec sleep 600", 5), worker(t, "exit 1", 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := s.Start(t.Context(), hop3.Launch{ID: shop}); err == nil {
		t.Error("Start after Close returned no error")
	}
	stop(t, open(t, s.options.RunDir))
}

func TestIdleInstancesCostNoThread(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	threads := func() int {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := threads()
	start(t, s, worker(t, "exec sleep 600", 100))
	defer stop(t, s)
	if grown := threads() - before; grown > 20 {
		t.Errorf("100 instances cost %d threads", grown)
	}
}

func TestStopLeavesNoZombie(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	instances := start(t, s, worker(t, "exec sleep 600", 3))
	stop(t, s)
	for _, i := range instances {
		if p, ok := procfs.Find(i.PID); ok {
			t.Errorf("%+v is still in the process table", p)
		}
	}
}

func TestStartAndStopAtTheSameTime(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	l := launch(t, worker(t, "exec sleep 600", 2))
	var all sync.WaitGroup
	for n := range 12 {
		all.Go(func() {
			var err error
			if n%2 == 0 {
				_, err = s.Start(t.Context(), l)
			} else {
				err = s.Stop(t.Context(), l.ID, time.Second)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	stop(t, s)
	if left := marked(t, s); len(left) > 0 {
		t.Errorf("after the last Stop these run: %v", left)
	}
	if len(s.ports.leased) > 0 || len(s.locks) > 0 || len(s.releases) > 0 {
		t.Errorf("the supervisor still holds %v, %v, %v", s.ports.leased, s.locks, s.releases)
	}
}

func TestStateFilesHoldNoSecrets(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	l := launch(t, worker(t, "exec sleep 600", 1))
	l.Env["PASSWORD"] = "correct horse"
	if _, err := s.Start(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	b, err := os.ReadFile(s.states.file(shop, "worker", 1))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "horse") {
		t.Errorf("the state file is %s", b)
	}
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	defer s.Close()
	if _, err := New(Options{RunDir: s.options.RunDir}); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("New on a directory in use = %v", err)
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{Min: 100 * time.Millisecond, Max: 30 * time.Second}
	for failures, want := range map[int]time.Duration{
		0: 100 * time.Millisecond, 1: 200 * time.Millisecond, 4: 1600 * time.Millisecond, 8: 25600 * time.Millisecond,
		9: 30 * time.Second, 1000: 30 * time.Second,
	} {
		if got := b.delay(failures); got != want {
			t.Errorf("after %d failures the delay is %s, want %s", failures, got, want)
		}
	}
}

func TestShell(t *testing.T) {
	for command, exec := range map[string]bool{
		"python app.py --port $PORT":   true,
		"./bin/server":                 true,
		`node server.js > "$HOME/out"`: true,
		"a && b":                       false,
		"a | b":                        false,
		"a; b":                         false,
		"a &":                          false,
		"a\nb":                         false,
		"PORT=1 a":                     false,
		"cd src":                       false,
		"exec a":                       false,
		"(a)":                          false,
		"! a":                          false,
	} {
		want := command
		if exec {
			want = "exec " + command
		}
		if got := shell(command)[2]; got != noCore+want {
			t.Errorf("%q runs as %q, want %q", command, got, want)
		}
	}
}

func open(t testing.TB, dir string) *Supervisor { return openIn(t, dir, nil) }

func openIn(t testing.TB, dir string, box *sandbox.Sandbox) *Supervisor {
	t.Helper()
	s, err := New(Options{
		RunDir:  dir,
		Sandbox: box,
		Backoff: Backoff{Min: 10 * time.Millisecond},
		Logger:  zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func worker(t testing.TB, command string, count int) hop3.Process {
	t.Helper()
	// The type differs, so that one release can have several.
	name := "worker"
	if strings.HasPrefix(command, "exit") {
		name = "crasher"
	}
	return hop3.Process{Type: name, Command: command, Count: count}
}

func launch(t testing.TB, processes ...hop3.Process) hop3.Launch {
	t.Helper()
	return hop3.Launch{ID: shop, Dir: t.TempDir(), LogDir: t.TempDir(), Env: hop3.Env{}, Processes: processes}
}

func start(t testing.TB, s *Supervisor, processes ...hop3.Process) []hop3.Instance {
	t.Helper()
	instances, err := s.Start(t.Context(), launch(t, processes...))
	if err != nil {
		t.Fatal(err)
	}
	return instances
}

// stop stops the release and says so when something of it is left.
func stop(t testing.TB, s *Supervisor) {
	t.Helper()
	if err := s.Stop(t.Context(), shop, 5*time.Second); err != nil {
		t.Error(err)
	}
}

// marked returns the processes that carry a marker of this supervisor.
func marked(t testing.TB, s *Supervisor) []procfs.Process {
	t.Helper()
	all, err := procfs.All()
	if err != nil {
		t.Fatal(err)
	}
	var found []procfs.Process
	for _, p := range all {
		if m, ok := procfs.Variable(p.PID, markerVariable); ok && strings.HasPrefix(m, s.states.home+":") {
			found = append(found, p)
		}
	}
	return found
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not true after 30s: %s", what)
		}
	}
}
