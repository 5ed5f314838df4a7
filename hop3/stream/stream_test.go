package stream

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abilian/hop3/hop3"
)

var _ hop3.Output = (*Log)(nil)

func say(l *Log, from, to int) {
	for i := from; i < to; i++ {
		l.Log(hop3.LogLine{Text: fmt.Sprint("line ", i)})
	}
}

func TestEveryReaderSeesEveryLine(t *testing.T) {
	var hub Hub
	l := hub.New("blog", "alice")
	say(l, 0, 10)
	const lines = 5000
	var wg sync.WaitGroup
	for reader := range 8 {
		wg.Go(func() {
			n := 0
			for line := range l.Follow(t.Context(), 0) {
				if line.Index != n || line.Text != fmt.Sprint("line ", n) {
					t.Errorf("reader %d: line %d is %+v", reader, n, line)
					return
				}
				n++
			}
			if n != lines {
				t.Errorf("reader %d saw %d lines, want %d", reader, n, lines)
			}
		})
	}
	say(l, 10, lines)
	l.Finish(true, "")
	say(l, lines, lines+5) // too late
	wg.Wait()
	if o, ok := l.Outcome(); !ok || !o.Success || l.Len() != lines || l.Readers() != 0 {
		t.Errorf("outcome %+v, %d lines, %d readers", o, l.Len(), l.Readers())
	}
}

func TestAReaderComesBack(t *testing.T) {
	var hub Hub
	l := hub.New("blog", "alice")
	say(l, 0, 100)
	l.Finish(false, "no")
	var got []int
	for line := range l.Follow(t.Context(), 97) {
		got = append(got, line.Index)
	}
	if fmt.Sprint(got) != "[97 98 99]" {
		t.Errorf("read %v", got)
	}
}

func TestAReaderLeaves(t *testing.T) {
	var hub Hub
	l := hub.New("blog", "alice")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range l.Follow(ctx, 0) {
		t.Error("there was a line")
	}
}

func TestTheMiddleOfALongLogIsDropped(t *testing.T) {
	var hub Hub
	l := hub.New("blog", "alice")
	const lines = 3 * maxLines
	say(l, 0, lines)
	l.Finish(true, "")
	next, dropped := 0, 0
	for line := range l.Follow(t.Context(), 0) {
		var n int
		if _, err := fmt.Sscanf(line.Text, "… %d lines dropped", &n); err == nil {
			dropped += n
			next = line.Index + 1
			continue
		}
		if line.Index != next {
			t.Fatalf("line %d follows line %d without a word", line.Index, next-1)
		}
		next++
	}
	if next != lines || dropped == 0 || dropped >= lines {
		t.Errorf("ended at %d of %d, %d dropped", next, lines, dropped)
	}
}

func TestALongLogIsBoundedInBytes(t *testing.T) {
	var hub Hub
	l := hub.New("blog", "alice")
	for range 3000 {
		l.Log(hop3.LogLine{Text: strings.Repeat("é", maxLineSize)})
	}
	if l.bytes > maxBytes+maxLineSize {
		t.Errorf("%d bytes are kept", l.bytes)
	}
}

func TestLogsAreKeptForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		done, running := hub.New("blog", "alice"), hub.New("blog", "alice")
		done.Finish(true, "")
		time.Sleep(Keep - time.Second)
		if _, err := hub.Get(done.ID); err != nil {
			t.Errorf("gone before the hour: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := hub.Get(done.ID); hop3.CodeOf(err) != hop3.CodeNotFound {
			t.Errorf("still there after the hour: %v", err)
		}
		if _, err := hub.Get(running.ID); err != nil {
			t.Errorf("a running one is gone: %v", err)
		}
	})
}

func TestIDsAreUUIDs(t *testing.T) {
	if id := newID(); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Error(id)
	}
}
