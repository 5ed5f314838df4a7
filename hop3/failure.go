package hop3

import "time"

// Failure is a request that its app should have answered and did not: the
// visitor got a page of status 502, 503 or 504, or an answer that breaks off.
// What it holds was said by clients and apps, and is shown to nobody as it is.
type Failure struct {
	// ID is the request's id: X-Request-Id. A client may have chosen it, so
	// several requests can have the same.
	ID      string
	Time    time.Time // when it failed
	App     string
	Release int    `json:",omitempty"` // 0 where none was to answer
	Host    string // as the client wrote it, with its port
	Method  string
	Path    string // without the query, which may hold secrets
	Client  string // the client's address
	Status  int    // that the client got; 0 when the answer had begun
	Cause   FailureCause
	Detail  string `json:",omitempty"` // what is known beside the cause: an error's text
	// Upstream is the address of the instance that was asked last, in the form
	// of Instance.Upstream; "" for none.
	Upstream string        `json:",omitempty"`
	Took     time.Duration // since it arrived
}

// Began returns when the request arrived.
func (f Failure) Began() time.Time { return f.Time.Add(-f.Took) }

// FailureCause says what kept an app from answering a request.
type FailureCause string

// The causes of failures.
const (
	FailureRefused     FailureCause = "refused"         // nothing listens at the instance's address
	FailureUnreachable FailureCause = "unreachable"     // it cannot be connected to for another reason
	FailureConnectSlow FailureCause = "connect timeout" // it did not accept the connection in time
	FailureSlow        FailureCause = "timeout"         // it did not begin its answer in time
	FailureReset       FailureCause = "reset"           // it closed the connection without an answer
	FailureProtocol    FailureCause = "protocol"        // what it answered is not HTTP
	FailureCut         FailureCause = "cut"             // it ended in the middle of its answer
	FailureNoInstance  FailureCause = "no instance"     // no instance could be asked
	FailureStopped     FailureCause = "stopped"         // the app is stopped
	FailureNotStarted  FailureCause = "not started"     // its release could not be started
	FailureNoWeb       FailureCause = "no web process"  // it has nothing that answers HTTP
	FailureAsleep      FailureCause = "asleep"          // it was asleep, and nobody may wake it for this
	FailureWake        FailureCause = "wake failed"     // it was asleep and could not be started
	FailureWakeSlow    FailureCause = "wake timeout"    // it was asleep and took too long to start
	FailureWakeQueue   FailureCause = "too many wait"   // too many requests wait for it to start
	FailureMaintenance FailureCause = "maintenance"     // it is closed to visitors
	FailureOther       FailureCause = "other"
)

// FailureKeeping is how long failures are kept.
type FailureKeeping struct {
	EachApp int           // the last ones of an app
	All     int           // of all apps; the app with the most gives way
	Age     time.Duration // older ones are forgotten
}
