package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// The modes of tree entries that are not plain files.
const (
	modeTree    = "040000"
	modeLink    = "120000"
	modeGitlink = "160000"
)

// maxLinkTarget is the longest path the kernel follows.
const maxLinkTarget = 4096

// CheckOut writes the commit's files into dir. It first looks at the whole tree
// and refuses, having written nothing, when a symbolic link leads out of it or
// when there is too much of it. Submodules become empty directories.
func (c *Commit) CheckOut(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("checking out: %w", err)
	}
	if err := c.checkTree(ctx); err != nil {
		return err
	}
	index, err := os.MkdirTemp(c.dir, "checkout-")
	if err != nil {
		return fmt.Errorf("checking out: %w", err)
	}
	defer os.RemoveAll(index)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(index, "index"), "GIT_WORK_TREE=" + dir}
	for _, args := range [][]string{
		{"read-tree", c.commit.Hash.String()},
		{"checkout-index", "--all", "--force", "--quiet"},
	} {
		cmd := c.git(args...)
		cmd.dir = dir
		cmd.env = append(cmd.env, env...)
		if err := cmd.run(ctx); err != nil {
			return fmt.Errorf("checking out %s: %w", c.commit.Hash, err)
		}
	}
	if err := plainModes(dir); err != nil {
		return fmt.Errorf("checking out %s: %w", c.commit.Hash, err)
	}
	return nil
}

// git returns a run of git that sees the commit's objects.
func (c *Commit) git(args ...string) *child {
	cmd := c.repos.git(c.dir, args...)
	if c.quarantine != "" {
		cmd.env = append(cmd.env,
			"GIT_QUARANTINE_PATH="+c.quarantine,
			"GIT_OBJECT_DIRECTORY="+c.quarantine,
			"GIT_ALTERNATE_OBJECT_DIRECTORIES="+filepath.Join(c.dir, "objects"))
	}
	return cmd
}

// checkTree says whether the tree may be checked out. Git lists it, in its
// limited process: a few small trees nested in each other can spell out to
// billions of files.
func (c *Commit) checkTree(ctx context.Context) error {
	ctx, enough := context.WithCancelCause(ctx)
	defer enough(nil)
	listing, w := io.Pipe()
	var tree treeCheck
	checked := make(chan error, 1)
	go func() {
		err := errors.New("panic while checking a tree")
		defer func() { checked <- err }()
		defer c.repos.recovered("checking a tree")
		if err = tree.read(listing, c.repos.cfg); err != nil {
			enough(err) // git need not go on listing what is refused
		}
		_ = listing.CloseWithError(io.ErrClosedPipe)
	}()
	cmd := c.git("ls-tree", "-r", "-t", "-l", "-z", "--full-tree", c.commit.Hash.String())
	cmd.stdout = w
	err := cmd.run(ctx)
	_ = w.Close()
	if refused := <-checked; refused != nil {
		return refused
	}
	if err != nil {
		return fmt.Errorf("listing the files of %s: %w", c.commit.Hash, err)
	}
	for _, name := range tree.submodules {
		c.out.Log(hop3.LogLine{Text: fmt.Sprintf("The submodule %s is not checked out: Hop3 does not fetch submodules.", name), Level: 1, Color: "yellow"})
	}
	return errors.Join(c.checkLinks(tree.links), tree.checkRoom(c.dir))
}

// checkRoom refuses what is too large for the disk of the repository, which is
// that of the checkout too.
func (t *treeCheck) checkRoom(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("reading the free space of %s: %w", dir, err)
	}
	if free := int64(s.Bavail) * s.Bsize; t.bytes > free {
		return hop3.Errorf(hop3.CodeUnavailable, "the server's disk is full: the commit's files have %d MB, and %d MB are left", t.bytes>>20, free>>20)
	}
	if s.Files > 0 && uint64(t.files) > s.Ffree {
		return hop3.Errorf(hop3.CodeUnavailable, "the server's disk is full: the commit has %d files and directories, and there is room for %d", t.files, s.Ffree)
	}
	return nil
}

// checkLinks refuses links that lead out of the tree, also by way of others.
func (c *Commit) checkLinks(links map[string]plumbing.Hash) error {
	targets := make(map[string]string, len(links))
	for name, blob := range links {
		target, err := c.linkTarget(blob)
		if err != nil {
			return fmt.Errorf("reading the symbolic link %s: %w", name, err)
		}
		targets[name] = target
	}
	lookup := func(name string) (string, error) { return targets[name], nil }
	for name, target := range targets {
		// A loop, or a link to nothing, harms nobody.
		if _, err := follow(name, lookup); errors.Is(err, errEscapes) {
			return hop3.Errorf(hop3.CodeInvalid, "the symbolic link %s points to %s, outside of the app's directory", Printable(name), Printable(target))
		}
	}
	return nil
}

// linkTarget reads where a symbolic link points to.
func (c *Commit) linkTarget(blob plumbing.Hash) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, err := c.read(blob, maxLinkTarget)
	return string(data), err
}

// read returns a blob of at most limit bytes. The caller holds c.mu.
func (c *Commit) read(blob plumbing.Hash, limit int64) (_ []byte, err error) {
	size, err := c.store.EncodedObjectSize(blob)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, hop3.Errorf(hop3.CodeInvalid, "it is %d bytes long; at most %d are read", size, limit)
	}
	obj, err := c.store.EncodedObject(plumbing.BlobObject, blob)
	if err != nil {
		return nil, err
	}
	r, err := obj.Reader()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.LimitReader(r, limit))
}

// treeCheck is what is learnt from git's listing of a tree.
type treeCheck struct {
	files      int
	bytes      int64
	links      map[string]plumbing.Hash
	submodules []string
}

func (t *treeCheck) read(listing io.Reader, cfg Config) error {
	t.links = map[string]plumbing.Hash{}
	entries := bufio.NewScanner(listing)
	entries.Split(splitNUL)
	for entries.Scan() {
		if err := t.add(entries.Text()); err != nil {
			return err
		}
		if t.files > cfg.MaxFiles {
			return hop3.Errorf(hop3.CodeInvalid, "the commit has more than %d files and directories", cfg.MaxFiles)
		}
		if t.bytes > cfg.MaxTree {
			return hop3.Errorf(hop3.CodeInvalid, "the commit's files are larger than %d MB together", cfg.MaxTree>>20)
		}
	}
	if errors.Is(entries.Err(), bufio.ErrTooLong) {
		return hop3.Errorf(hop3.CodeInvalid, "the commit has a file whose path is too long")
	}
	return entries.Err()
}

// add takes one entry: "<mode> <type> <hash> <size>\t<path>", the size padded.
func (t *treeCheck) add(entry string) error {
	meta, name, _ := strings.Cut(entry, "\t")
	fields := strings.Fields(meta)
	if len(fields) != 4 || name == "" {
		return fmt.Errorf("unexpected line %q of git ls-tree", entry)
	}
	t.files++
	switch fields[0] {
	case modeTree:
		return nil
	case modeGitlink:
		t.submodules = append(t.submodules, name)
		return nil
	case modeLink:
		t.links[name] = plumbing.NewHash(fields[2])
	}
	size, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		return fmt.Errorf("unexpected line %q of git ls-tree", entry)
	}
	t.bytes += size
	return nil
}

func splitNUL(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// plainModes gives files and directories the modes 0644 and 0755, whatever the
// server's umask is: other users, as which apps may run, must read them.
func plainModes(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if info.IsDir() || info.Mode()&0o100 != 0 {
			want = 0o755
		}
		if info.Mode().Perm() == want {
			return nil
		}
		return os.Chmod(name, want)
	})
}
