package hop3test

import (
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// Lines is an Output that keeps what it is told. It is safe for concurrent use.
type Lines struct {
	mu    sync.Mutex
	lines []hop3.LogLine
}

// Log keeps the line.
func (l *Lines) Log(line hop3.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// String returns the texts, one a line.
func (l *Lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, line := range l.lines {
		b.WriteString(line.Text + "\n")
	}
	return b.String()
}
