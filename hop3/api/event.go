package api

// The events of GET /api/stream/{id}. Every event carries one JSON object on
// one line, in ASCII.
const (
	EventLog      = "log"
	EventComplete = "complete"
)

// LogEvent is a line of progress.
type LogEvent struct {
	Msg   string `json:"msg"`
	Level int    `json:"level"`
	Color string `json:"fg"`
	Time  string `json:"timestamp"` // RFC 3339
}

// CompleteEvent ends a stream.
type CompleteEvent struct {
	Success  bool    `json:"success"`
	Error    string  `json:"error"`
	Message  string  `json:"success_message,omitempty"`
	Duration float64 `json:"duration"` // seconds
	Count    int     `json:"log_count"`
}
