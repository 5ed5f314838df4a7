package platform

import (
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// heard is an output that wants to know how far a step is.
type heard struct {
	hop3.Output
	mu   sync.Mutex
	told []hop3.Progress
}

func (h *heard) Progress(p hop3.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, p)
}

func TestMeter(t *testing.T) {
	h := &heard{Output: hop3.Discard}
	m := metered(h, "Checking", 100)
	if m.add(10); len(h.told) > 0 {
		t.Errorf("a step that has just begun told %v", h.told)
	}
	m.last = time.Time{}
	m.add(20)
	m.last = time.Time{}
	m.add(200) // more than was known of
	want := []hop3.Progress{{What: "Checking", Done: 30, Total: 100}, {What: "Checking", Done: 100, Total: 100}}
	if len(h.told) != 2 || h.told[0] != want[0] || h.told[1] != want[1] {
		t.Errorf("told %v, want %v", h.told, want)
	}
	var nobody *meter
	if nobody = metered(hop3.Discard, "Checking", 1); nobody != nil || nobody.counting() != nil {
		t.Error("who does not want to know is told")
	}
	nobody.add(1)
}
