package ready

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/supervisor"
)

// The apps of these tests are the test binary in a role.
func TestMain(m *testing.M) {
	role := os.Getenv("READY_ROLE")
	if role == "" {
		os.Exit(m.Run())
	}
	time.AfterFunc(time.Minute, func() { os.Exit(9) })
	addr := "127.0.0.1:" + os.Getenv("PORT")
	switch role {
	case "sleep":
		select {}
	case "slow":
		time.Sleep(300 * time.Millisecond)
	case "other":
		addr = "127.0.0.1:0"
	case "outside":
		addr = "127.0.0.2:" + os.Getenv("PORT")
	case "respawn":
		for {
			fmt.Println("no module named shop")
			fmt.Println("DAMN ! worker 1 died, killed by signal 11")
			time.Sleep(50 * time.Millisecond)
		}
	case "crash":
		fmt.Println("cannot find the module 'shop'")
		os.Exit(3)
	}
	l, err := net.Listen("tcp", addr)
	if err == nil {
		fmt.Println("up since", time.Now().UnixMilli())
		err = http.Serve(l, text(200, "hello"))
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestWaitForWeb(t *testing.T) {
	release := start(t, process("web", "slow", 2), process("worker", "sleep", 1))
	began := time.Now()
	if err := release.wait(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if took < 300*time.Millisecond {
		t.Errorf("ready after %s, before the app listened", took)
	}
	if took > 10*time.Second {
		t.Errorf("ready only after %s", took)
	}
}

func TestWaitForWorkersOnly(t *testing.T) {
	began := time.Now()
	if err := start(t, process("worker", "sleep", 1)).wait(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < observation {
		t.Errorf("ready after %s, want it to be observed for %s", took, observation)
	}
	err := start(t, process("worker", "crash", 1)).wait(t.Context(), time.Minute)
	wantDeployError(t, err, "worker.1 does not stay up", "exit status 3")
}

func TestWaitTellsACrashLoop(t *testing.T) {
	release := start(t, process("web", "crash", 1))
	began := time.Now()
	err := release.wait(t.Context(), time.Minute)
	wantDeployError(t, err, "web.1 does not stay up", "exit status 3")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s to see", took)
	}
	if !strings.Contains(release.said(), "cannot find the module 'shop'") {
		t.Errorf("the app's log was not shown, but %q", release.said())
	}
}

func TestWaitShowsNoLogOfBefore(t *testing.T) {
	release := start(t, process("web", "crash", 1))
	instances, err := release.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log := instances[0].LogFile
	written, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	// What releases before it wrote, and this one before it was stopped.
	before := "hop3: web.1 (v0) starts\nan old story\nhop3: web.1 (v1) starts\nanother old story\n"
	if err := os.WriteFile(log, append([]byte(before), written...), 0o600); err != nil {
		t.Fatal(err)
	}
	wantDeployError(t, release.wait(t.Context(), time.Minute), "web.1 does not stay up")
	if said := release.said(); strings.Contains(said, "old story") || strings.Count(said, "cannot find the module") < 3 {
		t.Errorf("of the log was shown %q", said)
	}
}

func TestWaitTellsAboutPorts(t *testing.T) {
	for role, want := range map[string]string{
		"other":   "instead of $PORT",
		"outside": "but not at 127.0.0.1",
		"sleep":   "listens on no port",
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			err := start(t, process("web", role, 1)).wait(t.Context(), 500*time.Millisecond)
			wantDeployError(t, err, "web.1 was not ready within 500ms", want)
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("superseded")
	release := start(t, process("web", "sleep", 1))
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	if err := release.wait(ctx, time.Minute); !errors.Is(err, cause) {
		t.Errorf("Wait = %v, want %v", err, cause)
	}
}

func TestWaitIsNotDeceivedByAnother(t *testing.T) {
	release := start(t, process("web", "sleep", 1))
	instances, err := release.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", instances[0].Upstream)
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(l, text(200, "I am another"))
	defer l.Close()
	wantDeployError(t, release.wait(t.Context(), 300*time.Millisecond), "bound by another process")
}

// started is a release that runs, with what the gate says about it.
type started struct {
	hop3.Readiness
	mu    sync.Mutex
	lines []string
}

func (s *started) wait(ctx context.Context, timeout time.Duration) error {
	r := s.Readiness
	r.Timeout = timeout
	r.Out = hop3.OutputFunc(func(l hop3.LogLine) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, l.Text)
	})
	return new(Prober).Wait(ctx, r)
}

func (s *started) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

func start(t *testing.T, processes ...hop3.Process) *started {
	t.Helper()
	s, err := supervisor.New(supervisor.Options{RunDir: t.TempDir(), Backoff: supervisor.Backoff{Min: 10 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	id := hop3.ReleaseID{App: "shop", Number: 1}
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(context.Background(), id, 0), s.Close()); err != nil {
			t.Error(err)
		}
	})
	_, err = s.Start(t.Context(), hop3.Launch{ID: id, Dir: t.TempDir(), LogDir: t.TempDir(), Processes: processes})
	if err != nil {
		t.Fatal(err)
	}
	return &started{Readiness: hop3.Readiness{
		Host:      "shop.localhost",
		Instances: func(ctx context.Context) ([]hop3.Instance, error) { return s.Instances(ctx, id) },
	}}
}

func process(processType, role string, count int) hop3.Process {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return hop3.Process{Type: processType, Command: "READY_ROLE=" + role + " exec '" + exe + "'", Count: count}
}

// startProgram starts the test binary in a role until the test ends.
func startProgram(t *testing.T, role string) (pid int) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", process("web", role, 1).Command)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func wantDeployError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Fatalf("Wait = %v, want a deploy error", err)
	}
	for _, p := range parts {
		if !strings.Contains(hop3.MessageOf(err), p) {
			t.Errorf("the error is %q, want %q in it", hop3.MessageOf(err), p)
		}
	}
}
