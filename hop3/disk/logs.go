package disk

import (
	"context"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/logfile"
)

// Logs gives the lines of the logs in dir that the query chooses to entry. See
// logfile.Read.
func (Files) Logs(ctx context.Context, dir string, q hop3.LogQuery, entry func(hop3.LogEntry) error) error {
	return logfile.Read(ctx, dir, q, entry)
}
