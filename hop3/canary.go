package hop3

import "time"

// CanaryRoute is the release that gets a part of an app's requests while it
// proves itself beside the one that is live.
type CanaryRoute struct {
	Release   int
	Upstreams []string
	Names     []string // of their instances
	Static    []StaticPath
	Policy    *HTTPPolicy
	Dir       string
	Percent   int // 1 to 99
}

// Judge is a Proxy that can try a release out. Behind one that cannot, a new
// release serves everybody at once.
type Judge interface {
	// Verdict returns how the requests fared that went to the app's
	// Route.Canary of this release; nothing for an unknown one.
	Verdict(id ReleaseID) Verdict
}

// Verdict is how the requests fared that went to a release.
type Verdict struct {
	Requests int           // answered, or given up
	Errors   int           // of those: 5xx, or no answer
	P99      time.Duration // until the answer began, of 99 in a hundred
}

// ErrorRate is the percentage of requests that were errors.
func (v Verdict) ErrorRate() float64 {
	if v.Requests == 0 {
		return 0
	}
	return 100 * float64(v.Errors) / float64(v.Requests)
}
