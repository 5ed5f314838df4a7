package platform

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// bursts bound the events of what strangers can make happen, and of what
// happens again and again: the first of each is an event, the others of the same time
// are counted in one more.
type bursts struct {
	mu   sync.Mutex
	open map[burstKey]*burst
}

// burstKey is what is counted together: a kind, and whose, or where from.
type burstKey struct {
	kind hop3.EventKind
	of   string
}

type burst struct {
	began time.Time
	more  int        // since the first
	last  hop3.Event // of them
}

const (
	burstWindow = 10 * time.Minute
	// cronWindow is that of cron entries: one that fails each minute does so
	// until somebody comes.
	cronWindow = time.Hour
	// maxBursts is how many are told apart, of each kind.
	maxBursts = 20
	// others is what the rest is counted under.
	others = ""
)

// noteBurst notes an event of which there may be many with the same of.
func (p *Platform) noteBurst(e hop3.Event, of string) {
	if first := p.noted.bursts.add(e, of, p.now()); first {
		p.happened(e)
	}
}

// add counts an event, and says whether it is the first.
func (b *bursts) add(e hop3.Event, of string, now time.Time) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		b.open = map[burstKey]*burst{}
	}
	key := burstKey{e.Kind, of}
	if b.open[key] == nil && b.count(e.Kind) >= maxBursts {
		key.of = others
	}
	if one := b.open[key]; one != nil {
		one.more++
		one.last = e
		return false
	}
	b.open[key] = &burst{began: now}
	return key.of != others || of == others
}

func (b *bursts) count(kind hop3.EventKind) (n int) {
	for key := range b.open {
		if key.kind == kind {
			n++
		}
	}
	return n
}

// ended returns an event for each burst whose time is up, or for all, and
// forgets them.
func (b *bursts) ended(now time.Time, all bool) (events []hop3.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, one := range b.open {
		window := burstWindow
		if key.kind == hop3.EventCronFailed {
			window = cronWindow
		}
		if !all && now.Sub(one.began) < window {
			continue
		}
		delete(b.open, key)
		if one.more == 0 {
			continue
		}
		e := one.last
		e.Data = map[string]string{"count": fmt.Sprint(one.more)}
		if entry := one.last.Data["entry"]; entry != "" {
			e.Data["entry"] = entry
		}
		e.Message = fmt.Sprintf("%d more times since %s UTC, the last time: %s", one.more, one.began.UTC().Format(time.TimeOnly), e.Message)
		if key.of == others {
			e.Actor, e.Source, e.App, e.Release = "", "", "", 0
		}
		events = append(events, e)
	}
	return events
}

// tendEvents stores what was counted, and forgets old events, until ctx ends.
func (p *Platform) tendEvents(ctx context.Context) {
	const tick = 30 * time.Second
	p.pruneEvents(ctx)
	pruned := p.now()
	every(ctx, tick, func() {
		p.happened(p.noted.bursts.ended(p.now(), false)...)
		p.watchDisk(ctx)
		p.watchExpiry(ctx)
		if p.now().Sub(pruned) >= time.Hour {
			pruned = p.now()
			p.pruneEvents(ctx)
		}
	})
	// What was counted so far must not be lost.
	if events := p.noted.bursts.ended(p.now(), true); len(events) > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		p.storeNow(ctx, events...)
	}
}
