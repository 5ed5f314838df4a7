package supervisor

import (
	"context"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Trim implements hop3.Runtime.
func (s *Supervisor) Trim(ctx context.Context, id hop3.ReleaseID, counts map[string]int, grace time.Duration) error {
	return s.end(ctx, id, grace, func(r record) bool { return r.Ordinal > counts[r.Type] })
}
