package hop3

import "time"

// Traffic is what requests came to an app, or to one of its releases, in the
// last ten seconds.
type Traffic struct {
	App     string
	Release int  // 0 where all are added up, and for an app's page while none runs
	Live    bool // of a release: it is the one that is routed to
	// InFlight is the number of requests under way now, WebSockets among them,
	// Held that of those that wait for the app to wake.
	InFlight, Held int
	Rate           float64 // requests ended a second
	ErrorRate      float64 // those of them that were answered with 5xx
	Received, Sent float64 // bytes of bodies a second
	// Half of the requests, 95 and 99 in a hundred, took no longer than this;
	// 0 when there were none.
	P50, P95, P99 time.Duration
}

// Recorder is a Proxy that knows the traffic of lately.
type Recorder interface {
	// Sample is called about every two seconds, for rates to be known.
	Sample(now time.Time)
	// Traffic returns that of every app, in the order of their names, or with a
	// name that of each release of this app, the newest route first.
	Traffic(app string, now time.Time) []Traffic
}
