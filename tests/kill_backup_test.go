package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// saved is the app of brim, which keeps serving when it is told to end while a
// file "stays" is in its data, and whose build waits while its home has "hold".
var saved = map[string]string{
	"hop3.toml": "[build]\nbefore-build = 'test ! -e $HOME/hold || { " + gate + "; }'\n[backup]\nstop = true\n",
	"app.py": strings.Replace(brimApp["app.py"], "http.server.Threading", `import signal, sys

def told(*_):
    if not os.path.exists(os.environ["HOME"] + "/stays"):
        os._exit(0)
    open(os.environ["HOME"] + "/told", "w").close()

signal.signal(signal.SIGTERM, told)
http.server.Threading`, 1),
}

// TestKillDuringBackup kills the server with SIGKILL in the middle of backups
// and restores. The next start leaves nothing of them, says of none that it is
// good, and the app serves what it had.
func TestKillDuringBackup(t *testing.T) {
	t.Parallel()
	b := &brim{server: startServerWith(t, "STOP_GRACE=60s"), app: "saved", version: 1}
	b.begin(t)
	version, out, err := b.push(t, saved)
	if err != nil {
		t.Fatal(out)
	}
	b.version = version
	dir := filepath.Join(b.home, "apps", b.app)
	data, hold := filepath.Join(dir, "data"), filepath.Join(dir, "cache", "home", "hold")

	// The app has been told to end, and does not.
	b.touch(t, filepath.Join(data, "stays"), 0)
	b.killed(t, "apps/saved/data/told", "backup", "create", "--app", b.app)
	b.backups(t, "FAILED")
	b.remove(t, filepath.Join(data, "stays"), filepath.Join(data, "told"))

	// An archive is being written: of a hole, which takes time and no room.
	b.touch(t, filepath.Join(data, "large"), 2<<30)
	b.killed(t, "backups/apps/saved/.partial-*/data.tar.gz", "backup", "create", "--app", b.app)
	b.backups(t, "FAILED", "FAILED")

	// What is saved now is unpacked later.
	if err := os.Truncate(filepath.Join(data, "large"), 64<<20); err != nil {
		t.Fatal(err)
	}
	b.made(t, "backup", "create", "--app", b.app, "--as", "good")
	b.backups(t, "COMPLETED", "FAILED", "FAILED")
	b.remove(t, filepath.Join(data, "large"))
	b.touch(t, filepath.Join(data, "mine"), 1)

	// Its files are in place, and its release is being built.
	b.touch(t, hold, 0)
	b.killed(t, "apps/saved/cache/home/at", "backup", "restore", "good")
	b.backups(t, "COMPLETED", "COMPLETED", "FAILED", "FAILED")
	b.remove(t, hold, filepath.Join(filepath.Dir(hold), "at"))
	b.has(t, filepath.Join(data, "mine"), filepath.Join(data, "large"))

	// It is being unpacked.
	b.killed(t, "apps/.backup.stage.saved/data/large", "backup", "restore", "good")
	b.backups(t, "COMPLETED", "COMPLETED", "COMPLETED", "FAILED", "FAILED")
	b.has(t, filepath.Join(data, "mine"), filepath.Join(data, "large"))

	b.made(t, "backup", "verify", "good")
	b.made(t, "backup", "restore", "good")
	b.has(t, filepath.Join(data, "large"), filepath.Join(data, "mine"))
	b.serving(t, b.version)
	b.whole(t)
}

// killed runs a command, kills the server when a file is there, and checks
// what the next start makes of it.
func (b *brim) killed(t *testing.T, file string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var out bytes.Buffer
	command := exec.CommandContext(ctx, filepath.Join(binaries, "hop3"), args...)
	command.Dir, command.Env, command.Stdout, command.Stderr = b.dir, b.env, &out, &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for found := []string(nil); len(found) == 0; found, _ = filepath.Glob(filepath.Join(b.home, file)) {
		if ctx.Err() != nil {
			t.Fatalf("%v never came to %s:\n%s", args, file, &out)
		}
		time.Sleep(time.Millisecond) // between two polls
	}
	_ = b.signal(syscall.SIGKILL) // which ends it with an error
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil {
		t.Errorf("%v succeeded:\n%s", args, &out)
	}
	b.serving(t, b.version)
	// Restores are undone beside what the server does first.
	b.await(t, 20*time.Second, func() error { return b.nothingLeft() })
}

// nothingLeft looks for what backups and restores leave only while they run.
func (b *brim) nothingLeft() error {
	for _, pattern := range []string{"apps/.*", "backups/apps/*/.partial-*", "backups/platform/.partial-*", "backups/scratch/*"} {
		if left, _ := filepath.Glob(filepath.Join(b.home, pattern)); len(left) > 0 {
			return &os.PathError{Op: "left is", Path: strings.Join(left, ", "), Err: os.ErrExist}
		}
	}
	return nil
}

// backups checks the states of the backups, from the newest, and that only of
// those that are complete there are files.
func (b *brim) backups(t *testing.T, states ...string) {
	t.Helper()
	out, err := b.run(b.dir, "hop3", "backup", "list", "--json")
	if err != nil {
		t.Fatal(out, err)
	}
	var items []struct{ Rows [][]string }
	if err := json.Unmarshal([]byte(out), &items); err != nil || len(items) != 1 {
		t.Fatal(out, err)
	}
	var got []string
	for _, row := range items[0].Rows {
		got = append(got, row[4])
		_, err := os.Stat(filepath.Join(b.home, "backups", "apps", b.app, row[0], "metadata.json"))
		if complete := row[4] == "COMPLETED"; complete != (err == nil) {
			t.Errorf("the backup %s is %s, and its files: %v", row[0], row[4], err)
		}
	}
	if strings.Join(got, " ") != strings.Join(states, " ") {
		t.Errorf("the backups are %v, want %v", got, states)
	}
}

func (b *brim) made(t *testing.T, args ...string) {
	t.Helper()
	if out, err := b.run(b.dir, "hop3", args...); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// touch makes a file of that many zeros.
func (b *brim) touch(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

func (b *brim) remove(t *testing.T, files ...string) {
	t.Helper()
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

// has checks that one file is there, and the other not.
func (b *brim) has(t *testing.T, file, not string) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(not); err == nil {
		t.Errorf("%s is there", not)
	}
}
