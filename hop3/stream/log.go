package stream

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Bounds on one log. Beyond them its middle is replaced by a line that says
// how much is missing: the beginning and the end are what people need.
const (
	maxLines    = 20_000
	maxBytes    = 8 << 20
	maxLineSize = 8 << 10
	headLines   = 1_000
)

// Log is the progress of one deployment. It is a hop3.Output, safe for
// concurrent use; ID, App, User and Created do not change.
type Log struct {
	ID      string
	App     string
	User    string
	Created time.Time

	mu      sync.Mutex
	lines   []Line
	bytes   int
	next    int           // the index of the next line
	changed chan struct{} // closed and replaced at each change
	outcome *Outcome
	readers int
	keeper  *keeper
	// progress is what was told last of a step, since the last line; told is how
	// often.
	progress hop3.Progress
	told     int
}

// Line is a line of a log with its index, from 0.
type Line struct {
	Index int
	hop3.LogLine
}

// Outcome is how a deployment ended.
type Outcome struct {
	Success bool      `json:"success"`
	Error   string    `json:"error,omitempty"` // a sentence for the user
	At      time.Time `json:"at"`
}

// Log adds a line. Lines after the end are dropped.
func (l *Log) Log(line hop3.LogLine) {
	if line.Time.IsZero() {
		line.Time = time.Now()
	}
	if len(line.Text) > maxLineSize {
		line.Text = strings.ToValidUTF8(line.Text[:maxLineSize], "") + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outcome != nil {
		return
	}
	l.lines = append(l.lines, Line{l.next, line})
	l.keeper.line(Line{l.next, line})
	l.next++
	l.bytes += len(line.Text)
	l.progress = hop3.Progress{}
	if len(l.lines) > maxLines || l.bytes > maxBytes {
		l.shrink()
	}
	l.wake()
}

// Progress implements hop3.ProgressOutput. Only who follows now gets to know
// it; a line is what is kept.
func (l *Log) Progress(p hop3.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outcome != nil {
		return
	}
	l.progress = p
	l.told++
	l.wake()
}

// Finish ends the log; errorText says why the deployment failed. Only the
// first call counts.
func (l *Log) Finish(success bool, errorText string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outcome != nil {
		return
	}
	l.outcome = &Outcome{Success: success, Error: errorText, At: time.Now()}
	l.keeper.end(*l.outcome)
	l.wake()
}

// Follow yields the lines from index on, those there are and those that come,
// until the log ends or ctx is done.
func (l *Log) Follow(ctx context.Context, index int) iter.Seq[Line] {
	return l.FollowProgress(ctx, index, nil)
}

// FollowProgress is Follow, and calls progress, unless it is nil, with how far
// a step is: not with each word of it, but with the last.
func (l *Log) FollowProgress(ctx context.Context, index int, progress func(hop3.Progress)) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		l.count(1)
		defer l.count(-1)
		heard := 0
		for {
			lines, ended, changed := l.after(index)
			for _, line := range lines {
				if ctx.Err() != nil || !yield(line) {
					return
				}
				index = line.Index + 1
			}
			if ended && len(lines) == 0 {
				return
			}
			if len(lines) > 0 {
				continue
			}
			if p, told := l.lastProgress(); progress != nil && told > heard && p != (hop3.Progress{}) && ctx.Err() == nil {
				heard = told
				progress(p)
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Outcome returns how the deployment ended; ok is false while it goes on.
func (l *Log) Outcome() (o Outcome, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outcome == nil {
		return Outcome{}, false
	}
	return *l.outcome, true
}

// Len returns how many lines were logged.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Readers returns how many follow the log now.
func (l *Log) Readers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readers
}

func (l *Log) lastProgress() (p hop3.Progress, told int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.progress, l.told
}

// after returns the lines from index on. The slice is shared: lines are only
// ever appended to it, and shrink makes a new one.
func (l *Log) after(index int) (lines []Line, ended bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := len(l.lines)
	for from > 0 && l.lines[from-1].Index >= index {
		from--
	}
	return l.lines[from:len(l.lines):len(l.lines)], l.outcome != nil, l.changed
}

// shrink replaces the older half of what follows the head by one line. It
// needs l.mu.
func (l *Log) shrink() {
	head := min(headLines, len(l.lines)/4)
	keep := head + (len(l.lines)-head)/2
	dropped := l.lines[keep-1].Index - l.lines[head-1].Index
	note := Line{l.lines[keep-1].Index, hop3.LogLine{
		Text:  fmt.Sprintf("… %d lines dropped", dropped),
		Color: "yellow",
		Time:  l.lines[keep-1].Time,
	}}
	lines := make([]Line, 0, len(l.lines)-keep+head+1)
	lines = append(lines, l.lines[:head]...)
	lines = append(lines, note)
	lines = append(lines, l.lines[keep:]...)
	l.lines, l.bytes = lines, 0
	for _, line := range lines {
		l.bytes += len(line.Text)
	}
}

func (l *Log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Log) count(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers += n
}

func (l *Log) ended() time.Time {
	if o, ok := l.Outcome(); ok {
		return o.At
	}
	return time.Time{}
}
