package hop3

import "context"

// The words of Route.Status.
const (
	RouteStopped = "stopped"
	RouteFailed  = "failed"
	RouteAsleep  = "asleep"
)

// Load is what is under way to an app.
type Load struct {
	// InFlight is the number of requests under way to the release that is
	// routed to, streams and WebSockets among them.
	InFlight int
	// Draining is the number of those under way to other routes of the app:
	// earlier releases, or the route of an app that is asleep.
	Draining int
	// Requests changes with each request that arrives.
	Requests uint64
}

// Handover is how the requests fared that were under way to a release when
// another took its place.
type Handover struct {
	UnderWay int // when the route changed
	Left     int // still under way, now
	Failed   int // ended since without the answer they were owed
}

// Witness is a Proxy that can tell how a change of release went.
type Witness interface {
	// Watch is called before a release is replaced. What it returns tells, at
	// any time after, how its requests fare.
	Watch(id ReleaseID) func() Handover
}

// Meter is a Proxy that counts requests. Only behind one can apps sleep, or
// follow their load.
type Meter interface {
	// Load returns what is under way to an app; nothing for an unknown one.
	Load(app string) Load
	// DrainEarlier waits until every request has ended that went to an earlier
	// route of the release than the one of now, or ctx is done. Unlike with
	// Drain, the release may be routed to.
	DrainEarlier(ctx context.Context, id ReleaseID) error
}
