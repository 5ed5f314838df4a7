package addons

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

// pgArchive begins what pg_dump --format=custom writes, and so what Heroku
// gives away as a backup.
const pgArchive = "PGDMP"

// unzipped is what r holds, decompressed where it is gzip (RFC 1952).
func unzipped(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, 128<<10)
	if start, err := in.Peek(2); err != nil || !bytes.Equal(start, []byte{0x1f, 0x8b}) {
		return in, nil // also what is too short: its reader says so
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, damaged(err)
	}
	return bufio.NewReaderSize(&zip{z}, 128<<10), nil
}

type zip struct{ io.Reader }

func (z *zip) Read(b []byte) (int, error) {
	n, err := z.Reader.Read(b)
	return n, damaged(err)
}

// damaged turns what gzip has against its input into words for a user.
func damaged(err error) error {
	var corrupt flate.CorruptInputError
	for _, known := range []error{io.ErrUnexpectedEOF, gzip.ErrChecksum, gzip.ErrHeader} {
		if errors.Is(err, known) || errors.As(err, &corrupt) {
			return hop3.Errorf(hop3.CodeInvalid, "the zipped dump is damaged or cut off: %w", err)
		}
	}
	return err
}

// pgPlain gives read the SQL of a dump, which may be zipped, or an archive of
// pg_dump's. pg_restore makes SQL of that and does no more, as a user who may
// do nothing: it reads what somebody sent.
func pgPlain(ctx context.Context, r io.Reader, read func(io.Reader) error) error {
	in, err := unzipped(r)
	if err != nil {
		return err
	}
	if start, _ := in.Peek(len(pgArchive)); string(start) != pgArchive {
		return read(in)
	}
	programs, err := pgPrograms("", "pg_restore")
	if err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "pg_restore is not installed, which reads dumps in the custom format of pg_dump").
			WithHint("On Debian and Ubuntu: apt install postgresql-client")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, programs["pg_restore"], "--file=-", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.Dir, cmd.SysProcAttr.Credential = "/", &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	var said pgComplaint
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.WaitDelay = in, pgLastWords
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running pg_restore: %w", err)
	}
	sql := &toEnd{Reader: out}
	failed := read(sql)
	if !sql.ended {
		cancel() // nobody reads any more
	}
	ended := cmd.Wait()
	if ended != nil && (failed == nil || sql.ended && ctx.Err() == nil) {
		return hop3.Errorf(hop3.CodeInvalid, "the dump cannot be read: %w: %s", ended, said.text()).WithHint(pgForms)
	}
	return failed
}

// pgLastWords is how long a sender who sends no more is waited for once nobody
// reads it.
const pgLastWords = 5 * time.Second

// toEnd notes whether all was read.
type toEnd struct {
	io.Reader
	ended bool
}

func (r *toEnd) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.ended = r.ended || errors.Is(err, io.EOF)
	return n, err
}

// nobody is who owns nothing, on Linux by convention.
const nobody = 65534

// pgForms says which dumps there can be.
const pgForms = "It has to be plain SQL, as pg_dump writes it, or an archive of pg_dump --format=custom; either may be zipped by gzip."

var errPgEmpty = errors.New("there is no statement in it")
