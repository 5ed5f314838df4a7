package tests

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The story with Docker has a network, processes and mounts of its own, and an
// engine of its own in them: nothing of it is seen outside, and it ends with
// the first of its processes, which is this test program once more.

const (
	inNamespaces  = "HOP3_TEST_NAMESPACES"
	givenBinaries = "HOP3_TEST_BINARIES"
)

// TestDocker tells the stories of testdata/docker. It needs the engine that
// Debian has as docker.io; nothing is downloaded.
func TestDocker(t *testing.T) {
	if os.Getenv(inNamespaces) == "" {
		t.Parallel()
		needsPrograms(t, "dockerd", "containerd", "runc", "docker", "iptables", "ip", "unshare")
		runInNamespaces(t)
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip: %v\n%s", err, out)
	}
	e := newEngine(t)
	t.Setenv("DOCKER_HOST", "unix://"+e.socket())
	programs := t.TempDir()
	for _, version := range []string{"1", "2"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -X main.version="+version, "-o", filepath.Join(programs, "app"+version), "./docker/image")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the app: %v\n%s", err, out)
		}
	}
	r := startRegistry(t, filepath.Join(programs, "app1"))
	stories, err := filepath.Glob("testdata/docker/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("there are no stories, %v", err)
	}
	for _, story := range stories {
		params := storyParams("")
		params.Files = []string{story}
		params.Cmds["engine"] = e.command
		setup := params.Setup
		params.Setup = func(env *testscript.Env) error {
			env.Vars = append(env.Vars, "PROGRAMS="+programs, "REGISTRY="+r.host, "DIGEST="+r.manifest)
			return setup(env)
		}
		// One after the other: each counts all that the engine has.
		t.Run(strings.TrimSuffix(filepath.Base(story), ".txtar"), func(t *testing.T) { testscript.Run(t, params) })
	}
}

// needsPrograms skips a test where programs are missing: where all is tested,
// that is a failure. tests/run installs them.
func needsPrograms(t *testing.T, programs ...string) {
	t.Helper()
	missing := ""
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing += " " + p
		}
	}
	switch {
	case os.Getuid() != 0:
		t.Skip("only root can make a network of its own")
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatalf("these programs are missing:%s", missing)
	default:
		t.Skipf("these programs are missing:%s", missing)
	}
}

// runInNamespaces runs the calling test again, in namespaces of its own.
func runInNamespaces(t *testing.T) {
	t.Helper()
	only := "^" + t.Name() + "$"
	if first, stories, ok := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); ok && strings.Trim(first, "^$") == t.Name() {
		only += "/" + stories
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--",
		os.Args[0], "-test.run="+only, "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), inNamespaces+"=1", givenBinaries+"="+binaries)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", tail(out, 12_000))
	if bytes.Contains(out, []byte("unshare failed")) || bytes.Contains(out, []byte("--- SKIP: "+t.Name())) {
		t.Skip("this machine cannot do that: see above")
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("in namespaces of its own the test fails: %v", err)
	}
}

// engine is a Docker engine, all of whose files are in dir.
type engine struct {
	dir    string // short: a socket's path is
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

func (e *engine) socket() string { return filepath.Join(e.dir, "sock") }

// newEngine starts an engine, which ends with the test.
func newEngine(t *testing.T) *engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "hop3-docker-")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{dir: dir}
	t.Cleanup(func() {
		e.stop()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("dockerd:\n%s", tail(text, 1500))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := e.start(t.Context()); err != nil {
		t.Skip(err) // what keeps an engine from starting is the kernel's: not ours to test
	}
	return e
}

// start returns when the engine answers.
func (e *engine) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("dockerd", "--host", "unix://"+e.socket(), "--data-root", filepath.Join(e.dir, "data"),
		"--exec-root", filepath.Join(e.dir, "exec"), "--pidfile", filepath.Join(e.dir, "pid"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	e.cmd, e.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // its log says why
	}()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := exec.CommandContext(ctx, "docker", "--host", "unix://"+e.socket(), "version").Run()
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			err = errors.New("it ended")
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond): // between two looks
			continue
		}
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("the Docker engine does not start: %w\n%s", err, tail(text, 1500))
	}
}

func (e *engine) stop() {
	if e.cmd != nil {
		_ = e.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-e.exited
	}
}

// command is a story's "engine start|stop|restart".
func (e *engine) command(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: engine start|stop|restart")
	}
	if args[0] != "start" {
		e.stop()
	}
	if args[0] != "stop" {
		ts.Check(e.start(context.Background()))
	}
}
