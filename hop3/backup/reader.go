package backup

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"filippo.io/age"
	"github.com/klauspost/compress/gzip"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/archive"
)

// maxMetadata is far above any real metadata.
const maxMetadata = 16 << 20

// reader is a backup on this server's disk. Its directory may be anybody's
// work: it is a Root for each look at it.
type reader struct {
	store *Store
	dir   string
	meta  hop3.BackupMetadata
	sum   string
	// whole are the files that Check has found to be what they should, as they
	// were then.
	mu    sync.Mutex
	whole map[string]identity
	watch func(bytes int64) // nil for nobody
}

// identity tells a file, and a change of it, from another: nobody but the
// system sets the time of its last change.
type identity struct{ device, inode, size, changed int64 }

func identityOf(f *os.File) (identity, error) {
	info, err := f.Stat()
	if err != nil {
		return identity{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, errors.ErrUnsupported
	}
	return identity{int64(st.Dev), int64(st.Ino), st.Size, st.Ctim.Nano()}, nil
}

func (s *Store) open(dir string) (*reader, error) {
	r := &reader{store: s, dir: dir}
	text, err := r.small(metadataFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hop3.Errorf(hop3.CodeNotFound, "There is no backup in %s: it has no %s.", dir, metadataFile)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &r.meta); err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "The metadata of the backup in %s cannot be read: %w.", dir, err)
	}
	return r, r.validate()
}

// small reads a file that is small.
func (r *reader) small(name string) ([]byte, error) {
	f, err := r.file(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMetadata+1))
	if err == nil && len(text) > maxMetadata {
		err = hop3.Errorf(hop3.CodeInvalid, "The file %s of the backup is larger than %d MB.", name, maxMetadata>>20)
	}
	sum := newSum(io.Discard)
	_, _ = sum.Write(text) // never fails
	r.sum = sum.String()
	return text, err
}

// validate refuses metadata that would lead astray.
func (r *reader) validate() error {
	m := &r.meta
	if err := check(hop3.Backup{ID: m.ID, App: m.App}); err != nil {
		return err
	}
	if m.FormatVersion != hop3.BackupFormat {
		return hop3.Errorf(hop3.CodeInvalid, "The backup %s has the format %.20q; this Hop3 reads %s.", m.ID, m.FormatVersion, hop3.BackupFormat)
	}
	if e := m.Own().Encryption; e != "" && e != "age" {
		return hop3.Errorf(hop3.CodeInvalid, "The backup %s is encrypted by %.20q; this Hop3 reads age.", m.ID, e)
	}
	for name := range m.Checksums {
		if !validName(name) || name == metadataFile {
			return hop3.Errorf(hop3.CodeInvalid, "The backup %s names a file that cannot be one of its own: %.80q.", m.ID, name)
		}
	}
	var names []string
	for _, v := range m.Volumes {
		if err := hop3.ValidateVolumeName(v.Name); err != nil {
			return err
		}
		names = append(names, v.File)
	}
	for _, a := range m.Addons {
		names = append(names, a.File)
	}
	for _, name := range names {
		if !r.Has(name) {
			return hop3.Errorf(hop3.CodeInvalid, "The backup %s has no checksum of its file %.80q.", m.ID, name)
		}
	}
	return nil
}

// file opens a file of the backup; a link in it leads nowhere.
func (r *reader) file(name string) (*os.File, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(filepath.FromSlash(name))
	if err == nil && !info.Mode().IsRegular() {
		err = hop3.Errorf(hop3.CodeInvalid, "%s of the backup is no file.", name)
	}
	if err != nil {
		return nil, err
	}
	return root.Open(filepath.FromSlash(name))
}

// Metadata implements hop3.BackupReader.
func (r *reader) Metadata() hop3.BackupMetadata { return r.meta }

// Sum implements hop3.BackupReader.
func (r *reader) Sum() string { return r.sum }

// Watch implements hop3.BackupReader.
func (r *reader) Watch(read func(bytes int64)) { r.watch = read }

// stored is the name of a file as it lies there.
func (r *reader) stored(name string) string {
	if r.meta.Own().Encryption == "age" {
		return name + ageSuffix
	}
	return name
}

// Has implements hop3.BackupReader.
func (r *reader) Has(name string) bool {
	_, ok := r.meta.Checksums[r.stored(name)]
	return ok
}

// Check implements hop3.BackupReader.
func (r *reader) Check(ctx context.Context) error {
	var wrong []string
	for name, want := range r.meta.Checksums {
		got, err := r.sumOf(ctx, name)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			wrong = append(wrong, name+" cannot be read: "+err.Error())
		case got != want:
			r.forget(name)
			wrong = append(wrong, name+" is not what was saved: its checksum differs")
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return hop3.Errorf(hop3.CodeInvalid, "The backup %s is damaged: %s.", r.meta.ID, strings.Join(wrong, "; ")).
		WithHint("Nothing was restored. Use another backup: `hop3 backup list` shows them.")
}

func (r *reader) sumOf(ctx context.Context, name string) (string, error) {
	f, err := r.file(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	was, err := identityOf(f)
	if err != nil {
		return "", err
	}
	sum := newSum(io.Discard)
	_, err = io.CopyBuffer(struct{ io.Writer }{sum}, &stoppable{ctx, f, r.watch}, make([]byte, 256<<10))
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.whole == nil {
			r.whole = map[string]identity{}
		}
		r.whole[name] = was
	}
	return sum.String(), err
}

func (r *reader) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.whole, name)
}

// unchanged reports whether Check has seen a file as it is now.
func (r *reader) unchanged(name string, f *os.File) bool {
	now, err := identityOf(f)
	r.mu.Lock()
	defer r.mu.Unlock()
	was, seen := r.whole[name]
	return err == nil && seen && was == now
}

// stoppable reads until its context ends, and says how much.
type stoppable struct {
	ctx context.Context
	io.Reader
	read func(bytes int64) // nil for nobody
}

func (s *stoppable) Read(b []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	n, err := s.Reader.Read(b)
	if s.read != nil && n > 0 {
		s.read(int64(n))
	}
	return n, err
}

// Read implements hop3.BackupReader. What is read is compared with its
// checksum, unless Check did so and the file is as it was then.
func (r *reader) Read(ctx context.Context, name string, read func(io.Reader) error) error {
	stored := r.stored(name)
	want, ok := r.meta.Checksums[stored]
	if !ok {
		return hop3.Errorf(hop3.CodeNotFound, "The backup %s has no %s.", r.meta.ID, name)
	}
	f, err := r.file(stored)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, before := newSum(io.Discard), r.unchanged(stored, f)
	var all io.Reader = &stoppable{ctx, f, r.watch}
	if !before {
		all = io.TeeReader(all, sum)
	}
	plain := all
	if stored != name {
		identities, err := r.store.identities()
		if err != nil {
			return err
		}
		if plain, err = age.Decrypt(bufio.NewReaderSize(all, 128<<10), identities...); err != nil {
			return hop3.Errorf(hop3.CodeInvalid, "%s of the backup %s cannot be decrypted: %w.", name, r.meta.ID, err).
				WithHint("BACKUP_AGE_IDENTITY must name a file with the identity of one of its recipients.")
		}
	}
	if err := read(plain); err != nil {
		return err
	}
	if before && r.unchanged(stored, f) {
		return nil
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if before || sum.String() != want {
		return hop3.Errorf(hop3.CodeInvalid, "%s of the backup %s changed while it was read.", name, r.meta.ID)
	}
	return nil
}

// Extract implements hop3.BackupReader.
func (r *reader) Extract(ctx context.Context, name string, into func(top string) string) error {
	return r.Read(ctx, name, func(in io.Reader) error {
		zipped, err := gzip.NewReader(bufio.NewReaderSize(in, 256<<10))
		if err != nil {
			return hop3.Errorf(hop3.CodeInvalid, "%s of the backup %s is no tar.gz file: %w.", name, r.meta.ID, err)
		}
		ahead := readAhead(zipped)
		defer ahead.close()
		if err := archive.Restore(ctx, ahead, into); err != nil {
			return fmt.Errorf("unpacking %s: %w", name, err)
		}
		// What follows the end of a tar is padding; the checksum of gzip is
		// behind it.
		if _, err := io.Copy(io.Discard, ahead); err != nil {
			return hop3.Errorf(hop3.CodeInvalid, "%s of the backup %s is damaged or cut off: %w.", name, r.meta.ID, err)
		}
		return nil
	})
}

// copyFile copies a regular file to a new one, durably.
func copyFile(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &stoppable{ctx, in, nil})
	return errors.Join(err, out.Sync(), out.Close())
}
