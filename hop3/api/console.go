package api

import "regexp"

// ConsoleRequest says which command is to run at a console. See hop3/console.
type ConsoleRequest struct {
	Args []string `json:"args"` // the command line, as in Params
	TTY  bool     `json:"tty"`
	Term string   `json:"term,omitempty"` // $TERM
	Rows uint16   `json:"rows,omitempty"`
	Cols uint16   `json:"cols,omitempty"`
}

// ConsoleResult is how it ended: with an exit code, or with an error.
type ConsoleResult struct {
	Exit  int    `json:"exit"`
	Error *Error `json:"error,omitempty"`
}

var style = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// Plain returns a text without colours and styles, the only control sequences
// that log lines have.
func Plain(text string) string { return style.ReplaceAllString(text, "") }
