package hop3

import (
	"context"
	"time"
)

// Readiness asks whether the instances of a release that was just started may
// get its requests.
type Readiness struct {
	Health HealthCheck
	// Host is what probes send as Host header: the release's first host.
	Host string
	// Timeout is how long all of it may take; 0 means 60 seconds.
	Timeout time.Duration
	// Instances returns the release's instances as they are now.
	Instances func(context.Context) ([]Instance, error)
	// Out is told about long waits, and why an instance did not become ready.
	Out Output
}
