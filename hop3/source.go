package hop3

import (
	"context"
	"io/fs"
)

// Source is source code that can be put into a directory: a commit, also one
// still in quarantine, or an uploaded archive.
type Source interface {
	// Describe tells what a release says of its source: Commit, Branch,
	// Author and Subject are set.
	Describe(ctx context.Context) (Release, error)
	// Open gives the files for reading the manifest before anything is
	// written, or nil when that needs the checkout.
	Open(ctx context.Context) (fs.FS, error)
	// CheckOut writes the files into dir, which exists and is empty. Nothing
	// it writes lies, or points, outside of dir.
	CheckOut(ctx context.Context, dir string) error
}
