package caddymodules

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// visitors are the rates of the clients of one app, by address. Of each it
// holds one time: the theoretical arrival of GCRA, which is a token bucket
// without a counter. Its methods are safe for concurrent use.
type visitors struct {
	limit    hop3.RateLimit
	interval time.Duration // between two requests, on average
	slack    time.Duration // by how much they may come too early
	seed     maphash.Seed
	shards   [visitorShards]visitorShard
}

const (
	visitorShards   = 16
	visitorsInShard = 4096 // more of them, and those that came least are forgotten
)

type visitorShard struct {
	mu   sync.Mutex
	next map[netip.Addr]time.Time // when a client without slack might come again
}

func newVisitors(limit hop3.RateLimit) *visitors {
	interval := max(limit.Per/time.Duration(limit.Requests), 1)
	return &visitors{limit: limit, interval: interval, slack: interval * time.Duration(limit.Burst-1), seed: maphash.MakeSeed()}
}

// take counts a request and returns 0, or how long the client has to wait for
// its next one.
func (c *visitors) take(addr netip.Addr, now time.Time) time.Duration {
	addr = household(addr)
	shard := &c.shards[maphash.Comparable(c.seed, addr)%visitorShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	next, known := shard.next[addr]
	if next.Before(now) {
		next = now
	}
	if early := next.Sub(now); early > c.slack {
		return early - c.slack
	}
	if !known {
		shard.makeRoom(now)
	}
	shard.next[addr] = next.Add(c.interval)
	return 0
}

// household is what one client can easily have all of: an IPv6 address stands
// for its /64.
func household(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}

// makeRoom forgets clients that have nothing left to wait for when there are
// too many, and any, if that does not help.
func (s *visitorShard) makeRoom(now time.Time) {
	if s.next == nil {
		s.next = make(map[netip.Addr]time.Time)
	}
	if len(s.next) < visitorsInShard {
		return
	}
	for addr, next := range s.next {
		if next.Before(now) {
			delete(s.next, addr)
		}
	}
	for addr := range s.next {
		if len(s.next) < visitorsInShard*3/4 {
			return
		}
		delete(s.next, addr)
	}
}
