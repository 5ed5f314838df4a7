package addons_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cuttingProxy passes connections on to a port, and cuts each after so many
// bytes in one direction.
func cuttingProxy(t *testing.T, to string, after int64) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	pass := func(from, to net.Conn) {
		_, _ = io.CopyN(to, from, after)
		_ = from.Close()
		_ = to.Close()
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", "127.0.0.1:"+to)
			if err != nil {
				_ = in.Close()
				return
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func killProgram(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// waitUntil waits until check has no error.
func waitUntil(t *testing.T, check func(context.Context) error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := check(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// servicePid finds the process that was started with an argument.
func servicePid(t *testing.T, arg string) string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		if args := strings.Split(string(text), "\x00"); slices.Contains(args, arg) && !strings.Contains(args[0], "sh") {
			return filepath.Base(filepath.Dir(file))
		}
	}
	t.Fatalf("no process has the argument %s", arg)
	return ""
}

// gone stands for a setting that is not there.
const gone = "\x00"

// withSettings returns settings with others, by key and value.
func withSettings(settings map[string]string, others ...string) map[string]string {
	next := map[string]string{}
	for key, value := range settings {
		next[key] = value
	}
	for i := 0; i < len(others); i += 2 {
		if next[others[i]] = others[i+1]; others[i+1] == gone {
			delete(next, others[i])
		}
	}
	return next
}

// needPrograms skips a test without the servers it is about, which CI has.
func needPrograms(t *testing.T, debian string, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			untested(t, p, debian)
		}
	}
}

// untested skips a test for want of a program. Under CI it fails: there
// nobody would see that nothing was tested.
func untested(t *testing.T, program, debian string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed; tests/run installs it", program)
	}
	t.Skipf("NOT TESTED: %s is not installed (Debian: apt-get install %s)", program, debian)
}

func unusedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// startProgram runs a server, which ends with the test.
func startProgram(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	var said bytes.Buffer
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", argv[0], said.String()[max(0, said.Len()-4<<10):])
		}
	})
	return c
}

func waitForPort(t *testing.T, port string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
