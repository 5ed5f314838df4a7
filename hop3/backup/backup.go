// Package backup writes and reads backups: directories in the format of Hop3
// (Python), on this server's disk and, as copies of the same files, off it.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/abilian/hop3/hop3"
)

// Options say where backups are and how they are written. Dir is required.
type Options struct {
	Dir     string // of all backups
	Version string // of this Hop3
	// Recipients encrypt all but the metadata to these age recipients; none
	// leaves it readable.
	Recipients []string
	// Identity is a file with age identities, to read what is encrypted.
	Identity string
	// Target is where copies off the server go; nil for nowhere.
	Target Target
}

// Store is the backups of a server. It is safe for concurrent use.
type Store struct {
	dir        string
	version    string
	recipients []age.Recipient
	identity   string
	target     Target
}

// Open returns the store. It has no side effects; recipients that are none are
// a CodeInvalid error.
func Open(o Options) (*Store, error) {
	s := &Store{dir: o.Dir, version: o.Version, identity: o.Identity, target: o.Target}
	for _, text := range o.Recipients {
		r, err := parseRecipient(text)
		if err != nil {
			return nil, err
		}
		s.recipients = append(s.recipients, r)
	}
	return s, nil
}

// partialPrefix marks the directory of a backup that is not complete. No ID
// begins like that.
const partialPrefix = ".partial-"

func (s *Store) path(b hop3.Backup) string {
	return filepath.Join(s.dir, filepath.FromSlash(b.Place()))
}

// check keeps what becomes a path from being anything else.
func check(b hop3.Backup) error {
	err := hop3.ValidateBackupID(b.ID)
	if b.App != "" {
		err = errors.Join(err, hop3.ValidateAppName(b.App))
	}
	return err
}

// Begin begins to write a backup, which is none until Commit.
func (s *Store) Begin(b hop3.Backup) (hop3.BackupWriter, error) {
	if err := check(b); err != nil {
		return nil, err
	}
	final := s.path(b)
	partial := s.partial(b)
	if err := os.MkdirAll(filepath.Dir(final), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the backups: %w", err)
	}
	if err := os.Mkdir(partial, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the backup: %w", err)
	}
	w := &writer{store: s, dir: partial, final: final, recipients: s.recipients, sums: map[string]string{}, sizes: map[string]int64{}}
	if b.Kind == hop3.BackupMove {
		w.recipients = nil
	}
	return w, nil
}

// Dir returns where a backup that is complete lies on this server.
func (s *Store) Dir(b hop3.Backup) string { return s.path(b) }

// Open opens a backup that lies in a directory of this server. Only its
// metadata is read, and believed nothing that Check does not look at.
func (s *Store) Open(dir string) (hop3.BackupReader, error) { return s.open(dir) }

// Scratch makes an empty directory to restore into, closed to others, of the
// same disk as the backups. Its name says whose proof it is.
func (s *Store) Scratch(id string) (string, error) {
	if err := hop3.ValidateBackupID(id); err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, scratchDir, id)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return "", fmt.Errorf("making a scratch directory: %w", err)
	}
	return dir, nil
}

const scratchDir = "scratch"

// RemoveScratch removes what Scratch made.
func (s *Store) RemoveScratch(id string) error {
	if err := hop3.ValidateBackupID(id); err != nil {
		return err
	}
	return remove(filepath.Join(s.dir, scratchDir, id))
}

// Digest returns what a directory holds, as Archive does.
func (s *Store) Digest(ctx context.Context, d hop3.BackupDir) (hop3.BackupTree, error) {
	return digest(ctx, d)
}

// Adopt takes a backup in that somebody put into dir: it is copied to where
// backups are, and then looked at whole. One that is there already is used
// where it is.
func (s *Store) Adopt(ctx context.Context, dir string) (hop3.BackupMetadata, string, error) {
	r, err := s.open(dir)
	if err != nil {
		return hop3.BackupMetadata{}, "", err
	}
	m := r.meta
	final := s.path(hop3.Backup{ID: m.ID, App: m.App})
	if same(dir, final) {
		return m, final, r.Check(ctx)
	}
	if _, err := os.Lstat(final); err == nil {
		return m, "", hop3.Errorf(hop3.CodeConflict, "There is a backup %s of '%s' already, in %s.", m.ID, m.App, final)
	}
	if err := r.Check(ctx); err != nil {
		return m, "", err
	}
	err = s.place(m, func(to string) error {
		for name := range m.Checksums {
			if err := copyFile(ctx, filepath.Join(dir, filepath.FromSlash(name)), filepath.Join(to, filepath.FromSlash(name))); err != nil {
				return err
			}
		}
		return copyFile(ctx, filepath.Join(dir, metadataFile), filepath.Join(to, metadataFile))
	})
	if err != nil {
		return m, "", err
	}
	return m, final, nil
}

// place fills a directory under another name, checks it, and gives it its own.
func (s *Store) place(m hop3.BackupMetadata, fill func(dir string) error) (err error) {
	final := s.path(hop3.Backup{ID: m.ID, App: m.App})
	partial := filepath.Join(filepath.Dir(final), partialPrefix+m.ID)
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(partial))
		}
	}()
	if err := errors.Join(remove(partial), os.MkdirAll(partial, 0o700)); err != nil {
		return fmt.Errorf("making the directory of the backup: %w", err)
	}
	if err := fill(partial); err != nil {
		return err
	}
	r, err := s.open(partial)
	if err != nil {
		return err
	}
	if err := r.Check(context.Background()); err != nil {
		return err
	}
	return settle(partial, final)
}

// settle makes a complete directory durable under its own name.
func settle(partial, final string) error {
	var dirs []string
	err := filepath.WalkDir(partial, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range dirs {
		err = errors.Join(err, syncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("writing the backup to the disk: %w", err)
	}
	if err := os.Rename(partial, final); err != nil {
		return fmt.Errorf("completing the backup: %w", err)
	}
	return syncDir(filepath.Dir(final))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remove removes a backup from this server; none is no error.
func (s *Store) Remove(b hop3.Backup) error {
	if err := check(b); err != nil {
		return err
	}
	dir := s.path(b)
	grave := s.partial(b)
	if err := os.Rename(dir, grave); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the backup: %w", err)
	}
	return remove(grave)
}

// Sweep removes what an earlier server left incomplete: partial backups, what
// was restored for a proof, and what was on its way to or from another server.
// No backup is being made meanwhile.
func (s *Store) Sweep() error {
	err := errors.Join(remove(filepath.Join(s.dir, scratchDir)), remove(filepath.Join(s.dir, movingDir)))
	for _, pattern := range []string{"apps/*/", "platform/"} {
		left, globErr := filepath.Glob(filepath.Join(s.dir, filepath.FromSlash(pattern), partialPrefix+"*"))
		err = errors.Join(err, globErr)
		for _, dir := range left {
			err = errors.Join(err, remove(dir))
		}
	}
	return err
}

// remove deletes a tree, also one with directories that may not be written.
func remove(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) // what it was for fails, and says so
		}
		return nil
	})
	return os.RemoveAll(dir)
}

func same(a, b string) bool {
	one, err := os.Stat(a)
	other, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(one, other)
}

// validName reports whether a name can be that of a backup's file: a path of
// one or two plain elements.
func validName(name string) bool {
	return filepath.IsLocal(name) && !strings.ContainsAny(name, "\\\x00\n") && strings.Count(name, "/") <= 1 && !strings.HasPrefix(name, ".") && filepath.ToSlash(filepath.Clean(name)) == name
}
