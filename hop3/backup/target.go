package backup

import (
	"context"
	"io"
)

// Target is where copies off the server go. Names are paths below it, with
// slashes. It is safe for concurrent use.
type Target interface {
	// URL names the target, without secrets and without a slash at its end.
	URL() string
	// Begin makes the target ready: it is reachable, and takes our word.
	Begin(ctx context.Context) error
	// Put stores a file of this server under a name. What an interrupted
	// attempt has brought there is not sent again. sent, unless it is nil, is
	// called with how many bytes are there now, as they come there.
	Put(ctx context.Context, name, file string, sent func(bytes int64)) error
	// Get reads what is stored; what is not there is fs.ErrNotExist, now or at
	// the first Read.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// Remove removes all that is below dir, the files first that first names;
	// with dir "" only these. What is not there is no error.
	Remove(ctx context.Context, dir string, first []string) error
}
