package tests

import (
	"bytes"
	"context"
	"errors"
	"flag"
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
		needsPrograms(t, "dockerd", "containerd", "runc", "docker", "iptables", "ip", "unshare")
		runInNamespaces(t)
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip: %v\n%s", err, out)
	}
	socket := startEngine(t)
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	programs := t.TempDir()
	for _, version := range []string{"1", "2"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -X main.version="+version, "-o", filepath.Join(programs, "app"+version), "./docker/image")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the app: %v\n%s", err, out)
		}
	}
	stories, err := filepath.Glob("testdata/docker/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("there are no stories, %v", err)
	}
	for _, story := range stories {
		params := storyParams("")
		params.Files = []string{story}
		setup := params.Setup
		params.Setup = func(env *testscript.Env) error {
			env.Vars = append(env.Vars, "PROGRAMS="+programs)
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
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--",
		os.Args[0], "-test.run="+flag.Lookup("test.run").Value.String(), "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), inNamespaces+"=1", givenBinaries+"="+binaries)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", tail(out, 12_000))
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("in namespaces of its own the test fails: %v", err)
	}
}

// startEngine starts a Docker engine and returns its socket.
func startEngine(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hop3-docker-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "sock")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dockerd", "--host", "unix://"+socket, "--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // its log says why
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("dockerd:\n%s", tail(text, 1500))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := exec.CommandContext(ctx, "docker", "--host", "unix://"+socket, "version").Run()
		if err == nil {
			return socket
		}
		select {
		case <-exited:
			err = errors.New("it ended")
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond): // between two looks
			continue
		}
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("the Docker engine does not start: %v\n%s", err, tail(text, 1500))
	}
}
