package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Trim implements hop3.Runtime.
func (s *Supervisor) Trim(ctx context.Context, id hop3.ReleaseID, counts map[string]int, grace time.Duration) error {
	return s.end(ctx, id, grace, func(r record) bool { return r.Ordinal > counts[r.Type] })
}

// Restart implements hop3.Runtime.
func (s *Supervisor) Restart(ctx context.Context, id hop3.ReleaseID, processType string, ordinal int, why string, grace time.Duration) error {
	return fmt.Errorf("restarting %s.%d of %s: not there yet", processType, ordinal, name(id))
}
