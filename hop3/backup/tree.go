package backup

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/zeebo/blake3"

	"github.com/abilian/hop3/hop3"
)

// pack writes directories as a tar.
func pack(ctx context.Context, out io.Writer, dirs []hop3.BackupDir) (map[string]hop3.BackupTree, int, error) {
	trees, changed := map[string]hop3.BackupTree{}, 0
	members := tar.NewWriter(out)
	for _, d := range dirs {
		w := &walk{ctx: ctx, dir: d, members: members, hash: blake3.New(), buffer: make([]byte, 128<<10)}
		err := w.run()
		if errors.Is(err, fs.ErrNotExist) && d.Optional && !w.began {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("archiving %s: %w", d.Name, err)
		}
		trees[d.Name] = w.result()
		changed += w.changed
	}
	return trees, changed, members.Close()
}

// digest is pack without writing.
func digest(ctx context.Context, d hop3.BackupDir) (hop3.BackupTree, error) {
	w := &walk{ctx: ctx, dir: d, hash: blake3.New(), buffer: make([]byte, 128<<10)}
	if err := w.run(); err != nil {
		return hop3.BackupTree{}, fmt.Errorf("reading %s: %w", d.Name, err)
	}
	return w.result(), nil
}

// walk goes through a directory that an app may be changing: it is a Root, so
// that no link that appears leads out of it.
type walk struct {
	ctx     context.Context
	dir     hop3.BackupDir
	members *tar.Writer // nil only counts
	hash    *blake3.Hasher
	buffer  []byte
	exclude []*regexp.Regexp
	root    *os.Root
	began   bool
	tree    hop3.BackupTree
	changed int
}

func (w *walk) result() hop3.BackupTree {
	w.tree.Sum = "blake3:" + hex.EncodeToString(w.hash.Sum(nil))
	return w.tree
}

func (w *walk) run() (err error) {
	for _, pattern := range w.dir.Exclude {
		w.exclude = append(w.exclude, fnmatch(pattern))
	}
	if w.root, err = os.OpenRoot(w.dir.Path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.root.Close()) }()
	w.began = true
	if w.dir.Stamps != nil {
		w.dir.Stamps.Next()
	}
	return fs.WalkDir(w.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch ctxErr := context.Cause(w.ctx); {
		case ctxErr != nil:
			return ctxErr
		case errors.Is(err, fs.ErrNotExist) && name != ".":
			return w.gone()
		case err != nil:
			return err
		case name != "." && w.excluded(name) && d.IsDir():
			return fs.SkipDir
		case name != "." && w.excluded(name):
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return w.gone()
		}
		if err != nil {
			return err
		}
		return w.entry(name, info)
	})
}

// gone is what the app removed since its directory was read.
func (w *walk) gone() error {
	w.changed++
	return nil
}

func (w *walk) excluded(name string) bool {
	for _, re := range w.exclude {
		if re.MatchString(name) || re.MatchString(path.Base(name)) {
			return true
		}
		for part := range strings.SplitSeq(name, "/") {
			if re.MatchString(part) {
				return true
			}
		}
	}
	return false
}

// seen reports whether a file is as it was at an earlier look.
func (w *walk) seen(name string, info fs.FileInfo) bool {
	if w.dir.Stamps == nil {
		return false
	}
	is := hop3.FileStamp{Kind: info.Mode().Type(), Size: info.Size(), Modified: info.ModTime()}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok {
		is.Inode, is.Changed = st.Ino, time.Unix(st.Ctim.Unix())
	}
	return w.dir.Stamps.Seen(name, is, time.Now()) && ok
}

func (w *walk) entry(name string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() && name != "." {
		w.seen(name, info) // they cost nothing
	}
	switch {
	case info.IsDir():
		return w.header(name, info, tar.TypeDir, "", 0)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := w.root.Readlink(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) {
			return w.gone()
		}
		if err != nil || w.dir.NoLinksTo != "" && within(target, w.dir.NoLinksTo) {
			return err
		}
		return w.header(name, info, tar.TypeSymlink, target, 0)
	case info.Mode().IsRegular():
		return w.file(name)
	}
	return nil // sockets and the like are no content
}

func within(target, dir string) bool {
	return target == dir || strings.HasPrefix(target, dir+string(filepath.Separator))
}

// header begins a member. Owners are left out: they are this server's own.
func (w *walk) header(name string, info fs.FileInfo, kind byte, link string, size int64) error {
	w.tree.Files++
	w.tree.Bytes += size
	mode := int64(info.Mode().Perm())
	if kind == tar.TypeSymlink {
		mode = 0o777
	}
	// Lengths keep what one field ends with from being what the next begins with.
	_, _ = fmt.Fprintf(w.hash, "%c %o %d %d:%s %d:%s\n", kind, mode, size, len(name), name, len(link), link) // never fails
	if w.members == nil {
		return nil
	}
	h := &tar.Header{Typeflag: kind, Name: path.Join(w.dir.Name, name), Linkname: link, Size: size, Mode: mode, ModTime: info.ModTime().Truncate(time.Second), Format: tar.FormatPAX}
	if kind == tar.TypeDir {
		h.Name += "/"
	}
	return w.members.WriteHeader(h)
}

// file writes a file as long as it was when it was opened. Of one that becomes
// shorter meanwhile the rest is zeros, and it counts as changed.
func (w *walk) file(name string) error {
	f, err := w.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return w.gone()
	}
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return err
	}
	if !before.Mode().IsRegular() {
		return w.gone()
	}
	if w.seen(name, before) {
		return nil
	}
	size := before.Size()
	if err := w.header(name, before, tar.TypeReg, "", size); err != nil {
		return err
	}
	for left := size; left > 0; {
		n, err := io.ReadFull(f, w.buffer[:min(left, int64(len(w.buffer)))])
		if n == 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			n, err = int(min(left, int64(len(w.buffer)))), nil
			clear(w.buffer[:n])
		}
		if n == 0 && err != nil {
			return err
		}
		if err := context.Cause(w.ctx); err != nil {
			return err
		}
		_, _ = w.hash.Write(w.buffer[:n]) // never fails
		if w.dir.Read != nil {
			w.dir.Read(int64(n))
		}
		if w.members != nil {
			if _, err := w.members.Write(w.buffer[:n]); err != nil {
				return err
			}
		}
		left -= int64(n)
	}
	after, err := f.Stat()
	if err == nil && (after.Size() != size || !after.ModTime().Equal(before.ModTime())) {
		w.changed++
	}
	return err
}

// fnmatch makes an expression of a shell pattern, as Python's fnmatch reads
// it: "*" stands for anything, also for what has "/" in it.
func fnmatch(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		case '[':
			end := strings.IndexByte(pattern[min(i+2, len(pattern)):], ']')
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			end += i + 2
			set := pattern[i+1 : end]
			not := strings.HasPrefix(set, "!")
			set = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(strings.TrimPrefix(set, "!"))
			if not {
				set = "^" + set
			}
			b.WriteString("[" + set + "]")
			i = end
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil { // a range that is none, as [z-a]: it matches nothing
		return regexp.MustCompile(`\z\A.`)
	}
	return re
}
