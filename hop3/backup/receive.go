package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/abilian/hop3/hop3"
)

// movingDir is where what goes to another server, or comes from one, lies until
// it has arrived.
const movingDir = "moving"

// Receive writes a file of a backup that comes from another server, in place of
// one of the name that came before. It is none before Received.
func (s *Store) Receive(ctx context.Context, b hop3.Backup, name string, content io.Reader) (err error) {
	if err := check(b); err != nil {
		return err
	}
	if !validName(name) {
		return hop3.Errorf(hop3.CodeInvalid, "%.80q cannot be the name of a file of a backup.", name)
	}
	to := filepath.Join(s.partial(b), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("making the directory of what comes: %w", err)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, &stoppable{ctx: ctx, Reader: content}, make([]byte, 256<<10))
	return errors.Join(err, f.Close())
}

// Received compares what came with its checksums, and gives it to read.
func (s *Store) Received(ctx context.Context, b hop3.Backup) (hop3.BackupReader, error) {
	if err := check(b); err != nil {
		return nil, err
	}
	r, err := s.open(s.partial(b))
	if err != nil {
		return nil, err
	}
	if r.meta.ID != b.ID || r.meta.App != b.App {
		return nil, hop3.Errorf(hop3.CodeInvalid, "What came is the backup %s of '%s', not %s of '%s'.", r.meta.ID, r.meta.App, b.ID, b.App)
	}
	return r, r.Check(ctx)
}

func (s *Store) partial(b hop3.Backup) string {
	final := s.path(b)
	return filepath.Join(filepath.Dir(final), partialPrefix+b.ID)
}

// Forget removes all that has come of an app.
func (s *Store) Forget(app string) error {
	if err := hop3.ValidateAppName(app); err != nil {
		return err
	}
	return remove(filepath.Join(s.dir, movingDir, app))
}
