package platform

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// progressEvery is how often somebody is told how far a step is.
const progressEvery = 100 * time.Millisecond

// meter tells how far a step is to an output that wants to know. It is safe
// for concurrent use; a nil meter tells nobody.
type meter struct {
	out  hop3.ProgressOutput
	mu   sync.Mutex
	now  hop3.Progress
	last time.Time
}

// metered returns the meter of a step of so many bytes; 0 for unknown.
func metered(out hop3.Output, what string, total int64) *meter {
	wants, ok := out.(hop3.ProgressOutput)
	if !ok {
		return nil
	}
	// A step that is over at once is not told of at all.
	return &meter{out: wants, now: hop3.Progress{What: what, Total: total}, last: time.Now()}
}

// add tells of more bytes that are done.
func (m *meter) add(bytes int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Done += bytes
	if m.now.Total > 0 {
		// What was there before may have been counted a little otherwise.
		m.now.Done = min(m.now.Done, m.now.Total)
	}
	if time.Since(m.last) >= progressEvery {
		m.last = time.Now()
		m.out.Progress(m.now)
	}
}

// Write counts what is written.
func (m *meter) Write(b []byte) (int, error) {
	m.add(int64(len(b)))
	return len(b), nil
}

// counting is a function that adds to a meter; nil for none.
func (m *meter) counting() func(int64) {
	if m == nil {
		return nil
	}
	return m.add
}

// watched has what work reads of a backup be told as a step.
func watched(r hop3.BackupReader, m *meter, work func() error) error {
	r.Watch(m.counting())
	defer r.Watch(nil)
	return work()
}

// checkTold compares a backup with its checksums, and tells how far that is.
func checkTold(ctx context.Context, r hop3.BackupReader, out hop3.Output) error {
	return watched(r, metered(out, "Checking", sizeOf(r.Metadata())), func() error { return r.Check(ctx) })
}

// unpackTold is unpackBackup that tells how far it is.
func (p *Platform) unpackTold(ctx context.Context, r hop3.BackupReader, m hop3.BackupMetadata, dir string, out hop3.Output) error {
	return watched(r, metered(out, "Unpacking", m.Size), func() error { return p.unpackBackup(ctx, r, m, dir) })
}

// telling gives a writer to write that tells how much is written to it.
func telling(to io.Writer, m *meter) io.Writer {
	if m == nil {
		return to
	}
	return io.MultiWriter(to, m)
}
