package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
)

var _ platform.Source = (*Archive)(nil)

func file(name, content string) (tar.Header, string) {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content
}

func symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
}

// pack makes a tar.gz. Files are name and content, links and the rest headers.
func pack(t testing.TB, members ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for i := 0; i < len(members); i++ {
		var content string
		h, ok := members[i].(tar.Header)
		if !ok {
			h, content = file(members[i].(string), members[i+1].(string))
			i++
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpack unpacks into dir/into, beside which nothing may appear.
func unpack(t testing.TB, content []byte, lim Limits) (into string, err error) {
	t.Helper()
	dir := t.TempDir()
	into = filepath.Join(dir, "into")
	if err := os.Mkdir(into, 0o755); err != nil {
		t.Fatal(err)
	}
	a, err := FromReader(bytes.NewReader(content), t.TempDir(), lim)
	if err != nil {
		return into, err
	}
	defer a.Close()
	err = a.CheckOut(context.Background(), into)
	if entries, readErr := os.ReadDir(dir); readErr != nil || len(entries) != 1 {
		t.Errorf("something was written outside: %v, %v", entries, readErr)
	}
	if entries, _ := os.ReadDir(into); err != nil && len(entries) > 0 {
		t.Errorf("after the error %v there are files: %v", err, entries)
	}
	return into, err
}

func TestUnpacking(t *testing.T) {
	script := tar.Header{Typeflag: tar.TypeReg, Name: "bin/run", Mode: 0o6755}
	into, err := unpack(t, pack(t,
		"./app.py", "print()",
		"deep/er/file", "x",
		script,
		"twice", "first", "twice", "second",
		tar.Header{Typeflag: tar.TypeDir, Name: "empty/", Mode: 0o777},
		symlink("deep/link", "../app.py"),
		symlink("dangling", "not/there"),
	), Standard)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"app.py": "print()", "deep/er/file": "x", "deep/link": "print()", "twice": "second"} {
		if got, err := os.ReadFile(filepath.Join(into, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]os.FileMode{"app.py": 0o644, "bin/run": 0o755} {
		if info, err := os.Stat(filepath.Join(into, name)); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	tiny := Limits{Size: 1 << 20, Unpacked: 100, Members: 3}
	bomb := strings.Repeat("0", 101)
	for name, tt := range map[string]struct {
		members []any
		says    string
	}{
		"absolute":               {[]any{"/etc/evil", "x"}, "absolute path"},
		"climbing":               {[]any{"../evil", "x"}, "'..' in it"},
		"climbing inside":        {[]any{"a/../../evil", "x"}, "'..' in it"},
		"climbing and back":      {[]any{"a/../b", "x"}, "'..' in it"},
		"climbing directory":     {[]any{tar.Header{Typeflag: tar.TypeDir, Name: "../dir/"}}, "'..' in it"},
		"absolute link":          {[]any{symlink("l", "/etc/passwd")}, "leads out"},
		"climbing link":          {[]any{symlink("l", "../x")}, "leads out"},
		"deep climbing link":     {[]any{symlink("a/b/l", "../../../x")}, "leads out"},
		"link through a link":    {[]any{symlink("a/b", "."), symlink("l", "a/b/../../x")}, "leads out"},
		"file through a link":    {[]any{symlink("d", "."), "d/evil", "x"}, "both as a file and as a directory"},
		"link loop":              {[]any{symlink("a", "b"), symlink("b", "a")}, "leads out of it, or nowhere"},
		"hard link":              {[]any{tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: "/etc/passwd"}}, "hard link"},
		"device":                 {[]any{tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}}, "neither a file"},
		"fifo":                   {[]any{tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}}, "neither a file"},
		"file as a directory":    {[]any{"a", "x", "a/b", "x"}, "both as a file and as a directory"},
		"directory as a file":    {[]any{"a/b", "x", "a", "x"}, "both as a file and as a directory"},
		"too many members":       {[]any{"a", "", "b", "", "c", "", "d", ""}, "more than 3 files"},
		"too large":              {[]any{"a", bomb}, "larger than"},
		"too large together":     {[]any{"a", bomb[:60], "b", bomb[:60]}, "larger than"},
		"name too long":          {[]any{strings.Repeat("n", 300), "x"}, "too long"},
		"no name":                {[]any{".", "x"}, "has no name"},
		"an older link's parent": {[]any{"x", "1", symlink("x/y", "z")}, "both as a file and as a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := unpack(t, pack(t, tt.members...), tiny)
			if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v (%s), want one with %q", err, hop3.CodeOf(err), tt.says)
			}
		})
	}
}

func TestDamagedArchivesAreRefused(t *testing.T) {
	whole := pack(t, "a", strings.Repeat("abc", 1000))
	for name, content := range map[string][]byte{
		"empty":   nil,
		"no gzip": []byte("hello"),
		"no tar":  gzipped(t, "hello"),
		"cut off": whole[:len(whole)/2],
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := unpack(t, content, Standard); hop3.CodeOf(err) != hop3.CodeInvalid {
				t.Errorf("error %v, want CodeInvalid", err)
			}
		})
	}
	if _, err := unpack(t, whole, Limits{Size: 10, Unpacked: 1 << 20, Members: 10}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("too large an archive: %v", err)
	}
}

func TestACanceledCheckOutLeavesNothing(t *testing.T) {
	a, err := FromReader(bytes.NewReader(pack(t, "a", "x", "b", "y")), t.TempDir(), Standard)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := a.CheckOut(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("there are files: %v", entries)
	}
}

func FuzzCheckOut(f *testing.F) {
	f.Add(tarOf(f, "a", "x", symlink("l", "a")))
	f.Add(tarOf(f, symlink("d", "."), "d/e", "x"))
	f.Fuzz(func(t *testing.T, content []byte) {
		into, err := unpack(t, gzipped(t, string(content)), Limits{Size: 1 << 20, Unpacked: 1 << 16, Members: 20})
		if err != nil {
			return
		}
		root, err := os.OpenRoot(into)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		err = filepath.WalkDir(into, func(name string, entry os.DirEntry, err error) error {
			if err != nil || entry.Type()&os.ModeSymlink == 0 {
				return err
			}
			rel, _ := filepath.Rel(into, name)
			if _, err := root.Stat(rel); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the link %q leads out: %v", rel, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func gzipped(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(t testing.TB, members ...any) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(pack(t, members...)))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
