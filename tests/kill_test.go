package tests

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killStep is a moment of a deploy at which the server is killed: when the
// pusher reads a line, when a file is there, or when the push has ended.
type killStep struct {
	name  string
	files map[string]string // of the pushed commit
	line  string            // in what the pusher reads
	file  string            // pattern below the app's directory
	moved bool              // the new release may serve afterwards
}

// gate is a command that says in its home, or its directory, that it runs, and
// then runs for ever.
const gate = "touch $HOME/at; while true; do sleep 0.05; done"

// TestKillAtEveryStep kills the server with SIGKILL at each step of a deploy.
// TestKillDuringDeploy does it at moments of no meaning.
func TestKillAtEveryStep(t *testing.T) {
	t.Parallel()
	s := startServerWith(t)
	b := &brim{server: s, app: "steps", version: 1}
	b.begin(t)
	const atBuild, atRun = "cache/home/at", "data/at"
	for _, step := range []killStep{
		{name: "receiving", files: map[string]string{"large": noise(12 << 20)}, file: "git/objects/tmp_objdir-*/*"},
		{name: "checkout", files: map[string]string{"large": strings.Repeat("0", 12<<20)}, line: "Deploying"},
		{name: "before-build", files: build("before-build", gate), file: atBuild},
		{name: "build", files: build("build", gate), file: atBuild},
		{name: "toolchain", line: "app detected"},
		{name: "after-build", files: build("after-build", gate), file: atBuild},
		{name: "before-run", files: beforeRun(gate), file: atRun},
		{name: "release", files: map[string]string{"Procfile": brimApp["Procfile"] + "release: " + gate + "\n"}, file: atRun},
		{name: "start", line: "Starting release", moved: true},
		{name: "health check", files: map[string]string{"at-health": gate}, file: atRun},
		{name: "switch", line: "is live", moved: true},
		{name: "after the push", moved: true},
	} {
		// Each push gets as far as its own moment: the one before does no harm.
		t.Run(step.name, func(t *testing.T) { b.killedAt(t, step) })
	}
	b.pushesAgain(t)
	t.Run("first deploy", b.killedAtFirst)
}

// killedAt has the server be killed at a moment of a push, and checks what the
// next start makes of it.
func (b *brim) killedAt(t *testing.T, step killStep) {
	version := b.prepare(t, step.files)
	accepted := b.pushAndKill(t, step)
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	serves, err := b.served(b.app)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case serves == strconv.Itoa(version) && step.moved:
		b.version = version
	case accepted || serves != strconv.Itoa(b.version):
		t.Errorf("serves %s; %d did, and the push of %d was accepted: %t", serves, b.version, version, accepted)
	}
	b.whole(t)
	b.free(t)
}

// killedAtFirst kills the server between the switch to an app's first release
// and the first move of its branch.
func (b *brim) killedAtFirst(t *testing.T) {
	first := &brim{server: b.server, app: "first", version: 1}
	files := map[string]string{"app.json": fmt.Sprintf(`{"scripts": {"postdeploy": %q}}`, gate), "version": "1\n"}
	for name, text := range brimApp {
		files[name] = text
	}
	var err error
	if first.dir, err = first.repository(first.app, files); err != nil {
		t.Fatal(err)
	}
	if first.pushAndKill(t, killStep{file: "data/at"}) {
		t.Error("the push was accepted")
	}
	if err := first.start(); err != nil {
		t.Fatal(err)
	}
	if code, body, err := first.get(t.Context(), "first.localhost", "/"); err != nil || code == 200 {
		t.Errorf("what was never accepted answers %d %s, %v", code, body, err)
	}
	if pids := first.processesOf(first.app); len(pids) > 0 {
		t.Errorf("%v are left", pids)
	}
	if err := os.Remove(filepath.Join(first.dir, "app.json")); err != nil {
		t.Fatal(err)
	}
	first.pushesAgain(t)
}

// pushAndKill pushes, kills the server at the step, and reports whether the
// push was accepted.
func (b *brim) pushAndKill(t *testing.T, step killStep) (accepted bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	push := exec.CommandContext(ctx, "git", "push", "-f", "hop3", "main")
	push.Dir, push.Env = b.dir, b.env
	said, err := push.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	if step.file != "" {
		for ctx.Err() == nil {
			if found, _ := filepath.Glob(filepath.Join(b.home, "apps", b.app, step.file)); len(found) > 0 {
				break
			}
			time.Sleep(time.Millisecond) // between two polls
		}
		b.signal(syscall.SIGKILL)
	}
	var text strings.Builder
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if step.line != "" && strings.Contains(lines.Text(), step.line) {
			b.signal(syscall.SIGKILL)
		}
	}
	accepted = push.Wait() == nil
	if step.file == "" && step.line == "" {
		b.signal(syscall.SIGKILL)
	}
	select {
	case <-b.exited:
	default:
		t.Fatalf("the moment never came:\n%s", text.String())
	}
	return accepted
}

// pushesAgain pushes a version that has nothing about it.
func (b *brim) pushesAgain(t *testing.T) {
	t.Helper()
	version, out, err := b.push(t, nil)
	if err != nil {
		t.Fatalf("the next push: %v\n%s", err, out)
	}
	b.version = version
	b.serving(t, b.version)
	b.whole(t)
}
