package toolchains

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

// complete marks an entry that was filled to its end.
const complete = ".hop3-complete"

// entry returns the directory of the app's cache that holds what is named by
// name and key, and has fill make it when there is none. A fill that fails or
// dies leaves nothing that a later build would take for an entry; builds that
// want the same entry at once wait for each other.
//
// An entry is filled at its final place, since virtual environments cannot be
// moved, and only counts with the mark that is written last.
func entry(ctx context.Context, b *hop3.Build, name, key string, fill func(dir string) error) (dir string, err error) {
	dir = filepath.Join(b.Cache, name+"-"+key)
	mark := filepath.Join(dir, complete)
	if exists(mark) {
		return dir, nil
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return "", fmt.Errorf("locking the cache entry %s: %w", filepath.Base(dir), err)
	}
	defer unlock()
	if exists(mark) {
		return dir, nil
	}
	err = os.RemoveAll(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("making the cache entry %s: %w", filepath.Base(dir), err)
	}
	if err := fill(dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		return "", fmt.Errorf("completing the cache entry %s: %w", filepath.Base(dir), err)
	}
	return dir, nil
}

// lock takes the lock of a file. The kernel releases it when we die.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// fingerprint names what an installation depends on: words, then the contents
// of files of the source, those that exist.
func fingerprint(src fs.FS, words []string, files ...string) (string, error) {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	for _, name := range files {
		if !has(src, name) {
			continue
		}
		fmt.Fprintf(h, "%s:", name)
		if err := hashFile(h, src, name); err != nil {
			return "", hop3.Errorf(hop3.CodeDeploy, "%s cannot be read: %w", name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:10]), nil
}

// hashFile adds a file's contents and their length, so that no two lists of
// files hash alike.
func hashFile(h hash.Hash, src fs.FS, name string) error {
	f, err := src.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(h, f)
	fmt.Fprintf(h, ":%d;", n)
	return err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
