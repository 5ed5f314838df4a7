// Package archive takes uploaded source trees: a tar.gz from a stranger,
// spooled to a file and unpacked so that nothing of it lies, or points,
// outside of the directory it was meant for.
package archive

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/abilian/hop3/hop3"
)

// Limits on an archive. What is 0 is as in Standard.
type Limits struct {
	Size     int64 // bytes, of the archive itself
	Unpacked int64 // bytes, of the files in it together
	Members  int
}

// Standard are the limits where nobody has set others.
var Standard = Limits{Size: 1 << 30, Unpacked: 5 << 30, Members: 50_000}

// MaxSize returns the size of the largest archive that is taken.
func (l Limits) MaxSize() int64 { return l.orStandard().Size }

func (l Limits) orStandard() Limits {
	return Limits{
		Size:     cmp.Or(l.Size, Standard.Size),
		Unpacked: cmp.Or(l.Unpacked, Standard.Unpacked),
		Members:  cmp.Or(l.Members, Standard.Members),
	}
}

// Archive is an upload, mostly a tar.gz, kept in a temporary file until Close. It is
// what platform.Source asks for.
type Archive struct {
	path   string
	limits Limits
}

// FromReader spools r into a file in dir ("" means the system's directory for
// temporary files). It returns a CodeInvalid error when r is too long.
func FromReader(r io.Reader, dir string, lim Limits) (*Archive, error) {
	lim = lim.orStandard()
	f, err := os.CreateTemp(dir, "hop3-upload-*.tar.gz")
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the server has no room for the upload: %w", err)
	}
	a := &Archive{path: f.Name(), limits: lim}
	n, err := io.Copy(f, io.LimitReader(r, lim.Size+1))
	switch full := new(fs.PathError); {
	case errors.As(err, &full):
		err = hop3.Errorf(hop3.CodeUnavailable, "the server has no room for the upload: %w", err)
	case err == nil && n > lim.Size:
		err = refuse("it is larger than %d MB", lim.Size>>20)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close deletes the file. Closing twice is no error.
func (a *Archive) Close() error {
	if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Content opens what was uploaded, as it came. The caller closes it.
func (a *Archive) Content() (io.ReadCloser, error) { return os.Open(a.path) }

// Describe says nothing: an upload has no commit.
func (a *Archive) Describe(context.Context) (hop3.Release, error) { return hop3.Release{}, nil }

// Open returns nil: the files can only be read once they are unpacked.
func (a *Archive) Open(context.Context) (fs.FS, error) { return nil, nil }

// CheckOut unpacks the archive into dir, which exists and is empty. After an
// error dir is empty again; a CodeInvalid error says what is wrong with the
// archive.
func (a *Archive) CheckOut(ctx context.Context, dir string) error {
	f, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return extract(ctx, f, dir, a.limits)
}

func refuse(format string, args ...any) *hop3.Error {
	e := hop3.Errorf(hop3.CodeInvalid, format, args...)
	e.Message = "The archive is refused: " + e.Message + "."
	return e
}
