package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// Target returns the URL of where copies off the server go, "" for nowhere.
func (s *Store) Target() string {
	if s.target == nil {
		return ""
	}
	return s.target.URL()
}

func (s *Store) noTarget() error {
	return hop3.Errorf(hop3.CodeUnavailable, "This server has no place for copies of backups any more.").
		WithHint("BACKUP_TARGET of the server's settings says where they go.")
}

// Upload copies a backup to the target, reads all of it back, and compares.
// Only then it returns where the copy is. The metadata comes last: without it
// what is there is no backup. What is there already is read, not sent again.
// moved, unless it is nil, is called with how many bytes went or came, as they
// do: all of them twice, at the end.
func (s *Store) Upload(ctx context.Context, b hop3.Backup, moved func(bytes int64)) (string, error) {
	if s.target == nil {
		return "", s.noTarget()
	}
	r, err := s.open(s.path(b))
	if err != nil {
		return "", err
	}
	if err := s.target.Begin(ctx); err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(r.meta.Checksums)) {
		if err := s.copyTo(ctx, r, b, name, r.meta.Checksums[name], moved); err != nil {
			return "", err
		}
	}
	if err := s.copyTo(ctx, r, b, metadataFile, r.sum, moved); err != nil {
		return "", err
	}
	return s.target.URL() + "/" + b.Place(), nil
}

// copyTo copies a file, unless it is there, and compares what is there then.
func (s *Store) copyTo(ctx context.Context, r *reader, b hop3.Backup, name, want string, moved func(int64)) error {
	remote := path.Join(b.Place(), name)
	if got, err := s.remoteSum(ctx, remote, nil); err == nil && got == want {
		if info, err := os.Stat(filepath.Join(r.dir, filepath.FromSlash(name))); err == nil && moved != nil {
			moved(2 * info.Size())
		}
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for %s: %w", name, err)
	}
	if err := s.target.Put(ctx, remote, filepath.Join(r.dir, filepath.FromSlash(name)), moved); err != nil {
		return fmt.Errorf("copying %s: %w", name, err)
	}
	got, err := s.remoteSum(ctx, remote, moved)
	if err != nil {
		return fmt.Errorf("reading %s back: %w", name, err)
	}
	if got == want {
		return nil
	}
	// What an earlier attempt had brought there was something else.
	if err := s.target.Remove(ctx, "", []string{remote}); err != nil {
		return fmt.Errorf("removing a damaged copy of %s: %w", name, err)
	}
	return hop3.Errorf(hop3.CodeUnavailable, "The copy of %s is not what was sent: its checksum differs.", name)
}

func (s *Store) remoteSum(ctx context.Context, name string, read func(int64)) (string, error) {
	in, err := s.target.Get(ctx, name)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sum := newSum(io.Discard)
	_, err = io.CopyBuffer(struct{ io.Writer }{sum}, &stoppable{ctx, in, read}, make([]byte, 256<<10))
	return sum.String(), err
}

// Fetch brings a backup back from the target, checks it, and returns where it
// lies now. got, unless it is nil, is called with how many bytes came, as they
// do.
func (s *Store) Fetch(ctx context.Context, b hop3.Backup, got func(bytes int64)) (string, error) {
	if s.target == nil {
		return "", s.noTarget()
	}
	if err := check(b); err != nil {
		return "", err
	}
	if err := s.target.Begin(ctx); err != nil {
		return "", err
	}
	final := s.path(b)
	if _, err := os.Lstat(final); err == nil {
		r, err := s.open(final)
		if err == nil {
			err = r.Check(ctx)
		}
		return final, err
	}
	err := s.place(hop3.BackupMetadata{ID: b.ID, App: b.App}, func(to string) error {
		if err := s.fetchFile(ctx, b, metadataFile, to, maxMetadata, got); err != nil {
			return err
		}
		r, err := s.open(to)
		if err != nil {
			return err
		}
		if r.meta.ID != b.ID || r.meta.App != b.App {
			return hop3.Errorf(hop3.CodeInvalid, "What is stored as the backup %s of '%s' is the backup %s of '%s'.", b.ID, b.App, r.meta.ID, r.meta.App)
		}
		for name := range r.meta.Checksums {
			if err := s.fetchFile(ctx, b, name, to, 0, got); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", hop3.Errorf(hop3.CodeNotFound, "There is no backup %s of '%s' at %s.", b.ID, b.App, s.target.URL())
	}
	return final, err
}

// fetchFile fetches a file of at most so many bytes; 0 for no limit.
func (s *Store) fetchFile(ctx context.Context, b hop3.Backup, name, dir string, most int64, got func(int64)) (err error) {
	in, err := s.target.Get(ctx, path.Join(b.Place(), name))
	if err != nil {
		return fmt.Errorf("fetching %s: %w", name, err)
	}
	defer in.Close()
	to := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	var from io.Reader = &stoppable{ctx, in, got}
	if most > 0 {
		from = io.LimitReader(from, most)
	}
	_, err = io.Copy(out, from)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("fetching %s: %w", name, err)
	}
	return nil
}

// RemoveRemote removes the copy of a backup at the target: first what makes it
// a backup.
func (s *Store) RemoveRemote(ctx context.Context, b hop3.Backup) error {
	if s.target == nil {
		return s.noTarget()
	}
	if err := check(b); err != nil {
		return err
	}
	if err := s.target.Begin(ctx); err != nil {
		return err
	}
	return s.target.Remove(ctx, b.Place(), []string{metadataFile})
}
