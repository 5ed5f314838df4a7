package api

import (
	"time"

	"github.com/abilian/hop3/hop3"
)

// The events of GET /api/stream/{id}. Every event carries one JSON object on
// one line, in ASCII.
const (
	EventLog      = "log"
	EventComplete = "complete"
	// EventProgress is how far a step is: a ProgressEvent. It has no id, and goes
	// to who asks for it with "?progress=1": older clients do not know it.
	EventProgress = "progress"
	// EventEvent is the name of those of GET /api/events: an Event each.
	EventEvent = "event"
)

// LogEvent is a line of progress.
type LogEvent struct {
	Msg   string `json:"msg"`
	Level int    `json:"level"`
	Color string `json:"fg"`
	Time  string `json:"timestamp"` // RFC 3339
}

// ProgressEvent is how far a step is, in bytes. The next line ends it.
type ProgressEvent struct {
	What  string `json:"what"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"` // 0 for unknown
}

// CompleteEvent ends a stream.
type CompleteEvent struct {
	Success  bool    `json:"success"`
	Error    string  `json:"error"`
	Message  string  `json:"success_message,omitempty"`
	Duration float64 `json:"duration"` // seconds
	Count    int     `json:"log_count"`
}

// Event is a hop3.Event as clients and webhooks get it.
type Event struct {
	ID       int64             `json:"id"`
	Time     string            `json:"time"` // RFC 3339, UTC
	Kind     string            `json:"kind"`
	Severity string            `json:"severity"`
	Actor    string            `json:"actor"` // "" for the server itself
	Source   string            `json:"source"`
	App      string            `json:"app"`
	Release  int               `json:"release"` // 0 for none
	Message  string            `json:"message"`
	Changes  []Change          `json:"changes,omitempty"`
	Data     map[string]string `json:"data,omitempty"`
}

// Change is a property that is different now.
type Change struct {
	Property string `json:"property"`
	Old      string `json:"old"`
	New      string `json:"new"`
}

// EventOf returns an event as clients get it.
func EventOf(e hop3.Event) Event {
	out := Event{
		ID: e.ID, Time: e.Time.UTC().Format(time.RFC3339Nano), Kind: string(e.Kind), Severity: e.Kind.Severity().String(),
		Actor: e.Actor, Source: e.Source, App: e.App, Release: e.Release, Message: e.Message, Data: e.Data,
	}
	for _, c := range e.Changes {
		out.Changes = append(out.Changes, Change{c.Property, c.Old, c.New})
	}
	return out
}

// EventLine is an event as a line of text, for who follows them.
func EventLine(e Event) string {
	at, err := time.Parse(time.RFC3339Nano, e.Time)
	shown := e.Time
	if err == nil {
		shown = at.UTC().Format(time.DateTime)
	}
	actor := e.Actor
	if actor == "" {
		actor = "-"
	}
	app := e.App
	if app == "" {
		app = "-"
	}
	return shown + "  " + actor + "  " + app + "  " + e.Kind + "  " + e.Message
}
