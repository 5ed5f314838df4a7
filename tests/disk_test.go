package tests

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// brimApp serves its file "version". With a file "at-health" it runs that with
// a shell before it answers for the first time.
var brimApp = map[string]string{
	"Procfile": "web: python3 app.py\n",
	"app.py": `import http.server, os, subprocess

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists("at-health"):
            subprocess.run(["sh", "at-health"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open("version", "rb").read())
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`,
}

// brimStep is a moment of a deploy at which the disk becomes full.
type brimStep struct {
	name     string
	files    map[string]string           // of the pushed commit
	before   func(t *testing.T, b *brim) // runs before the push
	says     string                      // in what the pusher reads
	accepted bool                        // the push may go through all the same
}

// brim is a server whose home is a small disk, and an app on it.
type brim struct {
	*server
	app     string
	dir     string // the repository
	version int    // what serves
}

func startBrim(t *testing.T, mount string, env ...string) *brim {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	s, err := newServer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", s.home, "tmpfs", 0, "mode=755,"+mount); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.end()
		if err := unix.Unmount(s.home, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log, _ := os.ReadFile(s.log)
			t.Logf("server log:\n%s", tail(log, 12000))
		}
	})
	s.env = append(s.env, env...)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	b := &brim{server: s, app: "brim", version: 1}
	b.begin(t)
	return b
}

// begin deploys the first version.
func (b *brim) begin(t *testing.T) {
	t.Helper()
	var err error
	if b.dir, err = b.repository(b.app, brimApp); err != nil {
		t.Fatal(err)
	}
	if err := b.logIn(); err != nil {
		t.Fatal(err)
	}
	if err := b.commit(b.dir, map[string]string{"version": "1\n"}); err != nil {
		t.Fatal(err)
	}
	if out, err := b.run(b.dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(out)
	}
}

// fill leaves that many bytes of the disk.
func (b *brim) fill(t *testing.T, but int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(b.home, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	piece := make([]byte, 1<<20)
	for len(piece) > 0 {
		if _, err := f.Write(piece); errors.Is(err, syscall.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Truncate(info.Size() - but)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fillFiles leaves that many inodes of the disk.
func (b *brim) fillFiles(t *testing.T, but int) {
	t.Helper()
	dir := filepath.Join(b.home, "fill")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(n)))
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	for i := range but {
		if err := os.Remove(filepath.Join(dir, strconv.Itoa(n-1-i))); err != nil {
			t.Fatal(err)
		}
	}
}

// free removes what has filled the disk, also what the app has in its home.
func (b *brim) free(t *testing.T) {
	t.Helper()
	for _, name := range []string{"fill", "apps/" + b.app + "/data/fill", "apps/" + b.app + "/data/at", "apps/" + b.app + "/cache/home/at"} {
		if err := os.RemoveAll(filepath.Join(b.home, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// prepare commits a next version, without what the one before had of its own.
func (b *brim) prepare(t *testing.T, files map[string]string) (version int) {
	t.Helper()
	for _, name := range []string{"hop3.toml", "at-health", "large", "many"} {
		if err := os.RemoveAll(filepath.Join(b.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	version = b.version + 1
	all := map[string]string{"version": strconv.Itoa(version) + "\n"}
	for _, more := range []map[string]string{brimApp, files} {
		for name, text := range more {
			all[name] = text
		}
	}
	if err := b.commit(b.dir, all); err != nil {
		t.Fatal(err)
	}
	return version
}

// push commits and pushes a next version.
func (b *brim) push(t *testing.T, files map[string]string) (version int, out string, err error) {
	t.Helper()
	version = b.prepare(t, files)
	out, err = b.run(b.dir, "git", "push", "-f", "hop3", "main")
	return version, out, err
}

// serving checks that exactly this version answers.
func (b *brim) serving(t *testing.T, version int) {
	t.Helper()
	if serves, err := b.served(b.app); err != nil || serves != strconv.Itoa(version) {
		t.Errorf("serves %q, %v, want %d", serves, err, version)
	}
}

// whole checks that the branch, the database, the processes and the files say
// the same.
func (b *brim) whole(t *testing.T) {
	t.Helper()
	if err := b.consistent(b.app, b.dir, strconv.Itoa(b.version)); err != nil {
		t.Error(err)
	}
	out, err := b.run(b.dir, "python3", "-c", "import sqlite3; print(sqlite3.connect('file:"+b.home+"/hop3.db?mode=ro', uri=True).execute('PRAGMA integrity_check').fetchone()[0])")
	if err != nil || strings.TrimSpace(out) != "ok" {
		t.Errorf("the database: %s, %v", out, err)
	}
	for _, pattern := range []string{"run/*.tar.gz", "apps/.*", "apps/*/.link-*", "apps/*/git.*", "apps/*/releases/pruned-*"} {
		if left, _ := filepath.Glob(filepath.Join(b.home, pattern)); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
	}
}

// through has the disk become full at a moment of a push, and checks what is
// promised about it.
func (b *brim) through(t *testing.T, step brimStep) {
	if step.before != nil {
		step.before(t, b)
	}
	version, out, err := b.push(t, step.files)
	if err == nil && !step.accepted {
		t.Errorf("the push was accepted:\n%s", out)
	}
	if err == nil {
		b.version = version
	} else if n := strings.Count(out, step.says); n != 1 {
		t.Errorf("the pusher reads %q %d times:\n%s", step.says, n, out)
	}
	if strings.Contains(out, "internal error") {
		t.Errorf("the pusher reads:\n%s", out)
	}
	b.serving(t, b.version)
	b.free(t)
	if version, out, err = b.push(t, nil); err != nil {
		t.Fatalf("with room again: %v\n%s", err, out)
	}
	b.version = version
	b.serving(t, b.version)
	b.whole(t)
}

// noise is what does not compress.
func noise(size int) string {
	random := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(random)
	return string(random)
}

const diskIsFull = "the server's disk is full"

func build(hook, command string) map[string]string {
	return map[string]string{"hop3.toml": fmt.Sprintf("[build]\n%s = %q\n", hook, command)}
}

func beforeRun(command string) map[string]string {
	return map[string]string{"hop3.toml": fmt.Sprintf("[run]\nbefore-run = %q\n", command)}
}

// TestFullDisk fills the disk of the home at every step of a deploy. The old
// release serves on, the pusher is told in one sentence, and once there is room
// again the next push works, without a restart.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	b := startBrim(t, "size=48m", "MIN_FREE_SPACE=8M", "MIN_FREE_FILES=100")
	const zeros = "cat /dev/zero > "
	for _, step := range []brimStep{
		{name: "before it begins", before: func(t *testing.T, b *brim) { b.fill(t, 4<<20) },
			says: "not enough disk space to deploy 'brim'"},
		{name: "receiving", before: func(t *testing.T, b *brim) { b.fill(t, 9<<20) },
			files: map[string]string{"large": noise(12 << 20)}, says: diskIsFull},
		{name: "checkout", before: func(t *testing.T, b *brim) { b.fill(t, 9<<20) },
			files: map[string]string{"large": strings.Repeat("0", 24<<20)}, says: diskIsFull},
		{name: "a build that fails", files: build("before-build", zeros+"fill"),
			says: "the command `cat /dev/zero > fill` failed"},
		{name: "a build that does not mind", files: build("before-build", zeros+"fill || true"), says: diskIsFull},
		{name: "the end of a build", files: build("after-build", zeros+"fill || true"), says: diskIsFull},
		{name: "before the start", files: beforeRun(zeros + "$HOME/fill || true"), says: diskIsFull, accepted: true},
		{name: "a start that fails", files: beforeRun(zeros + "$HOME/fill"), says: "the command `cat /dev/zero > $HOME/fill` before the start ended with exit status 1"},
		{name: "before the switch", files: map[string]string{"at-health": zeros + "$HOME/fill"}, says: diskIsFull, accepted: true},
	} {
		t.Run(step.name, func(t *testing.T) { b.through(t, step) })
	}
	t.Run("what serves", b.goesOn)
}

// goesOn checks what has to go on while the disk is full: apps are started
// again, the server itself can be, and its commands say what the matter is.
func (b *brim) goesOn(t *testing.T) {
	version, out, err := b.push(t, map[string]string{"large": strings.Repeat("x", 1<<20)})
	if err != nil {
		t.Fatal(out)
	}
	b.version = version
	b.fill(t, 0)
	for _, pid := range b.processesOf("brim") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	b.serving(t, b.version)
	b.signal(syscall.SIGKILL)
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	b.serving(t, b.version)
	// It may go through: the database's journal keeps the room it once had.
	if out, err := b.run(b.dir, "hop3", "env", "set", "--app", "brim", "COLOUR=blue"); err != nil && !strings.Contains(out, diskIsFull) {
		t.Errorf("env set: %v\n%s", err, out)
	} else {
		t.Logf("env set: %v", err)
	}
	b.serving(t, b.version)
	if out, err := b.run(b.dir, "hop3", "app", "destroy", "--app", "brim", "--confirm", "brim"); err != nil {
		t.Errorf("destroying an app to make room: %v\n%s", err, out)
	}
	b.free(t)
}

// TestFullInodes is TestFullDisk for a disk that has room for no more files.
func TestFullInodes(t *testing.T) {
	t.Parallel()
	b := startBrim(t, "size=100m,nr_inodes=2000", "MIN_FREE_SPACE=8M", "MIN_FREE_FILES=300")
	files := func(dir string) string {
		return "mkdir -p " + dir + "; i=0; while true > " + dir + "/$i; do i=$((i+1)); done 2> /dev/null; true"
	}
	many := map[string]string{}
	for i := range 600 {
		many[fmt.Sprintf("many/%d", i)] = "x"
	}
	for _, step := range []brimStep{
		{name: "before it begins", before: func(t *testing.T, b *brim) { b.fillFiles(t, 100) },
			says: "not enough disk space to deploy 'brim'"},
		{name: "checkout", before: func(t *testing.T, b *brim) { b.fillFiles(t, 400) }, files: many, says: diskIsFull},
		{name: "a build that fails", files: build("before-build", files("fill")+"; touch fill/again"),
			says: "cannot touch"},
		{name: "a build that does not mind", files: build("before-build", files("fill")), says: diskIsFull, accepted: true},
		{name: "before the start", files: beforeRun(files("$HOME/fill")), says: diskIsFull, accepted: true},
		{name: "before the switch", files: map[string]string{"at-health": files("$HOME/fill")}, says: diskIsFull, accepted: true},
	} {
		t.Run(step.name, func(t *testing.T) { b.through(t, step) })
	}
}
