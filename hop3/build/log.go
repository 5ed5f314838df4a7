package build

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

// maxLog bounds a build's log: a command that prints without end must not fill
// the disk.
const maxLog = 16 << 20

// logFile is the log of one build: a header, which tells the end of the story
// once it is known, then the lines.
type logFile struct {
	mu      sync.Mutex
	file    *os.File
	app     string
	builder string
	began   time.Time
	size    int
	err     error
}

func openLog(name, app, builder string, now time.Time) (*logFile, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the build log: %w", err)
	}
	l := &logFile{file: f, app: app, builder: builder, began: now}
	header := l.header("RUNNING", 0)
	l.size = len(header)
	if _, err := f.WriteString(header); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the build log: %w", err), f.Close())
	}
	return l, nil
}

// header has the same length whatever the outcome, so that it can be written
// again in place.
func (l *logFile) header(status string, took time.Duration) string {
	return fmt.Sprintf("# Build of %s, %s\n# Builder: %s\n# Status: %-8s\n# Duration: %10.1fs\n\n",
		l.app, l.began.UTC().Format(time.RFC3339), l.builder, status, took.Seconds())
}

// tee returns an Output that writes to the log and to out.
func (l *logFile) tee(out hop3.Output) hop3.Output {
	if out == nil {
		out = hop3.Discard
	}
	return hop3.OutputFunc(func(line hop3.LogLine) {
		if l.write(line.Text) {
			out.Log(line)
		}
	})
}

// write reports whether there was room for the line.
func (l *logFile) write(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size >= maxLog {
		return false
	}
	text += "\n"
	if l.size += len(text); l.size >= maxLog {
		text += "(the rest of the output is not kept)\n"
	}
	if _, err := l.file.WriteString(text); err != nil && l.err == nil {
		l.err = fmt.Errorf("writing the build log: %w", err)
	}
	return true
}

// close writes the outcome. A log that cannot be written fails the build: the
// disk is full.
func (l *logFile) close(outcome error) error {
	status := "SUCCESS"
	if outcome != nil {
		status = "FAILED"
		l.write("! " + hop3.MessageOf(outcome))
	}
	_, err := l.file.WriteAt([]byte(l.header(status, time.Since(l.began))), 0)
	return errors.Join(l.err, err, l.file.Close())
}
