package command

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

// lines is a hop3.Output that keeps what a verb says for its answer. The zero
// value is ready.
type lines struct {
	mu   sync.Mutex
	kept []hop3.LogLine
}

// maxKept bounds the lines of one answer.
const maxKept = 5000

// Log keeps the line.
func (l *lines) Log(line hop3.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept) < maxKept {
		l.kept = append(l.kept, line)
	}
}

func (l *lines) items() []api.Item {
	l.mu.Lock()
	defer l.mu.Unlock()
	items := make([]api.Item, 0, len(l.kept)+2)
	for _, line := range l.kept {
		items = append(items, api.Log(line))
	}
	return items
}

// failed returns err with the lines that led to it in its message, in the form
// that clients take apart: LOGS:<items>|||<message>.
func (l *lines) failed(err error) error {
	items := l.items()
	if len(items) == 0 {
		return err
	}
	// A client splits at the first bars.
	for i := range items {
		items[i].Msg = strings.ReplaceAll(items[i].Msg, "|||", "| | |")
	}
	logs, jsonErr := json.Marshal(items)
	if jsonErr != nil {
		return err
	}
	with := &hop3.Error{Code: hop3.CodeOf(err), Message: "LOGS:" + string(logs) + "|||" + hop3.MessageOf(err), Err: err}
	var mistake *Mistake
	if errors.As(err, &mistake) {
		return &Mistake{Err: with, Typed: mistake.Typed, Candidates: mistake.Candidates}
	}
	return with
}
