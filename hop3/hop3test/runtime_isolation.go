package hop3test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/abilian/hop3/hop3"
)

func isolates(t *runtimeTest) {
	t.isolated()
	l := t.place(1)
	data := l.Writable[0]
	secret := filepath.Join(t.home, "secret")
	other := filepath.Join(t.home, "apps", "blog", "data", "notes")
	private := filepath.Join(os.TempDir(), filepath.Base(t.home)+"-"+strconv.Itoa(os.Getpid()))
	memory := hop3.Volume{Name: "scratch", Target: "var/scratch", Kind: hop3.VolumeTmpfs, Size: 1 << 20}
	l.Volumes = []hop3.Volume{memory}
	if err := os.MkdirAll(filepath.Join(l.Dir, memory.Target), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{secret, other, filepath.Join(l.Dir, "page")} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l.Processes = []hop3.Process{web(roleVariable + "=server exec ./app")}
	i := t.start(l)[0]

	uid, err := strconv.Atoi(t.get(i, "/uid"))
	if err != nil || uid == os.Getuid() || uid == 0 {
		t.Errorf("the app's user is %d, %v, the server's %d", uid, err, os.Getuid())
	}
	for _, c := range []struct {
		request string
		ok      bool
	}{
		{"/read?" + filepath.Join(l.Dir, "page"), true},
		{"/write?" + filepath.Join(l.Dir, "page"), false},
		{"/write?" + filepath.Join(l.Dir, "new"), false},
		{"/write?" + filepath.Join(data, "new"), true},
		{"/write?" + private, true},
		{"/write?" + filepath.Join(l.Dir, memory.Target, "new"), true},
		{"/read?" + secret, false},
		{"/read?" + other, false},
		{fmt.Sprintf("/read?/proc/%d/environ", os.Getpid()), false},
	} {
		if got := t.get(i, c.request); (got == "ok") != c.ok {
			t.Errorf("%s: %s, want it to be possible: %v", c.request, got, c.ok)
		}
	}
	if info, err := os.Stat(filepath.Join(data, "new")); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
		t.Errorf("what the app wrote is %+v, %v", info, err)
	}
	if _, err := os.Stat(private); err == nil {
		t.Errorf("%s is not the app's alone", private)
		_ = os.Remove(private)
	}
	if _, err := os.Stat(filepath.Join(l.Dir, memory.Target, "new")); err == nil {
		t.Error("what the app wrote to memory is on the disk")
	}
	if got := t.env(i)[roleVariable]; got != "server" {
		t.Errorf("%s is %q", roleVariable, got)
	}
	t.stop(i1, 0)
}

func isolatesOneOffs(t *runtimeTest) {
	t.isolated()
	l := t.place(1)
	file := filepath.Join(l.Writable[0], "new")
	for _, terminal := range []*hop3.Terminal{nil, {Type: "xterm"}} {
		var out bytes.Buffer
		script := `touch page || echo read-only; touch "$1" && echo writable; id -u`
		if terminal != nil {
			script += "; true >/dev/tty && test -t 0 && echo at a terminal"
		}
		exit, err := t.Runtime.Run(t.Context(), l, hop3.OneOff{Args: []string{"sh", "-c", script, "sh", file}, Stdout: &out, Stderr: &out, Terminal: terminal})
		if err != nil || exit != 0 {
			t.Fatalf("Run = %d, %v, %s", exit, err, out.String())
		}
		for _, want := range []string{"read-only", "writable"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the command wrote %q, want %q in it", out.String(), want)
			}
		}
		if strings.Contains(out.String(), "\n0\n") || terminal != nil && !strings.Contains(out.String(), "at a terminal") {
			t.Errorf("the command wrote %q", out.String())
		}
	}
}

// A program that only the server's user may run is not the one that is meant.
func findsWhatTheAppMayRun(t *runtimeTest) {
	t.isolated()
	l := t.place(1)
	closed, shut := t.TempDir(), t.TempDir()
	for dir, modes := range map[string][2]os.FileMode{closed: {0o700, 0o755}, shut: {0o755, 0o700}} {
		file := filepath.Join(dir, "id")
		if err := os.WriteFile(file, []byte("#!/bin/sh\necho wrong\n"), modes[1]); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, modes[0]); err != nil {
			t.Fatal(err)
		}
	}
	l.Env["PATH"] = strings.Join([]string{closed, shut, "/usr/bin:/bin"}, ":")
	var out bytes.Buffer
	exit, err := t.Runtime.Run(t.Context(), l, hop3.OneOff{Args: []string{"id", "-u"}, Stdout: &out, Stderr: &out})
	if err != nil || exit != 0 || strings.Contains(out.String(), "wrong") {
		t.Errorf("Run = %d, %v, %q", exit, err, out.String())
	}
}
