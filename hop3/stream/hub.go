// Package stream keeps the progress of deployments for those who follow them:
// whoever comes late sees all of it, and a slow reader loses nothing.
package stream

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Keep is how long a log can still be read after its deployment ended.
const Keep = time.Hour

// maxLogs bounds how many logs are kept: the oldest finished ones go first.
const maxLogs = 1000

// Hub has the logs of the deployments under way and of the recent ones. It is
// safe for concurrent use; the zero value is ready, and keeps them in memory.
type Hub struct {
	Dir string // where logs outlive the process; must exist

	mu   sync.Mutex
	logs map[string]*Log
}

// New starts the log of a deployment.
func (h *Hub) New(app, user string) *Log {
	l := &Log{ID: newID(), App: app, User: user, Created: time.Now(), changed: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.logs == nil {
		h.logs = make(map[string]*Log)
	}
	h.purge(l.Created)
	h.purgeFiles(l.Created)
	l.keeper = h.keep(l)
	h.logs[l.ID] = l
	return l
}

// Get returns a log, or a CodeNotFound error when there is none of that id.
func (h *Hub) Get(id string) (*Log, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.purge(time.Now())
	if l, ok := h.logs[id]; ok {
		return l, nil
	}
	if l, err := h.load(id); err == nil && time.Since(l.ended()) <= Keep {
		return l, nil
	}
	return nil, hop3.Errorf(hop3.CodeNotFound, "Stream not found. The deployment may have ended long ago.")
}

// purge needs h.mu.
func (h *Hub) purge(now time.Time) {
	var oldest *Log
	for id, l := range h.logs {
		ended := l.ended()
		switch {
		case ended.IsZero():
		case now.Sub(ended) > Keep:
			delete(h.logs, id)
		case oldest == nil || l.Created.Before(oldest.Created):
			oldest = l
		}
	}
	if len(h.logs) >= maxLogs && oldest != nil {
		delete(h.logs, oldest.ID)
	}
}

// newID returns a random UUID (version 4).
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
