package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"

	"github.com/abilian/hop3/hop3"
)

const (
	metadataFile = "metadata.json"
	ageSuffix    = ".age"
	sumPrefix    = "sha256:"
	// gzipBlock and gzipAtOnce are how much is compressed in one piece, and
	// how many pieces at once: together what compressing costs of memory.
	gzipBlock  = 512 << 10
	gzipAtOnce = 4
)

// writer is a backup that is being written.
type writer struct {
	store *Store
	dir   string // partial
	final string
	// recipients encrypt; none leaves it readable.
	recipients []age.Recipient
	sums       map[string]string
	sizes      map[string]int64
	done       bool
}

// File implements hop3.BackupWriter.
func (w *writer) File(ctx context.Context, name string, write func(io.Writer) error) (size int64, err error) {
	if len(w.recipients) > 0 {
		name += ageSuffix
	}
	if !validName(name) {
		return 0, fmt.Errorf("%q cannot be the name of a file of a backup", name)
	}
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, fmt.Errorf("making the directory of %s: %w", name, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, fmt.Errorf("making %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	sum := newSum(f)
	plain := &counted{ctx: ctx}
	var sealed io.WriteCloser
	if plain.to = sum; len(w.recipients) > 0 {
		if sealed, err = age.Encrypt(sum, w.recipients...); err != nil {
			return 0, fmt.Errorf("encrypting %s: %w", name, err)
		}
		plain.to = sealed
	}
	if err := write(plain); err != nil {
		return 0, err
	}
	if sealed != nil {
		if err := sealed.Close(); err != nil {
			return 0, fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return 0, fmt.Errorf("writing %s: %w", name, err)
	}
	w.sums[name], w.sizes[name] = sum.String(), sum.n
	return plain.n, nil
}

// Archive implements hop3.BackupWriter.
func (w *writer) Archive(ctx context.Context, name string, dirs ...hop3.BackupDir) (trees map[string]hop3.BackupTree, changed int, err error) {
	_, err = w.File(ctx, name, func(out io.Writer) error {
		zipped, err := pgzip.NewWriterLevel(out, gzip.BestSpeed)
		if err == nil {
			err = zipped.SetConcurrency(gzipBlock, gzipAtOnce)
		}
		if err != nil {
			return err
		}
		buffered := bufio.NewWriterSize(zipped, 256<<10)
		trees, changed, err = pack(ctx, buffered, dirs)
		if err == nil {
			err = buffered.Flush()
		}
		// Also after an error: it ends what compresses.
		return errors.Join(err, zipped.Close())
	})
	return trees, changed, err
}

// Encrypts implements hop3.BackupWriter.
func (w *writer) Encrypts() bool { return len(w.recipients) > 0 }

// Commit implements hop3.BackupWriter.
func (w *writer) Commit(_ context.Context, m hop3.BackupMetadata) (hop3.BackupMetadata, error) {
	m.FormatVersion, m.Hop3Version, m.Checksums, m.Size = hop3.BackupFormat, w.store.version, maps.Clone(w.sums), 0
	for name, n := range w.sizes {
		if !strings.Contains(name, "/") {
			m.Size += n
		}
	}
	if len(w.recipients) > 0 && m.AppMetadata.Hop3 != nil {
		m.AppMetadata.Hop3.Encryption = "age"
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	f, err := os.OpenFile(filepath.Join(w.dir, metadataFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return m, fmt.Errorf("making %s: %w", metadataFile, err)
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return m, fmt.Errorf("writing %s: %w", metadataFile, err)
	}
	if err := settle(w.dir, w.final); err != nil {
		return m, err
	}
	w.done = true
	return m, nil
}

// Abort implements hop3.BackupWriter.
func (w *writer) Abort() error {
	if w.done {
		return nil
	}
	return remove(w.dir)
}

// counted counts what is written, until its context ends.
type counted struct {
	ctx context.Context
	to  io.Writer
	n   int64
}

func (c *counted) Write(b []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

// sumWriter writes, and knows the checksum of what it wrote.
type sumWriter struct {
	to   io.Writer
	hash hash.Hash
	n    int64
}

func newSum(to io.Writer) *sumWriter { return &sumWriter{to: to, hash: sha256.New()} }

func (s *sumWriter) Write(b []byte) (int, error) {
	n, err := s.to.Write(b)
	_, _ = s.hash.Write(b[:n]) // never fails
	s.n += int64(n)
	return n, err
}

// String returns the checksum as metadata has it.
func (s *sumWriter) String() string { return sumPrefix + hex.EncodeToString(s.hash.Sum(nil)) }
