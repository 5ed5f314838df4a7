package waf

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// bans are who is kept out of which app, and who is about to be. Bans are
// stored when they begin; what was counted so far is in memory only.
type bans struct {
	save   func(hop3.Ban) error
	logger *slog.Logger

	storing sync.Mutex // held while a ban is stored, or all are loaded; before mu

	mu   sync.Mutex
	apps map[string]*offenders
}

// offenders are the clients of one app that were refused.
type offenders struct {
	banned map[netip.Addr]time.Time   // until when
	counts map[netip.Addr][]time.Time // when they were refused, the oldest first
}

// mostOffenders bounds how many clients of an app are counted at a time. With
// more, those that were refused least lately are forgotten.
const mostOffenders = 4096

// sourceOf returns what of a client's address is banned: an IPv6 address
// stands for its /64, of which one client easily has all.
func sourceOf(addr netip.Addr) netip.Addr {
	if prefix, err := addr.Prefix(64); err == nil && addr.Is6() {
		return prefix.Addr()
	}
	return addr
}

// sourceText is how a source is stored and shown.
func sourceText(source netip.Addr) string {
	if source.Is6() {
		return source.String() + "/64"
	}
	return source.String()
}

// BanSource returns a source as it is stored, by what people write: an address,
// or what lists show.
func (g *Guard) BanSource(text string) (string, bool) {
	source, ok := parseSource(text)
	return sourceText(source), ok
}

func parseSource(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if prefix, prefixErr := netip.ParsePrefix(text); prefixErr == nil && prefix.Addr().Is6() && prefix.Bits() == 64 {
		addr, err = prefix.Addr(), nil
	}
	return sourceOf(addr.Unmap().WithZone("")), err == nil
}

func (b *bans) of(app string) *offenders {
	if b.apps == nil {
		b.apps = map[string]*offenders{}
	}
	o := b.apps[app]
	if o == nil {
		o = &offenders{banned: map[netip.Addr]time.Time{}, counts: map[netip.Addr][]time.Time{}}
		b.apps[app] = o
	}
	return o
}

func (b *bans) banned(app string, client netip.Addr, at time.Time) bool {
	source := sourceOf(client)
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.apps[app]
	if o == nil {
		return false
	}
	until, ok := o.banned[source]
	if ok && !at.Before(until) {
		delete(o.banned, source)
		ok = false
	}
	return ok
}

// count counts that a client was refused, and reports whether it is banned by
// that. The server itself, and so a proxy on its machine that nobody told it
// of, is never banned: all clients would be.
func (b *bans) count(app string, client netip.Addr, why string, limit hop3.WAFBans, at time.Time) bool {
	if !client.IsValid() || client.IsLoopback() {
		return false
	}
	source := sourceOf(client)
	if !b.add(app, source, limit, at) {
		return false
	}
	b.storing.Lock()
	defer b.storing.Unlock()
	until := at.Add(limit.Duration)
	b.mu.Lock()
	b.of(app).banned[source] = until
	b.mu.Unlock()
	ban := hop3.Ban{App: app, Source: sourceText(source), Reason: why, Since: at, Expires: until}
	if err := b.save(ban); err != nil {
		b.logger.Error("storing a ban, which holds until the server is restarted", slog.String("app", app), slog.Any("error", err))
	}
	return true
}

// add counts, and reports whether that makes as many as there may be.
func (b *bans) add(app string, source netip.Addr, limit hop3.WAFBans, at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.of(app)
	times := o.counts[source]
	begin := at.Add(-limit.Window)
	times = slices.DeleteFunc(times, func(t time.Time) bool { return !t.After(begin) })
	times = append(times, at)
	if len(times) >= limit.Threshold {
		delete(o.counts, source)
		return true
	}
	o.counts[source] = times
	o.makeRoom(begin)
	return false
}

func (o *offenders) makeRoom(begin time.Time) {
	if len(o.counts) <= mostOffenders {
		return
	}
	var last []time.Time
	for source, times := range o.counts {
		if newest := times[len(times)-1]; !newest.After(begin) {
			delete(o.counts, source)
		} else {
			last = append(last, newest)
		}
	}
	if len(last) <= mostOffenders {
		return
	}
	slices.SortFunc(last, time.Time.Compare)
	middle := last[len(last)/4]
	for source, times := range o.counts {
		if !times[len(times)-1].After(middle) {
			delete(o.counts, source)
		}
	}
}

// LoadBans replaces all bans by those that load returns, which is what is
// stored. None begins meanwhile.
func (b *bans) LoadBans(load func() ([]hop3.Ban, error)) error {
	b.storing.Lock()
	defer b.storing.Unlock()
	list, err := load()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.apps {
		clear(o.banned)
	}
	for _, ban := range list {
		if source, ok := parseSource(ban.Source); ok {
			b.of(ban.App).banned[source] = ban.Expires
		}
	}
	return nil
}

// ForgetApp forgets who an app was closed to, and what was written down about
// it: the app is no more.
func (g *Guard) ForgetApp(app string) error {
	g.storing.Lock()
	g.bans.mu.Lock()
	delete(g.apps, app)
	g.bans.mu.Unlock()
	g.storing.Unlock()
	return g.log.remove(app)
}
