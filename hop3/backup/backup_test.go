package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
)

const id = "20261126_031500_a1b2c3"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, mode fs.FileMode, content string, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), mode))
	must(t, os.Chmod(path, mode))
}

// tree makes a directory with all that an app may have in one.
func tree(t *testing.T) string {
	dir := t.TempDir()
	write(t, 0o640, "hello", dir, "a.txt")
	write(t, 0o755, "#!/bin/sh\n", dir, "bin", "run")
	write(t, 0o444, strings.Repeat("long ", 200_000), dir, "deep", "er", "big")
	write(t, 0o600, "", dir, strings.Repeat("n", 200), strings.Repeat("m", 200))
	write(t, 0o600, "x", dir, "cache", "x.pyc")
	must(t, os.Symlink("/etc/hostname", filepath.Join(dir, "out")))
	must(t, os.Symlink("a.txt", filepath.Join(dir, "in")))
	must(t, os.Symlink("/volumes/up/x", filepath.Join(dir, "volume")))
	must(t, os.Link(filepath.Join(dir, "a.txt"), filepath.Join(dir, "hard")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "closed"), 0o555))
	return dir
}

// made makes a backup of a directory.
func made(t *testing.T, s *backup.Store, dir string) (string, hop3.BackupMetadata) {
	t.Helper()
	b := hop3.Backup{ID: id, App: "blog"}
	w, err := s.Begin(b)
	must(t, err)
	trees, changed, err := w.Archive(t.Context(), "data.tar.gz", hop3.BackupDir{Name: "data", Path: dir, Exclude: []string{"*.pyc"}, NoLinksTo: "/volumes"},
		hop3.BackupDir{Name: "git", Path: filepath.Join(dir, "none"), Optional: true})
	must(t, err)
	if changed != 0 || len(trees) != 1 {
		t.Errorf("%d changed, trees %v", changed, trees)
	}
	n, err := w.File(t.Context(), "addons/fake_db.sql", func(w io.Writer) error { _, err := io.WriteString(w, "select 1;"); return err })
	must(t, err)
	if n != 9 {
		t.Errorf("%d bytes were written", n)
	}
	m := hop3.BackupMetadata{ID: b.ID, App: b.App, CreatedAt: time.Now().Format(time.RFC3339), Addons: []hop3.BackupAddon{{Type: "fake", Name: "db", File: "addons/fake_db.sql"}}}
	m.AppMetadata.Hop3 = &hop3.BackupOwn{Trees: trees}
	if _, err := os.Stat(s.Dir(b)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there before it is complete: %v", err)
	}
	m, err = w.Commit(t.Context(), m)
	must(t, err)
	must(t, w.Abort())
	return s.Dir(b), m
}

func open(t *testing.T, o backup.Options) *backup.Store {
	t.Helper()
	o.Version = "test"
	s, err := backup.Open(o)
	must(t, err)
	return s
}

func TestRoundTrip(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	identity := filepath.Join(t.TempDir(), "identity")
	must(t, os.WriteFile(identity, []byte(key.String()+"\n"), 0o600))
	for name, o := range map[string]backup.Options{
		"plain":     {},
		"encrypted": {Recipients: []string{key.Recipient().String()}, Identity: identity},
	} {
		t.Run(name, func(t *testing.T) {
			o.Dir = t.TempDir()
			s := open(t, o)
			from := tree(t)
			dir, m := made(t, s, from)
			r, err := s.Open(dir)
			must(t, err)
			must(t, r.Check(t.Context()))
			to := t.TempDir()
			must(t, r.Extract(t.Context(), "data.tar.gz", func(string) string { return to }))
			got, err := s.Digest(t.Context(), hop3.BackupDir{Name: "data", Path: to})
			must(t, err)
			if want := m.Own().Trees["data"]; got != want || want.Files < 10 {
				t.Errorf("restored %+v, saved %+v", got, want)
			}
			if target, err := os.Readlink(filepath.Join(to, "out")); err != nil || target != "/etc/hostname" {
				t.Errorf("a link leads to %q, %v", target, err)
			}
			for _, gone := range []string{"volume", "cache/x.pyc", "pipe"} {
				if _, err := os.Lstat(filepath.Join(to, gone)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is there: %v", gone, err)
				}
			}
			must(t, r.Read(t.Context(), "addons/fake_db.sql", func(in io.Reader) error {
				text, err := io.ReadAll(in)
				if string(text) != "select 1;" {
					t.Errorf("the dump is %q", text)
				}
				return err
			}))
			must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				info, infoErr := d.Info()
				if mode := info.Mode().Perm(); mode&0o077 != 0 {
					t.Errorf("%s has mode %v", path, mode)
				}
				text, _ := os.ReadFile(path)
				if name == "encrypted" && !d.IsDir() && filepath.Base(path) != "metadata.json" && !bytes.HasPrefix(text, []byte("age-encryption.org/v1")) {
					t.Errorf("%s is not encrypted", path)
				}
				return errors.Join(err, infoErr)
			}))
			must(t, s.Remove(hop3.Backup{ID: id, App: "blog"}))
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
		})
	}
}

// What the system's own programs, and Hop3 in Python, make of our files is what
// we put in, also when it is many members of gzip.
func TestOtherProgramsReadIt(t *testing.T) {
	s := open(t, backup.Options{Dir: t.TempDir()})
	from := tree(t)
	write(t, 0o644, strings.Repeat("a line of many\n", 200_000), from, "many")
	dir, m := made(t, s, from)
	const restore = "import sys, tarfile\nwith tarfile.open(sys.argv[1], 'r:gz') as t: t.extractall(sys.argv[2])"
	for program, argv := range map[string][]string{
		"tar":     {"tar", "-C", "DIR", "-xzpf", "FILE"},
		"python3": {"python3", "-W", "ignore", "-c", restore, "FILE", "DIR"},
	} {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("NOT TESTED: there is no %s here", program)
			}
			to := t.TempDir()
			for i, arg := range argv {
				switch arg {
				case "DIR":
					argv[i] = to
				case "FILE":
					argv[i] = filepath.Join(dir, "data.tar.gz")
				}
			}
			if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got, err := s.Digest(t.Context(), hop3.BackupDir{Name: "data", Path: filepath.Join(to, "data")})
			must(t, err)
			if want := m.Own().Trees["data"]; got != want {
				t.Errorf("%s made %+v, saved %+v", program, got, want)
			}
		})
	}
}

func TestDamageIsSeen(t *testing.T) {
	s := open(t, backup.Options{Dir: t.TempDir()})
	dir, _ := made(t, s, tree(t))
	file := filepath.Join(dir, "data.tar.gz")
	whole, err := os.ReadFile(file)
	must(t, err)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, spoil := range map[string]func() error{
		"flipped": func() error { return os.WriteFile(file, flipped, 0o600) },
		"cut off": func() error { return os.WriteFile(file, whole[:len(whole)-9], 0o600) },
		"a link": func() error {
			return errors.Join(os.WriteFile(file+".x", whole, 0o600), os.Symlink("data.tar.gz.x", file))
		},
		"gone": func() error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(file)
			must(t, spoil())
			r, err := s.Open(dir)
			must(t, err)
			if err := r.Check(t.Context()); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "data.tar.gz") {
				t.Errorf("the check says %v", err)
			}
			if err := r.Extract(t.Context(), "data.tar.gz", func(string) string { return t.TempDir() }); err == nil {
				t.Error("it was unpacked")
			}
		})
	}
}

// Metadata of a stranger leads nowhere.
func TestHostileMetadata(t *testing.T) {
	s := open(t, backup.Options{Dir: t.TempDir()})
	for name, text := range map[string]string{
		"no text":    "",
		"an id":      `{"backup_id": "../../x", "app_name": "blog", "format_version": "1.0"}`,
		"an app":     `{"backup_id": "` + id + `", "app_name": "../x", "format_version": "1.0"}`,
		"a version":  `{"backup_id": "` + id + `", "app_name": "blog", "format_version": "9"}`,
		"a file":     `{"backup_id": "` + id + `", "app_name": "blog", "format_version": "1.0", "checksums": {"../../etc/passwd": "sha256:0"}}`,
		"absolute":   `{"backup_id": "` + id + `", "app_name": "blog", "format_version": "1.0", "checksums": {"/etc/passwd": "sha256:0"}}`,
		"a volume":   `{"backup_id": "` + id + `", "app_name": "blog", "format_version": "1.0", "checksums": {"v": "sha256:0"}, "volumes": [{"name": "../x", "backup_file": "v"}]}`,
		"unchecked":  `{"backup_id": "` + id + `", "app_name": "blog", "format_version": "1.0", "addons": [{"type": "a", "name": "b", "backup_file": "x"}]}`,
		"a cipher":   `{"backup_id": "` + id + `", "app_name": "blog", "format_version": "1.0", "app_metadata": {"hop3": {"encryption": "rot13"}}}`,
		"itself":     `{"backup_id": "` + id + `", "app_name": "blog", "format_version": "1.0", "checksums": {"metadata.json": "sha256:0"}}`,
		"three deep": `{"backup_id": "` + id + `", "app_name": "blog", "format_version": "1.0", "checksums": {"a/b/c": "sha256:0"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(text), 0o600))
			if _, err := s.Open(dir); hop3.CodeOf(err) != hop3.CodeInvalid {
				t.Errorf("it is opened: %v", err)
			}
		})
	}
	if _, err := s.Open(t.TempDir()); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("nothing is opened: %v", err)
	}
}

func TestAnAbortedOrHalfBackupIsNone(t *testing.T) {
	s := open(t, backup.Options{Dir: t.TempDir()})
	b := hop3.Backup{ID: id, App: "blog"}
	dir := tree(t)
	w, err := s.Begin(b)
	must(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, _, err := w.Archive(ctx, "data.tar.gz", hop3.BackupDir{Name: "data", Path: dir}); !errors.Is(err, stop) {
		t.Errorf("a canceled one says %v", err)
	}
	must(t, w.Abort())
	_, err = s.Begin(b) // and the server ends
	must(t, err)
	_, err = s.Scratch(id)
	must(t, err)
	must(t, s.Sweep())
	left, err := filepath.Glob(filepath.Join(filepath.Dir(s.Dir(b)), "*"))
	hidden, err2 := filepath.Glob(filepath.Join(filepath.Dir(s.Dir(b)), ".*"))
	if must(t, errors.Join(err, err2)); len(left)+len(hidden) > 0 {
		t.Errorf("%v and %v are left", left, hidden)
	}
}

// What an app changes while it is copied is counted, and spoils nothing.
func TestFilesThatChange(t *testing.T) {
	s := open(t, backup.Options{Dir: t.TempDir()})
	dir := t.TempDir()
	for i := range 50 {
		write(t, 0o644, strings.Repeat("x", 1<<15), dir, fmt.Sprint(i))
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			path := filepath.Join(dir, fmt.Sprint(rand.IntN(50)))
			_ = os.Truncate(path, rand.Int64N(1<<16))
			_ = os.Remove(filepath.Join(dir, fmt.Sprint(rand.IntN(50))))
			_ = os.WriteFile(path, []byte("new"), 0o644)
		}
	}()
	w, err := s.Begin(hop3.Backup{ID: id, App: "blog"})
	must(t, err)
	trees, _, err := w.Archive(t.Context(), "data.tar.gz", hop3.BackupDir{Name: "data", Path: dir})
	close(stop)
	<-ended
	must(t, err)
	_, err = w.Commit(t.Context(), hop3.BackupMetadata{ID: id, App: "blog"})
	must(t, err)
	r, err := s.Open(s.Dir(hop3.Backup{ID: id, App: "blog"}))
	must(t, err)
	to := t.TempDir()
	must(t, r.Extract(t.Context(), "data.tar.gz", func(string) string { return to }))
	got, err := s.Digest(t.Context(), hop3.BackupDir{Name: "data", Path: to})
	if must(t, err); got != trees["data"] {
		t.Errorf("restored %+v, saved %+v", got, trees["data"])
	}
}
