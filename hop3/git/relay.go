package git

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/abilian/hop3/hop3"
)

// The bounds of a Relay: lines that wait for a slow reader, and the length of
// one.
const (
	relayLines   = 4_000
	relayLineMax = 4096
)

// Relay is an Output that hands lines for a pusher's terminal to a writer at
// the writer's own pace. Log never blocks: lines beyond what a reader may lag
// behind are dropped, and the reader is told how many. Verbose lines are not
// passed on, and control characters never.
type Relay struct {
	write func(line string) error
	done  chan struct{}

	mu      sync.Mutex
	wake    *sync.Cond
	queue   []string
	dropped int
	closed  bool
}

// NewRelay starts a relay; it runs until Close. write gets one line at a time,
// without its end; after its first error nothing more is written.
func NewRelay(write func(line string) error) *Relay {
	r := &Relay{write: write, done: make(chan struct{})}
	r.wake = sync.NewCond(&r.mu)
	go r.run()
	return r
}

// Log queues a line, or several when the text has line breaks. After Close it
// does nothing.
func (r *Relay) Log(line hop3.LogLine) {
	if line.Level > 1 {
		return
	}
	for text := range strings.SplitSeq(strings.TrimRight(line.Text, "\r\n"), "\n") {
		r.add(Printable(text))
	}
}

// Close returns when every queued line was written, or could not be.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.wake.Broadcast()
	<-r.done
}

func (r *Relay) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
	case len(r.queue) >= relayLines:
		r.dropped++
	default:
		r.queue = append(r.queue, text)
		r.wake.Signal()
	}
}

func (r *Relay) run() {
	defer close(r.done)
	for {
		lines, dropped, ok := r.next()
		if !ok {
			return
		}
		if dropped > 0 {
			lines = append(lines, fmt.Sprintf("(%d lines left out)", dropped))
		}
		for _, line := range lines {
			if r.write(line) != nil {
				r.abandon()
				return
			}
		}
	}
}

// next waits for lines; ok is false when there will be none.
func (r *Relay) next() (lines []string, dropped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) == 0 && !r.closed {
		r.wake.Wait()
	}
	lines, dropped = r.queue, r.dropped
	r.queue, r.dropped = nil, 0
	return lines, dropped, len(lines) > 0
}

func (r *Relay) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue, r.closed = nil, true
}

var escapeSequence = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])`)

// Printable returns text as it may reach a terminal: one line of valid UTF-8
// without control characters but tabs. Of text that a progress bar wrote over
// with carriage returns, the last version stays.
func Printable(text string) string {
	text = strings.TrimRight(text, "\r")
	if i := strings.LastIndexByte(text, '\r'); i >= 0 {
		text = text[i+1:]
	}
	if strings.IndexByte(text, 0x1b) >= 0 {
		text = escapeSequence.ReplaceAllString(text, "")
	}
	text = strings.Map(func(c rune) rune {
		if c != '\t' && unicode.IsControl(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > relayLineMax {
		end := relayLineMax
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return text
}
