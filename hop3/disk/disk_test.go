package disk_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/abilian/hop3/hop3/disk"
	"github.com/abilian/hop3/hop3/platform"
)

var _ platform.Files = disk.Files{}

const runAsNobody = "HOP3_TEST_REMOVE"

// TestMain is also the program that removes a tree without root's rights.
func TestMain(m *testing.M) {
	if dir := os.Getenv(runAsNobody); dir != "" {
		if err := (disk.Files{}).Remove(dir); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// readOnlyTree makes a tree as Go's module cache is, with a link out of it.
func readOnlyTree(t *testing.T, dir, outside string) {
	t.Helper()
	do(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	do(t, os.WriteFile(filepath.Join(dir, "a", "b", "file"), nil, 0o444))
	do(t, os.Symlink(outside, filepath.Join(dir, "a", "out")))
	for _, d := range []string{"a/b", "a", "."} {
		do(t, os.Chmod(filepath.Join(dir, d), 0o555))
	}
}

func TestRemoveReadOnlyTree(t *testing.T) {
	// Not t.TempDir, which nobody else may enter.
	base, err := os.MkdirTemp("", "hop3-disk-")
	do(t, err)
	t.Cleanup(func() { do(t, os.RemoveAll(base)) })
	do(t, os.Chmod(base, 0o777)) // whatever the umask
	outside := filepath.Join(base, "outside")
	do(t, os.Mkdir(outside, 0o555))
	do(t, os.Chmod(outside, 0o555))
	tree := filepath.Join(base, "tree")
	readOnlyTree(t, tree, outside)

	if os.Geteuid() != 0 {
		do(t, disk.Files{}.Remove(tree))
	} else {
		// Root may write everywhere: somebody else has to try.
		self, err := os.ReadFile(os.Args[0])
		do(t, err)
		program := filepath.Join(base, "program")
		do(t, os.WriteFile(program, self, 0o755))
		do(t, os.Chmod(program, 0o755))
		do(t, filepath.WalkDir(base, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, 65534, 65534)
		}))
		cmd := exec.Command(program)
		cmd.Dir = base
		cmd.Env = append(os.Environ(), runAsNobody+"="+tree)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if _, err := os.Lstat(tree); !os.IsNotExist(err) {
		t.Errorf("the tree is still there: %v", err)
	}
	info, err := os.Stat(outside)
	do(t, err)
	if info.Mode().Perm() != 0o555 {
		t.Errorf("a directory outside now has mode %v", info.Mode())
	}
	do(t, disk.Files{}.Remove(tree))
}

func TestLink(t *testing.T) {
	var files disk.Files
	dir := t.TempDir()
	link := filepath.Join(dir, "src")
	for _, target := range []string{"releases/1", "releases/2"} {
		do(t, files.Link(target, link))
		if got, err := os.Readlink(link); got != target || err != nil {
			t.Errorf("the link is %q, %v", got, err)
		}
	}
	names, err := files.List(dir)
	if !slices.Equal(names, []string{"src"}) || err != nil {
		t.Errorf("the directory has %v, %v", names, err)
	}
	other := filepath.Join(dir, "other")
	do(t, files.MakeDir(other))
	if files.Link("releases/1", other) == nil {
		t.Error("a directory was replaced by a link")
	}
}

func TestOpenStaysInside(t *testing.T) {
	var files disk.Files
	dir := t.TempDir()
	do(t, os.WriteFile(filepath.Join(dir, "file"), []byte("in"), 0o600))
	do(t, os.Symlink("file", filepath.Join(dir, "in")))
	do(t, os.Symlink("/etc/passwd", filepath.Join(dir, "out")))
	do(t, os.Symlink("..", filepath.Join(dir, "up")))
	src, err := files.Open(dir)
	do(t, err)
	if data, err := fs.ReadFile(src, "in"); string(data) != "in" || err != nil {
		t.Errorf("the link inside reads %q, %v", data, err)
	}
	for _, name := range []string{"out", "up/x", "../x", "/etc/passwd"} {
		if _, err := fs.ReadFile(src, name); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if _, err := fs.ReadDir(src, "up"); err == nil {
		t.Error("the parent was read")
	}
	if _, err := files.Open(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestListAndFree(t *testing.T) {
	var files disk.Files
	none := filepath.Join(t.TempDir(), "none", "deep")
	if names, err := files.List(none); names != nil || err != nil {
		t.Errorf("got %v, %v", names, err)
	}
	if bytes, inodes, err := files.Free(none); bytes == 0 || inodes == 0 || err != nil {
		t.Errorf("got %d, %d, %v", bytes, inodes, err)
	}
}
